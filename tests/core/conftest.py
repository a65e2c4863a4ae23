"""The real state and history, for tests of what the core does with them."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from adapters.history import SqlHistory
from adapters.state.state import State, connect
from adapters.state.valkey import embedded_valkey
from tests.databases import new_database


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    async with embedded_valkey(tmp_path_factory.mktemp("valkey")) as url:
        yield url


@pytest.fixture
async def state(valkey_url: str) -> AsyncIterator[State]:
    """State with keys of this test alone."""
    async with connect(valkey_url, prefix=f"test-{secrets.token_hex(6)}") as state:
        yield state


@pytest.fixture
async def history(tmp_path: Path) -> AsyncIterator[SqlHistory]:
    async with SqlHistory(new_database(tmp_path / "consortium.db")) as history:
        yield history
