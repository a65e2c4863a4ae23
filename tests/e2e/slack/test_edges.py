"""Walks where a place is closed to the bot, taps come twice, and messages go away."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bot.app import Core
from tests.e2e.slack.stage import Stage, buttons, on_stage, shown, workspace
from tests.emulators.slack.workspace import ALICE, BOB, Channel

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(120)]

THEIRS = "D0OTHERS01"
"""A direct message between two people, in which the bot is not."""


@pytest_asyncio.fixture(loop_scope="package")
async def stage(core: Core) -> AsyncIterator[Stage]:
    async with workspace() as slack:
        slack.workspace.channels[THEIRS] = Channel(THEIRS, "", "im", {ALICE, BOB})
        async with on_stage(slack, core) as running:
            yield running
        assert slack.violations == []


@pytest.mark.parametrize("place", ["outside_channel", "hidden_channel", "theirs"])
async def test_a_form_opened_where_the_bot_is_not_is_answered_in_a_direct_message(stage: Stage, place: str) -> None:
    slack = stage.slack
    channel = THEIRS if place == "theirs" else getattr(slack, place)
    await slack.command("/consortium settings", channel=channel)
    await slack.wait_for(lambda: slack.modals())
    await slack.submit_view(slack.modals()[-1], {})
    await stage.idle()
    [told] = slack.messages(slack.dm, by_bot=True)
    assert "Set for you" in shown(told)


async def test_a_direct_message_of_others_is_no_place_to_ask(stage: Stage) -> None:
    slack = stage.slack
    await slack.command("/consortium ask Is this heard?", channel=THEIRS)
    assert "Ask in a direct message to me" in await stage.told()
    message = await slack.say("Shall we meet?", channel=THEIRS)
    await slack.message_shortcut("ask_about_message", THEIRS, message)
    await stage.idle()
    [told] = slack.messages(slack.dm, by_bot=True)
    assert "Ask in a direct message to me" in shown(told)
    assert slack.views == []


async def test_two_taps_at_once_ask_once(stage: Stage) -> None:
    slack = stage.slack
    await slack.open_home(tab="messages")
    [welcome] = await slack.wait_for(lambda: slack.messages(slack.dm, by_bot=True))
    example = next(action for action in buttons(welcome).values() if action.startswith("example:"))
    for _ in range(2):
        await slack.click(slack.dm, welcome.ts, example)
    await stage.answer(welcome.ts, slack.dm)
    await stage.idle()
    asked = [m for m in stage.replies(welcome.ts, slack.dm) if " asks:" in m.text]
    assert len(asked) == 1


async def test_a_run_that_failed_says_so_to_all_who_see_its_thread(stage: Stage) -> None:
    root = await stage.ask("Is anybody there?", options="--no-charts --consortium dead")
    await stage.told()
    await stage.idle()
    [ended] = stage.replies(root.ts)
    assert "No answer" in shown(ended)
    assert "Asking" not in shown(ended)
    assert buttons(ended) == {}


async def test_questions_at_once_are_posted_no_faster_than_slack_takes_them(stage: Stage) -> None:
    slack = stage.slack
    for number in range(6):
        await slack.command(f"/consortium ask --no-charts Question {number}?")
    roots = [await stage.root(f"Question {number}?") for number in range(6)]
    for root in roots:
        await stage.answer(root.ts)
    await stage.idle()
    assert all(call.status != 429 for call in slack.calls_to("chat.postMessage"))
    assert all(len(stage.replies(root.ts)) == 1 for root in roots)
