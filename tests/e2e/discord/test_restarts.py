"""Processes that end at any moment; the next one leaves one answer, and one picture of each chart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.discord.stage import TIMING, on_stage, provided
from tests.emulators.discord import DiscordEmulator, Permission
from tests.emulators.provider import ProviderEmulator

pytestmark = pytest.mark.asyncio(loop_scope="package")

QUESTION = "Should remote work be the default?"
POST = r"^/channels/\d+/messages$"


@pytest_asyncio.fixture(loop_scope="package")
async def forgetful() -> AsyncIterator[DiscordEmulator]:
    """Long after what was posted: Discord has forgotten the nonces."""
    async with DiscordEmulator(rates=False, ack_deadline=20.0, nonce_window=0.0) as emulator:
        yield emulator
        assert emulator.violations == []


async def test_a_process_that_ends_while_members_think_leaves_one_answer(
    emu: DiscordEmulator, tmp_path: Path, provider: ProviderEmulator
) -> None:
    provider.model("ada", latency=1.0)
    async with on_stage(emu, tmp_path, provided(provider)) as stage:
        await stage.ask(QUESTION)
        thread = (await emu.wait_for(lambda: emu.threads, 20))[0]
        await emu.wait_for(lambda: stage.progress(thread.id), 20)
        await stage.surface.close(0)
    assert stage.answers(thread.id) == []
    async with on_stage(emu, tmp_path, provided(provider)) as stage:
        await stage.settled(thread.id)
        assert QUESTION in await stage.told(await emu.command(emu.alice, "consortium history"), 20)
    async with on_stage(emu, tmp_path, provided(provider)) as stage:
        await stage.answered("Another question?", user=emu.bob)
        assert len(stage.answers(thread.id)) == 1


async def test_a_process_that_ends_before_the_run_began_leaves_one_answer(emu: DiscordEmulator, tmp_path: Path) -> None:
    async with on_stage(emu, tmp_path, work=False, grace=0) as stage:
        await stage.ask(QUESTION)
        thread = (await emu.wait_for(lambda: emu.threads, 20))[0]
        await emu.wait_for(lambda: any("/threads" in r.path and r.status == 201 for r in emu.requests), 20)
        await emu.say(emu.alice, emu.channel_id, "help", mention=True)
        await emu.wait_for(lambda: "asks a panel" in emu.messages(emu.channel_id)[-1].text, 20)
    async with on_stage(emu, tmp_path) as stage:
        await stage.settled(thread.id)
    assert len(stage.answers(thread.id)) == 1


async def test_a_process_that_ends_between_answer_and_note_posts_it_once(emu: DiscordEmulator, tmp_path: Path) -> None:
    async with on_stage(emu, tmp_path, timing=replace(TIMING, retries=(), redeliver=())) as stage:
        fault = emu.faults.status(503, "POST", POST, times=1000, when="after")
        await stage.ask(QUESTION)
        thread = (await emu.wait_for(lambda: emu.threads, 20))[0]
        await emu.wait_for(lambda: stage.answers(thread.id), 20)
        emu.faults.clear()
        assert fault.hits
    async with on_stage(emu, tmp_path) as stage:
        await emu.wait_for(lambda: not stage.progress(thread.id), 20)
        await stage.answered("Another question?", user=emu.bob)
    assert len(stage.answers(thread.id)) == 1


@pytest.mark.parametrize("place", ["thread", "channel"])
async def test_a_process_that_ends_between_answer_and_charts_posts_each_once(
    forgetful: DiscordEmulator, tmp_path: Path, provider: ProviderEmulator, place: str
) -> None:
    emu = forgetful
    for name in ("ada", "bert", "cleo"):
        provider.model(name, text="Some more words to fill the line.\n\n" * 400)
    provider.model("judge", reply="rubbish")
    flat = emu.add_channel("flat", deny_bot=Permission.CREATE_PUBLIC_THREADS) if place == "channel" else None
    async with on_stage(emu, tmp_path, provided(provider), timing=replace(TIMING, retries=(), redeliver=())) as stage:
        await stage.wants("long", "charts", channel_id=flat)
        await stage.ask(QUESTION, channel_id=flat, charts=True)
        where = flat or (await emu.wait_for(lambda: emu.threads, 20))[0].id
        await emu.wait_for(lambda: stage.answers(where), 20)
        fault = emu.faults.status(503, "POST", POST, times=1000)
        await emu.wait_for(lambda: fault.hits, 40)
        await emu.wait_for(lambda: not stage.progress(where), 20)
        answer = [m.id for m in emu.messages(where) if m.author == emu.bot]
        assert len(answer) > 3
    emu.faults.clear()
    for _ in range(2):
        async with on_stage(emu, tmp_path, provided(provider)):
            [charts] = await emu.wait_for(lambda: [m.id for m in emu.messages(where) if m.files], 40)
        assert [m.id for m in emu.messages(where) if m.author == emu.bot and m.id != charts] == answer


async def test_charts_of_another_run_do_not_count_after_a_restart(emu: DiscordEmulator, tmp_path: Path) -> None:
    place = emu.dm_channel_id
    async with on_stage(emu, tmp_path, timing=replace(TIMING, retries=(), redeliver=())) as stage:
        await stage.ask(QUESTION, channel_id=place, charts=True)
        await stage.settled(place)
        fault = emu.faults.status(503, "POST", POST, times=1000)
        await emu.wait_for(lambda: fault.hits, 40)
        emu.faults.clear()
        await stage.ask("And at night?", channel_id=place, charts=True)
        await emu.wait_for(lambda: len(emu.files(place)) == 2, 40)
    async with on_stage(emu, tmp_path) as stage:
        await emu.wait_for(lambda: len(emu.files(place)) == 4, 40)
        runs = {(await stage.run_of(answer)).id for answer in await stage.settled(place, 2)}
    assert {file.filename.partition("-")[0] for file in emu.files(place)} == runs
