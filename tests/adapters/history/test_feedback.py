"""What people think of answers, and how long models take."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from adapters.history import SqlHistory
from core.asks import Person
from core.errors import NotFound
from core.ports import Latency, Lessons, Opinion
from core.types import Failure, FailureKind, Member, Response
from tests.adapters.history.samples import ANN, BEN, CHANNEL, START, new_run, voted
from tests.adapters.history.test_lessons import SPLIT, Ticks, ran, records

CAT = Person(id="U-cat")
RIGHT = {"gemma": (1, 1), "llama": (1, 1), "qwen": (0, 0)}


async def graded(lessons: Lessons) -> dict[str, tuple[int, int]]:
    return {model: (record.correct, record.labelled) for model, record in (await records(lessons)).items()}


async def labels(lessons: Lessons) -> list[bool]:
    return [sample.right for sample in await lessons.samples()]


async def test_the_label_follows_most_of_those_who_said_something(history: SqlHistory) -> None:
    lessons: Lessons = history.lessons
    run_id = await ran(history, voted(SPLIT))
    await lessons.feedback(run_id, ANN, True)
    assert (await labels(lessons), await graded(lessons)) == ([True], RIGHT)
    await lessons.feedback(run_id, BEN, False, "It is Paris.")
    assert (await labels(lessons), await graded(lessons)) == ([], dict.fromkeys(RIGHT, (0, 0)))
    await lessons.feedback(run_id, CAT, False)
    assert await labels(lessons) == [False]
    assert await graded(lessons) == {"gemma": (0, 1), "llama": (0, 1), "qwen": (0, 0)}
    await lessons.feedback(run_id, BEN, True)
    assert await labels(lessons) == [True]
    assert await lessons.opinions(run_id) == (
        Opinion(person="U-ann", good=True),
        Opinion(person="U-cat", good=False),
        Opinion(person="U-ben", good=True),
    )


async def test_a_right_answer_that_somebody_named_stays(history: SqlHistory) -> None:
    lessons = history.lessons
    run_id = await ran(history, voted(SPLIT))
    await lessons.label(run_id, answer="Paris")
    for person, good in ((ANN, True), (BEN, True), (BEN, False)):
        await lessons.feedback(run_id, person, good)
        assert await labels(lessons) == [False]
    assert (await graded(lessons))["qwen"] == (1, 1)
    await lessons.withdraw(ANN, CHANNEL)
    assert await labels(lessons) == [False]
    assert len(await lessons.opinions(run_id)) == 1


async def test_people_who_answer_at_once_in_two_processes_all_count(url: str) -> None:
    async with SqlHistory(url) as one, SqlHistory(url) as two:
        run_id = await ran(one, voted(SPLIT))
        people = [(Person(id=f"U{i}"), i % 3 > 0) for i in range(12)]
        both = (one, two)
        await asyncio.gather(*(both[i % 2].lessons.feedback(run_id, who, good) for i, (who, good) in enumerate(people)))
        assert await labels(one.lessons) == [True]
        assert await one.lessons.opinions_of() == {"jury": (8, 4)}


async def test_feedback_for_a_run_that_is_not_on_record(history: SqlHistory) -> None:
    with pytest.raises(NotFound, match="no such run"):
        await history.lessons.feedback("nobody's", ANN, True)


async def test_what_people_think_by_consortium(history: SqlHistory) -> None:
    lessons = history.lessons
    good, mixed = await ran(history, consortium="zoo"), await ran(history, consortium="jury")
    await lessons.feedback(good, ANN, True)
    await lessons.feedback(mixed, ANN, False)
    await lessons.feedback(mixed, BEN, True)
    assert list((await lessons.opinions_of()).items()) == [("jury", (1, 1)), ("zoo", (1, 0))]
    assert await lessons.opinions_of("zoo") == {"zoo": (1, 0)}
    assert await lessons.opinions_of("none") == {}


async def test_a_person_takes_back_all_that_they_said_in_a_workspace(history: SqlHistory) -> None:
    lessons = history.lessons
    both, alone = await ran(history, voted(SPLIT)), await ran(history, voted(SPLIT))
    elsewhere = new_run(where=CHANNEL.model_copy(update={"workspace": "T2"}))
    await history.open_run(elsewhere)
    for run_id in (both, alone, elsewhere.id):
        await lessons.feedback(run_id, ANN, False)
    await lessons.feedback(both, BEN, True)
    assert await labels(lessons) == [False]
    await lessons.withdraw(ANN, CHANNEL)
    assert await lessons.opinions(both) == (Opinion(person="U-ben", good=True),)
    assert await lessons.opinions(alone) == ()
    assert len(await lessons.opinions(elsewhere.id)) == 1
    assert await labels(lessons) == [True]
    assert await graded(lessons) == RIGHT


async def test_how_long_models_take(url: str) -> None:
    ticks = Ticks()
    async with SqlHistory(url, clock=lambda: START + timedelta(seconds=ticks.now)) as history:
        run = new_run()
        await history.open_run(run)
        qwen, llama, gemma = (Member(id=model, model=model) for model in ("qwen", "llama", "gemma"))
        await history.record_outcome(run.id, 99, Response(member=qwen, text="too old", seconds=1000))
        ticks.now = 60
        for i in range(1, 21):
            await history.record_outcome(run.id, i, Response(member=qwen, text="x", seconds=i))
        for i, kind in enumerate((FailureKind.TIMEOUT, FailureKind.CANCELLED, FailureKind.BREAKER_OPEN)):
            await history.record_outcome(run.id, 30 + i, Failure(member=qwen, kind=kind, detail="", seconds=99))
        await history.record_outcome(run.id, 1, Failure(member=llama, kind=FailureKind.REFUSED, detail=""))
        await history.record_outcome(run.id, 1, Response(member=gemma, text="x", seconds=0.5))
        assert list((await history.lessons.latencies(START + timedelta(seconds=60))).items()) == [
            ("gemma", Latency(p50=0.5, p95=0.5, calls=1)),
            ("llama", Latency(calls=1, failures=1)),
            ("qwen", Latency(p50=10, p95=19, calls=21, failures=1)),
        ]
        assert await history.lessons.latencies(START + timedelta(seconds=61)) == {}
