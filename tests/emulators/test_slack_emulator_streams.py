"""Streamed messages of the Slack emulator: chunks, task cards, and the person who presses stop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from slack_sdk.models.messages.chunk import BlocksChunk, MarkdownTextChunk, PlanUpdateChunk, TaskUpdateChunk
from slack_sdk.web.async_client import AsyncWebClient

from tests.emulators.slack import SlackEmulator, Task
from tests.emulators.slack.view import render
from tests.emulators.slack_apps import Clock, bolt_app, client_of, error_of, over_socket

JSON = dict[str, Any]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def slack(clock: Clock) -> AsyncIterator[SlackEmulator]:
    async with SlackEmulator(clock=clock) as emulator:
        yield emulator


@pytest.fixture
def client(slack: SlackEmulator) -> AsyncWebClient:
    return client_of(slack)


def section(text: str) -> JSON:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def task(**extra: Any) -> JSON:
    return {"type": "task_update", "id": "1", "title": "Ask", "status": "pending", **extra}


async def test_tasks_plan_text_and_blocks_are_streamed(slack: SlackEmulator, client: AsyncWebClient) -> None:
    root = await slack.say("question")
    to: JSON = {"recipient_team_id": slack.team_id, "recipient_user_id": slack.user}
    stream = await client.chat_stream(
        channel=slack.channel, thread_ts=root, task_display_mode="plan", buffer_size=1, **to
    )
    first = TaskUpdateChunk(id="ask", title="Ask the panel", status="in_progress", details="three members")
    await stream.append(chunks=[PlanUpdateChunk(title="Round 1"), first])
    later = TaskUpdateChunk(id="judge", title="Judge", status="pending")
    source: JSON = {"type": "url", "url": "https://example.org", "text": "Example"}
    done = TaskUpdateChunk(
        id="ask", title="Asked", status="complete", details=", two answers", output="42", sources=[source]
    )
    await stream.append(markdown_text="**42**", chunks=[later, done, BlocksChunk(blocks=[section("beside")])])
    _, message = slack.thread(slack.channel, root)
    streamed = message.stream
    assert streamed is not None
    assert list(streamed.tasks.values()) == [
        Task("ask", "Asked", "complete", "three members, two answers", "42", [source]),
        Task("judge", "Judge", "pending"),
    ]
    assert (streamed.display_mode, streamed.plan_title, streamed.recipient) == ("plan", "Round 1", slack.user)
    assert [block["text"]["text"] for block in streamed.blocks] == ["beside"]
    mark = {"event_type": "answer", "event_payload": {"id": "7"}}
    await stream.stop(markdown_text=" it is", blocks=[section("end")], metadata=mark, session_status="closed")
    assert (message.text, message.blocks[0]["text"]["text"], message.metadata) == ("**42** it is", "end", mark)
    assert slack.status(slack.channel, root) == "closed"
    slack.assert_clean()


@pytest.mark.parametrize(
    "chunk",
    [
        "text",
        {"type": "song"},
        {"type": "markdown_text"},
        {"type": "markdown_text", "text": 1},
        {"type": "markdown_text", "text": "x", "verbatim": True},
        {"type": "plan_update", "title": ""},
        task(status="done"),
        task(details=None, output=["x"]),
        task(colour="red"),
        task(sources=[{"type": "url", "url": "https://example.org"}]),
        {"type": "task_update", "id": "1", "title": "Ask"},
        {"type": "blocks", "blocks": "x"},
    ],
)
async def test_chunks_that_slack_does_not_take(slack: SlackEmulator, client: AsyncWebClient, chunk: Any) -> None:
    hello = await slack.say("hello", channel_type="im")
    start = {"channel": slack.dm, "thread_ts": hello, "chunks": [chunk]}
    assert await error_of(client.api_call("chat.startStream", json=start)) == "invalid_chunks"
    assert slack.thread(slack.dm, hello)[1:] == []
    slack.assert_clean("invalid_chunks")


async def test_what_else_a_stream_may_not_be(slack: SlackEmulator, client: AsyncWebClient) -> None:
    hello = await slack.say("hello", channel_type="im")
    where: JSON = {"channel": slack.dm, "thread_ts": hello}
    assert await error_of(client.chat_startStream(**where, task_display_mode="table")) == "invalid_arguments"
    stream = await client.chat_startStream(**where, chunks=[task(status="in_progress")])
    at: JSON = {"channel": slack.dm, "ts": stream["ts"]}
    bad = BlocksChunk(blocks=[{"type": "poem"}])
    assert await error_of(client.chat_appendStream(**at, chunks=[bad])) == "invalid_blocks"
    many = BlocksChunk(blocks=[{"type": "divider"}] * 51)
    assert await error_of(client.chat_appendStream(**at, chunks=[many])) == "msg_blocks_too_many"
    assert await error_of(client.chat_appendStream(**at, chunks=[])) == "no_text"
    long = [MarkdownTextChunk(text="x" * 6001)] * 2
    assert await error_of(client.chat_appendStream(**at, chunks=long)) == "msg_too_long"
    await client.chat_appendStream(**at, chunks=[task(status="in_progress", details="x" * 257)])
    divider = [{"type": "divider"}] * 51
    assert await error_of(client.chat_stopStream(**at, blocks=divider)) == "msg_blocks_too_many"
    await client.chat_stopStream(**at)
    slack.assert_clean(
        *("invalid_arguments", "invalid_blocks", "msg_blocks_too_many", "msg_too_long"),
        *("chunk_field_too_long", "msg_blocks_too_many", "unfinished_task"),
    )


async def test_twenty_streams_a_minute(slack: SlackEmulator, client: AsyncWebClient, clock: Clock) -> None:
    hello = await slack.say("hello", channel_type="im")
    for _ in range(20):
        await client.chat_startStream(channel=slack.dm, thread_ts=hello)
    assert await error_of(client.chat_startStream(channel=slack.dm, thread_ts=hello)) == "ratelimited"
    clock.now += 60
    await client.chat_startStream(channel=slack.dm, thread_ts=hello)


async def test_a_person_stops_a_session(slack: SlackEmulator, client: AsyncWebClient) -> None:
    app, heard = bolt_app(slack), list[JSON]()

    @app.event("agent_session_stopped")
    async def stopped(event: JSON) -> None:
        heard.append(event)

    @app.event("message")
    async def ignore() -> None:
        pass

    async with over_socket(slack, app):
        hello = await slack.say("hello", channel_type="im")
        with pytest.raises(LookupError, match="nothing is under way"):
            await slack.stop_session(slack.dm, hello)
        stream = await client.chat_startStream(channel=slack.dm, thread_ts=hello, markdown_text="one")
        await slack.stop_session(slack.dm, hello)
        (event,) = await slack.wait_for(lambda: heard)
        assert (event["channel"], event["thread_ts"], event["streaming_message_ts"], event["user"]) == (
            slack.dm,
            hello,
            [stream["ts"]],
            slack.user,
        )
        at: JSON = {"channel": slack.dm, "ts": stream["ts"]}
        assert await error_of(client.chat_appendStream(**at, markdown_text="two")) == "stopped_by_user"
        assert await error_of(client.chat_stopStream(**at)) == "stopped_by_user"
        with pytest.raises(LookupError, match="not being streamed"):
            await slack.stop_stream(slack.dm, stream["ts"])
        await client.chat_update(**at, text="one, stopped", blocks=[])
        await client.agents_sessions_setStatus(channel_id=slack.dm, thread_ts=hello, status="processing")
        await slack.stop_session(slack.dm, hello)
        await slack.wait_for(lambda: len(heard) == 2)
        await slack.settled()
    assert heard[1]["streaming_message_ts"] == []
    slack.assert_clean()


async def test_what_was_streamed_stays_until_blocks_replace_it(slack: SlackEmulator, client: AsyncWebClient) -> None:
    hello = await slack.say("hello", channel_type="im")
    stream = await client.chat_startStream(channel=slack.dm, thread_ts=hello, markdown_text="one")
    at: JSON = {"channel": slack.dm, "ts": stream["ts"]}
    await client.chat_stopStream(**at)
    await client.chat_update(**at, text="never seen")
    slack.assert_clean("stale_blocks")
    await client.chat_update(**at, text="seen", blocks=[])
    assert slack.thread(slack.dm, hello)[1].stream is None


async def test_statuses_lapse(slack: SlackEmulator, client: AsyncWebClient, clock: Clock) -> None:
    hello = await slack.say("hello", channel_type="im")
    thread: JSON = {"channel_id": slack.dm, "thread_ts": hello}
    await client.assistant_threads_setStatus(**thread, status="is thinking")
    clock.now += 119
    assert slack.status(slack.dm, hello) == "is thinking"
    clock.now += 2
    assert slack.status(slack.dm, hello) == ""
    await client.agents_sessions_setStatus(**thread, status="processing")
    clock.now += 3601
    assert slack.status(slack.dm, hello) == ""
    await client.agents_sessions_setStatus(**thread, status="active")
    clock.now += 36_000
    assert slack.status(slack.dm, hello) == "active"


async def test_titles_and_prompts(slack: SlackEmulator, client: AsyncWebClient) -> None:
    hello = await slack.say("hello", channel_type="im")
    thread: JSON = {"channel_id": slack.dm, "thread_ts": hello}
    await client.assistant_threads_setTitle(**thread, title="One")
    assert slack.titles[slack.dm, hello] == "One"
    await client.agents_sessions_setStatus(**thread, status="processing", title="Two")
    assert slack.titles[slack.dm, hello] == "Two"
    prompt = {"title": "Ask", "message": "Why?"}
    await client.assistant_threads_setSuggestedPrompts(channel_id=slack.dm, prompts=[prompt])
    assert slack.prompts == {(slack.dm, ""): [prompt]}
    loud = client.assistant_threads_setSuggestedPrompts(**thread, prompts=[prompt | {"icon": "x"}])
    assert await error_of(loud) == "invalid_arguments"
    page = render(slack, channel=slack.dm)
    assert "Consortium processing…" in page
    assert '<span class="button">Ask</span>' in page
    slack.assert_clean("invalid_arguments")
