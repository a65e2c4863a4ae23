"""An emulated Slack with OAuth, and databases of both kinds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.adapters.history.conftest import postgres_database  # noqa: F401
from tests.emulators.slack import SlackEmulator


@pytest.fixture
async def slack() -> AsyncIterator[SlackEmulator]:
    """A workspace that has not installed the app; tokens do not end."""
    async with SlackEmulator(oauth=True, scopes=(), speed=0.01) as slack:
        yield slack


@pytest.fixture
async def rotating() -> AsyncIterator[SlackEmulator]:
    """The same, where tokens end."""
    async with SlackEmulator(oauth=True, rotation=True, scopes=(), speed=0.01) as slack:
        yield slack


@pytest.fixture(params=["sqlite", "postgres"])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database for several processes."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/history.db"
    return str(request.getfixturevalue("postgres_database"))
