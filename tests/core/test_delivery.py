from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from adapters.history import SqlHistory
from adapters.state.state import State
from core.asks import Platform
from core.delivery import RunView, deliver
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
from core.present.progress import progress_text
from core.types import Analysis, Chart, Member, Response, Round, Run, RunStatus, Study, Verdict, VerdictSource
from tests.core.fakes import START, catalog, make_run

JUDGE = Member(id="j", model="j")
CHART = Chart(kind="heatmap", png=b"png", alt="a and b 0.50", width=1, height=1)


@dataclass
class Screen:
    """A presenter that notes what it was told to show."""

    pace: float = 0.0
    shown: list[str] = field(default_factory=list)
    broken: bool = False
    charts_shown: tuple[Chart, ...] = ()

    async def progress(self, view: RunView) -> None:
        self.shown.append(f"progress {view.text}")
        if self.broken:
            raise RuntimeError("the platform hiccups")

    async def answer(self, run: Run) -> None:
        self.shown.append("answer")

    async def charts(self, run: Run, charts: tuple[Chart, ...], note: str | None) -> None:
        self.charts_shown = charts
        self.shown.append(f"charts {note}" if note else "charts")

    async def failed(self, run: Run, text: str) -> None:
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


async def test_progress_that_cannot_be_shown_costs_nothing_else(state: State, history: SqlHistory, stored: Run) -> None:
    screen = Screen(broken=True)
    watching = asyncio.create_task(deliver(pending(), screen, state.events, history))
    await state.events.publish(stored.id, RunStarted(round=1, max_rounds=1, panel=stored.panel))
    async with asyncio.timeout(10):
        while not screen.shown:  # noqa: ASYNC110 - until the hiccup has happened
            await asyncio.sleep(0.01)
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
        while not screen.shown:  # noqa: ASYNC110 - until it is under way
            await asyncio.sleep(0.01)
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
    assert progress_text(view).startswith("**3 members rank each other's answers** · 0 done · round 2 of at most 2")
