"""Walks in which what people want outlives the process that took it in, and only what is kept is acknowledged."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from adapters.state.state import connect
from bot.app import Core
from core.asks import Platform
from core.stores import Kept
from tests.e2e.slack.fronts import Front, front, parts
from tests.e2e.slack.stage import TIMING, buttons, served, shown, workspace
from tests.emulators.slack import SlackEmulator
from tests.servers import REDIS_MISSING, OwnServer, own_redis

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(60)]

QUESTION = "Should remote work be the default?"

INBOX = "consortium:inbox:slack"


@pytest.fixture(scope="module")
def own() -> Iterator[OwnServer]:
    """A Redis server that may go away."""
    server = own_redis()
    if server is None:
        pytest.skip(REDIS_MISSING)
    with server:
        yield server


@pytest_asyncio.fixture(loop_scope="package")
async def away(own: OwnServer) -> AsyncIterator[OwnServer]:
    """The same, running again afterwards."""
    yield own
    await asyncio.to_thread(own.start)


# --- a front is killed with something in hand -------------------------------------------------------------


async def killed_with(slack: SlackEmulator, first: Front, method: str, core: Core) -> list[Any]:
    """Kill a front while it waits for Slack in the middle of what somebody wants; gives what it had kept."""
    await slack.wait_for(lambda: slack.calls_to(method))
    await first.kill()
    slack.clear_faults()
    await slack.settled()
    stored: list[Any] = await core.state.redis.hvals(INBOX)
    return [json.loads(json.loads(value.split(b" ", 2)[2])["body"]) for value in stored]


@pytest.mark.parametrize("way", ["command", "mention", "direct", "follow-up"])
async def test_a_question_that_was_acknowledged_is_asked_by_another_front(
    slack: SlackEmulator, core: Core, way: str
) -> None:
    async with front(slack, core, heir=False) as first:
        place, thread, asked = slack.channel, None, 0
        if way == "follow-up":
            root = await first.ask(QUESTION)
            await first.answer(root.ts)
            await first.idle()
            thread, asked = root.ts, len(slack.calls_to("users.info"))
            await first.show(user=slack.other_user)
        slack.fault("users.info", delay=1.0)
        if way == "command":
            assert (await slack.command(f"/consortium ask --no-charts {QUESTION}")).acked
        elif way == "direct":
            place, thread = slack.dm, await slack.say(f"ask --no-charts {QUESTION}", channel_type="im")
        elif way == "mention":
            thread = await slack.say(f"ask --no-charts {QUESTION}", mention=True)
        else:
            await slack.say("And why?", thread_ts=thread, user=slack.other_user)
        await slack.wait_for(lambda: len(slack.calls_to("users.info")) > asked)
        [kept] = await killed_with(slack, first, "users.info", core)
        assert "verification" not in json.dumps(kept)
        async with front(slack, core) as second:
            root_ts = thread or (await second.root(QUESTION)).ts
            await second.answer(root_ts, place, count=2 if way == "follow-up" else 1)
            await second.idle()
            assert len(second.answers(root_ts, place)) == (2 if way == "follow-up" else 1)
    assert parts(slack)["root"] == (1 if way in ("command", "follow-up") else 0)
    assert await core.state.redis.hlen(INBOX) == 0
    assert all(len(delivery.attempts) == 1 for delivery in slack.deliveries)


async def test_where_a_form_would_open_another_front_offers_a_button(slack: SlackEmulator, core: Core) -> None:
    async with front(slack, core, heir=False) as first:
        answer = await first.answer((await first.ask(QUESTION)).ts)
        await first.idle()
        asked = len(slack.calls_to("users.info"))
        slack.fault("users.info", delay=1.0)
        await slack.click(slack.channel, answer.ts, buttons(answer)["Ask again"], user=slack.other_user)
        await slack.wait_for(lambda: len(slack.calls_to("users.info")) > asked)
        await killed_with(slack, first, "users.info", core)
        async with front(slack, core) as second:
            await second.told()
            offer = slack.ephemerals[-1]
            assert offer.user == slack.other_user
            await slack.click(slack.channel, offer.ts, buttons(offer)["Open the form"], user=slack.other_user)
            [form] = await slack.wait_for(lambda: slack.views)
            assert form.body["title"]["text"] == "Ask again"
            await second.idle()


async def test_a_message_is_asked_about_though_the_front_was_killed(slack: SlackEmulator, core: Core) -> None:
    async with front(slack, core, heir=False) as first:
        await first.show()
        message = await slack.say("The moon is made of cheese.")
        slack.fault("conversations.info", delay=1.0)
        await slack.message_shortcut("ask_about_message", slack.channel, message)
        await killed_with(slack, first, "conversations.info", core)
        async with front(slack, core) as second:
            await second.told()
            offer = slack.ephemerals[-1]
            await slack.click(slack.channel, offer.ts, buttons(offer)["Open the form"])
            [form] = await slack.wait_for(lambda: slack.views)
            await slack.submit_view(form, {"question": "Is that so?"})
            root = await second.root("Is that so?")
            assert "made of cheese" in root.text
            await second.answer(root.ts)
            await second.idle()
            await second.show("charts")


async def test_an_event_that_was_kept_but_not_acknowledged_is_carried_out_once(core: Core) -> None:
    async with hasty() as slack, front(slack, core, heir=False, connections=1) as first:
        await slack.connected()
        slack.freeze()  # what the front says does not arrive
        asked = await slack.say(f"ask --no-charts --consortium slow {QUESTION}", channel_type="im")
        await slack.wait_for(lambda: first.replies(asked, slack.dm))
        await first.kill()
        async with front(slack, core) as second:
            await second.answer(asked, slack.dm)
            await slack.settled()
            await second.idle()
            event = next(d for d in slack.deliveries if d.event_type == "message")
            assert len(event.attempts) > 1
            assert event.acked
            assert len(second.replies(asked, slack.dm)) == 1
    assert slack.violations == []


def hasty() -> SlackEmulator:
    """A workspace that waits only half a second for acknowledgements."""
    emulator = workspace()
    emulator.sockets._deadline = 0.5
    return emulator


async def test_what_was_left_for_long_is_not_done_and_that_is_said(slack: SlackEmulator, core: Core) -> None:
    body = {
        "command": "/consortium", "text": f"ask {QUESTION}", "channel_id": slack.channel, "user_id": slack.user,
        "team_id": slack.team_id, "trigger_id": "1.2.3",
    }  # fmt: skip
    async with connect(core.state._link.url) as gone:
        stale = json.dumps({"at": time.time() - 5_000, "body": body})
        await gone.inbox.keep(Kept(id="slack:trigger:1.2.3", platform=Platform.SLACK, kind="command", body=stale))
        await gone.inbox.keep(Kept(id="slack:trigger:x", platform=Platform.SLACK, kind="command", body="{}"))
    async with front(slack, core) as only:
        assert "left it undone" in await only.told()
        await only.idle()
    assert await core.state.redis.hlen(INBOX) == 0
    assert slack.messages(by_bot=True) == []


# --- nothing can be kept ----------------------------------------------------------------------------------


async def test_an_event_that_cannot_be_kept_comes_again(core: Core, away: OwnServer) -> None:
    async with (
        workspace(http=True) as slack,
        front(slack, core, http=True, redis=away.url) as only,
        served(only.surface) as url,
    ):
        await slack.deliver_to(url)
        await asyncio.to_thread(away.stop)
        asked = await slack.say(f"ask --no-charts {QUESTION}", channel_type="im")
        event = next(d for d in slack.deliveries if d.event_type == "message")
        await slack.wait_for(lambda: event.attempts)
        await asyncio.to_thread(away.start)
        await only.answer(asked, slack.dm)
        await slack.settled()
        await only.idle()
        assert event.attempts[0].reason == "http_error"
        assert event.acked
        assert len(only.replies(asked, slack.dm)) == 1
    assert slack.violations == []


async def test_who_sends_what_cannot_be_kept_is_told_so(slack: SlackEmulator, core: Core, away: OwnServer) -> None:
    async with front(slack, core, redis=away.url) as only:
        answer = await only.answer((await only.ask(QUESTION)).ts)
        await slack.click(slack.channel, answer.ts, buttons(answer)["Ask again"])
        [form] = await slack.wait_for(lambda: slack.views)
        await only.idle()
        await asyncio.to_thread(away.stop)
        command = await slack.command("/consortium help")
        assert command.response is not None
        assert "could not take that in" in command.response["text"]
        await slack.submit_view(form, {})
        assert "could not take that in" in "".join(form.errors.values())
        before = len(slack.ephemerals)
        await slack.click(slack.channel, answer.ts, buttons(answer)["Answers"])
        assert "could not take that in" in await only.told(before + 1)
        await slack.message_shortcut("ask_about_message", slack.channel, answer.ts)
        assert "could not take that in" in await only.told(before + 2)
        assert max(ack.latency for ack in slack.acks) < 3
        await asyncio.to_thread(away.start)
        await slack.submit_view(form, {})  # the form stood open
        root = answer.thread_ts
        assert root is not None
        await only.answer(root, count=2)
        await only.idle()
        assert len(only.answers(root)) == 2
        assert len(slack.ephemerals) == before + 2, "what was refused is not carried out later"


async def test_messages_that_are_not_for_us_are_never_kept(slack: SlackEmulator, core: Core, own: OwnServer) -> None:
    async with front(slack, core, redis=own.url) as only:
        await only.state.redis.flushdb()  # the server is the tests' own
        root = await slack.say("Lunch?")
        await slack.say("Yes, at noon.", thread_ts=root)
        await slack.settled()
        assert await only.state.redis.keys("*inbox*") == []
        await slack.say("help", mention=True)
        await only.told()
        await only.idle()
        assert len(await only.state.redis.keys("*inbox-known*")) == 1


# --- kept, and something is away --------------------------------------------------------------------------


async def test_what_was_kept_waits_until_it_can_be_done(slack: SlackEmulator, core: Core, away: OwnServer) -> None:
    quick = replace(TIMING, again=(0.1,) * 100)
    async with front(slack, core, redis=away.url, inbox=core.state._link.url, timing=quick, heir=False) as only:
        await asyncio.to_thread(away.stop)
        await slack.command(f"/consortium ask --no-charts {QUESTION}")
        assert "takes longer" in await only.told()
        assert slack.messages(by_bot=True) == []
        await asyncio.to_thread(away.start)
        root = await only.root(QUESTION)
        await only.answer(root.ts)
        await only.idle()
        assert parts(slack) == {"root": 1, "0": 1}
        assert len(slack.ephemerals) == 1


async def test_what_cannot_be_done_for_long_is_given_up_with_a_word(
    slack: SlackEmulator, core: Core, away: OwnServer
) -> None:
    quick = replace(TIMING, again=(0.05,))
    async with front(slack, core, redis=away.url, inbox=core.state._link.url, timing=quick, heir=False) as only:
        await asyncio.to_thread(away.stop)
        await slack.command(f"/consortium ask --no-charts {QUESTION}")
        await only.told(2)
        await only.idle()
        assert ["takes longer" in shown(e) for e in slack.ephemerals] == [True, False]
        assert "cannot be used" in shown(slack.ephemerals[-1])
        assert slack.messages(by_bot=True) == []
        assert await core.state.redis.hlen(INBOX) == 0
        await asyncio.to_thread(away.start)
