"""What a worker does with an ask: run it until it is answered or stopped, record and announce it, then charts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from core.asks import Ask, Turn
from core.attachments import Material
from core.earlier import earlier_files
from core.engine import Engine, usages
from core.errors import ConsortiumError, Unavailable, user_text
from core.events import Answered, ChartsDrawn, RunEnded, RunEvent
from core.journal import Journal, cancelled
from core.telemetry import bind_run, get_logger, texts, traces
from core.telemetry.metrics import RUNS, STAGES
from core.types import Bill, Run, RunStatus
from core.votes.trust import Experience

if TYPE_CHECKING:
    from core.service.office import Office

log = get_logger(__name__)

TURN_PAUSE = 1.0
"""Seconds between two looks whether another process still works on a run."""

LONGEST_THREAD = 200
"""How many earlier runs of a thread are looked at; what fits the budget of tokens is far less."""


class Runner:
    """Carries asks from the queue to their end, from what is stored of them. Holds no state of any run."""

    def __init__(self, engine: Engine, office: Office) -> None:
        self._engine, self._office = engine, office
        self._history, self._events = office.history, office.events

    async def run(self, ask: Ask) -> None:
        """Run an ask, or go on with what another worker left of it; of one that has ended only the end is told."""
        bind_run(ask.id)
        async with self._alone(ask.id):
            with traces.span("run", run=ask.id, platform=ask.where.platform):
                await self._run(ask)

    @asynccontextmanager
    async def _alone(self, run_id: str) -> AsyncIterator[None]:
        """Wait until no other process works on the run: one that was taken for dead may go on, and a queue that has
        lost its data is given runs once more. Without Redis there is nobody to ask."""
        claims, name = self._office.claims, f"work:{run_id}"
        try:
            while not await claims.take(name):  # noqa: ASYNC110 - it is another process that is waited for
                await asyncio.sleep(TURN_PAUSE)
        except Unavailable as error:
            log.warning("not known whether others work on the run", error=str(error))
        try:
            yield
        finally:
            with suppress(Unavailable):
                await claims.drop(name)

    async def _run(self, ask: Ask) -> None:
        run = await self._stored(ask.id)
        if run is None:
            await self._gone(ask.id)
        elif not run.status.over:
            journal = Journal(run, self._history, self._events)
            self._begun(run)
            try:
                await self._carry(run.model_copy(update={"status": RunStatus.RUNNING}), journal)
            except asyncio.CancelledError:
                raise  # handed over: another worker goes on with what is stored
            except Exception as error:
                log.exception("run broke")
                await self._break(run, journal, user_text(error, ask.id))
        else:  # whoever worked on it may have died before it could say so
            await self._announce(run.id, RunEnded(status=run.status, error=run.error))

    async def _stored(self, run_id: str) -> Run | None:
        """The run, as soon as the database is there: what waits in the queue is not to fail one after the other."""
        told = False
        while True:
            try:
                return await self._history.run(run_id)
            except Unavailable as error:
                if not told:
                    log.warning("the run waits for the database", error=str(error))
                told = True
            await asyncio.sleep(TURN_PAUSE)

    async def _announce(self, run_id: str, event: RunEvent) -> None:
        """Tell who watches. While Redis is away nobody can be told: they find what became of it on record."""
        try:
            await self._events.publish(run_id, event)
        except Unavailable as error:
            log.warning("not announced", what=event.type, error=str(error))

    def _begun(self, run: Run) -> None:
        """Tell operators that the run's turn has come."""
        log.info("run begun", strategy=self._strategy(run), status=run.status, **texts(question=run.ask.text))
        if run.status is RunStatus.PENDING and not run.rounds:  # one that is taken over has waited already
            now = self._office.clock()
            STAGES.observe((now - run.created_at).total_seconds(), stage="queue")
            traces.past("queue", run.id, run.created_at, now)

    def _over(self, run: Run, ended_at: datetime) -> None:
        """Tell operators that the run is over."""
        log.info("run ended", status=run.status, seconds=run.seconds)
        about = {"status": run.status.value, "platform": run.ask.where.platform.value, "strategy": self._strategy(run)}
        RUNS.add(**about)
        STAGES.observe((ended_at - run.created_at).total_seconds(), stage="run")
        traces.whole("ask", run.id, run.created_at, ended_at, **about)

    def _strategy(self, run: Run) -> str:
        setup = run.ask.setup or self._office.catalog.consortia.get(run.consortium)
        return setup.strategy if setup else "unknown"

    async def _gone(self, run_id: str) -> None:
        """The run was deleted while it waited: nobody is asked, and nothing was used."""
        await self._settle(run_id, Bill())
        await self._announce(run_id, RunEnded(status=RunStatus.CANCELLED, error="It was deleted before it began."))

    async def _carry(self, run: Run, journal: Journal) -> None:
        stopped: str | None = None
        async with journal:
            if run.answered_at is None:
                found = await self._until_stopped(run.id, self._decide(run, journal))
                run, stopped = (found, None) if isinstance(found, Run) else (run, found)
                if stopped is None and journal.lost:
                    run = run.model_copy(update={"bill": Bill.of([*usages(run.rounds), *journal.lost])})
            if run.status is RunStatus.FAILED:
                log.warning("nobody answered")
            elif stopped is None:
                journal.emit(Answered(run=run, charts_follow=run.ask.charts))
        if stopped is not None:
            run = cancelled(run, journal, stopped)
        elif run.answered_at is not None:
            if run.ask.charts:
                with STAGES.timed(stage="study"), traces.span("study"):
                    await self._analyse(run)
            run = run.model_copy(update={"status": RunStatus.DONE})
        await self._end(run)

    async def _decide(self, run: Run, journal: Journal) -> Run:
        """The run with its answer, or failed."""
        turns, experience, materials = await asyncio.gather(
            self._conversation(run), self._experience(run), self._materials(run)
        )
        earlier = await earlier_files(self._history, run.ask, run.created_at, materials)
        run = run.model_copy(update={"notes": (*run.notes, *earlier.notes)})
        return await self._engine.run(run, turns, journal.emit, experience, (*materials, *earlier.materials))

    async def _until_stopped(self, run_id: str, work: Coroutine[Any, Any, Run]) -> Run | str:
        """What the work comes to; or, if the run is to stop before, the reason, once all of the work has ended."""
        working = asyncio.create_task(work, name=f"run {run_id}")
        stopping = asyncio.create_task(self._office.stops.requested(run_id), name=f"stop {run_id}")
        try:
            await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
            if stopping.done() and not working.done():
                if error := stopping.exception():
                    log.warning("the run cannot be stopped", error=str(error))
                    return await working
                working.cancel()
                await asyncio.wait((working,))
                if working.cancelled() or working.exception():
                    return stopping.result()
            return await working
        finally:
            working.cancel()
            stopping.cancel()
            await asyncio.gather(working, stopping, return_exceptions=True)

    async def _experience(self, run: Run) -> Experience:
        """What earlier runs have taught; a run can do without."""
        try:
            return await self._office.lessons.experience(run.consortium)
        except Unavailable as error:
            log.warning("asked without experience", error=str(error))
            return Experience()

    async def _conversation(self, run: Run) -> list[Turn]:
        """The thread before this run, oldest first."""
        where = run.ask.where
        return [] if where.thread is None else await self._history.conversation(where, run.created_at, LONGEST_THREAD)

    async def _materials(self, run: Run) -> tuple[Material, ...]:
        """What came with the question."""
        return await self._history.materials(run.id) if run.ask.attachments else ()

    async def _analyse(self, run: Run) -> None:
        """Analysis and charts. They are an extra: without them the answer stands all the same."""
        answers = run.answers
        try:
            study = await self._office.analyst.study(answers, run.panel, charts=True)
            await self._history.record_study(run.id, study)
        except ConsortiumError as error:
            log.warning("no analysis", error=str(error))
            drawn = ChartsDrawn(analysis=None, kinds=(), note=f"No charts: {error}")
        except Exception as error:
            log.exception("analysis broke")
            drawn = ChartsDrawn(analysis=None, kinds=(), note=f"No charts: {user_text(error, run.id)}")
        else:
            alone = answers[0].member.label if len(answers) == 1 else None
            only = f"{alone} alone was asked" if run.ask.addressed else f"Only {alone} answered"
            note = f"{only}: there is nothing to compare." if alone else None
            kinds = tuple(chart.kind for chart in study.charts)
            drawn = ChartsDrawn(analysis=study.analysis, kinds=kinds, note=note)
        await self._announce(run.id, drawn)

    async def _end(self, run: Run) -> None:
        ended_at = self._office.clock()
        ended = run.model_copy(update={"ended_at": ended_at})
        await self._settle(ended.id, ended.bill)
        await self._history.update_run(ended)
        await self._announce(run.id, RunEnded(status=ended.status, error=ended.error))
        self._over(ended, ended_at)

    async def _settle(self, run_id: str, bill: Bill) -> None:
        try:
            await self._office.governance.settle(run_id, bill)
        except Unavailable as error:
            log.warning("the run's estimate stays on the budget", error=str(error))

    async def _break(self, begun: Run, journal: Journal, text: str) -> None:
        """The run broke on our side: say so, if even that can still be said. An answer that stands already stays."""
        try:
            run = await self._history.run(begun.id) or begun
            if run.answered_at is None:
                broken = {"status": RunStatus.FAILED, "error": text, "bill": journal.bill}
                await self._end(run.model_copy(update=broken))
                return
            await self._announce(run.id, Answered(run=run, charts_follow=False))  # it may have been held up
            await self._end(run.model_copy(update={"status": RunStatus.DONE}))
        except ConsortiumError as error:
            log.error("the end of the run was not recorded", error=str(error))
            await self._announce(begun.id, RunEnded(status=RunStatus.FAILED, error=text))
