"""Redis is stopped and started, with its data and without: runs at work go on, others begin, none twice."""

from __future__ import annotations

import asyncio
import logging
import shutil
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from adapters.state.jobs import DocketJobs
from adapters.state.state import connect
from adapters.state.valkey import embedded_valkey
from core.errors import Unavailable
from core.events import RunEnded, RunEvent
from core.types import RunStatus
from tests.adapters.state.conftest import until
from tests.adapters.state.test_fair import Gate, asks, nothing_left

LEASE = 0.8


@pytest.fixture(params=["with its data", "without its data"])
def lost(request: pytest.FixtureRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> bool:
    caplog.set_level(logging.CRITICAL)
    return bool(request.param == "without its data")


async def test_runs_over_an_outage_longer_than_a_lease(tmp_path: Path, lost: bool) -> None:
    gates = [Gate(), Gate()]
    first, second, *rest = asks("A", 5)
    server = embedded_valkey(tmp_path)
    url = await server.__aenter__()
    async with AsyncExitStack() as stack:
        for gate in gates:
            jobs = await stack.enter_async_context(DocketJobs(url, lease=LEASE))
            await stack.enter_async_context(jobs.worker(gate, concurrency=1, grace=0.05))
        for each in (first, second, *rest):
            await jobs.submit(each)
        await until(lambda: len(gates[0].begun) == len(gates[1].begun) == 1)
        await server.__aexit__(None, None, None)
        with pytest.raises(Unavailable, match="REDIS_URL"):
            await jobs.submit(first)
        gates[0].let_all()  # it ends while nobody can be told
        await until(lambda: len(gates[0].ended) == 1)
        if lost:
            shutil.rmtree(tmp_path / "appendonlydir")
        async with embedded_valkey(tmp_path):
            await until(lambda: len(gates[0].begun) == (1 if lost else 4))
            if lost:  # as all processes do once they know
                await _known(jobs, 1)
                for each in (first, second, *rest):
                    await jobs.submit(each)
                await until(lambda: len(gates[0].begun) == 4)
            assert len(gates[1].begun) == 1, "it still has its run"
            gates[1].let_all()
            await nothing_left(url, "consortium:jobs")
            ended = [*gates[0].ended, *gates[1].ended]
            assert sorted(ended) == sorted([*gates[0].begun, *gates[1].begun]) == [f"A{n}" for n in range(5)]


async def _known(jobs: DocketJobs, running: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                if (await jobs.depth()).running == running:
                    return
            except Unavailable:
                pass
            await asyncio.sleep(0.02)


async def test_stops_and_events_over_an_outage(tmp_path: Path, lost: bool) -> None:
    server = embedded_valkey(tmp_path)
    url = await server.__aenter__()
    async with connect(url, alive=0.4) as worker, connect(url, alive=0.4) as surface:
        calls = 0

        async def requeue() -> None:
            nonlocal calls
            calls += 1
            if calls == 1:
                raise Unavailable("The database is away, too.")

        surface.presence.recovered.append(requeue)
        seen: list[RunEvent] = []

        async def follow() -> None:
            seen.extend([event async for event in surface.events.follow("r1")])

        following = asyncio.create_task(follow())
        stopping = asyncio.create_task(worker.stops.requested("r1"))
        await server.__aexit__(None, None, None)
        if lost:
            shutil.rmtree(tmp_path / "appendonlydir", ignore_errors=True)
        end = RunEnded(status=RunStatus.CANCELLED)
        publishing = asyncio.create_task(worker.events.publish("r1", end))
        async with embedded_valkey(tmp_path):
            await surface.stops.request("r1", "Ann stopped it.")
            assert await asyncio.wait_for(stopping, 10) == "Ann stopped it."
            await publishing
            await asyncio.wait_for(following, 10)
            assert seen == [end]
            if lost:
                await until(lambda: calls == 2)
                await asyncio.sleep(0.3)
            assert calls == (2 if lost else 0), "until it is done, and no more"
