"""The queue of runs: every run is done, once, whatever becomes of a worker."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import subprocess
import sys
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis.asyncio import Redis

from adapters.state.jobs import DocketJobs
from adapters.state.valkey import embedded_valkey
from core.asks import Ask, Person, Platform, ThreadRef
from core.errors import Unavailable
from tests.adapters.state.conftest import until

LEASE = 0.8
HERE = ThreadRef(platform=Platform.SLACK, workspace="T1", channel="C1")


def ask(run: str) -> Ask:
    text, now = "Should remote work be the default?", datetime(2026, 3, 1, tzinfo=UTC)
    return Ask(id=run, asked_at=now, text=text, asker=Person(id="U1"), where=HERE, roles={"a": "b"})


class Done:
    """Counts the runs that came to their end and lets a test wait for them."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.started, self.ended = seconds, Counter[str](), Counter[str]()

    async def __call__(self, ask: Ask) -> None:
        self.started[ask.id] += 1
        await asyncio.sleep(self.seconds)
        self.ended[ask.id] += 1

    async def until(self, runs: int) -> None:
        await until(lambda: len(self.ended) >= runs)


async def test_a_run_reaches_the_worker_as_it_was(url: str, prefix: str) -> None:
    got: asyncio.Queue[Ask] = asyncio.Queue()
    async with DocketJobs(url, prefix) as jobs, jobs.worker(got.put):
        await jobs.submit(ask("r1"))
        assert await asyncio.wait_for(got.get(), 10) == ask("r1")


async def test_a_temporary_queue_leaves_nothing_for_ever(url: str, prefix: str) -> None:
    done = Done()
    async with DocketJobs(url, prefix, temporary=True) as jobs, jobs.worker(done):
        await jobs.submit(ask("r1"))
        await done.until(1)
    async with Redis.from_url(url) as redis:
        assert [key async for key in redis.scan_iter(f"{prefix}:*") if await redis.ttl(key) == -1] == []


async def test_runs_wait_for_a_worker(url: str, prefix: str) -> None:
    async with DocketJobs(url, prefix) as jobs:
        await jobs.submit(ask("r1"))
    done = Done()
    async with DocketJobs(url, prefix) as jobs, jobs.worker(done):
        await done.until(1)


async def test_200_at_once_are_done_once_each(url: str, prefix: str) -> None:
    done = Done(0.01)
    async with AsyncExitStack() as stack:
        surface = await stack.enter_async_context(DocketJobs(url, prefix))
        for _ in range(2):
            jobs = await stack.enter_async_context(DocketJobs(url, prefix))
            await stack.enter_async_context(jobs.worker(done, concurrency=50))
        await asyncio.gather(*(surface.submit(ask(f"r{n % 200}")) for n in range(400)))
        await done.until(200)
    assert set(done.ended.values()) == {1}


async def test_submitting_again_changes_nothing(url: str, prefix: str) -> None:
    done = Done()
    async with DocketJobs(url, prefix) as jobs, jobs.worker(done):
        await jobs.submit(ask("r1"))
        await done.until(1)
        await jobs.submit(ask("r1"))
        await jobs.submit(ask("r2"))
        await done.until(2)
    assert done.started["r1"] == 1


async def test_an_error_ends_its_run_alone(url: str, prefix: str, caplog: pytest.LogCaptureFixture) -> None:
    done = Done()

    async def handler(ask: Ask) -> None:
        if ask.id == "bad":
            done.ended[ask.id] += 1
            raise ValueError("no such thing")
        await done(ask)

    async with DocketJobs(url, prefix, lease=LEASE) as jobs, jobs.worker(handler):
        await jobs.submit(ask("bad"))
        await jobs.submit(ask("good"))
        await done.until(2)
        await asyncio.sleep(1.5 * LEASE)
    assert done.ended == {"bad": 1, "good": 1}, "it is not tried again"


async def test_no_more_than_asked_for_at_once(url: str, prefix: str) -> None:
    at_work, most, done = 0, 0, Done(0.02)

    async def handler(ask: Ask) -> None:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await done(ask)
        at_work -= 1

    async with DocketJobs(url, prefix) as jobs, jobs.worker(handler, concurrency=3):
        await asyncio.gather(*(jobs.submit(ask(f"r{n}")) for n in range(12)))
        await done.until(12)
    assert most == 3


async def test_the_end_waits_for_those_at_work(url: str, prefix: str) -> None:
    """Longer than the lease: it is renewed meanwhile, so nobody else takes the run."""
    mine, others = Done(2 * LEASE), Done()
    async with DocketJobs(url, prefix, lease=LEASE) as jobs, DocketJobs(url, prefix, lease=LEASE) as elsewhere:
        async with jobs.worker(mine, grace=20):
            await jobs.submit(ask("r1"))
            await until(lambda: bool(mine.started))
            second = AsyncExitStack()
            await second.enter_async_context(elsewhere.worker(others))
        assert mine.ended == {"r1": 1}
        await elsewhere.submit(ask("r2"))
        await others.until(1)
        await second.aclose()
    assert others.started == {"r2": 1}


async def test_the_end_takes_no_more(url: str, prefix: str) -> None:
    slow = Done(0.5)
    async with DocketJobs(url, prefix) as jobs:
        async with jobs.worker(slow, grace=20):
            await jobs.submit(ask("r1"))
            await until(lambda: bool(slow.started))
            late = asyncio.create_task(late_submit(jobs))
        await late
        assert slow.ended == {"r1": 1}
        async with jobs.worker(slow):
            await slow.until(2)


async def late_submit(jobs: DocketJobs) -> None:
    await asyncio.sleep(0.15)
    await jobs.submit(ask("r2"))


async def test_what_is_not_done_in_time_goes_to_another(url: str, prefix: str) -> None:
    hanging, done = Done(3600), Done()
    async with DocketJobs(url, prefix, lease=LEASE) as jobs:
        async with jobs.worker(hanging, grace=0.05):
            for n in range(5):
                await jobs.submit(ask(f"r{n}"))
            await until(lambda: len(hanging.started) == 5)
        assert not hanging.ended
        async with jobs.worker(done):
            await done.until(5)
    assert set(done.started.values()) == {1}


async def test_a_cancelled_process_hands_over_too(url: str, prefix: str) -> None:
    hanging, done = Done(3600), Done()

    async def process() -> None:
        async with DocketJobs(url, prefix, lease=LEASE) as jobs, jobs.worker(hanging, grace=0.05):
            await jobs.submit(ask("r1"))
            await asyncio.Event().wait()

    running = asyncio.create_task(process())
    await until(lambda: bool(hanging.started))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    async with DocketJobs(url, prefix, lease=LEASE) as jobs, jobs.worker(done):
        await done.until(1)


WORKER = """
import asyncio, sys
from adapters.state.jobs import DocketJobs

async def hang(ask):
    print(ask.id, flush=True)
    await asyncio.Event().wait()

async def main():
    async with DocketJobs(sys.argv[1], sys.argv[2], lease=float(sys.argv[3])) as jobs, jobs.worker(hang):
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_the_run_of_a_killed_worker_is_done_by_another(url: str, prefix: str) -> None:
    done = Done(1.5 * LEASE)  # longer than the lease, which must be renewed
    async with DocketJobs(url, prefix, lease=LEASE) as jobs:
        await jobs.submit(ask("r1"))
        command = [sys.executable, "-c", WORKER, url, prefix, str(LEASE)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: ASYNC220 - quick
            assert process.stdout is not None
            assert await asyncio.to_thread(process.stdout.readline) == "r1\n"
            process.send_signal(signal.SIGKILL)
        async with jobs.worker(done), DocketJobs(url, prefix, lease=LEASE) as third, third.worker(done):
            await done.until(1)
            await asyncio.sleep(LEASE)
    assert done.started == {"r1": 1}


async def test_a_restart_of_redis(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    done = Done()
    server = embedded_valkey(tmp_path)
    url = await server.__aenter__()
    async with DocketJobs(url) as jobs, jobs.worker(done):
        await jobs.submit(ask("r1"))
        await done.until(1)
        await server.__aexit__(None, None, None)
        with pytest.raises(Unavailable, match="REDIS_URL"):
            await jobs.submit(ask("r2"))
        async with embedded_valkey(tmp_path):
            await jobs.submit(ask("r3"))
            await until(lambda: bool(done.ended["r3"]))


async def test_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unavailable, match="REDIS_URL"):
        async with DocketJobs(f"redis://127.0.0.1:{port}/0") as jobs:
            await jobs.submit(ask("r1"))
