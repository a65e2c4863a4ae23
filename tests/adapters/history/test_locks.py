"""Locks across processes: one holds, others wait, and the dead let go."""

from __future__ import annotations

import asyncio

import pytest

from adapters.history import SqlHistory
from adapters.history.locks import SqlLocks
from core.errors import Unavailable
from core.installed import Locks


def locks_of(history: SqlHistory, *, lease: float = 30, patience: float = 30) -> SqlLocks:
    return SqlLocks(history.locks._access, lease=lease, patience=patience)


async def test_a_lock_is_refused_while_it_is_held_and_given_afterwards(history: SqlHistory) -> None:
    one: Locks = locks_of(history)
    two: Locks = locks_of(history)
    async with one.attempted("sweep") as ours, two.attempted("sweep") as theirs, two.attempted("other") as free:
        assert (ours, theirs, free) == (True, False, True)
    async with two.attempted("sweep") as theirs:
        assert theirs


async def test_who_waits_for_too_long_is_told(history: SqlHistory) -> None:
    one, two = locks_of(history), locks_of(history, patience=0.1)
    async with one.locked("T1"):
        for locks in (two, two):
            with pytest.raises(Unavailable, match=r"busy with the same .*T1"):
                async with locks.locked("T1"):
                    pass
    async with two.locked("T1"):
        pass


async def test_within_a_process_too_nobody_waits_for_ever(history: SqlHistory) -> None:
    locks = locks_of(history, patience=0.05)
    async with locks.locked("T1"):
        with pytest.raises(Unavailable):
            async with locks.locked("T1"):
                pass


async def test_an_error_inside_comes_out_as_it_is_and_frees_the_lock(history: SqlHistory) -> None:
    one, two = locks_of(history), locks_of(history, patience=1)
    with pytest.raises(TimeoutError, match="mine"):
        async with one.locked("T1"):
            raise TimeoutError("mine")
    async with two.locked("T1"):
        pass


async def test_a_holder_that_died_loses_its_lock_and_one_that_lives_does_not(history: SqlHistory) -> None:
    dead, alive, next_one = locks_of(history, lease=0.15), locks_of(history, lease=0.15), locks_of(history)
    assert await dead._take("dead", "nobody who would renew it")
    async with alive.attempted("alive") as ours:
        assert ours
        async with next_one.locked("dead"):  # comes free when the lease is over
            pass
        async with asyncio.timeout(5):
            for _ in range(3):
                await asyncio.sleep(0.1)
                async with next_one.attempted("alive") as stolen:
                    assert not stolen


async def test_a_cancelled_taker_leaves_nothing_behind(history: SqlHistory) -> None:
    one, two = locks_of(history), locks_of(history, patience=1)

    async def hold() -> None:
        async with one.locked("T1"):
            await asyncio.sleep(60)

    for turns in range(4):  # cancelled at different points of the taking
        task = asyncio.create_task(hold())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with two.locked("T1"):
            pass
