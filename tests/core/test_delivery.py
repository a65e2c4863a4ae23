from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from adapters.history import SqlHistory
from adapters.state.state import State
from core import delivery
from core.asks import Platform
from core.delivery import RunView, deliver
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
from core.present.progress import progress_card
from core.types import Analysis, Chart, Member, Response, Round, Run, RunStatus, Study, Verdict, VerdictSource
from tests.core.fakes import START, catalog, make_run, virtual_time

JUDGE = Member(id="j", model="j")
CHART = Chart(kind="heatmap", png=b"png", alt="a and b 0.50", width=1, height=1)


@dataclass
class Screen:
    """A presenter that notes what it was told to show."""

    pace: float = 0.0
    tick: float | None = None
    shown: list[str] = field(default_factory=list)
    broken: bool = False
    charts_shown: tuple[Chart, ...] = ()
    ended: Run | None = None
    calls: list[float] = field(default_factory=list)
    more: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, many: int) -> None:
        """Wait until progress was shown so many times."""
        while len(self.calls) < many:
            self.more.clear()
            await self.more.wait()

    async def progress(self, view: RunView) -> None:
        self.calls.append(asyncio.get_running_loop().time())
        self.more.set()
        self.shown.append(f"progress {view.text}")
        if self.broken:
            raise RuntimeError("the platform hiccups")

    async def answer(self, run: Run) -> None:
        self.shown.append("answer")

    async def charts(self, run: Run, charts: tuple[Chart, ...], note: str | None) -> None:
        self.charts_shown = charts
        self.shown.append(f"charts {note}" if note else "charts")

    async def failed(self, run: Run, text: str) -> None:
        self.ended = run
        self.shown.append(f"failed {text}")

    @property
    def final(self) -> list[str]:
        return [line for line in self.shown if not line.startswith("progress")]


def pending() -> Run:
    return make_run(catalog())


def answered() -> Run:
    run = pending()
    outcomes = tuple(Response(member=m, text="Yes.", seconds=1) for m in run.panel)
    verdict = Verdict(source=VerdictSource.ARBITER, judge=JUDGE, synthesis="Yes.", confidence=0.9)
    rounds = (Round(number=1, outcomes=outcomes, verdict=verdict),)
    return run.model_copy(update={"rounds": rounds, "status": RunStatus.RUNNING, "answered_at": START})


@pytest.fixture
async def stored(history: SqlHistory) -> Run:
    """A run in history, its answer not yet delivered."""
    run = answered()
    await history.open_run(pending())
    for outcome in run.rounds[0].outcomes:
        await history.record_outcome(run.id, 1, outcome)
    await history.record_round(run.id, run.rounds[0])
    await history.update_run(run)
    return run


async def undelivered(history: SqlHistory) -> int:
    return len(await history.undelivered(Platform.WEB, START))


async def test_a_run_is_shown_from_its_first_event_to_its_last(state: State, history: SqlHistory, stored: Run) -> None:
    screen = Screen()
    analysis = Analysis(members=stored.panel, similarity=None, mean_similarity=None, central=0, embedder="none")
    await history.record_study(stored.id, Study(analysis=analysis, charts=(CHART,)))
    watching = asyncio.create_task(deliver(pending(), screen, state.events, history))
    await state.events.publish(stored.id, RunStarted(round=1, max_rounds=1, panel=stored.panel))
    await state.events.publish(stored.id, TextDelta(text="Ye"), TextDelta(text="s."))
    await state.events.publish(stored.id, Answered(run=stored, charts_follow=True))
    await state.events.publish(
        stored.id, ChartsDrawn(analysis=analysis, kinds=("heatmap",)), RunEnded(status=RunStatus.DONE)
    )
    async with asyncio.timeout(10):
        await watching
    assert screen.final == ["answer", "charts"]
    assert screen.charts_shown == (CHART,)
    assert await undelivered(history) == 0


async def test_a_takeover_shows_answer_and_charts_once(state: State, history: SqlHistory, stored: Run) -> None:
    screen = Screen()
    drawn = ChartsDrawn(analysis=None, kinds=(), note="No charts.")
    said: list[RunEvent] = [Answered(run=stored, charts_follow=True), drawn]
    await state.events.publish(stored.id, *said, *said, RunEnded(status=RunStatus.DONE))
    await deliver(pending(), screen, state.events, history)
    assert screen.final == ["answer", "charts No charts."]


async def test_a_failed_run_tells_why_and_counts_as_delivered(state: State, history: SqlHistory, stored: Run) -> None:
    screen = Screen()
    await state.events.publish(stored.id, RunEnded(status=RunStatus.FAILED, error="None of the 3 members answered."))
    await deliver(pending(), screen, state.events, history)
    assert screen.final == ["failed None of the 3 members answered."]
    assert await undelivered(history) == 0


async def test_a_run_that_was_stopped_is_shown_with_the_answers_it_got(
    state: State, history: SqlHistory, stored: Run
) -> None:
    screen = Screen()
    first, *_ = stored.rounds[0].outcomes
    other = pending().model_copy(update={"id": "r2"})
    await history.open_run(other)
    await history.record_outcome("r2", 1, first)
    cancelled = {"status": RunStatus.CANCELLED, "error": "Stopped by Ana."}
    await history.update_run(other.model_copy(update=cancelled))
    await state.events.publish("r2", RunEnded(status=RunStatus.CANCELLED, error="Stopped by Ana."))
    async with asyncio.timeout(10):
        await deliver(other, screen, state.events, history)
    assert screen.final == ["failed Stopped by Ana."]
    assert screen.ended
    assert screen.ended.status is RunStatus.CANCELLED
    assert [o.member.id for r in screen.ended.rounds for o in r.outcomes] == [first.member.id]


class Scripted:
    """Events that come when the loop's clock says so, and the history of a run that is only marked."""

    def __init__(self, *script: tuple[float, RunEvent]) -> None:
        self.script, self.delivered = script, 0

    async def follow(self, run_id: str) -> AsyncIterator[RunEvent]:
        for at, event in self.script:
            await asyncio.sleep(1000 + at - asyncio.get_running_loop().time())
            yield event

    async def mark_delivered(self, run_id: str) -> None:
        self.delivered += 1

    async def run(self, run_id: str) -> Run:
        return pending()


async def shown_at(screen: Screen, *script: tuple[float, RunEvent]) -> list[float]:
    """When progress was shown, in seconds from the start."""
    told = Scripted(*script, (100, Answered(run=answered(), charts_follow=False)))
    await deliver(pending(), screen, cast(Any, told), cast(Any, told), clock=asyncio.get_running_loop().time)
    assert told.delivered == 1
    assert screen.final == ["answer"]
    return [at - 1000 for at in screen.calls]


@virtual_time
async def test_seconds_go_on_while_members_think() -> None:
    asked = RunStarted(round=1, max_rounds=1, panel=pending().panel)
    assert await shown_at(Screen(pace=1, tick=5), (0, asked)) == [float(at) for at in range(0, 100, 6)]


@virtual_time
async def test_a_surface_that_ticks_by_itself_is_told_what_happens_alone() -> None:
    asked = RunStarted(round=1, max_rounds=1, panel=pending().panel)
    ended = MemberEnded(round=1, outcome=answered().rounds[0].outcomes[0])
    assert await shown_at(Screen(pace=1, tick=None), (0, asked), (0.5, ended), (40, ended)) == [0, 1, 40]


@virtual_time
async def test_nothing_is_shown_anew_while_nobody_is_waited_for() -> None:
    run = answered()
    asked = RunStarted(round=1, max_rounds=1, panel=run.panel)
    ended = [(0.0, MemberEnded(round=1, outcome=outcome)) for outcome in run.rounds[0].outcomes]
    assert await shown_at(Screen(pace=1, tick=5), (0, asked), *ended) == [0, 1]


async def test_progress_that_cannot_be_shown_costs_nothing_else(state: State, history: SqlHistory, stored: Run) -> None:
    screen = Screen(broken=True)
    watching = asyncio.create_task(deliver(pending(), screen, state.events, history))
    await state.events.publish(stored.id, RunStarted(round=1, max_rounds=1, panel=stored.panel))
    async with asyncio.timeout(10):
        await screen.until(1)
        await state.events.publish(
            stored.id, Answered(run=stored, charts_follow=False), RunEnded(status=RunStatus.DONE)
        )
        await watching
    assert screen.final == ["answer"]


async def test_an_answer_that_could_not_be_posted_is_not_marked_as_delivered(
    state: State, history: SqlHistory, stored: Run
) -> None:
    class Down(Screen):
        async def answer(self, run: Run) -> None:
            raise ConnectionError

    await state.events.publish(stored.id, Answered(run=stored, charts_follow=False), RunEnded(status=RunStatus.DONE))
    with pytest.raises(ConnectionError):
        await deliver(pending(), Down(), state.events, history)
    assert await undelivered(history) == 1


async def test_a_run_that_ended_long_ago_is_told_from_history(state: State, history: SqlHistory, stored: Run) -> None:
    screen = Screen()
    await history.update_run(stored.model_copy(update={"status": RunStatus.DONE}))
    async with asyncio.timeout(10):
        await deliver(stored, screen, state.events, history)
    assert screen.final == ["answer"]


async def test_watching_ends_at_once_when_it_is_cancelled(state: State, history: SqlHistory, stored: Run) -> None:
    screen = Screen(pace=1000)
    watching = asyncio.create_task(deliver(pending(), screen, state.events, history))
    await state.events.publish(stored.id, RunStarted(round=1, max_rounds=1, panel=stored.panel))
    async with asyncio.timeout(10):
        await screen.until(1)
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching
    assert screen.final == []


def test_a_view_is_what_the_events_tell() -> None:
    run, view = answered(), RunView()
    outcome = run.rounds[0].outcomes[0]
    view.apply(RunStarted(round=1, max_rounds=3, panel=run.panel))
    view.apply(MemberEnded(round=1, outcome=outcome))
    view.apply(ArbiterStarted(round=1, judge=JUDGE))
    view.apply(TextDelta(text="half"))
    view.apply(ArbiterStarted(round=1, judge=JUDGE))
    assert view.text == "", "what an attempt that failed had written is void"
    view.apply(TextDelta(text="Candidate A "))
    view.apply(TextDelta(text="is right."))
    assert (view.text, view.outcomes, view.judge) == ("Candidate A is right.", {outcome.member.id: outcome}, JUDGE)
    assert run.verdict
    view.apply(RoundEnded(round=1, verdict=run.verdict))
    assert view.text == "Yes."
    view.apply(RunStarted(round=2, max_rounds=3, panel=run.panel))
    assert (view.round, view.text, view.outcomes, view.judge) == (2, "", {}, None)


def test_a_view_knows_waves_and_reviews() -> None:
    run, view = answered(), RunView()
    view.apply(RunStarted(round=1, max_rounds=2, panel=run.panel[:1]))
    view.apply(MembersAsked(round=1, members=run.panel[1:]))
    assert view.panel == run.panel
    view.apply(RoundEnded(round=1, verdict=None))
    assert view.text == ""
    view.apply(RunStarted(round=2, max_rounds=2, panel=run.panel, kind="reviews"))
    assert view.kind == "reviews"
    assert progress_card(view, 0.0).status == "3 members rank each other's answers · 0 done · round 2 of at most 2"


# --- several processes ----------------------------------------------------------------------------------


async def test_what_another_process_shows_by_now_is_left_to_it(state: State, history: SqlHistory, stored: Run) -> None:
    screen, held = Screen(), iter([True, False])

    async def ours() -> bool:
        return next(held)

    watching = asyncio.create_task(deliver(pending(), screen, state.events, history, ours=ours))
    await state.events.publish(stored.id, Answered(run=stored, charts_follow=True))
    await state.events.publish(stored.id, ChartsDrawn(analysis=None, kinds=()), RunEnded(status=RunStatus.DONE))
    await watching
    assert screen.final == ["answer"], "it was paused for long after that"
    assert await undelivered(history) == 1


async def test_an_answer_is_shown_where_nobody_can_say_whose_it_is(
    state: State, history: SqlHistory, stored: Run
) -> None:
    async def ours() -> bool:
        raise Unavailable("Redis does not answer.")

    screen = Screen()
    await state.events.publish(stored.id, Answered(run=stored, charts_follow=False), RunEnded(status=RunStatus.DONE))
    await deliver(pending(), screen, state.events, history, ours=ours)
    assert screen.final == ["answer"]


@virtual_time
async def test_a_run_that_waits_shows_its_place_as_it_moves_up() -> None:
    """Told again when it has changed, and never once somebody works on it."""
    run, told = pending(), asyncio.Queue[RunEvent]()
    places = iter([12, 12, 1, None])
    heads: list[str] = []

    class Watching(Screen):
        async def progress(self, view: RunView) -> None:
            card = progress_card(view, view.clock())
            heads.append(f"{asyncio.get_running_loop().time():.0f} {card.status}")
            await super().progress(view)

    class Told:
        async def follow(self, run_id: str) -> AsyncIterator[RunEvent]:
            event = None
            while not isinstance(event, RunEnded):
                event = await told.get()
                yield event

        async def mark_delivered(self, run_id: str) -> None: ...

        async def run(self, run_id: str) -> Run:
            return run

    async def place(run_id: str) -> int | None:
        assert run_id == run.id
        return next(places)

    screen = Watching()
    events = cast(Any, Told())
    began = asyncio.get_running_loop().time()
    watching = asyncio.create_task(deliver(run, screen, events, events, place=place))
    await screen.until(2)
    assert [head.partition(" ")[2] for head in heads] == [
        "Waiting for its turn · 12 questions go before it",
        "Waiting for its turn · 1 question goes before it",
    ]
    assert asyncio.get_running_loop().time() - began == pytest.approx(9.0)
    told.put_nowait(RunStarted(round=1, max_rounds=1, panel=run.panel))
    await screen.until(3)
    assert heads[-1].endswith("Asking 3 members · 0 done")
    told.put_nowait(RunEnded(status=RunStatus.CANCELLED, error="Stopped."))
    await watching


async def test_an_end_that_nobody_heard_of_is_found_on_record(
    state: State, history: SqlHistory, stored: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis lost its data between the answer and the end."""
    monkeypatch.setattr(delivery, "SILENCE", 0.05)
    analysis = Analysis(members=stored.panel, similarity=None, mean_similarity=None, central=0, embedder="none")
    screen = Screen()
    watching = asyncio.create_task(deliver(pending(), screen, state.events, history))
    await state.events.publish(stored.id, Answered(run=stored, charts_follow=True))
    await history.record_study(stored.id, Study(analysis=analysis, charts=(CHART,)))
    await history.update_run(stored.model_copy(update={"status": RunStatus.DONE, "ended_at": START}))
    await watching
    assert screen.final == ["answer", "charts"]
    assert screen.charts_shown == (CHART,)
    assert await undelivered(history) == 0


@pytest.mark.parametrize("heard", [False, True])
async def test_an_answer_or_charts_that_nobody_heard_of_are_found_on_record(
    state: State, history: SqlHistory, stored: Run, heard: bool
) -> None:
    """Redis lost its data before the end, which is all that is told."""
    analysis = Analysis(members=stored.panel, similarity=None, mean_similarity=None, central=0, embedder="none")
    await history.record_study(stored.id, Study(analysis=analysis, charts=(CHART,)))
    await history.update_run(stored.model_copy(update={"status": RunStatus.DONE, "ended_at": START}))
    screen = Screen()
    before: tuple[RunEvent, ...] = (Answered(run=stored, charts_follow=True),) if heard else ()
    await state.events.publish(stored.id, *before, RunEnded(status=RunStatus.DONE))
    await deliver(pending(), screen, state.events, history)
    assert screen.final == ["answer", "charts"]
    assert screen.charts_shown == (CHART,)
    assert await undelivered(history) == 0
