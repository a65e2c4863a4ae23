"""Stop: a run ends within a second, whether it waits, is at work, or was at work in a process that is gone."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from core import governance
from core.cards import Reply
from core.commands.values import StopCommand
from core.errors import ConsortiumError, NotAllowed, NotFound, Unavailable
from core.events import RunEnded
from core.journal import Journal, cancelled
from core.present.figures import short
from core.service.inbound import Inbound
from core.service.office import Handlers, Office
from core.telemetry import get_logger
from core.types import Run, RunStatus

log = get_logger(__name__)

LOOKS = (0.1, 0.25, 0.45)
"""Seconds before each look whether whoever is at work on a run has ended it: they may be gone, and nobody know yet."""

LATEST = 50
"""How many of a person's latest runs are looked at for the one to be stopped."""


class StopDesk:
    """Ends runs."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._under_way: set[asyncio.Task[None]] = set()

    @property
    def handlers(self) -> Handlers:
        """Which command is for whom."""
        return {StopCommand: self.stop}

    async def stop(self, command: StopCommand, inbound: Inbound) -> Reply:
        """End a run of the asker's own; administrators may end any of their workspace. Raises NotFound, NotAllowed."""
        run = await (self._named(command.run, inbound) if command.run else self._latest(inbound))
        if run is None:
            return Reply(text="Nothing of yours is running here.")
        question = f"“{short(run.ask.text, 80)}” (`{run.id}`)"
        if run.status.over:
            return Reply(text=f"{question} is over already: there is nothing to stop.")
        if run.answered_at is not None:
            return Reply(text=f"{question} has its answer already; only its charts are being drawn.")
        reason = f"Stopped by {inbound.asker.name or inbound.asker.id}."
        # Should this process end before the run does, whoever gets the run ends it.
        await self._office.stops.request(run.id, reason)
        if await self._office.jobs.withdraw(run.id):
            await self._end_here(run, reason)
        else:
            await self._office.jobs.submit(run.ask)  # known, unless a stop before this one was cut off
            # The asker is answered meanwhile.
            ending = asyncio.create_task(self._see_to_it(run, reason), name=f"stop {run.id}")
            self._under_way.add(ending)
            ending.add_done_callback(self._under_way.discard)
        return Reply(text=f"Stopping {question}.")

    async def aclose(self) -> None:
        """Leave what is under way: the requests are stored, and whoever gets the runs ends them."""
        for ending in self._under_way:
            ending.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _see_to_it(self, run: Run, reason: str) -> None:
        """End the run here, unless a worker does."""
        try:
            if not await self._ends(run):
                await self._end_here(run, reason)
        except ConsortiumError as error:
            log.warning("not known whether the run has ended", run=run.id, error=str(error))

    async def _ends(self, run: Run) -> bool:
        """Whether a worker ends the run in time."""
        for pause in LOOKS:
            await asyncio.sleep(pause)
            found = await self._office.history.run(run.id)
            if found is None or found.status.over:
                return True
        return False

    async def _end_here(self, run: Run, reason: str) -> None:
        """Nobody is at work on the run, or nothing is heard of them; who goes on with it all the same finds its end."""
        office = self._office
        run = await office.history.run(run.id) or run
        if run.status.over or run.answered_at is not None:
            await office.jobs.submit(run.ask)  # it has its answer since: its worker was gone when it was to say so
            return
        ended = cancelled(run, Journal(run, office.history, office.events), reason)
        await office.governance.settle(run.id, ended.bill)
        await office.history.update_run(ended.model_copy(update={"ended_at": office.clock()}))
        with suppress(Unavailable):  # then it is found on record
            await office.events.publish(run.id, RunEnded(status=RunStatus.CANCELLED, error=ended.error))

    async def _named(self, run_id: str, inbound: Inbound) -> Run:
        """A run by its id, if that person may end it."""
        office = self._office
        policy = await office.governance.policy(inbound.where)
        admin = governance.may(policy, inbound.who, "admin")
        run = await office.history.visible(run_id, inbound.asker, inbound.where)
        if run is None and admin:
            run = await office.history.run(run_id)
            there = inbound.where
            if run and (run.ask.where.platform, run.ask.where.workspace) != (there.platform, there.workspace):
                run = None
        if run is None:
            raise NotFound(f"There is no run `{run_id[:40].replace('`', '')}` that you can see here.")
        if run.ask.asker.id != inbound.asker.id and not admin:
            raise NotAllowed("Only who asked can stop that run, or an administrator.")
        return run

    async def _latest(self, inbound: Inbound) -> Run | None:
        """The person's latest run that goes on: in this thread, else this channel, else the workspace. One whose
        answer stands already gives way to others of the same place."""
        here, history = inbound.where, self._office.history
        rows = await history.page(inbound.asker, here, LATEST, 0)
        going_on = [row for row in rows if not row.status.over]
        if not going_on:
            return None
        nearest = min(
            going_on,
            key=lambda row: (
                row.where.channel != here.channel,
                here.thread is None or row.where.thread != here.thread,
                row.answer is not None,
            ),
        )
        return await history.run(nearest.id)
