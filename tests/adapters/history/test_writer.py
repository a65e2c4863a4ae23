"""Group commit: writes go together, and each caller gets what it would have got alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection, func, select

from adapters.history import SqlHistory, migrations
from adapters.history.database import Database, Work, parse
from adapters.history.rows import outcome_row, run_row
from adapters.history.schema import outcomes
from adapters.history.schema import runs as runs_table
from adapters.history.statements import Statements
from adapters.history.writer import Statement, Write, Writer, batched
from core.errors import NotFound, Unavailable
from core.types import Response, Run, RunStatus, Study
from tests.adapters.history.samples import PANEL, START, finished, new_run, outcomes_of_round

T = TypeVar("T")
DO = Statements.of("sqlite")


class Gate(Database):
    """An SQLite database that counts transactions and holds them back until it is opened."""

    def __init__(self, path: Path) -> None:
        super().__init__(parse(f"sqlite:///{path}"))
        self.transactions = 0
        self.entered, self.open = asyncio.Event(), asyncio.Event()

    async def write(self, work: Work[T]) -> T:
        self.transactions += 1
        self.entered.set()
        await self.open.wait()
        return await super().write(work)


@asynccontextmanager
async def writing(database: Database, *, waiting: int = 512) -> AsyncIterator[Writer]:
    writer = Writer(database, waiting=waiting)
    writer.start()
    try:
        yield writer
    finally:
        await writer.close()


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    gate = Gate(tmp_path / "history.db")
    gate.open.set()
    await gate.write(migrations.migrate)
    gate.open.clear()
    gate.entered.clear()
    gate.transactions = 0
    yield gate
    await gate.close()


def opening(run: Run) -> Statement:
    return DO.open_run, run_row(run)


def answering(run: Run, round_number: int = 1) -> Statement:
    return DO.record_outcome, outcome_row(run.id, round_number, outcomes_of_round()[0], START)


async def stored_outcomes(database: Database) -> int:
    def work(connection: Connection) -> int:
        return int(connection.execute(select(func.count()).select_from(outcomes)).scalar_one())

    return await database.read(work)


async def test_equal_statements_are_batched_in_the_order_of_each_run() -> None:
    a, b = new_run(), new_run()
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    writes = [
        Write(a.id, [opening(a)], done),
        Write(a.id, [answering(a)], done),
        Write(b.id, [opening(b)], done),
        Write(a.id, [(DO.update_run, {"id_": a.id})], done),
        Write(b.id, [answering(b)], done),
        Write(a.id, [answering(a, 2)], done),
    ]
    batches = [
        (s, [row.get("id") or row.get("id_") or (row["run_id"], row["round"]) for row in rows])
        for s, rows in batched(writes)
    ]
    assert batches == [
        (DO.open_run, [a.id, b.id]),
        (DO.record_outcome, [(a.id, 1), (b.id, 1)]),
        (DO.update_run, [a.id]),
        (DO.record_outcome, [(a.id, 2)]),
    ]


async def test_what_queues_up_goes_into_one_transaction(gate: Gate) -> None:
    async with writing(gate) as writer:
        first = asyncio.create_task(writer.write("first", opening(new_run())))
        await gate.entered.wait()
        runs = [new_run() for _ in range(30)]
        tasks = [asyncio.create_task(writer.write(r.id, opening(r))) for r in runs]
        tasks += [asyncio.create_task(writer.write(r.id, answering(r))) for r in runs]
        await asyncio.sleep(0)
        gate.open.set()
        await asyncio.gather(first, *tasks)
        assert gate.transactions == 2
    assert await stored_outcomes(gate) == 30


async def test_a_bad_write_fails_alone(gate: Gate) -> None:
    async with writing(gate) as writer:
        first = asyncio.create_task(writer.write("first", opening(new_run())))
        await gate.entered.wait()
        good, unknown, odd = [new_run() for _ in range(5)], new_run(), new_run()
        tasks = [asyncio.create_task(writer.write(r.id, opening(r), answering(r))) for r in good]
        orphan = asyncio.create_task(writer.write(unknown.id, answering(unknown)))
        statement, row = opening(odd)
        unfit = asyncio.create_task(writer.write(odd.id, opening(odd), (statement, {**row, "confidence": "high"})))
        await asyncio.sleep(0)
        gate.open.set()
        await asyncio.gather(first, *tasks)
        with pytest.raises(NotFound):
            await orphan
        with pytest.raises(Exception, match="high"):
            await unfit
        await writer.write(good[0].id, answering(good[0], 2))  # the writer goes on
    assert await stored_outcomes(gate) == 6


async def test_a_callers_statements_are_all_or_nothing(gate: Gate) -> None:
    gate.open.set()
    run, missing = new_run(), new_run()
    async with writing(gate) as writer:
        with pytest.raises(NotFound):
            await writer.write(run.id, opening(run), answering(run), answering(missing))
        with pytest.raises(NotFound):
            await writer.write(run.id, answering(run))
    assert await stored_outcomes(gate) == 0


async def test_a_cancelled_callers_write_is_carried_out(gate: Gate) -> None:
    async with writing(gate) as writer:
        run = new_run()
        await_open = asyncio.create_task(writer.write(run.id, opening(run)))
        await gate.entered.wait()
        answer = asyncio.create_task(writer.write(run.id, answering(run)))
        await asyncio.sleep(0)
        answer.cancel()
        gate.open.set()
        await await_open
        with pytest.raises(asyncio.CancelledError):
            await answer
    assert await stored_outcomes(gate) == 1


async def test_closing_carries_out_what_was_handed_in(gate: Gate) -> None:
    runs = [new_run() for _ in range(20)]
    writer = Writer(gate)
    writer.start()
    tasks = [asyncio.create_task(writer.write(r.id, opening(r), answering(r))) for r in runs]
    await gate.entered.wait()
    closing = asyncio.create_task(writer.close())
    await asyncio.sleep(0)
    gate.open.set()
    await closing
    await asyncio.gather(*tasks)
    assert await stored_outcomes(gate) == 20
    with pytest.raises(Unavailable, match="closed"):
        await writer.write(runs[0].id, answering(runs[0], 2))


async def test_a_writer_that_is_cancelled_lets_its_callers_go(gate: Gate) -> None:
    writer = Writer(gate)
    writer.start()
    tasks = [asyncio.create_task(writer.write(r.id, opening(r))) for r in (new_run(), new_run())]
    await gate.entered.wait()
    assert writer._task is not None
    writer._task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(r) for r in results] == [Unavailable, Unavailable]


async def test_writes_in_flight_are_bounded(gate: Gate) -> None:
    async with writing(gate, waiting=3) as writer:
        tasks = [asyncio.create_task(writer.write(r.id, opening(r))) for r in [new_run() for _ in range(10)]]
        await gate.entered.wait()
        await asyncio.sleep(0)
        assert len(writer._queue) <= 2  # one batch of one is under way
        gate.open.set()
        await asyncio.gather(*tasks)


async def test_a_run_that_is_done_is_complete_at_any_moment(url: str) -> None:
    """Many runs at once, read while they are written: whichever says done has all its parts."""
    async with SqlHistory(url) as history:
        runs = [finished(new_run()) for _ in range(30)]

        async def write(run: Run) -> None:
            await history.open_run(run.model_copy(update={"status": RunStatus.PENDING}))
            for round_ in run.rounds:
                await asyncio.gather(*(history.record_outcome(run.id, round_.number, o) for o in round_.outcomes))
                await history.record_round(run.id, round_)
            assert run.analysis
            analysis = asyncio.create_task(history.record_study(run.id, Study(analysis=run.analysis)))
            await asyncio.sleep(0)
            await history.update_run(run)  # handed in after, so committed after
            await analysis

        async def read(run: Run) -> int:
            looks = 0
            while True:
                looks += 1
                stored = await history.run(run.id)
                if stored and stored.status is RunStatus.DONE:
                    assert stored == run
                    return looks
                await asyncio.sleep(0.001)

        looks = asyncio.gather(*(read(r) for r in runs[:5]))
        await asyncio.gather(*(write(r) for r in runs))
        assert max(await looks) > 1
        assert [await history.run(r.id) for r in runs] == runs


async def test_deadlocks_do_not_lose_writes(url: str) -> None:
    """Two writers on one database that touch the same runs in opposite orders."""
    async with SqlHistory(url) as one, SqlHistory(url) as two:
        runs = [new_run() for _ in range(40)]
        await asyncio.gather(*(one.open_run(r) for r in runs))
        answer = Response(member=PANEL[0], text="yes", seconds=1)
        for _ in range(3):
            await asyncio.gather(
                *(one.update_run(finished(r)) for r in runs),
                *(two.mark_delivered(r.id) for r in reversed(runs)),
                *(two.record_outcome(r.id, 1, answer) for r in reversed(runs)),
                *(two.set_thread(r.id, "7") for r in runs),
            )
        for run in runs:
            stored = await one.run(run.id)
            assert stored is not None
            assert stored.status is RunStatus.DONE
            assert stored.rounds[0].outcomes == (answer,)


async def test_a_change_sees_what_was_handed_in_before_it_and_comes_before_what_follows(gate: Gate) -> None:
    """Each change is a transaction of its own, between those of the writes."""
    a, b = new_run(), new_run()

    def stored(connection: Connection) -> int:
        return int(connection.execute(select(func.count()).select_from(runs_table)).scalar_one())

    async with writing(gate) as writer:
        before = asyncio.create_task(writer.write(a.id, opening(a)))
        change = asyncio.create_task(writer.change(stored))
        after = asyncio.create_task(writer.write(b.id, opening(b)))
        await gate.entered.wait()
        gate.open.set()
        await asyncio.gather(before, change, after)
        assert (change.result(), gate.transactions) == (1, 3)
        assert await writer.change(stored) == 2


async def test_a_change_that_fails_changes_nothing_and_harms_nobody(gate: Gate) -> None:
    a, b = new_run(), new_run()

    def fail(connection: Connection) -> None:
        connection.execute(DO.open_run, run_row(a))
        raise KeyError("wrong")

    gate.open.set()
    async with writing(gate) as writer:
        done = await asyncio.gather(writer.change(fail), writer.write(b.id, opening(b)), return_exceptions=True)
        assert isinstance(done[0], KeyError)
        ids = await writer.change(lambda c: list(c.execute(select(runs_table.c.id)).scalars()))
        assert ids == [b.id]
