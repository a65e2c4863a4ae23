"""The Slack emulator's Web API, driven by the real client and, where it would not misbehave, by httpx."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import httpx
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.models.messages.chunk import MarkdownTextChunk
from slack_sdk.web.async_client import AsyncWebClient

from tests.emulators.slack import SlackEmulator
from tests.emulators.slack_apps import Clock, bolt_app, client_of, error_of, over_socket, refused

JSON = dict[str, Any]
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


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


# Requests


async def test_a_call_is_recorded_and_answered_with_the_scopes(slack: SlackEmulator, client: AsyncWebClient) -> None:
    reply = await client.auth_test()
    assert (reply["user_id"], reply["team_id"]) == (slack.bot_user_id, slack.team_id)
    assert "chat:write" in reply.headers["x-oauth-scopes"]
    (call,) = slack.calls
    assert (call.method, call.ok) == ("auth.test", True)
    slack.assert_clean()


@pytest.mark.parametrize(
    ("content_type", "body", "error"),
    [
        ("text/plain", "hello", "invalid_post_type"),
        ("application/json", "{", "invalid_json"),
        ("application/json", "[]", "json_not_object"),
    ],
)
async def test_bodies_slack_cannot_read(slack: SlackEmulator, content_type: str, body: str, error: str) -> None:
    headers = {"Content-Type": content_type, "Authorization": f"Bearer {slack.bot_token}"}
    async with httpx.AsyncClient(base_url=slack.api_url, headers=headers) as http:
        assert (await http.post("auth.test", content=body)).json()["error"] == error
    slack.assert_clean(error)


async def test_where_a_token_may_be(slack: SlackEmulator) -> None:
    token = slack.bot_token
    async with httpx.AsyncClient(base_url=slack.api_url) as http:
        assert (await http.post("auth.test", data={"token": token})).json()["ok"]
        assert (await http.post("auth.test", files={"token": (None, token.encode())})).json()["ok"]
        assert (await http.post("auth.test")).json()["error"] == "not_authed"
        assert (await http.post("auth.test", params={"token": token})).json()["error"] == "invalid_auth"
        assert (await http.post("auth.test", json={"token": token})).json()["error"] == "invalid_auth"
    slack.assert_clean("token_in_query", "token_in_query")


async def test_tokens_have_their_methods(slack: SlackEmulator, client: AsyncWebClient) -> None:
    assert await error_of(client.auth_test(token="xoxb-wrong")) == "invalid_auth"
    assert await error_of(client.auth_test(token=slack.app_token)) == "not_allowed_token_type"
    assert await error_of(client.apps_connections_open(app_token=slack.bot_token)) == "not_allowed_token_type"
    assert await error_of(client.api_call("chat.shout")) == "unknown_method"
    assert await error_of(client.api_call("chat.postMessage", json={"text": "x"})) == "invalid_arguments"
    slack.assert_clean("unknown_method", "invalid_arguments")


async def test_missing_scopes_are_named() -> None:
    async with SlackEmulator(scopes=("chat:write",), socket_mode=False) as slack:
        client = client_of(slack)
        body = await refused(client.users_info(user=slack.user))
        assert (body["error"], body["needed"], body["provided"]) == ("missing_scope", "users:read", "chat:write")
        needed = await refused(client.conversations_info(channel=slack.dm))
        assert needed["needed"] == "im:read"
        assert await error_of(client.apps_connections_open(app_token=slack.app_token)) == "socket_mode_disabled"
        slack.assert_clean()


# Rates and faults


async def test_one_message_a_second_after_a_burst(slack: SlackEmulator, client: AsyncWebClient, clock: Clock) -> None:
    for _ in range(5):
        await client.chat_postMessage(channel=slack.channel, text="x")
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(channel=slack.channel, text="x")
    assert caught.value.response.status_code == 429
    assert int(caught.value.response.headers["Retry-After"]) == 5
    await client.chat_postMessage(channel=slack.private_channel, text="another channel")
    clock.now += 5
    await client.chat_postMessage(channel=slack.channel, text="x")
    assert len(slack.messages(slack.channel)) == 6


async def test_each_method_has_its_minute(slack: SlackEmulator, client: AsyncWebClient, clock: Clock) -> None:
    for _ in range(50):
        await client.conversations_info(channel=slack.channel)
    assert await error_of(client.conversations_info(channel=slack.channel)) == "ratelimited"
    await client.users_info(user=slack.user)
    clock.now += 60
    await client.conversations_info(channel=slack.channel)


async def test_rates_can_be_scaled_and_switched_off() -> None:
    async with SlackEmulator(rates=False) as slack:
        for _ in range(8):
            await client_of(slack).chat_postMessage(channel=slack.channel, text="x")
    clock = Clock()
    async with SlackEmulator(clock=clock, rate_scale=0.01) as slack:
        for _ in range(5):
            await client_of(slack).chat_postMessage(channel=slack.channel, text="x")
        clock.now += 0.06
        await client_of(slack).chat_postMessage(channel=slack.channel, text="x")


async def test_faults_before_the_side_effect(slack: SlackEmulator, client: AsyncWebClient) -> None:
    async def post() -> Any:
        return await client.chat_postMessage(channel=slack.channel, text="x")

    slack.fault("chat.postMessage")
    with pytest.raises(SlackApiError) as limited:
        await post()
    assert limited.value.response.headers["Retry-After"] == "1"
    slack.fault("*", error="fatal_error", times=2)
    assert [await error_of(post()), await error_of(client.auth_test())] == ["fatal_error", "fatal_error"]
    slack.fault("chat.postMessage", status=503)
    with pytest.raises(SlackApiError) as broken:
        await post()
    assert broken.value.response.status_code == 503
    slack.fault("chat.postMessage", drop=True)
    with pytest.raises(aiohttp.ClientConnectionError):
        await post()
    slack.fault("chat.postMessage", error="never")
    slack.clear_faults()
    assert slack.messages() == []
    await post()
    assert [call.fault for call in slack.calls_to("chat.postMessage")] == [True, True, True, True, False]
    assert len(slack.messages()) == 1
    slack.assert_clean()


async def test_a_lost_reply_leaves_the_message(slack: SlackEmulator, client: AsyncWebClient) -> None:
    slack.fault("chat.postMessage", drop=True, after=True)
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.chat_postMessage(channel=slack.channel, text="x")
    assert [message.text for message in slack.messages(by_bot=True)] == ["x"]


async def test_a_slow_reply_is_still_a_reply(slack: SlackEmulator, client: AsyncWebClient) -> None:
    slack.fault("auth.test", delay=0.05)
    began = asyncio.get_running_loop().time()
    await client.auth_test()
    assert asyncio.get_running_loop().time() - began >= 0.05


async def test_the_clients_own_retry_handler_obeys_retry_after(slack: SlackEmulator, client: AsyncWebClient) -> None:
    client.retry_handlers = [AsyncRateLimitErrorRetryHandler(max_retry_count=1)]
    slack.fault("auth.test", retry_after=0)
    await client.auth_test()
    assert [call.status for call in slack.calls] == [429, 200]


# Messages


async def test_where_the_bot_may_write(slack: SlackEmulator, client: AsyncWebClient) -> None:
    async def outcome(channel: str) -> str:
        return await error_of(client.chat_postMessage(channel=channel, text="x"))

    assert await outcome("C0NOWHERE1") == "channel_not_found"
    assert await outcome(slack.hidden_channel) == "channel_not_found"
    assert await outcome(slack.outside_channel) == "not_in_channel"
    slack.workspace.channels[slack.private_channel].archived = True
    assert await outcome(slack.private_channel) == "is_archived"
    sent = await client.chat_postMessage(channel=slack.user, text="x")
    assert sent["channel"] == slack.dm
    slack.assert_clean()


async def test_writing_in_public_without_being_there_is_no_leave_to_upload() -> None:
    async with SlackEmulator(scopes=("chat:write", "chat:write.public", "files:write")) as slack:
        client = client_of(slack)
        await client.chat_postMessage(channel=slack.outside_channel, text="x")
        upload = client.files_upload_v2(channel=slack.outside_channel, filename="a.png", content=PNG)
        assert await error_of(upload) == "not_in_channel"


async def test_threads_forgive_and_the_journal_does_not(slack: SlackEmulator, client: AsyncWebClient) -> None:
    root = await slack.say("question")
    reply = await client.chat_postMessage(channel=slack.channel, text="answer", thread_ts=root)
    below = await client.chat_postMessage(channel=slack.channel, text="more", thread_ts=reply["ts"])
    lost = await client.chat_postMessage(channel=slack.channel, text="lost", thread_ts="1.000001")
    assert below["message"]["thread_ts"] == root
    assert "thread_ts" not in lost["message"]
    assert [message.text for message in slack.thread(slack.channel, root)] == ["question", "answer", "more"]
    slack.assert_clean("thread_ts_of_reply", "unknown_thread")


async def test_history_shows_roots_alone_newest_first(slack: SlackEmulator, client: AsyncWebClient) -> None:
    mark = {"event_type": "run", "event_payload": {"id": "r1"}}
    root = (await client.chat_postMessage(channel=slack.channel, text="root", metadata=mark))["ts"]
    await client.chat_postMessage(channel=slack.channel, text="reply", thread_ts=root)
    later = (await client.chat_postMessage(channel=slack.channel, text="later"))["ts"]
    full = await client.conversations_history(channel=slack.channel, include_all_metadata=True)
    assert [message["ts"] for message in full["messages"]] == [later, root]
    assert full["messages"][1]["metadata"] == mark
    page = await client.conversations_history(channel=slack.channel, limit=1)
    assert page["has_more"]
    assert "metadata" not in page["messages"][0]
    since = await client.conversations_history(channel=slack.channel, oldest=root)
    assert [message["ts"] for message in since["messages"]] == [later]


async def test_replies_with_metadata_in_pages(slack: SlackEmulator, client: AsyncWebClient) -> None:
    root = await slack.say("question")
    metadata = {"event_type": "answer", "event_payload": {"id": "7"}}
    for text in ("one", "two"):
        await client.chat_postMessage(channel=slack.channel, text=text, thread_ts=root, metadata=metadata)
    plain = await client.conversations_replies(channel=slack.channel, ts=root)
    assert [message["text"] for message in plain["messages"]] == ["question", "one", "two"]
    assert "metadata" not in plain["messages"][1]
    full = await client.conversations_replies(channel=slack.channel, ts=root, include_all_metadata=True)
    assert full["messages"][2]["metadata"] == metadata
    pages = [
        [message["text"] for message in page["messages"]]
        async for page in await client.conversations_replies(channel=slack.channel, ts=root, limit=2)
    ]
    assert pages == [["question", "one"], ["two"]]
    later = await client.conversations_replies(channel=slack.channel, ts=root, oldest=root)
    assert [message["text"] for message in later["messages"]] == ["one", "two"]
    assert await error_of(client.conversations_replies(channel=slack.channel, ts="1.000001")) == "thread_not_found"
    assert await error_of(client.conversations_replies(channel=slack.outside_channel, ts=root)) == "not_in_channel"


async def test_updates_and_deletions_of_own_messages_only(slack: SlackEmulator, client: AsyncWebClient) -> None:
    theirs = await slack.say("mine")
    own = (await client.chat_postMessage(channel=slack.channel, text="one"))["ts"]
    await client.chat_update(channel=slack.channel, ts=own, text="two")
    message = slack.workspace.messages[slack.channel, own]
    assert (message.text, message.edits) == ("two", ["one"])

    def update(ts: str, text: str) -> Any:
        return client.chat_update(channel=slack.channel, ts=ts, text=text)

    assert await error_of(update(theirs, "x")) == "cant_update_message"
    assert await error_of(update("1.000001", "x")) == "message_not_found"
    assert await error_of(update(own, "x" * 4001)) == "msg_too_long"
    assert await error_of(client.chat_delete(channel=slack.channel, ts=theirs)) == "cant_delete_message"
    await client.chat_delete(channel=slack.channel, ts=own)
    assert slack.messages(by_bot=True) == []
    slack.assert_clean("msg_too_long")


async def test_an_update_without_blocks_keeps_the_old_ones(slack: SlackEmulator, client: AsyncWebClient) -> None:
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "working"}}]
    own = (await client.chat_postMessage(channel=slack.channel, text="working", blocks=blocks))["ts"]
    await client.chat_update(channel=slack.channel, ts=own, text="done")
    assert slack.workspace.messages[slack.channel, own].blocks[0]["text"]["text"] == "working"
    slack.assert_clean("stale_blocks")
    await client.chat_update(channel=slack.channel, ts=own, text="done", blocks=[])
    assert slack.workspace.messages[slack.channel, own].blocks == []


async def test_ephemerals_reach_members_and_are_not_stored(slack: SlackEmulator, client: AsyncWebClient) -> None:
    sent = await client.chat_postEphemeral(channel=slack.channel, user=slack.user, text="psst")
    (shown,) = slack.ephemerals
    assert (shown.text, shown.user, shown.ts) == ("psst", slack.user, sent["message_ts"])
    assert slack.messages() == []
    stranger = client.chat_postEphemeral(channel=slack.dm, user=slack.other_user, text="psst")
    assert await error_of(stranger) == "user_not_in_channel"


async def test_people_and_conversations(slack: SlackEmulator, client: AsyncWebClient) -> None:
    assert (await client.users_info(user=slack.user))["user"]["name"] == "alice"
    assert await error_of(client.users_info(user="U0NOBODY01")) == "user_not_found"
    info = await client.conversations_info(channel=slack.outside_channel)
    assert info["channel"]["is_member"] is False
    assert await error_of(client.conversations_info(channel=slack.hidden_channel)) == "channel_not_found"
    assert (await client.conversations_open(users=slack.user))["channel"]["id"] == slack.dm
    opened = await client.conversations_open(users=[slack.other_user], return_im=True)
    assert opened["channel"]["user"] == slack.other_user


# Streams


async def test_a_stream_is_started_fed_and_stopped(slack: SlackEmulator, client: AsyncWebClient) -> None:
    root = await slack.say("question")
    where: JSON = {"channel": slack.channel, "thread_ts": root}
    to: JSON = {"recipient_team_id": slack.team_id, "recipient_user_id": slack.user}
    stream = await client.chat_stream(**where, **to, buffer_size=1)
    await stream.append(markdown_text="```\ncode\n")
    assert await error_of(client.chat_update(channel=slack.channel, ts=str(stream.ts), text="x")) == (
        "streaming_state_conflict"
    )
    assert slack.statuses[slack.channel, root] == "processing"
    await stream.append(markdown_text="```\n")
    await stream.stop(markdown_text="end", session_status="closed")
    _, message = slack.thread(slack.channel, root)
    assert (message.text, message.streaming) == ("```\ncode\n```\nend", False)
    assert slack.statuses[slack.channel, root] == "closed"
    append = client.chat_appendStream(channel=slack.channel, ts=message.ts, markdown_text="late")
    assert await error_of(append) == "message_not_in_streaming_state"
    slack.assert_clean()


async def test_what_a_stream_needs(slack: SlackEmulator, client: AsyncWebClient) -> None:
    root = await slack.say("question")

    def start(**extra: Any) -> Any:
        return client.chat_startStream(**({"channel": slack.channel, "thread_ts": root} | extra))

    assert await error_of(start(thread_ts="1.000001")) == "invalid_thread_ts"
    assert await error_of(start()) == "missing_recipient_team_id"
    assert await error_of(start(recipient_team_id=slack.team_id)) == "missing_recipient_user_id"
    to = {"recipient_team_id": slack.team_id, "recipient_user_id": slack.user}
    assert await error_of(start(**to, chunks=[{"type": "song"}])) == "invalid_chunks"
    assert await error_of(start(**to, markdown_text="x" * 12_001)) == "msg_too_long"
    hello = await slack.say("hello", channel_type="im")
    stream = await start(channel=slack.dm, thread_ts=hello, chunks=[MarkdownTextChunk(text="<!here>")])
    assert await error_of(client.chat_appendStream(channel=slack.dm, ts=stream["ts"])) == "no_text"
    assert await error_of(client.chat_appendStream(channel=slack.dm, ts=hello, markdown_text="x")) == (
        "message_not_owned_by_app"
    )
    both = client.chat_appendStream(
        channel=slack.dm, ts=stream["ts"], markdown_text="x", chunks=[MarkdownTextChunk(text="x")]
    )
    assert await error_of(both) == "cannot_provide_both_markdown_text_and_chunks"
    other = client.chat_stopStream(channel=slack.dm, ts=stream["ts"], markdown_text="x")
    assert await error_of(other) == "streaming_mode_mismatch"
    open_end = [MarkdownTextChunk(text="\n```\nopen")]
    await client.chat_stopStream(channel=slack.dm, ts=stream["ts"], chunks=open_end)
    slack.assert_clean(
        "cannot_provide_both_markdown_text_and_chunks",
        "streaming_mode_mismatch",
        "invalid_chunks",
        "msg_too_long",
        "mass_mention",
        "unbalanced_fence",
    )


async def test_a_stream_dies_after_five_minutes_whatever_was_appended(
    slack: SlackEmulator, client: AsyncWebClient, clock: Clock
) -> None:
    hello = await slack.say("hello", channel_type="im")
    stream = await client.chat_startStream(channel=slack.dm, thread_ts=hello, markdown_text="one")
    where: JSON = {"channel": slack.dm, "ts": stream["ts"]}
    clock.now += 299
    await client.chat_appendStream(**where, markdown_text="two")
    clock.now += 2
    assert await error_of(client.chat_stopStream(**where)) == "message_not_in_streaming_state"
    await client.chat_update(**where, text="onetwothree", blocks=[])
    assert slack.thread(slack.dm, hello)[1].text == "onetwothree"
    slack.assert_clean()


async def test_a_person_stops_a_stream(slack: SlackEmulator, client: AsyncWebClient) -> None:
    hello = await slack.say("hello", channel_type="im")
    stream = await client.chat_startStream(channel=slack.dm, thread_ts=hello, markdown_text="one")
    await slack.stop_stream(slack.dm, stream["ts"])
    append = client.chat_appendStream(channel=slack.dm, ts=stream["ts"], markdown_text="two")
    assert await error_of(append) == "stopped_by_user"
    assert slack.deliveries[-1].payload["event"]["streaming_message_ts"] == [stream["ts"]]


# Files


async def test_an_upload_in_three_steps(slack: SlackEmulator, client: AsyncWebClient) -> None:
    root = await slack.say("question")
    done = await client.files_upload_v2(
        channel=slack.channel,
        thread_ts=root,
        filename="plot.png",
        title="Agreement",
        alt_txt="Two of three agree",
        content=PNG,
        initial_comment="The chart",
    )
    assert set(done["files"][0]) == {"id", "title"}
    _, message = slack.thread(slack.channel, root)
    (file,) = message.files
    assert (message.text, file.title, file.alt_text, file.content) == (
        "The chart",
        "Agreement",
        "Two of three agree",
        PNG,
    )
    info = (await client.files_info(file=file.id))["file"]
    assert info["mimetype"] == "image/png"
    assert info["shares"]["public"][slack.channel][0]["ts"] == message.ts
    image = {"type": "image", "alt_text": "again", "slack_file": {"id": file.id}}
    await client.chat_postMessage(channel=slack.channel, text="again", blocks=[image])
    assert await error_of(client.files_completeUploadExternal(files=[{"id": file.id}])) == "file_update_failed"
    slack.assert_clean()


async def test_what_an_upload_may_not_do(slack: SlackEmulator, client: AsyncWebClient) -> None:
    long = client.files_getUploadURLExternal(filename="a.png", length=4, alt_txt="x" * 1001)
    assert await error_of(long) == "invalid_arguments"
    ticket = await client.files_getUploadURLExternal(filename="a.png", length=4)
    files = [{"id": ticket["file_id"]}]

    def complete(**extra: Any) -> Any:
        return client.files_completeUploadExternal(files=files, **extra)

    assert await error_of(complete()) == "file_not_found"
    async with httpx.AsyncClient() as http:
        assert (await http.post(ticket["upload_url"], content=b"12345")).status_code == 400
        assert (await http.post(ticket["upload_url"], content=b"1234")).text == "OK - 4"
        assert (await http.post(ticket["upload_url"], content=b"1234")).status_code == 400
    assert await error_of(complete(channel_id=slack.user)) == "invalid_arguments"
    assert await error_of(complete(channel_id="#general")) == "invalid_arguments"
    await complete(channel_id=slack.channel, thread_ts="1.000001")
    image = {"type": "image", "alt_text": "no image", "slack_file": {"id": ticket["file_id"]}}
    post = client.chat_postMessage(channel=slack.channel, text="x", blocks=[image])
    assert (await refused(post))["errors"] == ["invalid slack file [json-pointer:/blocks/0/slack_file]"]
    expected = ["invalid_arguments"] * 3 + ["upload_length", "upload_ticket", "unknown_thread", "invalid_blocks"]
    slack.assert_clean(*expected)


async def test_a_lost_reply_to_the_completion_leaves_the_file(slack: SlackEmulator, client: AsyncWebClient) -> None:
    slack.fault("files.completeUploadExternal", drop=True, after=True)
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.files_upload_v2(channel=slack.channel, filename="a.png", content=PNG)
    assert [file.content for message in slack.messages() for file in message.files] == [PNG]


# The emulator itself


async def test_waiting_for_what_does_not_come_fails(slack: SlackEmulator) -> None:
    with pytest.raises(AssertionError, match=r"not within 0\.02 s"):
        await slack.wait_for(lambda: False, timeout=0.02)
    with pytest.raises(AssertionError, match="none"):
        slack.assert_clean("mass_mention")


async def test_leaving_ends_what_is_under_way_without_a_violation() -> None:
    async with SlackEmulator() as slack, over_socket(slack, bolt_app(slack)):
        await slack.say("nobody takes this")
    assert slack.violations == []
