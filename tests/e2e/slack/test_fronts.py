"""Walks with several fronts of one service: one ends in the middle, and another goes on; connections come and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from bot.app import Core
from core.asks import Platform
from tests.e2e.slack.fronts import front, parts
from tests.e2e.slack.stage import TIMING, Stage, buttons, shown, workspace
from tests.emulators.serving import listening
from tests.emulators.slack import Message, SlackEmulator

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(60)]

QUESTION = "Should remote work be the default?"


def streaming(slack: SlackEmulator) -> list[Message]:
    return [message for message in slack.messages(by_bot=True) if message.streaming]


# --- a front is killed ------------------------------------------------------------------------------------

Moment = tuple[dict[str, object], Callable[[SlackEmulator], object]]

MOMENTS: dict[str, Moment] = {
    "the question is not posted": (
        {"method": "chat.postMessage", "drop": True},
        lambda slack: slack.calls_to("chat.postMessage"),
    ),
    "the question is posted": (
        {"method": "chat.postMessage", "drop": True, "after": True},
        lambda slack: slack.calls_to("chat.postMessage"),
    ),
    "progress is streamed": ({"method": "nothing"}, streaming),
    "the stream is begun, nobody knows": (
        {"method": "chat.startStream", "drop": True, "after": True},
        lambda slack: slack.calls_to("chat.startStream"),
    ),
    "the answer begins": (
        {"method": "chat.update", "drop": True, "after": True},
        lambda slack: slack.calls_to("chat.update"),
    ),
    "half of the answer stands": ({"method": "nothing"}, lambda slack: parts(slack)["2"]),
    "charts are uploaded": (
        {"method": "files.completeUploadExternal", "drop": True},
        lambda slack: slack.calls_to("files.completeUploadExternal"),
    ),
    "charts are there": (
        {"method": "files.completeUploadExternal", "drop": True, "after": True},
        lambda slack: slack.calls_to("files.completeUploadExternal"),
    ),
}


@pytest.mark.parametrize("moment", MOMENTS)
async def test_another_front_goes_on_where_one_was_killed(slack: SlackEmulator, core: Core, moment: str) -> None:
    trouble, come = MOMENTS[moment]
    patient = replace(TIMING, repeats=(5.0,))  # a lost reply is not looked for before the end comes
    async with front(slack, core, timing=patient, heir=False) as first:
        await first.show("charts", "long")
        slack.fault(**trouble)  # type: ignore[arg-type]
        slow = "progress" in moment or "stream" in moment
        await slack.command(f"/consortium ask --consortium {'slow' if slow else 'verbose'} {QUESTION}")
        await slack.wait_for(lambda: come(slack), 20)
        await first.kill()
        slack.clear_faults()
        looked = len(slack.calls_to("conversations.replies")) + len(slack.calls_to("conversations.history"))
        before = asyncio.get_running_loop().time()
        async with front(slack, core) as second:
            root = await second.root(QUESTION)
            await second.answer(root.ts)
            took = asyncio.get_running_loop().time() - before
            await second.charts(root.ts)
            await second.idle()
            await second.show("charts")
            lookups = len(slack.calls_to("conversations.replies")) + len(slack.calls_to("conversations.history"))
    found = parts(slack)
    assert found["root"] == 1
    assert found["0"] == 1
    assert set(found.values()) == {1}
    assert len(second.answers(root.ts)) == 1
    assert not streaming(slack)
    assert sum(len(message.files) for message in second.replies(root.ts)) == 2
    assert lookups - looked <= 1
    assert took < 10


async def test_a_front_that_ends_in_order_leaves_its_runs_at_once(slack: SlackEmulator, core: Core) -> None:
    async with front(slack, core) as second:
        async with front(slack, core) as first:
            await slack.disconnect(None, count=2)  # those of the second: the first takes what comes now
            root = await first.ask(QUESTION, options="--no-charts --consortium slow")
            await first.surface.close(0)
        await second.answer(root.ts)
        await second.idle()
        assert parts(slack) == {"root": 1, "0": 1}


async def test_a_message_that_was_deleted_meanwhile_is_posted_anew(slack: SlackEmulator, core: Core) -> None:
    async with front(slack, core, heir=False) as first:
        root = await first.ask(QUESTION, options="--no-charts --consortium slow")
        [progress] = await slack.wait_for(lambda: first.replies(root.ts))
        await first.kill()
        del slack.workspace.messages[progress.channel, progress.ts]
        async with front(slack, core) as second:
            await second.answer(root.ts)
            await second.idle()
            assert parts(slack) == {"root": 1, "0": 1}


async def test_nothing_is_looked_for_where_all_is_on_record(slack: SlackEmulator, core: Core) -> None:
    async with front(slack, core, heir=False) as first:
        root = await first.ask(QUESTION, options="--no-charts --consortium slow")
        await slack.wait_for(lambda: first.replies(root.ts))
        run_id = (root.metadata or {})["event_payload"]["run_id"]
        async with asyncio.timeout(5):
            while len(await core.history.postings(run_id)) < 2:  # noqa: ASYNC110 - the store tells nobody
                await asyncio.sleep(0.01)
        await first.kill()
        async with front(slack, core) as second:
            await second.answer(root.ts)
            await second.idle()
    assert not slack.calls_to("conversations.replies")
    assert not slack.calls_to("conversations.history")
    assert parts(slack) == {"root": 1, "0": 1}


async def test_who_asked_by_a_tap_is_named_in_the_thread_by_the_next_front(slack: SlackEmulator, core: Core) -> None:
    async with front(slack, core, heir=False) as first:
        root = await first.ask(QUESTION)
        answer = await first.answer(root.ts)
        await first.idle()
        again = buttons(answer)["Ask again"]
        await slack.click(slack.channel, answer.ts, again)
        form = (await slack.wait_for(lambda: slack.views))[-1]
        slack.fault("chat.postMessage", drop=True)
        before = len(slack.calls_to("chat.postMessage"))
        submitted = asyncio.create_task(slack.submit_view(form, {}))
        await slack.wait_for(lambda: len(slack.calls_to("chat.postMessage")) > before)
        await first.kill()
        async with front(slack, core) as second:
            await second.answer(root.ts, count=2)
            await second.idle()
        await asyncio.wait([submitted])
    assert len([m for m in second.replies(root.ts) if m.text.startswith(f"<@{slack.user}> asks:")]) == 1


async def test_a_run_that_could_not_be_shown_is_tried_again_later(slack: SlackEmulator, core: Core) -> None:
    quick = replace(TIMING, rest=0.3, repeats=(0.01,), redeliver=(0.01,))
    async with front(slack, core, timing=quick) as only:
        root = await only.ask(QUESTION, options="--no-charts --consortium slow")
        slack.fault("*", status=503, times=100_000)
        await only.surface.idle()  # it is given up, for now
        assert only.answers(root.ts) == []
        slack.clear_faults()
        await only.answer(root.ts)
        await only.idle()
        assert parts(slack) == {"root": 1, "0": 1}
        run_id = (root.metadata or {})["event_payload"]["run_id"]
        assert run_id not in await core.history.undelivered(Platform.SLACK, datetime.now(UTC) - timedelta(hours=1))


async def test_where_nothing_can_be_posted_any_more_a_run_comes_to_its_end(slack: SlackEmulator, core: Core) -> None:
    async with front(slack, core) as only:
        root = await only.ask(QUESTION, options="--no-charts --consortium slow")
        await slack.wait_for(lambda: only.replies(root.ts))
        for method in ("chat.update", "chat.postMessage", "chat.appendStream", "chat.stopStream"):
            slack.fault(method, error="is_archived", times=100_000)
        assert "does not let me post here" in await only.told()
        await only.idle()
        run_id = (root.metadata or {})["event_payload"]["run_id"]
        assert run_id not in await core.history.undelivered(Platform.SLACK, datetime.now(UTC) - timedelta(hours=1))
        assert len(slack.ephemerals) == 1
        slack.clear_faults()


# --- connections ------------------------------------------------------------------------------------------


async def test_each_front_holds_as_many_connections_as_it_is_told(slack: SlackEmulator, core: Core) -> None:
    async with front(slack, core, connections=3) as one, front(slack, core, connections=2) as other:
        await slack.connected(5)
        for number in range(5):
            await slack.command(f"/consortium help {number}")
        await one.idle()
        await other.idle()
        assert len(slack.ephemerals) == 5
        assert await one.surface.ready() is None


@pytest.mark.parametrize("reason", ["warning", "refresh_requested", None])
async def test_a_connection_that_goes_leaves_the_others_at_work(
    slack: SlackEmulator, core: Core, reason: str | None
) -> None:
    async with front(slack, core) as only:
        await slack.connected(2)
        sent = [asyncio.create_task(slack.command(f"/consortium help {n}")) for n in range(4)]
        await slack.disconnect(reason, count=1)
        delivered = await asyncio.gather(*sent, *(slack.command(f"/consortium help {n}") for n in range(4)))
        assert [d for d in delivered[4:] if not d.acked] == []
        await slack.connected(2)
        await only.idle()
        if reason is not None:
            assert [d for d in delivered if not d.acked] == []


async def test_without_any_connection_a_front_is_not_ready(slack: SlackEmulator, core: Core) -> None:
    async with front(slack, core) as only:
        await slack.connected(2)
        slack.fault("apps.connections.open", times=100, status=503)
        await slack.disconnect(None)
        async with asyncio.timeout(10):
            while await only.surface.ready() is None:  # noqa: ASYNC110 - it is asked, as probes do
                await asyncio.sleep(0.01)
        assert await only.surface.ready() == "the socket is not connected"
        slack.clear_faults()
        await slack.connected(2, 20)
        assert await only.surface.ready() is None
    assert await only.surface.ready() == "not logged in"


# --- behind a balancer ------------------------------------------------------------------------------------


@asynccontextmanager
async def balancer(*fronts: Stage, lost: int = 0) -> AsyncIterator[str]:
    """Hands requests to the fronts in turn; the first ``lost`` replies get lost on their way back."""
    turn = 0

    async def hand(request: web.Request) -> web.StreamResponse:
        nonlocal turn
        turn += 1
        response = await fronts[turn % len(fronts)].surface.handle_http(request)
        return web.Response(status=502) if 1 < turn <= lost + 1 else response  # the first is Slack's challenge

    async with listening(web.post("/slack/events", hand)) as url:
        yield f"{url}/slack/events"


async def test_a_retry_that_reaches_another_front_asks_nothing_twice(core: Core) -> None:
    async with workspace(http=True) as slack:
        async with (
            front(slack, core, http=True) as one,
            front(slack, core, http=True) as other,
            balancer(one, other, lost=2) as url,
        ):
            await slack.deliver_to(url)
            asked = await slack.say(f"ask --no-charts {QUESTION}", channel_type="im")
            answer = await one.answer(asked, slack.dm)
            await slack.settled()
            await one.idle()
            await other.idle()
            event = next(d for d in slack.deliveries if d.event_type == "message")
            assert [attempt.reason for attempt in event.attempts] == ["http_error", "http_error", ""]
            assert len(one.replies(asked, slack.dm)) == 1
            await slack.click(slack.dm, answer.ts, buttons(answer)["Answers"])
            await slack.wait_for(lambda: len(one.replies(asked, slack.dm)) == 2)
        assert slack.violations == []


# --- Slack's limits ---------------------------------------------------------------------------------------


async def test_an_answer_does_not_wait_for_edits_that_slack_puts_off(slack: SlackEmulator, core: Core) -> None:
    quick = replace(TIMING, hurry=2.0)
    async with front(slack, core, timing=quick) as only:
        slack.fault("chat.startStream", error="channel_type_not_supported")
        root = await only.ask(QUESTION, options="--no-charts --consortium slow")
        [progress] = await slack.wait_for(lambda: only.replies(root.ts))
        slack.fault("chat.update", status=429, retry_after=30, times=100)
        began = asyncio.get_running_loop().time()
        answer = await only.answer(root.ts, timeout=10)
        await only.idle()
        assert asyncio.get_running_loop().time() - began < 8
        assert answer.ts != progress.ts
        assert [shown(m) for m in only.replies(root.ts)] == [shown(answer)]
        run_id = (root.metadata or {})["event_payload"]["run_id"]
        assert (await core.history.postings(run_id))["0"] == answer.ts


async def test_a_refused_question_leaves_no_promise_of_a_thread(slack: SlackEmulator, core: Core) -> None:
    async with front(slack, core, timing=replace(TIMING, sign=0.05)) as only:
        slack.fault("chat.postMessage", error="restricted_action")
        await slack.command(f"/consortium ask --no-charts --consortium slow {QUESTION}")
        await slack.wait_for(lambda: [e for e in slack.ephemerals if "· run " in shown(e)])
        await only.idle()
        await asyncio.sleep(0.1)
        told = [shown(e) for e in slack.ephemerals if "One moment" not in shown(e)]
        assert "Slack does not let me post here" in told[0]
        assert "· run " in told[1]
        assert "One moment" not in shown(slack.ephemerals[-1])
        assert "One moment" not in shown(slack.ephemerals[-2])
