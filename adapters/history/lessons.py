"""What earlier runs have taught, in SQL: records of members, labels of runs, the calibration in force."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from itertools import groupby

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, case, func, select

from adapters.history.access import Access, setting
from adapters.history.database import fetch
from adapters.history.grades import Grader, decision, given
from adapters.history.kept import Kept
from adapters.history.rows import to_json
from adapters.history.schema import feedback, labels, outcomes, rounds, runs, votes
from core.asks import DIRECT, Person, ThreadRef
from core.ports import Latency, Opinion, Sample, Standing
from core.types import FailureKind, Verdict
from core.votes.confidence import PRIOR, Calibration
from core.votes.normal import same
from core.votes.trust import Experience, Record

_CALIBRATION = "calibration"
_FRESH = 10.0
"""Seconds for which an experience is not read again: votes come in all the time, and one more changes little."""

_NOT_CALLED = (FailureKind.CANCELLED.value, FailureKind.BREAKER_OPEN.value)
"""Failures that say nothing of how long a model takes, nor whether it would have answered."""


class SqlLessons:
    """:class:`core.ports.Lessons` in SQL.

    An experience is kept for ten seconds of ``monotonic``: within that time it shows the votes that came in and
    what other processes did; what this object labels or puts into force it shows at once.
    """

    def __init__(self, access: Access, *, monotonic: Callable[[], float]) -> None:
        self._access = access
        self._experiences: Kept[str, Experience] = Kept(self._read, fresh=_FRESH, monotonic=monotonic)

    async def experience(self, consortium: str) -> Experience:
        """The records of a consortium's models and the calibration in force, at most ten seconds old."""
        return await self._experiences.get(consortium)

    async def _read(self, consortium: str) -> Experience:
        return await self._access.database.read(partial(_experience, consortium))

    async def standings(self, consortium: str | None = None, where: ThreadRef | None = None) -> list[Standing]:
        """Records by consortium and model, in the order of their names; with ``where`` of that workspace's runs."""
        if where is None:
            return await self._access.database.read(partial(_standings, consortium))
        found = await self._access.database.read(partial(_standings_of, where))
        return [standing for standing in found if consortium in (None, standing.consortium)]

    async def label(self, run_id: str, *, answer: str | None = None, good: bool | None = None) -> None:
        """The right final answer of a run, or whether its answer was good; neither takes the label back.

        Either grades the run's votes. A right answer grades them all. ``good`` says of those for the run's answer
        what they are, and nothing of the others: to an open question there may be several good answers.
        """
        grader = Grader(self._access.do, self._access.clock())
        await self._access.writer.change(partial(grader.label, run_id, answer, good))
        self._experiences.forget()

    async def feedback(self, run_id: str, person: Person, good: bool, reason: str | None = None) -> None:
        """What a person thinks of an answer, in place of what they thought before.

        The label follows most of those who said something, and goes where they are tied; a right answer that an
        operator named stays.
        """
        grader = Grader(self._access.do, self._access.clock())
        await self._access.writer.change(partial(grader.feedback, run_id, person, good, reason))
        self._experiences.forget()

    async def withdraw(self, person: Person, where: ThreadRef) -> None:
        """Take back all that a person thinks of answers of this workspace; the labels follow."""
        grader = Grader(self._access.do, self._access.clock())
        await self._access.writer.change(partial(grader.withdraw, person, where))
        self._experiences.forget()

    async def opinions(self, run_id: str) -> tuple[Opinion, ...]:
        """What people think of an answer, the latest last."""
        rows = await self._access.database.rows(select(feedback).where(feedback.c.run_id == run_id))
        in_order = sorted(rows, key=lambda row: (row["given_at"], row["person"]))
        return tuple(Opinion(person=row["person"], good=row["good"], reason=row["reason"]) for row in in_order)

    async def opinions_of(
        self, consortium: str | None = None, where: ThreadRef | None = None
    ) -> dict[str, tuple[int, int]]:
        """By consortium, in the order of their names, how many opinions were good and how many bad; with ``where`` of
        that workspace's runs."""
        good = func.sum(case((feedback.c.good, 1), else_=0)).label("good")
        query = select(runs.c.consortium, good, func.count().label("all"))
        query = query.join(feedback, feedback.c.run_id == runs.c.id).group_by(runs.c.consortium)
        if consortium is not None:
            query = query.where(runs.c.consortium == consortium)
        if where is not None:
            query = query.where(_asked_in(where))
        rows = sorted(await self._access.database.rows(query), key=lambda row: str(row["consortium"]))
        return {row["consortium"]: (row["good"], row["all"] - row["good"]) for row in rows}

    async def latencies(self, since: datetime) -> dict[str, Latency]:
        """By model, in the order of their names, how its calls since then went.

        Members that were left behind or not asked at all (breaker open) say nothing of their model.
        """
        return await self._access.database.read(partial(_latencies, since))

    async def samples(self, consortium: str | None = None) -> list[Sample]:
        """All labelled runs that have an agreement, oldest first.

        Left out is a run that has only a right answer as its label and of whose own answer it cannot be told which
        final answer it is.
        """
        query = (
            select(runs.c.id, runs.c.consortium, labels.c.answer, labels.c.good, rounds.c.verdict)
            .join(labels, labels.c.run_id == runs.c.id)
            .join(rounds, rounds.c.run_id == runs.c.id)
            .where(rounds.c.verdict.is_not(None))
            .order_by(runs.c.created_at, runs.c.id, rounds.c.number)
        )
        if consortium is not None:
            query = query.where(runs.c.consortium == consortium)
        rows = await self._access.database.rows(query)
        return await asyncio.to_thread(_samples, rows)  # to read what was answered takes its time

    async def set_calibration(self, calibration: Calibration | None) -> None:
        """Put a calibration into force for all processes; None: the built-in one."""
        await self._access.put_setting(_CALIBRATION, to_json(calibration) if calibration else None)
        self._experiences.forget()


def _experience(consortium: str, connection: Connection) -> Experience:
    value = setting(_CALIBRATION, connection)
    calibration = Calibration.model_validate_json(value) if value else PRIOR
    return Experience(records=_records(consortium, connection), calibration=calibration)


def _standings(consortium: str | None, connection: Connection) -> list[Standing]:
    names = [consortium] if consortium is not None else _consortia(connection)
    return [
        Standing(consortium=name, model=model, record=record)
        for name in sorted(names)
        for model, record in sorted(_records(name, connection).items())
    ]


def _standings_of(where: ThreadRef, connection: Connection) -> list[Standing]:
    """Those of one workspace: fewer rows, but the runs have to be looked at."""
    kinds = (votes.c.consortium, votes.c.model, votes.c.agreed, votes.c.correct)
    query = select(*kinds, func.count().label("votes")).join(runs, runs.c.id == votes.c.run_id)
    by_model: defaultdict[tuple[str, str], list[RowMapping]] = defaultdict(list)
    for row in fetch(query.where(_asked_in(where)).group_by(*kinds), connection):
        by_model[row["consortium"], row["model"]].append(row)
    return [
        Standing(consortium=name, model=model, record=_record(rows)) for (name, model), rows in sorted(by_model.items())
    ]


def _asked_in(where: ThreadRef) -> ColumnElement[bool]:
    """Runs of a workspace; of direct messages that belong to none, those of the same channel."""
    here = [runs.c.platform == where.platform.value, runs.c.workspace == where.workspace]
    return and_(*here, *([runs.c.channel == where.channel] if where.workspace == DIRECT else []))


def _consortia(connection: Connection) -> list[str]:
    return [row["consortium"] for row in fetch(select(votes.c.consortium).distinct(), connection)]


def _records(consortium: str, connection: Connection) -> dict[str, Record]:
    """Records by model. To count equal rows of the index is much cheaper than to add up its columns."""
    kinds = (votes.c.model, votes.c.agreed, votes.c.correct)
    query = select(*kinds, func.count().label("votes")).where(votes.c.consortium == consortium).group_by(*kinds)
    by_model: defaultdict[str, list[RowMapping]] = defaultdict(list)
    for row in fetch(query, connection):
        by_model[row["model"]].append(row)
    return {model: _record(rows) for model, rows in by_model.items()}


def _record(rows: Iterable[RowMapping]) -> Record:
    """A record from numbers of votes by what became of them."""
    counts: defaultdict[tuple[str, bool | None], int] = defaultdict(int)
    for row in rows:
        counts["agreed", row["agreed"]] += row["votes"]
        counts["correct", row["correct"]] += row["votes"]
    agreed, correct = counts["agreed", True], counts["correct", True]
    return Record(
        agreed=agreed,
        compared=agreed + counts["agreed", False],
        correct=correct,
        labelled=correct + counts["correct", False],
    )


def _latencies(since: datetime, connection: Connection) -> dict[str, Latency]:
    called = (outcomes.c.recorded_at >= since, outcomes.c.kind.not_in(_NOT_CALLED))
    failed = func.sum(case((outcomes.c.kind != "response", 1), else_=0)).label("failures")
    totals = select(outcomes.c.model, func.count().label("calls"), failed).where(*called).group_by(outcomes.c.model)
    p50, p95 = (_reached(percent, since, connection) for percent in (50, 95))
    return {
        name: Latency(p50=p50.get(name), p95=p95.get(name), calls=row["calls"], failures=row["failures"])
        for name, row in sorted((str(row["model"]), row) for row in fetch(totals, connection))
    }


def _reached(percent: int, since: datetime, connection: Connection) -> dict[str, float]:
    """By model, how many seconds at most that share of its answers took."""
    model, seconds = outcomes.c.model, outcomes.c.seconds
    answers = (
        select(model, seconds)
        .add_columns(func.row_number().over(partition_by=model, order_by=seconds).label("place"))
        .add_columns(func.count().over(partition_by=model).label("number"))
        .where(outcomes.c.recorded_at >= since, outcomes.c.kind == "response")
        .subquery()
    )
    place = (answers.c.number * percent + 99) // 100  # rounded up
    found = fetch(select(answers.c.model, answers.c.seconds).where(answers.c.place == place), connection)
    return {row["model"]: row["seconds"] for row in found}


def _samples(rows: Sequence[RowMapping]) -> list[Sample]:
    samples = (_sample(list(of_run)) for _, of_run in groupby(rows, key=lambda row: str(row["id"])))
    return [sample for sample in samples if sample]


def _sample(rows: Sequence[RowMapping]) -> Sample | None:
    """A labelled run from its rounds; None where agreement or result are unknown."""
    verdict = decision([Verdict.model_validate_json(row["verdict"]) for row in rows])
    right = rows[0]["good"]
    if right is None and (answer := given(verdict)) is not None:
        right = same(answer, rows[0]["answer"])
    if verdict.agreement is None or right is None:
        return None
    return Sample(consortium=rows[0]["consortium"], agreement=verdict.agreement, right=right)
