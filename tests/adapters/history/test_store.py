"""What goes in comes out, to the right people."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.history import SqlHistory
from core.asks import Platform, ThreadRef
from core.errors import NotFound
from core.ports import History
from core.types import (
    Failure,
    FailureKind,
    Member,
    Outcome,
    Response,
    Round,
    Run,
    RunStatus,
    Study,
    Usage,
    Vectors,
    Verdict,
    VerdictSource,
)
from tests.adapters.history.samples import (
    ANALYSIS,
    ANN,
    BEN,
    CHANNEL,
    CHARTS,
    PANEL,
    START,
    finished,
    new_run,
    outcomes_of_round,
)


async def store(history: History, run: Run) -> None:
    """Write a run the way it happens."""
    await history.open_run(run.model_copy(update={"status": RunStatus.PENDING, "rounds": (), "analysis": None}))
    for round_ in run.rounds:
        for outcome in round_.outcomes:
            await history.record_outcome(run.id, round_.number, outcome)
        await history.record_round(run.id, round_)
    if run.analysis:
        await history.record_study(run.id, Study(analysis=run.analysis, charts=CHARTS))
    await history.update_run(run)


async def test_a_whole_run_comes_back_equal(history: SqlHistory) -> None:
    run = finished(new_run())
    await store(history, run)
    assert await history.run(run.id) == run
    assert await history.charts(run.id) == CHARTS


async def test_a_new_run_comes_back_equal(history: SqlHistory) -> None:
    run = new_run()
    await history.open_run(run)
    assert await history.run(run.id) == run
    assert await history.charts(run.id) == ()


async def test_an_unknown_run_is_none(history: SqlHistory) -> None:
    assert await history.run("no such\0run") is None


# NUL and halves of surrogate pairs are mended on the way in and have a test of their own.
_text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
_number = st.floats(min_value=0, max_value=1e9, allow_nan=False)
_maybe = st.none() | _number
_tokens = st.none() | st.integers(min_value=0, max_value=2**50)
_usage = st.builds(Usage, prompt_tokens=_tokens, completion_tokens=_tokens, cost=_maybe)
_member = st.builds(Member, id=_text, model=_text, role=st.none() | _text)
_response = st.builds(Response, member=_member, text=_text, seconds=_number, usage=_usage)
_failure = st.builds(
    Failure,
    member=_member,
    kind=st.sampled_from(FailureKind),
    detail=_text,
    seconds=_number,
    usage=st.lists(_usage, max_size=2).map(tuple),
)
_verdict = st.builds(
    Verdict, source=st.sampled_from(VerdictSource), judge=_member, synthesis=_text, confidence=_maybe, seconds=_number
)
_outcomes: st.SearchStrategy[list[Outcome]] = st.lists(
    _response | _failure, unique_by=lambda o: o.member.id, min_size=1, max_size=4
)
_moments = st.datetimes(
    min_value=datetime(1970, 1, 1),  # noqa: DTZ001 - the strategy adds the zones itself
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-8))]),
)
_unique = count()


@st.composite
def _runs(draw: st.DrawFn) -> Run:
    run = finished(new_run(text=draw(_text), at=draw(_moments)))
    rounds = [
        Round(number=number, outcomes=tuple(draw(_outcomes)), verdict=draw(st.none() | _verdict))
        for number in range(1, draw(st.integers(1, 3)) + 1)
    ]
    return run.model_copy(
        update={
            "id": f"any-{next(_unique)}",
            "rounds": tuple(rounds),
            "status": draw(st.sampled_from(RunStatus)),
            "error": draw(st.none() | _text),
            "notes": tuple(draw(st.lists(_text, max_size=2))),
            "ended_at": draw(st.none() | _moments),
        }
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(run=_runs())
async def test_any_run_comes_back_equal(history: SqlHistory, run: Run) -> None:
    await store(history, run)
    assert await history.run(run.id) == run


async def test_times_are_utc_and_aware(history: SqlHistory) -> None:
    east = timezone(timedelta(hours=9))
    run = new_run(at=datetime(2026, 1, 1, 3, 0, tzinfo=east))
    await history.open_run(run)
    stored = await history.run(run.id)
    assert stored is not None
    assert stored.created_at.utcoffset() == timedelta(0)
    assert stored.created_at == datetime(2025, 12, 31, 18, 0, tzinfo=UTC)


async def test_opening_again_changes_nothing(history: SqlHistory) -> None:
    run = new_run()
    await store(history, finished(run))
    await history.open_run(run)
    assert await history.run(run.id) == finished(run)


async def _by_round(history: SqlHistory, run_id: str) -> dict[int, tuple[Outcome, ...]]:
    stored = await history.run(run_id)
    assert stored is not None
    return {r.number: r.outcomes for r in stored.rounds}


async def test_the_same_member_again_replaces_its_outcome(history: SqlHistory) -> None:
    run, (answer, failure, _) = new_run(), outcomes_of_round()
    await history.open_run(run)
    await history.record_outcome(run.id, 1, failure)
    late = Response(member=failure.member, text="here I am", seconds=61.0)
    await history.record_outcome(run.id, 1, late)
    await history.record_outcome(run.id, 2, answer)
    assert await _by_round(history, run.id) == {1: (late,), 2: (answer,)}


async def test_outcomes_come_in_the_panels_order_and_rounds_in_their_own(url: str) -> None:
    ticks = count()
    run, (first, second, third) = new_run(), outcomes_of_round()
    async with SqlHistory(url, clock=lambda: START + timedelta(seconds=next(ticks))) as history:
        await history.open_run(run)
        for outcome in (third, first, second):
            await history.record_outcome(run.id, 1, outcome)
        assert await _by_round(history, run.id) == {1: (first, second, third)}
        await history.record_round(run.id, Round(number=1, outcomes=(first, second, third)))
        stored = await history.run(run.id)
    assert stored is not None
    assert stored.rounds == (Round(number=1, outcomes=(first, second, third)),)


async def test_what_comes_late_does_not_change_a_run_that_has_ended(history: SqlHistory) -> None:
    """A worker stood still while another took its run over; what it had under way comes afterwards."""
    run = new_run()
    await history.open_run(run)
    ended = finished(run)
    for round_ in ended.rounds:
        for outcome in round_.outcomes:
            await history.record_outcome(run.id, round_.number, outcome)
        await history.record_round(run.id, round_)
    await history.update_run(ended)
    stands = await history.run(run.id)
    late = ended.rounds[0].outcomes[0].model_copy(update={"text": "another answer"})
    await history.record_outcome(run.id, 1, late)
    await history.record_round(run.id, Round(number=1, outcomes=(late,)))
    await history.update_run(run.model_copy(update={"status": RunStatus.RUNNING, "answer": None}))
    assert await history.run(run.id) == stands


async def test_a_round_under_way_shows_what_came_so_far(history: SqlHistory) -> None:
    run, (answer, _, _) = new_run(), outcomes_of_round()
    await history.open_run(run)
    await history.record_outcome(run.id, 1, answer)
    stored = await history.run(run.id)
    assert stored is not None
    assert stored.rounds == (Round(number=1, outcomes=(answer,)),)


async def test_a_study_replaces_an_earlier_one(history: SqlHistory) -> None:
    run, vectors = new_run(), Vectors(embedder="wordllama", dimensions=3, data=bytes(range(24)))
    await history.open_run(run)
    assert await history.vectors(run.id) is None
    await history.record_study(run.id, Study(analysis=ANALYSIS, charts=CHARTS, vectors=vectors))
    assert await history.vectors(run.id) == vectors
    single = ANALYSIS.model_copy(update={"similarity": None, "mean_similarity": None})
    await history.record_study(run.id, Study(analysis=single, charts=CHARTS[1:]))
    assert await history.charts(run.id) == CHARTS[1:]
    assert await history.vectors(run.id) is None
    stored = await history.run(run.id)
    assert stored is not None
    assert stored.analysis == single


async def test_a_thread_once_set_stays(history: SqlHistory) -> None:
    where = CHANNEL.model_copy(update={"thread": None})
    run = new_run(where=where)
    await history.open_run(run)
    await history.set_thread(run.id, "9.9")
    await history.update_run(finished(run))
    stored = await history.run(run.id)
    assert stored is not None
    assert stored.ask.where == where.model_copy(update={"thread": "9.9"})
    assert [s.id for s in await history.thread_runs(stored.ask.where)] == [run.id]


async def test_writing_for_a_run_that_was_never_opened(history: SqlHistory) -> None:
    with pytest.raises(NotFound):
        await history.record_outcome("nobody's", 1, outcomes_of_round()[0])
    run = new_run()
    await history.update_run(run)
    await history.set_thread(run.id, "9.9")
    await history.mark_delivered(run.id)
    assert await history.run(run.id) is None


async def test_nul_and_broken_surrogates_are_stored_readably(history: SqlHistory) -> None:
    run = new_run(text="a\0b \ud83d\ude00 \ud83d!")
    member = PANEL[0]
    await history.open_run(run)
    await history.record_outcome(run.id, 1, Response(member=member, text="x\0y", seconds=1))
    await history.record_outcome(run.id, 2, Response(member=member, text="\ud83d\ude00 \udc00", seconds=1))
    await history.update_run(run.model_copy(update={"error": "e\0", "notes": ("\ud83d",)}))
    stored = await history.run(run.id)
    assert stored is not None
    assert (stored.error, stored.notes) == ("e\ufffd", ("\ufffd",))
    assert [r.responses[0].text for r in stored.rounds] == ["x\0y", "😀 \ufffd"]
    (line,) = await history.page(ANN, CHANNEL, 10, 0)
    assert line.question == "a\ufffdb 😀 \ufffd!"


async def test_large_texts(history: SqlHistory) -> None:
    run, text = new_run(text="why? " * 50_000), "because ü " * 200_000
    await history.open_run(run)
    await history.record_outcome(run.id, 1, Response(member=PANEL[0], text=text, seconds=1))
    stored = await history.run(run.id)
    assert stored is not None
    assert stored.ask.text == run.ask.text
    assert stored.rounds[0].responses[0].text == text


async def test_history_survives_closing(url: str) -> None:
    run = finished(new_run())
    async with SqlHistory(url) as first:
        await store(first, run)
    async with SqlHistory(url) as second:
        assert await second.run(run.id) == run


async def test_undelivered_runs(history: SqlHistory) -> None:
    old, waiting, told, running = new_run(at=START - timedelta(hours=2)), new_run(), new_run(), new_run()
    elsewhere = new_run(where=CHANNEL.model_copy(update={"platform": Platform.DISCORD}))
    for run in (old, waiting, told, elsewhere):
        await store(history, finished(run))
    await history.open_run(running)
    await history.mark_delivered(told.id)
    since = START - timedelta(hours=1)
    assert await history.undelivered(Platform.SLACK, since) == [waiting.id, running.id]
    patient = new_run(at=START - timedelta(hours=20))
    await history.open_run(patient)
    assert await history.undelivered(Platform.SLACK, since) == [patient.id, waiting.id, running.id], "it waits still"
    late = finished(patient).model_copy(update={"ended_at": START})
    await history.update_run(late)
    assert await history.undelivered(Platform.SLACK, since) == [patient.id, waiting.id, running.id], "it has ended now"
    assert await history.undelivered(Platform.SLACK, START + timedelta(hours=5)) == [running.id], "a day is over"
    assert await history.run(told.id) == finished(told)


async def test_postings_stand_until_they_are_forgotten_or_their_run_is(history: SqlHistory) -> None:
    run, other = new_run(), new_run()
    await asyncio.gather(history.open_run(run), history.open_run(other))
    assert await history.postings(run.id) == {}
    for part, message in (("head", "1.1"), ("answer/1", "1.2"), ("head", "1.3")):
        await history.record_posting(run.id, part, message)
    await history.record_posting(other.id, "head", "2.1")
    assert await history.postings(run.id) == {"head": "1.3", "answer/1": "1.2"}
    await history.forget_posting(run.id, "answer/1")
    await history.forget_posting(run.id, "never there")
    assert await history.postings(run.id) == {"head": "1.3"}
    await history.delete(run.id)
    assert (await history.postings(run.id), await history.postings(other.id)) == ({}, {"head": "2.1"})
    await history.record_posting(run.id, "head", "1.4")
    assert await history.postings(run.id) == {}


async def test_thread_runs_are_those_of_exactly_that_thread(history: SqlHistory) -> None:
    here = [finished(new_run(text=f"question {i}")) for i in range(3)]
    for run in here:
        await store(history, run)
    asked_next = new_run(asker=BEN).model_copy(update={"status": RunStatus.RUNNING})
    await history.open_run(asked_next)
    waiting = new_run()
    await history.open_run(waiting)
    for change in ({"thread": "2.5"}, {"channel": "C2"}, {"workspace": "T2"}, {"platform": Platform.DISCORD}):
        await store(history, finished(new_run(where=CHANNEL.model_copy(update=change))))
    found = await history.thread_runs(CHANNEL)
    assert [s.id for s in found] == [*(r.id for r in here), asked_next.id, waiting.id]
    assert found[0].question == "question 0"
    assert (found[0].answer, found[0].confidence, found[-1].answer) == ("Yes.", 0.85, None)
    assert [s.id for s in await history.thread_runs(CHANNEL, limit=2)] == [asked_next.id, waiting.id]


async def test_a_place_without_a_thread_has_no_thread_runs(history: SqlHistory) -> None:
    where = CHANNEL.model_copy(update={"thread": None})
    await store(history, finished(new_run(where=where)))
    assert await history.thread_runs(where) == []


async def test_a_page_is_newest_first_and_can_be_turned(history: SqlHistory) -> None:
    runs = [new_run() for _ in range(5)]
    for run in runs:
        await history.open_run(run)
    newest_first = [r.id for r in reversed(runs)]
    assert [s.id for s in await history.page(ANN, CHANNEL, 3, 0)] == newest_first[:3]
    assert [s.id for s in await history.page(ANN, CHANNEL, 3, 3)] == newest_first[3:]


def _place(channel: str, *, private: bool, platform: Platform = Platform.SLACK, workspace: str = "T1") -> ThreadRef:
    return ThreadRef(platform=platform, workspace=workspace, channel=channel, private=private)


async def test_a_page_keeps_private_runs_private(history: SqlHistory) -> None:
    public, direct, club = _place("C1", private=False), _place("D1", private=True), _place("G1", private=True)
    places = {"public": public, "direct": direct, "club": club}
    asked = {name: new_run(where=where) for name, where in places.items()}
    foreign = [new_run(asker=BEN, where=where) for where in places.values()]
    other_workspace = new_run(where=_place("C1", private=False, workspace="T2"))
    other_platform = new_run(where=_place("C1", private=False, platform=Platform.DISCORD))
    for run in (*asked.values(), *foreign, other_workspace, other_platform):
        await history.open_run(run)

    async def seen(where: ThreadRef) -> set[str]:
        return {s.id for s in await history.page(ANN, where, 100, 0)}

    assert await seen(public) == {asked["public"].id}
    assert await seen(_place("C9", private=False)) == {asked["public"].id}
    assert await seen(direct) == {asked["public"].id, asked["direct"].id}
    assert await seen(club) == {asked["public"].id, asked["club"].id}
    assert await seen(_place("D1", private=False)) == {asked["public"].id}
    assert await seen(_place("C1", private=False, workspace="T2")) == {other_workspace.id}
    assert {s.id for s in await history.page(BEN, direct, 100, 0)} == {foreign[0].id, foreign[1].id}


@pytest.mark.parametrize("platform", [Platform.WEB, Platform.CLI])
async def test_a_persons_own_surface_shows_all_their_runs(history: SqlHistory, platform: Platform) -> None:
    here = _place("page", private=False, platform=platform)
    mine = [new_run(where=here), new_run(where=here.model_copy(update={"channel": "other", "private": True}))]
    theirs = new_run(asker=BEN, where=here)
    for run in (*mine, theirs):
        await history.open_run(run)
    assert [s.id for s in await history.page(ANN, here, 10, 0)] == [mine[1].id, mine[0].id]
    assert [s.id for s in await history.page(BEN, here, 10, 0)] == [theirs.id]
