"""One core and one troubled provider for the whole folder, and a workspace of its own for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from bot.app import Core, open_core
from core.asks import Platform
from tests.e2e.slack.stage import Stage, catalog, on_stage, settings_in, troubled_provider, workspace
from tests.emulators.provider import ProviderEmulator
from tests.emulators.slack import SlackEmulator


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def provider() -> AsyncIterator[ProviderEmulator]:
    async with troubled_provider() as running:
        yield running


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def core(provider: ProviderEmulator, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Core]:
    async with open_core(settings_in(tmp_path_factory.mktemp("data")), catalog(provider), pace=0) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="package")
async def slack() -> AsyncIterator[SlackEmulator]:
    async with workspace() as emulator:
        yield emulator
        assert emulator.violations == []


@pytest_asyncio.fixture(loop_scope="package")
async def stage(slack: SlackEmulator, core: Core) -> AsyncIterator[Stage]:
    """Socket Mode."""
    async with on_stage(slack, core) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="package", params=["socket", "http"])
async def either(core: Core, request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """Both transports, one after the other."""
    http = request.param == "http"
    async with workspace(http=http) as slack:
        async with on_stage(slack, core, http=http) as running:
            yield running
        assert slack.violations == []


@pytest_asyncio.fixture(loop_scope="package", autouse=True)
async def nothing_left(core: Core) -> None:
    """No front is to go on with what other tests have left in workspaces that are no more."""
    for run_id in await core.history.undelivered(Platform.SLACK, datetime.now(UTC) - timedelta(hours=2)):
        await core.history.mark_delivered(run_id)
