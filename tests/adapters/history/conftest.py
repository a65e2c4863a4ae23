"""Histories on SQLite, and on PostgreSQL where there is one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg  # type: ignore[import-untyped]
import pytest

from adapters.history import SqlHistory
from adapters.history.schema import metadata
from tests.databases import new_database
from tests.servers import POSTGRES_MISSING, postgres_url


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@contextmanager
def _postgres_database() -> Iterator[str]:
    server = postgres_url()
    if server is None:
        pytest.skip(POSTGRES_MISSING)
    name = f"consortium_test_{uuid4().hex}"
    asyncio.run(_execute(server, f"CREATE DATABASE {name}"))
    try:
        yield server.removesuffix("postgres") + name
    finally:
        asyncio.run(_execute(server, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
def postgres_database() -> Iterator[str]:
    """One database for the tests that share it; each finds it without runs."""
    with _postgres_database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/folder/history.db"
    else:
        with _postgres_database() as url:
            yield url


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without runs."""
    if request.param == "sqlite":
        return new_database(tmp_path / "history.db")
    shared: str = request.getfixturevalue("postgres_database")
    asyncio.run(_clear(shared))
    return shared


async def _clear(url: str) -> None:
    async with SqlHistory(url):
        # Far faster than TRUNCATE, which makes every table's files anew.
        await _execute(url, *(str(table.delete()) for table in reversed(metadata.sorted_tables)))


@pytest.fixture
async def history(url: str) -> AsyncIterator[SqlHistory]:
    """An open history without runs."""
    async with SqlHistory(url) as opened:
        yield opened
