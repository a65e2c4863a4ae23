"""What is said of a run's answer, by operators and by people, and what follows from it for the run's votes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, case, delete, func, select

from adapters.history.database import fetch
from adapters.history.schema import feedback, labels, rounds, runs, votes
from adapters.history.statements import Statements
from core.asks import Person, ThreadRef
from core.errors import NotFound
from core.types import Verdict, VerdictSource
from core.votes.answers import final_answer
from core.votes.normal import same


@dataclass(frozen=True)
class Grader:
    """Writes labels and opinions at one moment. Its methods run on a connection in a transaction.

    They raise :class:`core.errors.NotFound` for a run that is not on record.
    """

    do: Statements
    at: datetime

    def label(self, run_id: str, answer: str | None, good: bool | None, connection: Connection) -> None:
        """Label a run in place of an earlier label, or with neither take the label back; grade its votes."""
        _hold(run_id, connection)
        if answer is None and good is None:
            connection.execute(self.do.drop_label, {"id_": run_id})
        else:
            row = {"run_id": run_id, "answer": answer, "good": good, "labelled_at": self.at}
            connection.execute(self.do.put_label, row)
        given = _given_by(run_id, connection)
        for vote in fetch(select(votes.c.member, votes.c.answer).where(votes.c.run_id == run_id), connection):
            correct = _grade(vote["answer"], given, answer, good)
            key = {"id_": run_id, "member_": vote["member"], "answer_": vote["answer"]}
            connection.execute(self.do.grade_vote, {**key, "correct": correct})

    def feedback(self, run_id: str, person: Person, good: bool, reason: str | None, connection: Connection) -> None:
        """Store an opinion in place of the person's earlier one; the label follows."""
        _hold(run_id, connection)
        row = {"run_id": run_id, "person": person.id, "good": good, "reason": reason, "given_at": self.at}
        connection.execute(self.do.put_feedback, row)
        self._follow(run_id, connection)

    def withdraw(self, person: Person, where: ThreadRef, connection: Connection) -> None:
        """Take back a person's opinions of runs of a workspace; the labels follow."""
        here = and_(runs.c.platform == where.platform.value, runs.c.workspace == where.workspace)
        query = select(runs.c.id).join(feedback, feedback.c.run_id == runs.c.id).order_by(runs.c.id)
        for row in fetch(query.where(here, feedback.c.person == person.id), connection):
            _hold(row["id"], connection)
            theirs = and_(feedback.c.run_id == row["id"], feedback.c.person == person.id)
            connection.execute(delete(feedback).where(theirs))
            self._follow(row["id"], connection)

    def _follow(self, run_id: str, connection: Connection) -> None:
        """Label the run as most people find its answer. A right answer was named by somebody who knows: it stays."""
        known = select(labels.c.run_id).where(labels.c.run_id == run_id, labels.c.answer.is_not(None))
        if fetch(known, connection):
            return
        lead = func.coalesce(func.sum(case((feedback.c.good, 1), else_=-1)), 0)
        balance = int(connection.execute(select(lead).where(feedback.c.run_id == run_id)).scalar_one())
        self.label(run_id, None, balance > 0 if balance else None, connection)


def decision(verdicts: Sequence[Verdict]) -> Verdict:
    """As :attr:`core.types.Run.deciding_round` has it."""
    return next((verdict for verdict in reversed(verdicts) if verdict.judged), verdicts[-1])


def given(verdict: Verdict) -> str | None:
    """The final answer that went out in its normal form: that of the vote, else the one that the text states, else
    that of the camp behind it. None: it cannot be told."""
    if verdict.camp and verdict.source is VerdictSource.VOTE:
        return verdict.camp.normal
    if said := final_answer(verdict.synthesis):
        camps = verdict.ballot.camps if verdict.ballot and verdict.ballot.basis == "final answers" else ()
        return next((camp.normal for camp in camps if same(camp.normal, said.normal)), said.normal)
    return verdict.camp.normal if verdict.camp else None


def _hold(run_id: str, connection: Connection) -> None:
    """Nobody else labels the run meanwhile; on SQLite nobody else writes at all."""
    if not fetch(select(runs.c.id).where(runs.c.id == run_id).with_for_update(), connection):
        raise NotFound("There is no such run on record.")


def _given_by(run_id: str, connection: Connection) -> str | None:
    """The final answer that a run gave, in its normal form where there is one."""
    query = select(rounds.c.verdict).where(rounds.c.run_id == run_id, rounds.c.verdict.is_not(None))
    found = fetch(query.order_by(rounds.c.number), connection)
    return given(decision([Verdict.model_validate_json(row["verdict"]) for row in found])) if found else None


def _grade(vote: str, given: str | None, answer: str | None, good: bool | None) -> bool | None:
    """Whether a vote was right, by the right answer or by what is known of the given one; None: unknown."""
    if answer is not None:
        return same(vote, answer)
    return good if given is not None and same(vote, given) else None
