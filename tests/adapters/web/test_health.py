"""Probes over real sockets: what they answer, to whom, and that nothing else is served to others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from adapters.web.health import listening, routes
from core.errors import Unavailable
from core.telemetry import metrics
from core.telemetry.health import Health

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Parts:
    """A database that can be taken away, and what is told of it."""

    def __init__(self) -> None:
        self.gone, self.looks = False, 0
        self.health = Health({"database": self.database}, kept=0)

    async def database(self) -> str | None:
        if self.gone:
            raise Unavailable("The database at postgresql://db/x (DATABASE_URL) does not work: no route.")
        return None

    async def refresh(self) -> None:
        self.looks += 1


@pytest.fixture(scope="module")
def parts() -> Parts:
    metrics.switch_on()
    return Parts()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session(parts: Parts) -> AsyncIterator[aiohttp.ClientSession]:
    async with (
        listening(routes(parts.health, parts.refresh), "127.0.0.1", 0) as url,
        aiohttp.ClientSession(url) as session,
    ):
        yield session


async def test_alive(session: aiohttp.ClientSession) -> None:
    async with session.get("/healthz") as reply:
        assert (reply.status, await reply.text()) == (200, "ok\n")


async def test_ready_has_a_line_for_each_part_and_says_what_is_wrong(
    session: aiohttp.ClientSession, parts: Parts
) -> None:
    async with session.get("/readyz") as reply:
        assert (reply.status, reply.content_type) == (200, "application/json")
        assert await reply.json() == {"ready": True, "parts": [{"part": "database", "ok": True, "detail": "ok"}]}
    parts.gone = True
    async with session.get("/readyz") as reply:
        text = await reply.text()
    parts.gone = False
    assert reply.status == 503
    assert json.loads(text)["ready"] is False
    line = next(line for line in text.splitlines() if '"database"' in line)
    assert "no route" in json.loads(line)["detail"]


async def test_figures_are_brought_up_to_date_and_can_be_read(session: aiohttp.ClientSession, parts: Parts) -> None:
    before = parts.looks
    async with session.get("/metrics") as reply:
        assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        families = {family.name: family for family in text_string_to_metric_families(await reply.text())}
    assert parts.looks == before + 1
    assert families["process_resident_memory_bytes"].samples[0].value > 1e6
    assert families["process_open_fds"].samples[0].value > 1


@pytest.mark.parametrize("headers", [{"Host": "10.0.0.7:9090"}, {"X-Forwarded-For": "203.0.113.9"}], ids=str)
async def test_probes_may_come_by_any_name(session: aiohttp.ClientSession, headers: dict[str, str]) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        async with session.get(path, headers=headers) as reply:
            assert reply.status == 200
            assert reply.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/", "/api/threads", "/slack/events", "/healthz/", "/metrics/x"])
async def test_nothing_else_is_there(session: aiohttp.ClientSession, path: str) -> None:
    async with session.get(path) as reply:
        assert reply.status == 404


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_they_are_only_looked_at(session: aiohttp.ClientSession, path: str) -> None:
    for method in ("POST", "PUT", "DELETE"):
        async with session.request(method, path, data=b"x" * 2000) as reply:
            assert reply.status == 405


async def test_a_port_that_is_taken_is_an_error(session: aiohttp.ClientSession) -> None:
    port = int(str(session._base_url).rstrip("/").rpartition(":")[2])
    with pytest.raises(OSError, match="address already in use"):
        async with listening([], "127.0.0.1", port):
            raise AssertionError("it listens twice")


async def test_whoever_goes_away_takes_no_answer_from_others(session: aiohttp.ClientSession, parts: Parts) -> None:
    """A probe that gives up while a part is asked must not break the next one."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> str | None:
        asked.set()
        await go_on.wait()
        return None

    slow = Health({"database": slowly}, kept=0)
    async with (
        listening(routes(slow, parts.refresh), "127.0.0.1", 0) as url,
        aiohttp.ClientSession(url) as own,
    ):
        first = asyncio.create_task(own.get("/readyz"))
        await asked.wait()
        first.cancel()
        await asyncio.wait([first])
        go_on.set()
        async with own.get("/readyz") as reply:
            assert reply.status == 200
