"""The emulators behind the walks on Discord."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.discord.stage import Stage, on_stage
from tests.emulators.discord import DiscordEmulator
from tests.emulators.provider import ProviderEmulator


@pytest.fixture
async def emu() -> AsyncIterator[DiscordEmulator]:
    async with DiscordEmulator(rates=False, ack_deadline=20.0) as emulator:
        yield emulator
        assert emulator.violations == []


@pytest.fixture
async def stage(emu: DiscordEmulator, tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(emu, tmp_path) as running:
        yield running


@pytest.fixture
async def provider(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ProviderEmulator]:
    """Three members and an arbiter."""
    async with ProviderEmulator() as emulator:
        monkeypatch.setenv("EMULATED_KEY", emulator.key)
        for name in ("ada", "bert", "cleo", "judge"):
            emulator.model(name)
        yield emulator
        assert emulator.violations == []
