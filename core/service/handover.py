"""What processes leave to each other: events that were not dealt with, and runs whose answers do not stand yet.

A run of a chat platform is shown by the process that took its question in. That is a claim: when the process is gone,
the next one that looks has it, and goes on with what stands in the thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Protocol

from core.asks import Platform
from core.delivery import Presenter, deliver
from core.errors import Unavailable
from core.service.office import Office
from core.stores import Kept
from core.telemetry import get_logger
from core.types import Run

log = get_logger(__name__)

UNDELIVERED = timedelta(hours=1)
"""How long ago a run may have ended whose answer is still posted by another process."""

PAUSE = 1.0
"""Seconds between two attempts to queue a run."""

ADOPTING = frozenset({Platform.SLACK, Platform.DISCORD})
"""Platforms whose runs are shown by another process when theirs is gone."""


def showing(run_id: str) -> str:
    """The claim on showing a run."""
    return f"show:{run_id}"


class Attempt(Protocol):
    """What an event calls for, done once."""

    async def __call__(self, *, replayed: bool, last: bool) -> None:
        """Do it; ``replayed``, it may have been done in part; ``last``, it is not tried again. Raises Unavailable when
        that might help."""
        ...


class Handover:
    """One per process; holds no state of any run."""

    def __init__(self, office: Office) -> None:
        self._office = office

    # --- events -------------------------------------------------------------------------------------

    async def keep(self, event: Kept) -> bool:
        """Store an event before it is acknowledged. False: it is here already. Raises Unavailable."""
        return await self._office.inbox.keep(event)

    async def done(self, event: Kept) -> None:
        """An event has been dealt with. While Redis is away it is not: another process may deal with it once more."""
        try:
            await self._office.inbox.done(event)
        except Unavailable as error:
            log.warning("event not marked as dealt with", kind=event.kind, error=str(error))

    async def see_through(
        self,
        event: Kept,
        attempt: Attempt,
        pauses: Sequence[float],
        *,
        replayed: bool = False,
        put_off: Callable[[], None] = lambda: None,
    ) -> None:
        """Carry out an event that was kept; after each of ``pauses`` (seconds) again while something that is needed is
        away, and ``put_off`` is called before each. Then it has been dealt with, whatever came of it."""
        for pause in (*pauses, None):
            try:
                await attempt(replayed=replayed, last=pause is None)
                break
            except Unavailable as error:
                if pause is None:
                    log.error("event given up", kind=event.kind, event_id=event.id, error=str(error))
                    break
                log.warning("event put off", kind=event.kind, event_id=event.id, error=str(error))
            except Exception:
                log.exception("event not carried out", kind=event.kind, event_id=event.id)
                break
            replayed = True
            put_off()
            await asyncio.sleep(pause)
        await self.done(event)

    async def orphans(self, platform: Platform) -> list[Kept]:
        """Events that processes left behind; they are ours now. None while Redis is away."""
        try:
            return await self._office.inbox.orphans(platform)
        except Unavailable as error:
            log.warning("events left behind not looked for", platform=platform, error=str(error))
            return []

    # --- runs ---------------------------------------------------------------------------------------

    async def deliver(self, run: Run, presenter: Presenter) -> None:
        """Show a run to its end, unless another process does by then; see :func:`core.delivery.deliver`.

        Whoever shows it sees to it that it is queued: who began it may not have come to that.
        """
        office, name = self._office, showing(run.id)
        claimed = run.ask.where.platform in ADOPTING
        ours = partial(office.claims.holds, name) if claimed else None
        queueing = asyncio.create_task(self._queue(run), name=f"queue {run.id}")
        try:
            await deliver(run, presenter, office.events, office.history, ours=ours, place=office.jobs.place)
        finally:
            queueing.cancel()
            await asyncio.wait([queueing])
        if claimed:
            with suppress(Unavailable):
                await office.claims.drop(name)

    async def _queue(self, run: Run) -> None:
        """Have the run queued, as soon as Redis is there; nothing changes where it is known."""
        while not run.status.over:
            try:
                await self._office.jobs.submit(run.ask)
                return
            except Unavailable as error:
                log.warning("run not queued yet", run=run.id, error=str(error))
            await asyncio.sleep(PAUSE)

    async def adopt(self, platform: Platform, shown: Collection[str]) -> list[Run]:
        """What goes on there or has ended within the last hour, has not been delivered, and is shown by no process:
        this one has to. Oldest first, without those that this one shows, as ``shown`` says. None while a store is away.

        They are queued once more, should that not have been reached or the queue have lost them.
        """
        office = self._office
        adopted = []
        try:
            known = await office.history.undelivered(platform, office.clock() - UNDELIVERED)
            others = [run_id for run_id in known if run_id not in shown]
            ours = await office.claims.take_all([showing(run_id) for run_id in others])
            for run_id in (run_id for run_id in others if showing(run_id) in ours):
                run = await office.history.run(run_id)
                if run is not None:
                    if not run.status.over:
                        await office.jobs.submit(run.ask)
                    adopted.append(run)
        except Unavailable as error:
            log.warning("runs left behind not looked for", platform=platform, error=str(error))
        return adopted

    async def requeue(self) -> None:
        """Redis has lost its data: whatever is not over is queued once more, and what a worker has at work is not
        changed by that. What was asked on the command line has a queue of its own. Raises Unavailable."""
        office = self._office
        for platform in set(Platform) - {Platform.CLI}:
            for run_id in await office.history.undelivered(platform, office.clock() - UNDELIVERED):
                run = await office.history.run(run_id)
                if run is not None and not run.status.over:
                    await office.jobs.submit(run.ask)
