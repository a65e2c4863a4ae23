"""How a run reaches whoever watches it: events are folded into a view, and shown at the surface's pace.

A surface implements :class:`Presenter`; :func:`deliver` drives it. Progress is best effort (only the latest
state is shown, never faster than the platform allows); the answer and the charts are not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from core.errors import Unavailable
from core.events import (
    Answered,
    ArbiterStarted,
    ChartsDrawn,
    MemberEnded,
    MembersAsked,
    RoundEnded,
    RunEnded,
    RunEvent,
    RunStarted,
    TextDelta,
)
from core.ports import Events, History
from core.telemetry import get_logger, of_run, traces
from core.telemetry.metrics import STAGES
from core.types import Chart, Member, Outcome, RoundKind, Run, RunStatus

log = get_logger(__name__)


PLACE_TICK = 3.0
"""Seconds between two looks at the place in the queue of a run that waits there."""

SILENCE = 30.0
"""Seconds without news of a run after which it is looked up whether it is over."""

TICK = 5.0
"""Seconds after which progress is shown anew though nothing has happened, where a surface has nothing against it: how
long members have been thinking goes on."""


@dataclass
class RunView:
    """What a watcher knows of a run so far. ``outcomes`` holds who has answered or failed in this round.

    ``asked`` says, by member id, since when by ``clock`` (monotonic, in seconds) a member of this round has been
    thinking, and ``judging_since`` since when the arbiter has: as the watcher saw it, who may have come late.
    ``ended`` is how the run ended, once it has: whoever has not answered by then will not. ``place`` is how many runs
    begin before this one, while it waits for a worker.
    """

    run_id: str = ""
    panel: tuple[Member, ...] = ()
    round: int = 1
    max_rounds: int = 1
    kind: RoundKind = "answers"
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    asked: dict[str, float] = field(default_factory=dict)
    judge: Member | None = None
    judging_since: float | None = None
    text: str = ""
    answered: Run | None = None
    ended: RunStatus | None = None
    place: int | None = None
    clock: Callable[[], float] = time.monotonic

    def apply(self, event: RunEvent) -> None:
        """Take one event into account."""
        match event:
            case RunStarted():
                self.place = None
                self.panel, self.round, self.max_rounds = event.panel, event.round, event.max_rounds
                self.kind = event.kind
                self.outcomes, self.asked, self.judge, self.text = {}, {}, None, ""
                self._begin(event.panel)
            case MembersAsked():
                self.panel += event.members
                self._begin(event.members)
            case MemberEnded():
                self.outcomes[event.outcome.member.id] = event.outcome
            case ArbiterStarted():
                self.judge, self.judging_since, self.text = event.judge, self.clock(), ""
            case TextDelta():
                self.text += event.text
            case RoundEnded():
                self.text = event.verdict.synthesis if event.verdict else ""
            case Answered():
                self.answered = event.run
            case RunEnded():
                self.ended = event.status
            case ChartsDrawn():
                pass

    @property
    def begun(self) -> bool:
        """Whether a worker has taken the run, or it is over."""
        return bool(self.asked or self.outcomes) or self.answered is not None or self.ended is not None

    @property
    def waiting(self) -> bool:
        """Whether somebody is at work whose seconds are counted."""
        return (
            self.answered is None
            and self.ended is None
            and (self.judge is not None or len(self.outcomes) < len(self.asked))
        )

    def _begin(self, members: Iterable[Member]) -> None:
        now = self.clock()
        self.asked |= {member.id: now for member in members}


class Presenter(Protocol):
    """A surface that shows one run.

    ``pace`` is the least number of seconds between two calls of progress. ``tick`` is after how many of them it is
    shown anew though nothing has happened; None: never, for surfaces that count seconds themselves or show none.
    """

    pace: float
    tick: float | None

    async def progress(self, view: RunView) -> None:
        """Show how far the run is. Errors are logged and forgotten."""
        ...

    async def answer(self, run: Run) -> None:
        """Post the final answer, once: a second call after an unknown outcome must not post it twice."""
        ...

    async def charts(self, run: Run, charts: tuple[Chart, ...], note: str | None) -> None:
        """Post the charts, or the note that says why there are none."""
        ...

    async def failed(self, run: Run, text: str) -> None:
        """The run gave no answer: tell the asker why. ``run`` has what members had answered until then."""
        ...


Place = Callable[[str], Awaitable[int | None]]
"""Tells how many runs begin before one that waits in the queue."""


class _NotOurs(Exception):
    """Another process shows the run by now."""


async def deliver(
    run: Run,
    presenter: Presenter,
    events: Events,
    history: History,
    *,
    ours: Callable[[], Awaitable[bool]] | None = None,
    place: Place | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Follow a run to its end and show it; it is marked as delivered once all of it stands.

    ``ours`` is asked before anything is shown for good: a process that stood still for long may have been taken for
    dead, and then leaves the rest to whoever shows the run now. ``place`` tells the place in the queue. ``clock`` is
    monotonic, in seconds: what is shown of how long members take is measured by it.
    """
    with suppress(_NotOurs), of_run(run.id):
        await _deliver(run, presenter, events, history, _asked_first(ours), place, clock)


def _asked_first(ours: Callable[[], Awaitable[bool]] | None) -> Callable[[], Awaitable[None]]:
    """Raises _NotOurs. While that cannot be found out, the run is as much ours as anybody's."""

    async def check() -> None:
        if ours is None:
            return
        with suppress(Unavailable):
            if not await ours():
                log.warning("another process shows this run by now")
                raise _NotOurs

    return check


async def _deliver(
    run: Run,
    presenter: Presenter,
    events: Events,
    history: History,
    check: Callable[[], Awaitable[None]],
    place: Place | None,
    clock: Callable[[], float],
) -> None:
    view = RunView(run_id=run.id, panel=run.panel, clock=clock)
    drawn = False
    pulse = asyncio.Event()
    progress = asyncio.create_task(_show_progress(view, pulse, presenter, place))
    try:
        async for event in _follow(run, events, history):
            again = isinstance(event, Answered) and view.answered is not None
            view.apply(event)
            match event:
                case Answered() if again:
                    pass  # a worker that took the run over says so once more
                case Answered():
                    await _stop(progress)
                    await check()
                    with (
                        STAGES.timed(stage="delivery"),
                        traces.span("delivery", run=run.id, platform=run.ask.where.platform),
                    ):
                        await presenter.answer(event.run)
                case ChartsDrawn() if drawn:
                    pass
                case ChartsDrawn():
                    drawn = True
                    await check()
                    charts = await history.charts(run.id) if event.kinds else ()
                    await presenter.charts(view.answered or run, charts, event.note)
                case RunEnded(status=RunStatus.FAILED | RunStatus.CANCELLED) if view.answered is None:
                    await _stop(progress)
                    await check()
                    ended = await _as_stored(run, history)
                    await presenter.failed(ended, event.error or "The run ended early, and nobody has said why.")
                case _:
                    pulse.set()
        await history.mark_delivered(run.id)
    finally:
        await _stop(progress)


async def _as_stored(run: Run, history: History) -> Run:
    """The run with what it came to; as it began, where the store is away: the asker is to hear of its end."""
    try:
        return await history.run(run.id) or run
    except Unavailable as error:
        log.warning("a run that ended could not be read", error=str(error))
        return run


async def _follow(run: Run, events: Events, history: History) -> AsyncIterator[RunEvent]:
    """The run's events. Of a run that is over they are told from history: they may have expired, or been lost."""
    stored = await _over(run.id, history) if run.status is not RunStatus.PENDING else None
    if stored is None:
        missing: set[type[RunEvent]] = {Answered, ChartsDrawn} if run.ask.charts else {Answered}
        async for news in _news(run.id, events, history):
            if isinstance(news, Run):
                stored = news
                break
            missing.discard(type(news))
            if missing and isinstance(news, RunEnded) and news.status is RunStatus.DONE:
                stored = await _over(run.id, history)
            if stored is not None:
                break
            yield news
        if stored is None:
            return
        log.warning("news of the run was lost, and found on record")
    if stored.verdict is not None and stored.status is RunStatus.DONE:
        yield Answered(run=stored, charts_follow=stored.ask.charts)
        kinds = tuple(chart.kind for chart in await history.charts(run.id))
        if kinds:
            yield ChartsDrawn(analysis=stored.analysis, kinds=kinds)
    yield RunEnded(status=stored.status, error=stored.error)


async def _news(run_id: str, events: Events, history: History) -> AsyncIterator[RunEvent | Run]:
    """Events as they come; the run as stored where none have come for long and it is over."""
    told = aiter(events.follow(run_id))

    async def following() -> RunEvent | None:
        return await anext(told, None)

    coming = asyncio.create_task(following())
    try:
        while True:
            while not (await asyncio.wait((coming,), timeout=SILENCE))[0]:
                if (stored := await _over(run_id, history)) is not None:
                    yield stored
                    return
            if (event := await coming) is None:
                return
            coming = asyncio.create_task(following())
            yield event
    finally:
        coming.cancel()


async def _over(run_id: str, history: History) -> Run | None:
    """The run as stored, where it is over."""
    with suppress(Unavailable):
        stored = await history.run(run_id)
        if stored is not None and stored.status.over:
            return stored
    return None


async def _show_progress(view: RunView, pulse: asyncio.Event, presenter: Presenter, place: Place | None) -> None:
    while True:
        look = place if not view.begun else None
        with suppress(TimeoutError):
            async with asyncio.timeout(PLACE_TICK if look else presenter.tick if view.waiting else None):
                await pulse.wait()
        pulse.clear()
        if look and not await _moved(view, look):
            continue
        try:
            await presenter.progress(view)
        except Exception as error:  # noqa: BLE001 - a surface's hiccup must not cost the answer
            log.warning("progress not shown", error=type(error).__name__, detail=str(error)[:200])
        await asyncio.sleep(presenter.pace)


async def _moved(view: RunView, place: Place) -> bool:
    """Whether there is news to show of a run that may still wait: it has begun, or its place is another."""
    if view.begun:
        return True
    before = view.place
    with suppress(Unavailable):
        found = await place(view.run_id)
        if not view.begun:
            view.place = found
    return view.begun or view.place != before


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
