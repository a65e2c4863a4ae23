"""A run's events in order: what must last is stored before it is announced, off the run's critical path."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from core.engine import usages
from core.errors import Unavailable
from core.events import (
    Answered,
    ArbiterStarted,
    MemberEnded,
    MembersAsked,
    RoundEnded,
    RunEvent,
    RunStarted,
    TextDelta,
)
from core.ports import Events, History
from core.telemetry import get_logger
from core.types import Bill, Member, Outcome, Round, Run, RunStatus, Usage

log = get_logger(__name__)

DELTA_PAUSE = 0.05
"""Seconds for which text deltas are gathered before they are announced together."""


class Journal:
    """Records and announces one run's events, in order. Use as an async context manager.

    ``lost`` has what is not known of the calls that a worker which is gone had under way.

    Leaving the context waits until everything is stored and sent; an error of the store is raised there. What cannot be
    announced is tried again with what comes next, and once more at the end: a run can do without being watched.
    """

    def __init__(self, run: Run, history: History, events: Events) -> None:
        self._run, self._history, self._events = run, history, events
        self._queue: asyncio.Queue[RunEvent | None] = asyncio.Queue()
        self._rounds = {r.number: r for r in run.rounds}
        self._outcomes = {(r.number, o.member.id): o for r in run.rounds for o in r.outcomes}
        self._asked: dict[tuple[int, str], Member] = {}
        self._ended: set[tuple[int, str]] = set()
        self._judging = 0
        self._untold: list[RunEvent] = []
        self.lost = _lost(run)

    def emit(self, event: RunEvent) -> None:
        """Take an event; returns at once."""
        match event:
            case RunStarted():
                self._rounds.setdefault(event.round, Round(number=event.round, outcomes=(), kind=event.kind))
                self._asked |= {(event.round, member.id): member for member in event.panel}
            case MembersAsked():
                self._asked |= {(event.round, member.id): member for member in event.members}
            case MemberEnded():
                key = (event.round, event.outcome.member.id)
                self._outcomes[key] = event.outcome
                self._ended.add(key)
            case ArbiterStarted():
                self._judging += 1
            case RoundEnded():
                self._rounds[event.round] = Round(
                    number=event.round, outcomes=(), verdict=event.verdict, kind=event.kind
                )
                self._judging = 0
        self._queue.put_nowait(event)

    @property
    def panel(self) -> tuple[Member, ...]:
        """The panel, with the roles that members were asked in."""
        asked = {member.id: member for member in self._asked.values()}
        return tuple(asked.get(member.id, member) for member in self._run.panel)

    @property
    def rounds(self) -> tuple[Round, ...]:
        """All that has come so far."""
        return tuple(
            known.model_copy(update={"outcomes": self._outcomes_of(number)}) for number, known in self._rounds.items()
        )

    @property
    def bill(self) -> Bill:
        """What is known to have been used so far, and what is not: calls of which nothing has come yet, of members
        that have not ended and of arbiters at work, and those that were lost."""
        under_way = len(self._asked.keys() - self._ended) + self._judging
        return Bill.of([*usages(self.rounds), *[Usage()] * under_way, *self.lost])

    def _outcomes_of(self, number: int) -> tuple[Outcome, ...]:
        ended = (self._outcomes.get((number, member.id)) for member in self._run.panel)
        return tuple(filter(None, ended))

    async def __aenter__(self) -> Journal:
        """Begin."""
        self._pump = asyncio.create_task(self._work(), name=f"journal {self._run.id}")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Finish what was taken; when the run was cancelled or broke, drop what is left."""
        if kind is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
            return
        self._queue.put_nowait(None)
        await self._pump

    async def _work(self) -> None:
        ended, telling = False, asyncio.create_task(self._tell())
        try:
            while not ended:
                batch = await self._batch()
                ended = None in batch
                events = [event for event in batch if event is not None]
                await asyncio.gather(*(self._record(event) for event in events if isinstance(event, MemberEnded)))
                for event in events:  # in their order: a round may be told twice, its verdict the second time
                    if not isinstance(event, MemberEnded):
                        await self._record(event)
                self._untold += events
                if telling.done():  # what is to be stored does not wait for Redis
                    telling.result()
                    telling = asyncio.create_task(self._tell())
            await telling
            await self._tell()
        finally:
            telling.cancel()

    async def _batch(self) -> list[RunEvent | None]:
        batch = [await self._queue.get()]
        with suppress(TimeoutError):  # text alone can wait for more of it, anything else goes out at once
            async with asyncio.timeout(DELTA_PAUSE):
                while isinstance(batch[-1], TextDelta):
                    batch.append(await self._queue.get())
        while not self._queue.empty():
            batch.append(self._queue.get_nowait())
        return batch

    async def _tell(self) -> None:
        """Announce what is stored."""
        while self._untold:
            events, self._untold = _joined(self._untold), []
            try:
                await self._events.publish(self._run.id, *events)
            except Unavailable as error:
                log.warning("what happened is not announced yet", error=str(error))
                self._untold = [*events, *self._untold]
                return

    async def _record(self, event: RunEvent) -> None:
        match event:
            case RunStarted() if self._run.status is RunStatus.PENDING:
                self._run = self._run.model_copy(update={"status": RunStatus.RUNNING})
                await self._history.update_run(self._run)
            case MemberEnded():
                await self._history.record_outcome(self._run.id, event.round, event.outcome)
            case RoundEnded():
                outcomes = self._outcomes_of(event.round)
                decided = Round(number=event.round, outcomes=outcomes, verdict=event.verdict, kind=event.kind)
                await self._history.record_round(self._run.id, decided)
            case Answered():
                await self._history.update_run(event.run)


def cancelled(run: Run, journal: Journal, reason: str) -> Run:
    """The run as it was when it was stopped, with what had come by then."""
    rounds = journal.rounds
    answered = {response.member.id for r in rounds if r.kind == "answers" for response in r.responses}
    came = f"{len(answered)} of {len(run.panel)} had answered."
    return run.model_copy(
        update={
            "status": RunStatus.CANCELLED,
            "panel": journal.panel,
            "rounds": rounds,
            "bill": journal.bill,
            "error": f"{reason} {'Nobody had been asked yet.' if run.status is RunStatus.PENDING else came}",
        }
    )


def _joined(events: Sequence[RunEvent]) -> list[RunEvent]:
    """Neighbouring text deltas made one."""
    out: list[RunEvent] = []
    for event in events:
        if isinstance(event, TextDelta) and out and isinstance(out[-1], TextDelta):
            out[-1] = TextDelta(text=out[-1].text + event.text)
        else:
            out.append(event)
    return out


def _lost(run: Run) -> tuple[Usage, ...]:
    """Of a run that was taken over in mid-round: the calls whose outcome nobody will learn of, though they may have to
    be paid for."""
    if run.status is not RunStatus.RUNNING or run.answered_at is not None:
        return ()
    last = run.rounds[-1] if run.rounds else None
    if last is not None and last.verdict is not None:
        return ()  # between two rounds
    unheard = len(run.panel) - (len(last.outcomes) if last else 0)
    return (Usage(),) * max(1, unheard)  # all have ended: then the arbiter was at work
