from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from core.asking import ask_all
from core.resilience import SystemClock
from core.types import Failure, FailureKind, Member, Outcome, Response
from tests.core.fakes import virtual_time

HANGS = 1e9


class Asking:
    """Members that answer after so many seconds (negative: fail after as many), and what came of asking them."""

    def __init__(self, seconds: Mapping[str, float]) -> None:
        self.seconds = seconds
        self.members = [Member(id=key, model=key) for key in seconds]
        self.asked: list[str] = []
        self.ended: list[str] = []
        self.cancelled: list[str] = []

    async def all(self, *, quorum: float = 0.66, patience: float = 2, known: Sequence[Outcome] = ()) -> str:
        """Who ended how, in the order that came back: a capital for an answer."""

        def ended(outcome: Outcome) -> None:
            self.ended.append(outcome.member.id)

        outcomes = await ask_all(
            self.members, self._ask, ended, SystemClock(), quorum=quorum, patience=patience, known=known
        )
        self.outcomes = outcomes
        return "".join(o.member.id.upper() if isinstance(o, Response) else o.member.id for o in outcomes)

    async def _ask(self, member: Member) -> Outcome:
        self.asked.append(member.id)
        takes = self.seconds[member.id]
        try:
            await asyncio.sleep(abs(takes))
        except asyncio.CancelledError:
            self.cancelled.append(member.id)
            raise
        if takes < 0:
            return Failure(member=member, kind=FailureKind.REFUSED, detail="no", seconds=-takes)
        return Response(member=member, text="Yes.", seconds=takes)


def took() -> float:
    return asyncio.get_running_loop().time() - 1000


@pytest.mark.parametrize(
    ("seconds", "result", "until"),
    [
        ({"a": 3, "b": 1, "c": 2}, "ABC", 3),
        ({"a": 4, "b": 5, "c": HANGS}, "ABc", 10),
        ({"a": 0.1, "b": 0.1, "c": 1.0}, "ABC", 1.0),
        ({"a": 0.1, "b": 0.1, "c": HANGS}, "ABc", 1.1),
        ({"a": 1, "b": 20, "c": 30}, "ABC", 30),
        ({"a": -1, "b": 2, "c": 9}, "aBC", 9),
        ({"a": -1, "b": -2, "c": 9}, "abC", 9),
        ({"a": -1, "b": -2, "c": -3}, "abc", 3),
        ({"a": 1, "b": -1.5, "c": HANGS, "d": 1}, "AbcD", 3),
        ({"a": 7}, "A", 7),
        ({}, "", 0),
    ],
)
def test_who_is_waited_for(seconds: dict[str, float], result: str, until: float) -> None:
    @virtual_time
    async def run() -> None:
        asking = Asking(seconds)
        assert await asking.all() == result
        assert took() == pytest.approx(until)
        assert sorted(asking.ended) == sorted(seconds)

    run()


@virtual_time
async def test_outcomes_are_told_as_they_come_and_returned_in_order() -> None:
    asking = Asking({"a": 3, "b": 1, "c": -2})
    assert await asking.all() == "ABc"
    assert asking.ended == ["b", "c", "a"]


@virtual_time
async def test_what_is_known_counts_and_is_not_asked_for() -> None:
    asking = Asking({"a": 5, "b": 5, "c": HANGS})
    known = [Response(member=m, text="Yes.", seconds=5) for m in asking.members[:2]]
    assert await asking.all(known=known) == "ABc"
    assert asking.asked == ["c"]
    assert asking.ended == ["c"], "of the others it was told before"
    assert took() == 10
    whole: list[Outcome] = [*known, Failure(member=asking.members[2], kind=FailureKind.TIMEOUT, detail="slow")]
    assert await asking.all(known=whole) == "ABc"
    assert took() == 10


@virtual_time
async def test_a_straggler_is_cancelled_and_gone_when_it_comes_back() -> None:
    asking = Asking({"a": 1, "b": 1, "c": HANGS})
    await asking.all()
    assert asking.cancelled == ["c"]
    assert len(asyncio.all_tasks()) == 1


@virtual_time
async def test_cancelling_ends_all_calls() -> None:
    asking = Asking({"a": 1, "b": HANGS, "c": HANGS})
    task = asyncio.create_task(asking.all(quorum=1))
    await asyncio.sleep(5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asking.cancelled == ["b", "c"]
    assert len(asyncio.all_tasks()) == 1


@virtual_time
async def test_a_call_that_breaks_ends_the_others() -> None:
    asking = Asking({"a": 1, "b": HANGS})

    async def broken(member: Member) -> Any:
        if member.id == "a":
            raise RuntimeError("ours")
        return await asking._ask(member)

    with pytest.raises(RuntimeError, match="ours"):
        await ask_all(asking.members, broken, lambda _: None, SystemClock(), quorum=1, patience=2)
    assert asking.cancelled == ["b"]
    assert len(asyncio.all_tasks()) == 1
