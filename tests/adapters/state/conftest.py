"""Every test of the state runs on the embedded Valkey and on a Redis server, with keys of its own."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from adapters.state.state import State, connect
from adapters.state.valkey import embedded_valkey
from tests.servers import REDIS_MISSING, redis_url


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def embedded_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    async with embedded_valkey(tmp_path_factory.mktemp("valkey")) as url:
        yield url


@pytest.fixture(params=["embedded", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "embedded":
        return str(request.getfixturevalue("embedded_url"))
    return redis_url() or pytest.skip(REDIS_MISSING)


@pytest.fixture
async def prefix(url: str) -> AsyncIterator[str]:
    """A prefix of this test alone; its keys are removed at the end."""
    name = f"test-{secrets.token_hex(6)}"
    yield name
    async with connect(url) as state:
        async for key in state.redis.scan_iter(f"{name}:*", count=1000):
            await state.redis.delete(key)


@pytest.fixture
async def state(url: str, prefix: str) -> AsyncIterator[State]:
    async with connect(url, prefix=prefix) as state:
        yield state


@pytest.fixture
async def own_server(tmp_path: Path) -> AsyncIterator[str]:
    """A server that the test may kill."""
    async with embedded_valkey(tmp_path / "data") as url:
        yield url


async def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - it looks at things that set no event
            await asyncio.sleep(0.01)


async def eventually(holds: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.02)
