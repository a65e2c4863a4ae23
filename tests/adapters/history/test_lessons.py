"""Votes become records, labels become samples, and a calibration reaches every process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from adapters.history import SqlHistory
from core.errors import NotFound
from core.ports import Lessons, Sample, Standing
from core.types import Agreement, Round, RunStatus, VerdictSource
from core.votes.confidence import PRIOR, Calibration
from core.votes.trust import Record
from tests.adapters.history.samples import SEATS, new_run, voted

SPLIT = {"gemma": "Rome", "llama": "Rome", "qwen": "Paris"}
FITTED = Calibration.fitted([(Agreement(agree=2, total=3), False)] * 50)


class Ticks:
    """A clock of seconds that is moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


async def ran(history: SqlHistory, *rounds: Round, consortium: str = "jury") -> str:
    """The id of a stored run with these rounds."""
    run = new_run().model_copy(update={"panel": SEATS, "consortium": consortium})
    await history.open_run(run)
    for round_ in rounds:
        await history.record_round(run.id, round_)
    return run.id


async def records(lessons: Lessons, consortium: str = "jury") -> Mapping[str, Record]:
    return {standing.model: standing.record for standing in await lessons.standings(consortium)}


async def test_votes_become_records(history: SqlHistory) -> None:
    await ran(history, voted(SPLIT))
    await ran(history, voted({"gemma": "Rome", "llama": "Rome"}))
    await ran(history, voted({"gemma": "Oslo", "llama": "Rome", "qwen": "Paris"}))  # all others are tied
    experience = await history.lessons.experience("jury")
    # A member of two against one has the others tied, and the one has them against it.
    assert experience.records == {
        "gemma": Record(agreed=1, compared=1),
        "llama": Record(agreed=1, compared=1),
        "qwen": Record(agreed=0, compared=1),
    }
    assert experience.calibration == PRIOR
    assert (await history.lessons.experience("another")).records == {}


async def test_a_later_round_replaces_the_votes_of_an_earlier_one(history: SqlHistory) -> None:
    three = {"gemma": "Rome", "llama": "Rome", "qwen": "Rome"}
    run_id = await ran(history, voted(three))
    assert (await records(history.lessons))["qwen"] == Record(agreed=1, compared=1)
    await history.record_round(run_id, voted({"gemma": "Rome", "llama": "Rome"}, number=2))
    assert sorted(await records(history.lessons)) == ["gemma", "llama"]
    await history.record_round(run_id, voted({"qwen": "Rome"}, number=3, basis="meaning"))  # no final answers
    await history.record_round(run_id, Round(number=4, outcomes=()))
    assert sorted(await records(history.lessons)) == ["gemma", "llama"]


@pytest.mark.parametrize("number", [1, 2])
async def test_the_same_round_again_counts_once(history: SqlHistory, number: int) -> None:
    run_id = await ran(history, voted(SPLIT), voted(SPLIT, number=number))
    await history.lessons.label(run_id, answer="Rome")
    before = await records(history.lessons)
    await history.record_round(run_id, voted(SPLIT, number=number))
    assert await records(history.lessons) == before
    await history.record_round(run_id, voted({**SPLIT, "llama": "Paris"}, number=number))
    assert (await records(history.lessons))["llama"].labelled == 0  # it has not been said of its new answer


async def test_votes_for_a_run_that_was_never_opened(history: SqlHistory) -> None:
    with pytest.raises(NotFound):
        await history.record_round("nobody's", voted(SPLIT))
    assert await history.lessons.standings() == []


async def test_standings_by_consortium_and_model(history: SqlHistory) -> None:
    await ran(history, voted(SPLIT), consortium="two")
    await ran(history, voted({"qwen": "7"}), consortium="one")
    everything = await history.lessons.standings()
    assert [(s.consortium, s.model) for s in everything] == [
        ("one", "qwen"),
        *(("two", model) for model in ("gemma", "llama", "qwen")),
    ]
    assert everything[0] == Standing(consortium="one", model="qwen", record=Record())
    assert await history.lessons.standings("one") == everything[:1]


def _correct(found: Mapping[str, Record]) -> dict[str, tuple[int, int]]:
    return {model: (record.correct, record.labelled) for model, record in found.items()}


async def test_a_right_answer_grades_every_vote(history: SqlHistory) -> None:
    run_id = await ran(history, voted(SPLIT))
    await history.lessons.label(run_id, answer="paris")
    assert _correct(await records(history.lessons)) == {"gemma": (0, 1), "llama": (0, 1), "qwen": (1, 1)}
    await history.lessons.label(run_id, answer="Rome")
    assert _correct(await records(history.lessons)) == {"gemma": (1, 1), "llama": (1, 1), "qwen": (0, 1)}
    await history.lessons.label(run_id)
    assert _correct(await records(history.lessons)) == {"gemma": (0, 0), "llama": (0, 0), "qwen": (0, 0)}
    assert await history.lessons.samples() == []


@pytest.mark.parametrize(("good", "winners"), [(True, (1, 1)), (False, (0, 1))])
async def test_good_or_bad_grades_only_those_who_held_it(
    history: SqlHistory, good: bool, winners: tuple[int, int]
) -> None:
    run_id = await ran(history, voted(SPLIT))
    await history.lessons.label(run_id, good=good)
    assert _correct(await records(history.lessons)) == {"gemma": winners, "llama": winners, "qwen": (0, 0)}
    assert await history.lessons.samples() == [
        Sample(consortium="jury", agreement=Agreement(agree=2, total=3), right=good)
    ]


async def test_what_the_arbiter_sided_with_is_the_answer(history: SqlHistory) -> None:
    overruled = voted(SPLIT, source=VerdictSource.ARBITER, synthesis="They err.\n\nFinal answer: Paris")
    run_id = await ran(history, overruled)
    await history.lessons.label(run_id, good=True)
    assert _correct(await records(history.lessons)) == {"gemma": (0, 0), "llama": (0, 0), "qwen": (1, 1)}
    await history.lessons.label(run_id, answer="Paris")
    assert [sample.right for sample in await history.lessons.samples()] == [True]


@pytest.mark.parametrize(
    ("synthesis", "agree", "right", "graded"),
    [
        ("It is Paris.", ("qwen",), [True], {"gemma": (0, 0), "llama": (0, 0), "qwen": (1, 1)}),
        ("It is Rome.", ("gemma", "llama"), [False], {"gemma": (1, 1), "llama": (1, 1), "qwen": (0, 0)}),
        ("Both, in a way.", ("gemma", "qwen"), [], {"gemma": (0, 0), "llama": (0, 0), "qwen": (0, 0)}),
        ("None of them.", (), [], {"gemma": (0, 0), "llama": (0, 0), "qwen": (0, 0)}),
        ("Final answer: Oslo", ("gemma",), [False], {"gemma": (0, 0), "llama": (0, 0), "qwen": (0, 0)}),
    ],
    ids=["with one", "with two", "with two camps", "with nobody", "an answer of its own"],
)
async def test_an_arbiters_answer_is_never_taken_for_that_of_the_most(
    history: SqlHistory, synthesis: str, agree: Sequence[str], right: list[bool], graded: dict[str, tuple[int, int]]
) -> None:
    run_id = await ran(history, voted(SPLIT, source=VerdictSource.ARBITER, synthesis=synthesis, agree=agree))
    await history.lessons.label(run_id, answer="Paris")
    assert [sample.right for sample in await history.lessons.samples()] == right
    await history.lessons.label(run_id, good=True)
    assert _correct(await records(history.lessons)) == graded


async def test_samples_are_the_labelled_runs_with_an_agreement(history: SqlHistory) -> None:
    right = await ran(history, voted(SPLIT))
    wrong = await ran(history, voted({**SPLIT, "qwen": "Rome"}), voted(SPLIT, number=2), consortium="other")
    await ran(history, voted(SPLIT))  # has no label
    undecided = await ran(history, Round(number=1, outcomes=()))
    open_ = await ran(history, voted(SPLIT, basis="meaning"))
    for run_id, answer in ((right, "ROME"), (wrong, "Paris"), (undecided, "Rome"), (open_, "Rome")):
        await history.lessons.label(run_id, answer=answer)
    two_of_three = Agreement(agree=2, total=3)
    expected = [
        Sample(consortium="jury", agreement=two_of_three, right=True),
        Sample(consortium="other", agreement=two_of_three, right=False),
    ]
    assert await history.lessons.samples() == expected
    assert await history.lessons.samples("other") == expected[1:]
    await history.lessons.label(open_, good=True)
    assert len(await history.lessons.samples()) == 3


async def test_a_vote_that_changes_meanwhile_does_not_get_the_grade_of_the_former_one(url: str) -> None:
    async with SqlHistory(url) as one, SqlHistory(url) as two:
        for _ in range(20):
            run_id = await ran(one, voted(SPLIT))
            changed = voted({**SPLIT, "llama": "Paris"})
            await asyncio.gather(one.lessons.label(run_id, answer="Rome"), two.record_round(run_id, changed))
        assert (await records(one.lessons))["llama"].correct == 0


async def test_a_run_that_is_not_on_record_cannot_be_labelled(history: SqlHistory) -> None:
    with pytest.raises(NotFound, match="no such run"):
        await history.lessons.label("nobody's", good=True)


async def test_an_experience_is_kept_for_ten_seconds(url: str) -> None:
    ticks = Ticks()
    async with SqlHistory(url, monotonic=ticks) as history:
        run_id = await ran(history, voted(SPLIT))
        first = await history.lessons.experience("jury")
        await ran(history, voted(SPLIT))
        ticks.now = 9.9
        assert await history.lessons.experience("jury") is first
        ticks.now = 10
        assert (await history.lessons.experience("jury")).records["qwen"].compared == 2
        await history.lessons.label(run_id, answer="Paris")
        assert (await history.lessons.experience("jury")).records["qwen"].correct == 1


async def test_processes_see_each_others_calibration_within_the_time(url: str) -> None:
    ticks = Ticks()
    async with SqlHistory(url) as one, SqlHistory(url, monotonic=ticks) as two:
        assert (await two.lessons.experience("jury")).calibration == PRIOR
        await one.lessons.set_calibration(FITTED)
        assert (await one.lessons.experience("jury")).calibration == FITTED
        assert (await two.lessons.experience("jury")).calibration == PRIOR
        ticks.now = 10
        assert (await two.lessons.experience("jury")).calibration == FITTED
        await two.lessons.set_calibration(None)
        assert (await two.lessons.experience("jury")).calibration == PRIOR


async def test_votes_of_a_run_that_goes_on_are_those_of_its_consortium(history: SqlHistory) -> None:
    run = new_run().model_copy(update={"panel": SEATS, "consortium": "before"})
    await history.open_run(run)
    await history.update_run(run.model_copy(update={"consortium": "after", "status": RunStatus.RUNNING}))
    await history.record_round(run.id, voted(SPLIT))
    assert {standing.consortium for standing in await history.lessons.standings()} == {"after"}
