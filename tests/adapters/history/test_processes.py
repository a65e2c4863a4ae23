"""Several processes on one database, and processes that are killed."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process

from adapters.history import SqlHistory
from core.types import Run, RunStatus
from tests.adapters.history.samples import CHARTS, finished, new_run


async def _start(url: str, name: str, count: int) -> Process:
    arguments = ("-m", "tests.adapters.history.process", url, name, str(count))
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdin=PIPE, stdout=PIPE)
    assert process.stdout
    assert await process.stdout.readline() == b"ready\n"
    return process


def _go(process: Process) -> None:
    assert process.stdin
    process.stdin.write(b"go\n")


def _whole(stored: Run | None) -> bool:
    """Whether nothing of the run is missing."""
    model = finished(new_run())
    return stored is not None and (stored.status, stored.rounds, stored.analysis, stored.bill) == (
        RunStatus.DONE,
        model.rounds,
        model.analysis,
        model.bill,
    )


async def test_two_processes_start_on_an_empty_database_and_write_at_once(empty_url: str) -> None:
    processes = [await _start(empty_url, name, 20) for name in ("left", "right")]
    for process in processes:
        _go(process)
    said = [(await process.communicate())[0].decode().split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    async with SqlHistory(empty_url) as history:
        for name, ids in zip(("left", "right"), said, strict=True):
            assert sorted(ids) == sorted(f"{name}-{number}" for number in range(20))
            for run_id in ids:
                assert _whole(await history.run(run_id))


async def test_what_was_acknowledged_survives_a_kill(empty_url: str) -> None:
    process = await _start(empty_url, "killed", 100_000)
    _go(process)
    assert process.stdout
    ids = [(await process.stdout.readline()).decode().strip() for _ in range(15)]
    process.kill()
    # Lines that were on their way, without one that was cut off.
    ids += [line.decode() for line in (await process.stdout.read()).split(b"\n")[:-1]]
    assert await process.wait() == -9
    async with SqlHistory(empty_url) as history:
        for run_id in ids:
            assert _whole(await history.run(run_id))
            assert await history.charts(run_id) == CHARTS
        await history.open_run(new_run())
