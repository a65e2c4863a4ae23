"""What earlier runs have taught, in SQL: records of members, labels of runs, the calibration in force."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import groupby

from sqlalchemy import Connection, RowMapping, func, select

from adapters.history.access import Access, setting
from adapters.history.database import fetch
from adapters.history.rows import to_json
from adapters.history.schema import labels, rounds, runs, votes
from adapters.history.writer import Statement
from core.errors import NotFound
from core.ports import Sample, Standing
from core.types import Stance, Verdict, VerdictSource
from core.votes.answers import final_answer
from core.votes.confidence import PRIOR, Calibration
from core.votes.normal import same
from core.votes.trust import Experience, Record

_CALIBRATION = "calibration"
_FRESH = 10.0
"""Seconds for which an experience is not read again: votes come in all the time, and one more changes little."""


class SqlLessons:
    """:class:`core.ports.Lessons` in SQL.

    An experience is kept for ten seconds of ``monotonic``: within that time it shows the votes that came in and
    what other processes did; what this object labels or puts into force it shows at once.
    """

    def __init__(self, access: Access, *, monotonic: Callable[[], float]) -> None:
        self._access = access
        self._monotonic = monotonic
        self._kept: dict[str, tuple[float, Experience]] = {}
        self._reading = asyncio.Lock()

    async def experience(self, consortium: str) -> Experience:
        """The records of a consortium's models and the calibration in force, at most ten seconds old."""
        async with self._reading:  # of many that start at once, one reads
            kept = self._kept.get(consortium)
            if kept is None or self._monotonic() >= kept[0]:
                due = self._monotonic() + _FRESH
                kept = self._kept[consortium] = due, await self._access.database.read(partial(_experience, consortium))
            return kept[1]

    async def standings(self, consortium: str | None = None) -> list[Standing]:
        """Records by consortium and model, in the order of their names."""
        return await self._access.database.read(partial(_standings, consortium))

    async def label(self, run_id: str, *, answer: str | None = None, good: bool | None = None) -> None:
        """The right final answer of a run, or whether its answer was good; neither takes the label back.

        Either grades the run's votes. A right answer grades them all. ``good`` says of those for the run's answer
        what they are, and nothing of the others: to an open question there may be several good answers.
        """
        given, cast = await self._access.database.read(partial(_cast, run_id))
        do = self._access.do
        label: Statement = (do.drop_label, {"id_": run_id})
        if answer is not None or good is not None:
            row = {"run_id": run_id, "answer": answer, "good": good, "labelled_at": self._access.clock()}
            label = (do.put_label, row)
        # A vote may be another by now: a grade goes to the answer that it was given for.
        grades = (
            {"id_": run_id, "member_": member, "answer_": vote, "correct": _grade(vote, given, answer, good)}
            for member, vote in cast.items()
        )
        await self._access.writer.write(run_id, label, *((do.grade_vote, row) for row in grades))
        await self._forget()

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
        await self._forget()

    async def _forget(self) -> None:
        async with self._reading:  # what is being read may be from before the change
            self._kept.clear()


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


def _cast(run_id: str, connection: Connection) -> tuple[str | None, dict[str, str]]:
    """The answer that a run gave, in its normal form where there is one, and its votes by member."""
    if not fetch(select(runs.c.id).where(runs.c.id == run_id), connection):
        raise NotFound("There is no such run on record.")
    decisions = select(rounds.c.verdict).where(rounds.c.run_id == run_id, rounds.c.verdict.is_not(None))
    verdicts = [
        Verdict.model_validate_json(row["verdict"]) for row in fetch(decisions.order_by(rounds.c.number), connection)
    ]
    cast = fetch(select(votes.c.member, votes.c.answer).where(votes.c.run_id == run_id), connection)
    return _given(_decision(verdicts)) if verdicts else None, {row["member"]: row["answer"] for row in cast}


def _grade(vote: str, given: str | None, answer: str | None, good: bool | None) -> bool | None:
    """Whether a vote was right, by the right answer or by what is known of the given one; None: unknown."""
    if answer is not None:
        return same(vote, answer)
    return good if given is not None and same(vote, given) else None


def _samples(rows: Sequence[RowMapping]) -> list[Sample]:
    samples = (_sample(list(of_run)) for _, of_run in groupby(rows, key=lambda row: str(row["id"])))
    return [sample for sample in samples if sample]


def _sample(rows: Sequence[RowMapping]) -> Sample | None:
    """A labelled run from its rounds; None where agreement or result are unknown."""
    verdict = _decision([Verdict.model_validate_json(row["verdict"]) for row in rows])
    right = rows[0]["good"]
    if right is None and (given := _given(verdict)) is not None:
        right = same(given, rows[0]["answer"])
    if verdict.agreement is None or right is None:
        return None
    return Sample(consortium=rows[0]["consortium"], agreement=verdict.agreement, right=right)


def _decision(verdicts: Sequence[Verdict]) -> Verdict:
    """As :attr:`core.types.Run.deciding_round` has it."""
    return next((verdict for verdict in reversed(verdicts) if verdict.judged), verdicts[-1])


def _given(verdict: Verdict) -> str | None:
    """The final answer that went out in its normal form: the winner's, the one that the text states, or that of the
    one camp whose members the arbiter agrees with. None: it cannot be told."""
    camps = verdict.ballot.camps if verdict.ballot and verdict.ballot.basis == "final answers" else ()
    if camps and verdict.source is VerdictSource.VOTE:
        return camps[0].normal
    if said := final_answer(verdict.synthesis):
        return next((camp.normal for camp in camps if same(camp.normal, said.normal)), said.normal)
    agree = {position.member.id for position in verdict.positions if position.stance is Stance.AGREES}
    backed = [camp.normal for camp in camps if not agree.isdisjoint(member.id for member in camp.members)]
    return backed[0] if len(backed) == 1 else None
