"""One core with simulated members for the whole folder, and an emulator of its own for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from bot.app import Core, open_core
from core.asks import Platform
from tests.e2e.discord.stage import Stage, on_core, settings_in, simulated
from tests.emulators.discord import DiscordEmulator
from tests.emulators.provider import ProviderEmulator


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def core(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Core]:
    async with open_core(settings_in(tmp_path_factory.mktemp("data")), simulated(), pace=0.0) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="package")
async def emu() -> AsyncIterator[DiscordEmulator]:
    async with DiscordEmulator(rates=False, ack_deadline=20.0) as emulator:
        yield emulator
        assert emulator.violations == []


@pytest_asyncio.fixture(loop_scope="package")
async def stage(emu: DiscordEmulator, core: Core) -> AsyncIterator[Stage]:
    for run_id in await core.history.undelivered(Platform.DISCORD, datetime.now(UTC) - timedelta(hours=2)):
        await core.history.mark_delivered(run_id)  # what other tests have left on emulators that are no more
    async with on_core(emu, core) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="package")
async def provider(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ProviderEmulator]:
    """Three members and an arbiter."""
    async with ProviderEmulator() as emulator:
        monkeypatch.setenv("EMULATED_KEY", emulator.key)
        for name in ("ada", "bert", "cleo", "judge"):
            emulator.model(name)
        yield emulator
        assert emulator.violations == []
