"""Walks through the Slack surface as people use it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import aiohttp
import pytest

from adapters.slack.manifest import SCOPES
from bot.app import Core
from core.attachments import MOST_BYTES
from tests.e2e.slack.stage import (
    Stage,
    buttons,
    catalog,
    on_stage,
    product,
    served,
    shown,
    surface_of,
    workspace,
)
from tests.emulators.slack import SlackEmulator

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(120)]

QUESTION = "Should remote work be the default?"


# --- asking and going on ----------------------------------------------------------------------------------


async def test_an_ask_becomes_a_thread_with_answer_and_charts(either: Stage) -> None:
    slack = either.slack
    await slack.command(f"/consortium ask {QUESTION} <b> & *all*")
    root = await either.root(QUESTION)
    assert root.text == f"<@{slack.user}> asks:\n> {QUESTION} &lt;b&gt; &amp; *all*"
    answer = await either.answer(root.ts)
    assert "2 of 3 agree; skeptic (simulated) disagrees" in shown(answer)
    assert "Simulated members: pragmatist, optimist, skeptic" in shown(answer)
    assert len(answer.text) <= 3900
    assert answer.edits, "what was streamed became the answer"
    assert {"Answers", "Dissent", "Charts", "Ask again"} <= buttons(answer).keys()
    charts = await either.charts(root.ts, timeout=50)
    assert [file.title for file in charts.files] == ["How alike the answers are", "How the answers sound"]
    for file in charts.files:
        assert file.mimetype == "image/png"
        assert any(char.isdigit() for char in file.alt_text), "the alternative text carries the numbers"
    await either.idle()
    assert len(either.replies(root.ts)) == 2
    assert max(ack.latency for ack in slack.acks) < 1
    posts = slack.calls_to("chat.postMessage")
    assert all(call.args["unfurl_links"] is False and call.args["unfurl_media"] is False for call in posts)


async def test_a_council_says_how_it_came_to_its_answer(stage: Stage) -> None:
    root = await stage.ask(QUESTION, options="--no-charts --consortium council")
    answer = shown(await stage.answer(root.ts))
    assert "2 of 3 agree; skeptic (simulated) disagrees" in answer
    assert "strategy council" in answer
    assert "2 rounds" in answer
    await stage.idle()


async def test_a_message_in_the_thread_goes_on_from_it(either: Stage) -> None:
    slack = either.slack
    root = await either.ask(QUESTION)
    first = await either.answer(root.ts)
    await slack.say("And for new employees?", thread_ts=root.ts, user=slack.other_user)
    second = await either.answer(root.ts, count=2)
    assert second.ts != first.ts
    await either.idle()
    assert len(either.answers(root.ts)) == 2
    await slack.command("/consortium history")
    listed = await either.told()
    assert QUESTION in listed
    assert "new employees" not in listed, "that was somebody else's question"


async def test_roles_show_in_the_footer_until_they_are_cleared(stage: Stage) -> None:
    slack = stage.slack
    await slack.command("/consortium roles assign skeptic utilitarian")
    assert "skeptic (simulated): Utilitarian" in await stage.told()
    root = await stage.ask("Is a short week fair?")
    assert "skeptic (simulated) as Utilitarian" in shown(await stage.answer(root.ts))
    await slack.command("/consortium roles shuffle Rawlsian, Libertarian")
    dealt = await stage.told(2)
    assert "Rawlsian" in dealt.partition("Roles there are")[0]
    await slack.command("/consortium roles", user=slack.other_user)
    assert "Rawlsian" not in (await stage.told(3)).partition("Roles there are")[0], "roles are the person's own"
    await slack.command("/consortium roles clear")
    assert "Rawlsian" not in (await stage.told(4)).partition("Roles there are")[0]
    root = await stage.ask("Is a long week fair?")
    assert "roles:" not in shown(await stage.answer(root.ts))
    await stage.idle()


async def test_short_commands_answer_the_asker_alone(either: Stage) -> None:
    slack = either.slack
    for count, (line, expected) in enumerate(
        {
            "/consortium help": "`/consortium ask",
            "/consortium": "`/consortium ask",
            "/consortium models": "**pragmatist** (simulated)",
            "/consortium histroy": "Did you mean `history`?",
            "/consortium ask": "There is no question",
            "/consortium ask --consortium nosuch why": "There is no consortium `nosuch`",
            "/consortium roles assign nosuch Rawlsian": "There is no model `nosuch`",
        }.items(),
        1,
    ):
        await slack.command(line)
        assert expected in await either.told(count)
    await either.idle()
    assert slack.messages(by_bot=True) == []
    assert all(shown.user == slack.user for shown in slack.ephemerals)


async def test_a_direct_message_is_a_question(either: Stage) -> None:
    slack = either.slack
    asked = await slack.say(f"ask --no-charts {QUESTION}", channel_type="im")
    await either.answer(asked, slack.dm)
    await slack.say("Why?", channel_type="im", thread_ts=asked)
    await either.answer(asked, slack.dm, count=2)
    await slack.say("help all", channel_type="im")
    helped = await slack.wait_for(
        lambda: [m for m in slack.messages(slack.dm, by_bot=True) if "roles assign" in m.text]
    )
    assert helped[0].thread_ts is None
    await slack.command("/consortium history", channel=slack.dm)
    assert QUESTION in await either.told()
    await slack.command("/consortium history")
    assert asked not in await either.told(2)
    await either.idle()


async def test_a_private_channel_stays_private(stage: Stage) -> None:
    slack = stage.slack
    asked = await slack.say("ask --no-charts Who gets the secret prize?", channel_type="group", mention=True)
    await stage.answer(asked, slack.private_channel)
    await slack.say("And the second one?", channel_type="group", thread_ts=asked)
    await stage.answer(asked, slack.private_channel, count=2)
    await slack.command("/consortium history")
    assert "prize" not in await stage.told()
    await slack.command("/consortium history", channel=slack.private_channel)
    assert "prize" in await stage.told(2)
    await stage.idle()


async def test_a_mention_is_answered_in_its_thread_once(either: Stage) -> None:
    slack = either.slack
    asked = await slack.say(f"ask --no-charts {QUESTION}", mention=True, repeat=3)
    await either.answer(asked)
    await either.idle()
    assert len(either.replies(asked)) == 1
    assert len(slack.deliveries) > 6, "three times message, three times app_mention"


async def test_a_mention_in_a_thread_of_others_is_answered_there(stage: Stage) -> None:
    slack = stage.slack
    theirs = await slack.say("Lunch?")
    await slack.say("Pizza.", thread_ts=theirs, user=slack.other_user)
    await slack.say("ask --no-charts Is pizza a good lunch?", thread_ts=theirs, mention=True)
    await stage.answer(theirs)
    await slack.say("help", thread_ts=theirs, mention=True)
    assert "`@consortium ask" in await stage.told()
    await stage.idle()
    assert len(stage.replies(theirs)) == 1


async def test_what_is_not_for_us_is_left_alone(either: Stage) -> None:
    slack = either.slack
    theirs = await slack.say("Lunch?")
    await slack.say("Pizza.", thread_ts=theirs)
    message = {"type": "message", "channel": slack.channel, "channel_type": "channel", "ts": "1.000001"}
    for event in (
        {"type": "reaction_added", "user": slack.user, "reaction": "eyes"},
        {**message, "subtype": "channel_join", "user": slack.user, "text": f"<@{slack.bot_user_id}> joined"},
        {**message, "subtype": "bot_message", "bot_id": "B0OTHER001", "text": f"<@{slack.bot_user_id}> hi"},
        {**message, "user": "U0OTHERBOT", "bot_id": "B0OTHER001", "text": "ask us", "thread_ts": theirs},
        {"type": "app_home_opened", "user": slack.user, "tab": "messages"},
    ):
        await slack.event(event)
    await slack.settled()
    await either.idle()
    assert slack.messages(by_bot=True) == []
    assert slack.ephemerals == []


async def test_files_come_with_the_question(stage: Stage) -> None:
    slack = stage.slack
    notes = ("notes.txt", b"The meeting is on Tuesday.")
    asked = await slack.say("ask --no-charts What is it about?", mention=True, files=[notes])
    assert "with notes.txt" in shown(await stage.answer(asked))
    await slack.say("And what does this add?", thread_ts=asked, files=[("more.md", b"It takes an hour.")])
    assert "with more.md" in shown(await stage.answer(asked, count=2))
    direct = await slack.say("", channel_type="im", files=[notes])
    assert "with notes.txt" in shown(await stage.answer(direct, slack.dm))
    await stage.idle()


async def test_files_that_cannot_be_read_are_refused_with_the_reason(core: Core) -> None:
    without = tuple(scope for scope in SCOPES if scope != "files:read")
    async with SlackEmulator(scopes=without) as slack:
        async with on_stage(slack, core) as stage:
            await slack.say("ask What is it about?", mention=True, files=[("notes.txt", b"Tuesday.")])
            assert "files:read" in await stage.told()
            large = ("large.txt", b"x" * (MOST_BYTES + 1))
            await slack.say("ask What is it about?", mention=True, files=[large])
            assert "10 MB" in await stage.told(2)
            await stage.idle()
            assert slack.messages(by_bot=True) == []
        assert slack.violations == []


async def test_long_answers_take_several_messages_and_are_harmless(stage: Stage) -> None:
    slack = stage.slack
    root = await stage.ask("What is there to say?", options="--no-charts --consortium long")
    short = await stage.answer(root.ts)
    await stage.idle()
    assert len(stage.replies(root.ts)) == 1
    await slack.click(slack.channel, short.ts, buttons(short)["Longer"])
    await slack.wait_for(lambda: len(stage.replies(root.ts)) > 1)
    await stage.idle()
    answer, *more = (shown(message) for message in stage.replies(root.ts))
    assert more
    whole = "\n".join([answer, *more])
    assert all(f"value_{n} = {n}\n" in whole for n in range(899))
    assert all(piece.count("```") % 2 == 0 for piece in (answer, *more))
    assert "&lt;!channel&gt;" in answer
    assert "&lt;@U0BOBBY001&gt;" in answer
    assert "bank.com (https://evil.net)" in answer
    assert "| 2 | 4 |" in whole
    last = stage.replies(root.ts)[-1]
    await slack.click(slack.channel, last.ts, buttons(last)["Shorter"])
    await slack.wait_for(lambda: len(stage.replies(root.ts)) == 1)
    await stage.idle()
    assert shown(stage.replies(root.ts)[0]) == shown(short)


# --- limits and permissions -------------------------------------------------------------------------------


async def test_the_rate_limit_refuses_before_anything_is_posted(tmp_path: Path) -> None:
    narrow = catalog(limits={"user": "1/hour", "workspace": "100/minute"})
    async with workspace() as slack:
        async with product(slack, tmp_path, narrow) as stage:
            root = await stage.ask("The first question?")
            await stage.answer(root.ts)
            await slack.command("/consortium ask The second question?")
            assert "Try again in" in await stage.told()
            await slack.say("And a third one?", thread_ts=root.ts)
            assert "Try again in" in await stage.told(2)
            await stage.idle()
            assert len(slack.messages(by_bot=True)) == 2
        assert slack.violations == []


@pytest.mark.parametrize("place", ["outside_channel", "hidden_channel"])
async def test_where_the_bot_is_not_the_asker_is_told_to_invite_it(stage: Stage, place: str) -> None:
    channel = getattr(stage.slack, place)
    await stage.slack.command(f"/consortium ask {QUESTION} {place}", channel=channel)
    assert "/invite @consortium" in await stage.told()
    await stage.slack.command("/consortium models", channel=channel)
    assert "pragmatist" in await stage.told(2)
    await stage.idle()
    assert stage.slack.messages(by_bot=True) == []
    assert not stage.slack.calls_to("chat.postMessage"), "nothing was asked, nothing spent"


async def test_where_posting_is_refused_the_answer_goes_to_the_asker(stage: Stage) -> None:
    stage.slack.fault("chat.postMessage", error="restricted_action")
    await stage.slack.command(f"/consortium ask --no-charts {QUESTION}")
    assert "2 of 3 agree" in await stage.told(2)
    assert "restricted_action" in stage.slack.ephemerals[0].text
    await stage.idle()
    assert stage.slack.messages(by_bot=True) == []


# --- what Slack's own side may do -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reason", ["warning", "refresh_requested", "too_many_websockets", "link_disabled", None, "half-open"]
)
async def test_an_answer_survives_a_lost_socket(stage: Stage, reason: str | None) -> None:
    slack = stage.slack
    root = await stage.ask(f"What if {reason}?", options="--no-charts --consortium slow")
    await slack.wait_for(lambda: stage.replies(root.ts))
    if reason == "half-open":
        slack.freeze()
        await slack.wait_for(lambda: len(slack.calls_to("apps.connections.open")) > 1, 20)
    else:
        await slack.disconnect(reason)
        slack.sockets.enabled = True
    await stage.answer(root.ts)
    await slack.connected(timeout=20)
    await slack.say("And then?", thread_ts=root.ts)
    await stage.answer(root.ts, count=2)
    await stage.idle()
    assert len(stage.answers(root.ts)) == 2


async def test_reconnecting_takes_its_time_when_it_fails(stage: Stage) -> None:
    await stage.slack.disconnect("link_disabled")
    await asyncio.sleep(1.0)
    assert len(stage.slack.calls_to("apps.connections.open")) < 8
    stage.slack.sockets.enabled = True
    await stage.slack.connected(timeout=20)


async def test_only_slack_may_send_events(core: Core) -> None:
    async with workspace(http=True) as slack:
        surface = surface_of(slack, core, http=True)
        await surface.start()
        try:
            async with served(surface) as url, aiohttp.ClientSession() as client:
                for stamp, signature in (
                    (str(int(time.time())), "v0=0000"),
                    ("1", "v0=0000"),
                    ("soon", "v0=0000"),
                    ("", ""),
                ):
                    headers = {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": signature}
                    body = {"type": "event_callback", "event": {"type": "app_mention"}}
                    async with client.post(url, json=body, headers=headers) as response:
                        assert response.status == 401
                for kind, text in (
                    ("application/json", b"{broken"),
                    ("application/json", b'["a list"]'),
                    ("application/json", b"[" * 100_000),
                    ("application/json; charset=none", b"{}"),
                    ("application/json", b"\xff"),
                    ("application/x-www-form-urlencoded", b"payload=broken"),
                    ("application/x-www-form-urlencoded", b"payload=[]"),
                ):
                    headers = {"X-Slack-Request-Timestamp": str(int(time.time())), "Content-Type": kind}
                    async with client.post(url, data=text, headers=headers) as response:
                        assert response.status == 401, text
                async with client.post(url, data={"ssl_check": "1", "token": "none"}) as response:
                    assert response.status == 200
        finally:
            await surface.close()
        assert slack.violations == []


async def test_two_processes_give_one_answer(core: Core) -> None:
    async with workspace() as slack:
        async with on_stage(slack, core) as one, on_stage(slack, core):
            await slack.connected(2)
            asked = await slack.say(f"ask --no-charts {QUESTION}", mention=True, repeat=4)
            await one.answer(asked)
            await slack.settled()
            await one.idle()
            assert len(one.replies(asked)) == 1
        assert slack.violations == []
