"""Asking several members at once, and not waiting for the one that is far behind."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Mapping, Sequence

from core.resilience import Clock
from core.types import Failure, FailureKind, Member, Outcome, Response, Usage

LEAST_PATIENCE = 1.0
"""Seconds that a straggler gets at the least once a quorum has answered."""


async def ask_all(
    members: Sequence[Member],
    ask: Callable[[Member], Coroutine[None, None, Outcome]],
    ended: Callable[[Outcome], None],
    clock: Clock,
    *,
    quorum: float,
    patience: float,
    known: Sequence[Outcome] = (),
) -> tuple[Outcome, ...]:
    """The outcome of each of ``members``, in that order; ``ended`` is told of each as it comes.

    Comes back when all have ended, or when a ``quorum`` (a share of those that have not failed) has answered and the
    rest has not within ``patience`` times the time that took. ``known`` are outcomes from before: they count, and
    are not asked for.
    """
    asking = _Asking(members, ended, clock, quorum, patience, {o.member.id: o for o in known})
    tasks = {
        asyncio.create_task(ask(member), name=f"member {member.id}"): member
        for member in members
        if member.id not in asking.outcomes
    }
    try:
        await asking.collect(set(tasks))
        for task, member in tasks.items():
            if member.id not in asking.outcomes:
                task.cancel()
                asking.leave_behind(member)
    finally:
        await _cancel(tasks)
    return tuple(asking.outcomes[member.id] for member in members)


class _Asking:
    """The state of one call of :func:`ask_all`."""

    def __init__(
        self,
        members: Sequence[Member],
        ended: Callable[[Outcome], None],
        clock: Clock,
        quorum: float,
        patience: float,
        known: dict[str, Outcome],
    ) -> None:
        self._members, self._ended, self._clock = members, ended, clock
        self._quorum, self._patience = quorum, patience
        self._started = clock.monotonic()
        self.outcomes = known

    async def collect(self, pending: set[asyncio.Task[Outcome]]) -> None:
        """Wait for outcomes until all are there or patience is at its end."""
        until: float | None = None
        while pending:
            until = until or self._patience_ends()
            timeout = None if until is None else max(0.0, until - self._clock.monotonic())
            done, pending = await asyncio.wait(pending, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                return
            for task in done:
                self._take(task.result())

    def _patience_ends(self) -> float | None:
        """The monotonic time up to which stragglers are waited for; None while there is no quorum."""
        answers = [o for o in self.outcomes.values() if isinstance(o, Response)]
        failed = len(self.outcomes) - len(answers)
        if len(answers) < max(1, math.ceil(self._quorum * (len(self._members) - failed))):
            return None
        # Answers that were paid for before count with the time that they took then.
        took = max(self._clock.monotonic() - self._started, *(answer.seconds for answer in answers))
        return self._started + took + max(LEAST_PATIENCE, took * (self._patience - 1))

    def leave_behind(self, member: Member) -> None:
        """Go on without a member."""
        waited = self._clock.monotonic() - self._started
        answered = sum(isinstance(o, Response) for o in self.outcomes.values())
        detail = f"still silent after {waited:.1f} s, when {answered} others had long answered; not waited for"
        self._take(Failure(member=member, kind=FailureKind.CANCELLED, detail=detail, seconds=waited, usage=(Usage(),)))

    def _take(self, outcome: Outcome) -> None:
        self.outcomes[outcome.member.id] = outcome
        self._ended(outcome)


async def _cancel(tasks: Mapping[asyncio.Task[Outcome], Member]) -> None:
    """End what still runs and wait until it has, so that no call outlives its run."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
