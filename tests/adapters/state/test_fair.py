"""Tenants take turns, none has more at work than it may, and no run is lost or done twice whatever dies when."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import timedelta

import pytest
from docket import Docket, Worker
from redis.asyncio import Redis

from adapters.state.fair import FairQueue, tenant
from adapters.state.jobs import DocketJobs
from adapters.state.redis import link
from core.asks import DIRECT, Ask, Person, Platform, ThreadRef
from core.ports import QueueDepth
from tests.adapters.state.conftest import eventually, until
from tests.adapters.state.test_jobs import LEASE, ask

AWAY = "elsewhere-1-1-1"
"""A worker of another machine."""


def asks(workspace: str, many: int) -> list[Ask]:
    where = ThreadRef(platform=Platform.SLACK, workspace=workspace, channel="C1")
    return [ask(f"{workspace}{n}").model_copy(update={"where": where}) for n in range(many)]


LASTING = {"clock", "last", "workers", "capacity", "swept"}
"""What the queue keeps when nothing waits or is at work."""


@pytest.fixture
def url(embedded_url: str) -> str:
    """One server is enough for what scripts do; the queue itself is tested on both."""
    return embedded_url


class Gate:
    """A handler whose runs go on until they are let go."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.at_work: set[str] = set()
        self.most = Counter[str]()
        self.cancelled: list[str] = []
        self._gates: dict[str, asyncio.Event] = {}
        self.open = False

    async def __call__(self, ask: Ask) -> None:
        self.begun.append(ask.id)
        self.at_work.add(ask.id)
        for workspace, now in Counter(run[0] for run in self.at_work).items():
            self.most[workspace] = max(self.most[workspace], now)
        try:
            if self.open:
                await asyncio.sleep(0.001)
            else:
                await self._gates.setdefault(ask.id, asyncio.Event()).wait()
            self.ended.append(ask.id)
        except asyncio.CancelledError:
            self.cancelled.append(ask.id)
            raise
        finally:
            self.at_work.discard(ask.id)

    def let(self, *runs: str) -> None:
        for run in runs:
            self._gates[run].set()

    def let_all(self) -> None:
        self.open = True
        self.let(*self._gates)

    async def until_begun(self, many: int) -> None:
        await until(lambda: len(self.begun) >= many)


@pytest.fixture
async def fair(url: str, prefix: str) -> AsyncIterator[FairQueue]:
    """The queue's state as another process sees it."""
    async with link(url) as connection:
        yield FairQueue(connection, prefix, at_once=0, lease=LEASE, lasting=True)


@asynccontextmanager
async def workers(
    url: str, prefix: str, *, many: int = 1, concurrency: int = 1, at_once: int = 0, is_open: bool = False
) -> AsyncIterator[Gate]:
    gate = Gate()
    gate.open = is_open
    async with AsyncExitStack() as stack:
        for _ in range(many):
            jobs = await stack.enter_async_context(DocketJobs(url, prefix, lease=LEASE, at_once=at_once))
            await stack.enter_async_context(jobs.worker(gate, concurrency=concurrency, grace=0.05))
        yield gate


async def keys_left(url: str, prefix: str) -> set[str]:
    """Of runs and tenants, when all is done."""
    async with Redis.from_url(url) as redis:
        names = {key.decode().removeprefix(f"{prefix}:fair:") async for key in redis.scan_iter(f"{prefix}:fair:*")}
    passing = ("ended:", "withdrawn:")
    return {name for name in names if not name.startswith(passing)} - LASTING


async def nothing_left(url: str, prefix: str) -> None:
    async def gone() -> bool:
        return not await keys_left(url, prefix)

    await eventually(gone)


# --- turns ----------------------------------------------------------------------------------------------


async def test_one_ask_does_not_wait_for_the_500_of_another_workspace(url: str, prefix: str) -> None:
    async with DocketJobs(url, prefix, lease=LEASE) as jobs, workers(url, prefix, concurrency=2) as gate:
        await asyncio.gather(*map(jobs.submit, asks("A", 500)))
        await gate.until_begun(2)
        (lone,) = asks("B", 1)
        await jobs.submit(lone)
        assert await jobs.place(lone.id) == 0
        depth = await jobs.depth()
        assert (depth.waiting, depth.running) == (499, 2)
        assert 0 < (depth.oldest or 0) < 60
        gate.let(gate.begun[0])
        await gate.until_begun(3)
        assert gate.begun[2] == "B0"


async def test_workspaces_take_turns_each_in_its_order(url: str, prefix: str) -> None:
    lines = asks("A", 6), asks("B", 3), asks("C", 1)
    async with DocketJobs(url, prefix, lease=LEASE) as jobs:
        for line in lines:
            for each in line:
                await jobs.submit(each)
        expected = ["A0", "B0", "C0", "A1", "B1", "A2", "B2", "A3", "A4", "A5"]
        places = {each.id: await jobs.place(each.id) for line in lines for each in line}
        assert sorted(places, key=lambda run: places[run] or 0) == expected
        assert sorted(places.values(), key=lambda place: place or 0) == list(range(10))
        async with workers(url, prefix, is_open=True) as gate:
            await gate.until_begun(10)
            assert gate.begun == expected
            assert await jobs.place("A0") is None
            assert await jobs.place("nothing") is None
            await nothing_left(url, prefix)


async def test_no_workspace_saves_up_turns(url: str, prefix: str) -> None:
    """B, which was not there while A had twenty turns, has one more than A at the most."""
    async with DocketJobs(url, prefix, lease=LEASE) as jobs, workers(url, prefix) as gate:
        line = asks("A", 24)
        for each in line:
            await jobs.submit(each)
        for n in range(20):
            await gate.until_begun(n + 1)
            gate.let(gate.begun[n])
        await gate.until_begun(21)
        for each in asks("B", 4):
            await jobs.submit(each)
        gate.let_all()
        await gate.until_begun(28)
        assert gate.begun[21:] == ["B0", "A21", "B1", "A22", "B2", "A23", "B3"]


async def test_three_workers_hold_the_bound_of_each_workspace(url: str, prefix: str) -> None:
    async with DocketJobs(url, prefix, lease=LEASE, at_once=4) as jobs:
        async with workers(url, prefix, many=3, concurrency=3, at_once=4) as gate:
            await asyncio.gather(*map(jobs.submit, asks("A", 20)))
            await gate.until_begun(4)
            await asyncio.gather(*map(jobs.submit, asks("B", 2)))
            await gate.until_begun(6)
            assert Counter(run[0] for run in gate.at_work) == {"A": 4, "B": 2}, "there is room for three more of others"
            await asyncio.gather(*map(jobs.submit, asks("C", 20)))
            await gate.until_begun(9)
            assert Counter(run[0] for run in gate.at_work) == {"A": 4, "B": 2, "C": 3}
            gate.let_all()
            await gate.until_begun(42)
            await nothing_left(url, prefix)
        assert sorted(gate.begun) == sorted(gate.ended)
        assert max(gate.most.values()) == 4


@pytest.mark.parametrize("seed", range(3))
async def test_each_run_is_handled_once(url: str, prefix: str, seed: int) -> None:
    """However asks come, twice at that, with workers that come and go."""
    rng = random.Random(seed)
    everything = [each for name in "ABCDE" for each in asks(name, rng.randint(1, 40))]
    sent = [*everything, *rng.sample(everything, len(everything) // 2)]
    rng.shuffle(sent)
    gates: list[Gate] = []

    def all_ended() -> bool:
        return sum(len(g.ended) for g in gates) >= len(everything)

    async with DocketJobs(url, prefix, lease=LEASE, at_once=5) as jobs:
        submitting = asyncio.gather(*map(jobs.submit, sent))
        for _ in range(3):
            async with workers(url, prefix, many=2, concurrency=rng.randint(1, 6), at_once=5, is_open=True) as gate:
                gates.append(gate)
                await until(lambda g=gate: len(g.ended) >= 3 or all_ended())  # type: ignore[misc]
        await submitting
        async with workers(url, prefix, many=2, concurrency=16, at_once=5, is_open=True) as gate:
            gates.append(gate)
            await until(all_ended)
            await nothing_left(url, prefix)
    assert Counter(run for g in gates for run in g.ended) == Counter(each.id for each in everything)


def test_who_takes_turns() -> None:
    def of(platform: Platform, workspace: str, channel: str, asker: str) -> str:
        where = ThreadRef(platform=platform, workspace=workspace, channel=channel)
        return tenant(ask("r").model_copy(update={"where": where, "asker": Person(id=asker)}))

    assert of(Platform.SLACK, "T1", "C1", "U1") == of(Platform.SLACK, "T1", "C2", "U2")
    assert of(Platform.SLACK, "T1", "C1", "U1") != of(Platform.DISCORD, "T1", "C1", "U1")
    assert of(Platform.DISCORD, DIRECT, "C1", "U1") != of(Platform.DISCORD, DIRECT, "C2", "U2")
    assert of(Platform.WEB, "w", "c", "U1") != of(Platform.WEB, "w", "c", "U2")
    assert " " not in of(Platform.DISCORD, DIRECT, "C 1", "U1")


# --- withdrawing ----------------------------------------------------------------------------------------


async def test_what_waits_can_be_withdrawn(url: str, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = asks("A", 3)
    async with DocketJobs(url, prefix, lease=LEASE) as jobs, workers(url, prefix) as gate:
        for each in (first, second, third):
            await jobs.submit(each)
        await gate.until_begun(1)
        assert not await jobs.withdraw(first.id), "it is at work"
        assert not await jobs.withdraw("nothing")
        with monkeypatch.context() as patch:
            patch.setattr("secrets.token_hex", lambda _: "same")
            assert [await jobs.withdraw(second.id) for _ in range(2)] == [True, True], "sent again after a lost reply"
        assert not await jobs.withdraw(second.id)
        assert await jobs.place(third.id) == 0
        gate.let_all()
        await gate.until_begun(2)
        await nothing_left(url, prefix)
    assert gate.ended == [first.id, third.id]


# --- what dies ------------------------------------------------------------------------------------------


async def test_handed_out_and_then_nothing(url: str, prefix: str, fair: FairQueue) -> None:
    """The process that was to pass a run on to the workers is gone before it does."""
    async with workers(url, prefix, concurrency=2) as gate:
        assert await fair.submit(ask("r1")) == ["r1"]
        await gate.until_begun(1)
        gate.let_all()
        await nothing_left(url, prefix)
    assert gate.ended == ["r1"]


async def test_begun_by_a_worker_that_is_never_heard_of_again(url: str, prefix: str, fair: FairQueue) -> None:
    """Its slot is free for its workspace again, and whoever takes the run over knows that it was begun."""
    resumed = Gate()
    await fair.report(AWAY, capacity=1, alive=60, dead=[], ended=[], running=[])
    assert await fair.submit(ask("r1")) == ["r1"]
    begun = await fair.begin("r1", AWAY)
    assert begun is not None
    assert begun[1] is False
    assert await fair.begin("r1", "another") is None, "one has it"
    gate = Gate()
    gate.open = resumed.open = True
    async with DocketJobs(url, prefix, lease=LEASE, at_once=1) as jobs, jobs.worker(gate, resumed):
        await resumed.until_begun(1)
        await jobs.submit(ask("r2"))
        await gate.until_begun(1)
        await nothing_left(url, prefix)
    assert (gate.ended, resumed.ended) == (["r2"], ["r1"])


async def test_fetched_by_a_worker_that_dies_before_it_begins(url: str, prefix: str, fair: FairQueue) -> None:
    fetched: asyncio.Queue[asyncio.Task[None] | None] = asyncio.Queue()

    async def hang(run_id: str) -> None:
        fetched.put_nowait(asyncio.current_task())
        await asyncio.Event().wait()

    async with DocketJobs(url, prefix, lease=LEASE) as jobs:
        async with Docket(name=prefix, url=url, execution_ttl=timedelta(0)) as docket:
            docket.register(hang, names=["run"])
            async with Worker(docket, name=AWAY, redelivery_timeout=timedelta(seconds=LEASE)) as worker:
                loop = asyncio.create_task(worker.run_forever())
                await fair.report(AWAY, capacity=1, alive=60, dead=[], ended=[], running=[])
                await jobs.submit(ask("r1"))
                job = await fetched.get()
                assert job is not None
                loop.cancel()
                job.cancel()
                await asyncio.wait([loop])
        async with workers(url, prefix, is_open=True) as gate:
            await until(lambda: gate.ended == ["r1"])
            await nothing_left(url, prefix)


async def test_a_reply_that_was_lost_is_no_second_begin(
    url: str, prefix: str, fair: FairQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fair.submit(ask("r1"))
    with monkeypatch.context() as patch:
        patch.setattr("secrets.token_hex", lambda _: "same")
        twice = [await fair.begin("r1", AWAY) for _ in range(2)]
    assert [begun is not None and begun[1] for begun in twice] == [False, False]
    for _ in range(2):
        await fair.report(AWAY, capacity=1, alive=60, dead=[], ended=["r1"], running=[])
    assert await fair.begin("r1", AWAY) is None, "it is over"
    assert await fair.submit(ask("r1")) == []
    assert await fair.depth() == QueueDepth()


WORKER = """
import asyncio, sys
from adapters.state.jobs import DocketJobs

async def handler(ask):
    print("begun", ask.id, flush=True)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        print("cancelled", ask.id, flush=True)
        raise

async def main():
    async with DocketJobs(sys.argv[1], sys.argv[2], lease=float(sys.argv[3])) as jobs, jobs.worker(handler):
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@contextmanager
def worker_process(url: str, prefix: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", WORKER, url, prefix, str(LEASE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


async def line(process: subprocess.Popen[str]) -> str:
    """The next that the worker itself says; its log is there too."""
    assert process.stdout is not None
    while text := await asyncio.to_thread(process.stdout.readline):
        if text.startswith(("ready", "begun ", "cancelled ")):
            return text.strip()
    return ""


@pytest.mark.parametrize("here", [True, False], ids=["of this machine", "of another machine"])
async def test_the_runs_of_a_killed_worker_go_on(
    url: str, prefix: str, here: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not here:
        monkeypatch.setattr("adapters.state.jobs.is_dead", lambda _: False)
    gate = Gate()
    async with DocketJobs(url, prefix, lease=LEASE) as jobs:
        with worker_process(url, prefix) as process:
            assert await line(process) == "ready"
            for each in asks("A", 3):
                await jobs.submit(each)
            assert {await line(process) for _ in range(3)} == {"begun A0", "begun A1", "begun A2"}
            process.send_signal(signal.SIGKILL)
            process.wait()
        async with workers(url, prefix, many=2, concurrency=2, is_open=True) as gate:
            await until(lambda: len(gate.ended) == 3)
            await nothing_left(url, prefix)
    assert sorted(gate.begun) == ["A0", "A1", "A2"]


async def test_a_worker_that_was_stopped_for_a_while_gives_up_what_others_have(url: str, prefix: str) -> None:
    async with DocketJobs(url, prefix, lease=LEASE) as jobs:
        with worker_process(url, prefix) as process:
            assert await line(process) == "ready"
            await jobs.submit(ask("r1"))
            assert await line(process) == "begun r1"
            async with workers(url, prefix) as gate:
                process.send_signal(signal.SIGSTOP)
                await gate.until_begun(1)
                process.send_signal(signal.SIGCONT)
                assert await line(process) == "cancelled r1"
                gate.let_all()
                await nothing_left(url, prefix)
    assert gate.ended == ["r1"]
