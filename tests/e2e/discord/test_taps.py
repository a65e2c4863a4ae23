"""Taps and forms under pressure: twice at once, by several people, late, on what has gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from adapters.discord.commands import MENU
from tests.e2e.discord.stage import TIMING, Stage, on_stage, provided
from tests.emulators.discord import DiscordEmulator, Message
from tests.emulators.provider import ProviderEmulator

pytestmark = pytest.mark.asyncio(loop_scope="package")

QUESTION = "Should remote work be the default?"
ACK = 1.0


@pytest_asyncio.fixture(loop_scope="package")
async def provider(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ProviderEmulator]:
    async with ProviderEmulator() as emulator:
        monkeypatch.setenv("EMULATED_KEY", emulator.key)
        for name in ("ada", "bert", "cleo"):
            emulator.model(name, text="Some more words to fill the line of it.\n\n" * 250)
        emulator.model("judge", reply="rubbish")
        yield emulator
        assert emulator.violations == []


# --- twice ----------------------------------------------------------------------------------------------


async def test_a_double_tap_asks_once_and_two_people_ask_twice(emu: DiscordEmulator, tmp_path: Path) -> None:
    async with on_stage(emu, tmp_path, grace=0) as stage:  # the charts of the examples need not be waited for
        await double_tap(stage)


async def double_tap(stage: Stage) -> None:
    emu = stage.emu
    await emu.say(emu.alice, emu.channel_id, "examples", mention=True)
    [listed] = await emu.wait_for(lambda: [m for m in emu.messages(emu.channel_id) if m.custom_ids], 20)
    example = next(i for i in listed.custom_ids if i.startswith("example:"))
    taps = [await emu.click(user, listed, example) for user in (emu.alice, emu.alice, emu.bob, emu.alice)]
    await emu.wait_for(lambda: len(emu.threads) == 2, 20)
    for thread in emu.threads:
        await stage.settled(thread.id)
    assert [tap.acked for tap in taps] == [True] * 4
    assert not [m for m in emu.messages(emu.channel_id) if m.loading], "nobody is left waiting"
    for user in (emu.alice, emu.bob):
        rows = await stage.told(await emu.command(user, "consortium history"))
        assert rows.count("confidence") == 1


async def test_what_several_people_tap_at_once_is_drawn_once(
    emu: DiscordEmulator, tmp_path: Path, provider: ProviderEmulator
) -> None:
    async with on_stage(emu, tmp_path, provided(provider), timing=replace(TIMING, pace=0.3)) as stage:
        thread = await stage.answered(QUESTION)
        [answer] = stage.answers(thread.id)
        for label, most in (("Longer", 4), ("Shorter", 2)):
            last = stage.answers(thread.id)[-1]
            taps = [await emu.click(user, last, label) for user in (emu.alice, emu.bob, emu.alice)]
            await emu.wait_for(lambda: len(emu.messages(thread.id)) == most, 20)  # noqa: B023
            await emu.wait_for(lambda: all(tap.acked for tap in taps), 20)  # noqa: B023
            await idle(stage)
            assert len(emu.messages(thread.id)) == most
        assert [m.id for m in emu.messages(thread.id)][-1] == answer.id


async def idle(stage: Stage) -> None:
    """Until all that the surface has begun is done."""
    await stage.emu.wait_for(lambda: not stage.surface._tasks, 20)
    seen = -1
    while seen != len(stage.emu.requests):
        seen = len(stage.emu.requests)
        await asyncio.sleep(0.1)


# --- late -----------------------------------------------------------------------------------------------


async def test_a_form_about_a_message_is_acknowledged_before_the_message_is_fetched(tmp_path: Path) -> None:
    async with DiscordEmulator(rates=False, ack_deadline=ACK) as emu, on_stage(emu, tmp_path) as stage:
        message = await emu.say(emu.bob, emu.channel_id, "We should all work from home.")
        menu = await emu.context_menu(emu.alice, MENU, message)
        await menu.wait_acked(20)
        emu.faults.delay(ACK * 1.2, "GET", f"/messages/{message.id}$")
        sent = await emu.submit_modal(menu, {"text": "Is Bob right?"})
        thread = (await emu.wait_for(lambda: emu.threads, 20))[0]
        await stage.settled(thread.id)
        assert (await sent.wait_response(20)).content == "> Is Bob right?"
        assert emu.violations == []


# --- forms ----------------------------------------------------------------------------------------------


async def test_a_form_quotes_a_question_without_its_tricks(stage: Stage) -> None:
    emu = stage.emu
    thread = await stage.answered(f"@everyone {emu.bob.mention} [your bank](https://evil.example)")
    tap = await emu.click(emu.alice, stage.answers(thread.id)[-1], "Ask again")
    await tap.wait_acked(20)
    assert "your bank (<https://evil.example>)" in str(tap.modal)
    assert emu.bob.mention not in str(tap.modal)
    assert "@everyone" not in str(tap.modal)


# --- elsewhere, and gone --------------------------------------------------------------------------------


async def shown_in_channel(stage: Stage, question: str) -> Message:
    """A run of a thread, as its asker calls it up in the channel."""
    thread = await stage.answered(question)
    run = await stage.run_of(stage.answers(thread.id)[-1])
    shown = await stage.emu.command(stage.emu.alice, "consortium show", what=run.id)
    await stage.told(shown)
    return shown.replies[-1]


async def test_what_is_asked_again_from_elsewhere_says_where_it_is_answered(stage: Stage) -> None:
    emu = stage.emu
    shown = await shown_in_channel(stage, QUESTION)
    tap = await emu.click(emu.alice, shown, "Ask again")
    await tap.wait_acked(20)
    again = await emu.submit_modal(tap)
    [thread] = emu.threads
    await stage.settled(thread.id, 2)
    assert (await again.wait_response(20)).content == f"> {QUESTION}\nThe answer comes in <#{thread.id}>."


async def test_the_asker_is_told_that_the_thread_is_gone(stage: Stage) -> None:
    emu = stage.emu
    shown = await shown_in_channel(stage, QUESTION)
    tap = await emu.click(emu.alice, shown, "Ask again")
    await tap.wait_acked(20)
    [thread] = emu.threads
    emu.faults.status(404, "*", f"/channels/{thread.id}/", times=100)
    again = await emu.submit_modal(tap)
    await emu.wait_for(lambda: again.followups, 20)
    assert "is gone" in again.followups[0].text
    assert again.followups[0].ephemeral


async def test_the_role_of_the_bot_is_as_good_as_its_name(emu: DiscordEmulator, tmp_path: Path) -> None:
    role = emu.world.add_role("Consortium", bot=emu.bot.id)
    other = emu.world.add_role("Reviewers", mentionable=True)
    async with on_stage(emu, tmp_path) as stage:
        await emu.say(emu.alice, emu.channel_id, f"<@&{other.id}> lunch?")
        message = await emu.say(emu.alice, emu.channel_id, f"<@&{role.id}> {QUESTION}")
        [thread] = await emu.wait_for(lambda: emu.threads, 20)
        [answer] = await stage.settled(thread.id)
        assert thread.id == message.id
        assert (await stage.run_of(answer)).ask.text == QUESTION
