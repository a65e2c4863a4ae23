"""Walks with more than one shard: in one process, and a range in each of two."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from adapters.discord.limits import Shards
from bot.app import Core, open_core
from bot.settings import Settings
from core.errors import ConfigError
from tests.e2e.discord.fronts import front
from tests.e2e.discord.stage import TIMING, simulated
from tests.emulators.discord import DiscordEmulator

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(60)]

WINDOW = 0.3
"""Seconds between two sessions that Discord counts together."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def core(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Core]:
    settings = Settings(  # type: ignore[call-arg]  # pydantic-settings takes the file's name beside the fields
        _env_file=None, data_dir=tmp_path_factory.mktemp("shards"), redis_url="", database_url="", shutdown_grace=1
    )
    async with open_core(settings, simulated(), pace=0.0) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def emu() -> AsyncIterator[DiscordEmulator]:
    async with DiscordEmulator(
        rates={}, ack_deadline=20.0, identify_window=WINDOW, max_concurrency=2, shards=4
    ) as emulator:
        yield emulator
        assert emulator.violations == []


def sessions(emu: DiscordEmulator) -> list[tuple[int, int]]:
    """The shards of the sessions that have a connection."""
    return sorted(s.shard for s in emu.gateway.sessions.values() if s.connection is not None)


def guild_of(emu: DiscordEmulator, shard: int) -> int:
    """The channel "welcome" of a new server of that shard of four."""
    while True:
        guild = emu.join_guild(f"shard {shard}", emu.alice)
        if (guild.id >> 22) % 4 == shard:
            return guild.system_channel_id or 0


async def test_one_process_holds_as_many_shards_as_discord_wants(emu: DiscordEmulator, core: Core) -> None:
    paced = replace(TIMING, identify=WINDOW * 1.2)
    async with front(emu, core, timing=paced) as only:
        await emu.wait_for(lambda: len(sessions(emu)) == 4, 40)
        assert sessions(emu) == [(0, 4), (1, 4), (2, 4), (3, 4)]
        assert emu.gateway.too_soon == 0
        assert emu.gateway.remaining == 996
        place = guild_of(emu, 3)
        message = await emu.say(emu.alice, place, "Should remote work be the default?", mention=True)
        await only.settled((await emu.wait_for(lambda: emu.threads, 40))[0].id)
        assert emu.threads[0].id == message.id


async def test_sessions_that_are_cut_go_on_where_they_were(emu: DiscordEmulator, core: Core) -> None:
    async with front(emu, core, timing=replace(TIMING, identify=WINDOW * 1.2)) as only:
        await emu.wait_for(lambda: len(only.surface._connection.client()._ready_shards) == 4, 40)
        place = guild_of(emu, 2)
        emu.gateway.cut()
        await emu.say(emu.alice, place, "Should remote work be the default?", mention=True)
        await emu.wait_for(lambda: [d.event for d in emu.dispatches].count("RESUMED") == 4, 40)
        await only.settled((await emu.wait_for(lambda: emu.threads, 40))[0].id)
        assert emu.gateway.remaining == 996
    assert len(emu.threads) == 1


async def test_two_processes_hold_a_range_each(emu: DiscordEmulator, core: Core) -> None:
    paced = replace(TIMING, identify=WINDOW * 1.2)
    low, high = Shards.of("0-1/4"), Shards.of("2-3/4")
    async with front(emu, core, shards=low, timing=paced) as first:
        await emu.wait_for(lambda: sessions(emu) == [(0, 4), (1, 4)], 40)
        async with front(emu, core, shards=high, timing=paced):
            await emu.wait_for(lambda: len(sessions(emu)) == 4, 40)
            for shard in (1, 2):
                await emu.say(emu.alice, guild_of(emu, shard), "Should it be?", mention=True)
            await emu.say(emu.alice, emu.dm_channel_id, "Should it be?")
            await emu.wait_for(lambda: len(emu.threads) == 2, 40)
            for place in (*(thread.id for thread in emu.threads), emu.dm_channel_id):
                await first.settled(place)


async def test_a_process_with_the_same_shards_stands_by(emu: DiscordEmulator, core: Core) -> None:
    paced, low = replace(TIMING, identify=WINDOW * 1.2), Shards.of("0/4")
    async with (
        front(emu, core, shards=low, timing=paced) as first,
        front(emu, core, shards=low, timing=paced) as second,
    ):
        assert (first.holds, second.holds) == (True, False)
        await first.surface.close(0)
        await emu.wait_for(lambda: second.holds, 40)
        assert sessions(emu) == [(0, 4)]


@pytest.mark.parametrize("code", [4010, 4011])
async def test_shards_that_discord_does_not_take_end_the_surface(emu: DiscordEmulator, core: Core, code: int) -> None:
    async with front(emu, core, shards=Shards.of("0/4")) as only:
        emu.gateway.close(code)
        with pytest.raises(ConfigError, match=f"DISCORD_SHARDS: .*{code}"):
            await asyncio.wait_for(only.surface.wait(), 40)
