"""Values to rows and back."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic_core import PydanticSerializationError
from sqlalchemy import RowMapping

from adapters.history.schema import mend
from core import types
from core.asks import Ask, Attachment, ThreadRef
from core.attachments import Material
from core.ports import RunSummary
from core.types import Analysis, Ballot, Bill, Chart, Failure, Member, Outcome, Response, Round, Run, Study, Vectors
from core.votes.trust import agreements

Row = dict[str, Any]

_members: TypeAdapter[tuple[Member, ...]] = TypeAdapter(tuple[Member, ...])
_strings: TypeAdapter[tuple[str, ...]] = TypeAdapter(tuple[str, ...])


def folded(text: str) -> str:
    """Text as it is searched: without the case of letters, in every language."""
    return text.casefold()


def run_row(run: Run) -> Row:
    """All columns of a run but ``delivered_at``."""
    where, verdict = run.ask.where, run.verdict
    return {
        "id": run.id,
        "platform": where.platform.value,
        "workspace": where.workspace,
        "channel": where.channel,
        "thread": where.thread,
        "private": where.private,
        "asker": run.ask.asker.id,
        "question": run.ask.text,
        "answer": verdict.synthesis if verdict else None,
        "confidence": verdict.confidence if verdict else None,
        "consortium": run.consortium,
        "status": run.status.value,
        "simulated": run.simulated,
        "error": run.error,
        "created_at": run.created_at,
        "answered_at": run.answered_at,
        "ended_at": run.ended_at,
        "ask": to_json(run.ask),
        "panel": _dump(_members, run.panel),
        "bill": to_json(run.bill),
        "notes": _dump(_strings, run.notes),
        "sought": folded(f"{run.ask.text}\n{verdict.synthesis if verdict else ''}\n{run.id}"),
    }


def outcome_row(run_id: str, number: int, outcome: Outcome, now: datetime) -> Row:
    """A response or failure as a row."""
    usages = (*outcome.failed_usage, outcome.usage) if isinstance(outcome, Response) else outcome.usage
    return {
        "run_id": run_id,
        "round": number,
        "member": outcome.member.id,
        "model": outcome.member.model,
        "kind": outcome.kind.value if isinstance(outcome, Failure) else "response",
        "seconds": outcome.seconds,
        "attempts": outcome.attempts,
        "prompt_tokens": _total(u.prompt_tokens for u in usages),
        "completion_tokens": _total(u.completion_tokens for u in usages),
        "cost": _total(u.cost for u in usages),
        "recorded_at": now,
        "body": to_json(outcome),
    }


def round_row(run_id: str, round_: Round, now: datetime) -> Row:
    """A round without its outcomes, which have rows of their own."""
    verdict = round_.verdict
    return {
        "run_id": run_id,
        "number": round_.number,
        "judge": verdict.judge.model if verdict else None,
        "source": verdict.source.value if verdict else None,
        "confidence": verdict.confidence if verdict else None,
        "seconds": verdict.seconds if verdict else None,
        "recorded_at": now,
        "verdict": to_json(verdict) if verdict else None,
        "kind": round_.kind,
    }


def vote_rows(run_id: str, ballot: Ballot) -> list[Row]:
    """A row a vote; the consortium is the run's, which the database knows."""
    agreed = agreements(ballot)
    return [
        {
            "id_": run_id,
            "member_": member.id,
            "model_": member.model,
            "answer_": camp.normal,
            "agreed_": agreed.get(member.id),
        }
        for camp in ballot.camps
        for member in camp.members
    ]


def voters(ballot: Ballot) -> str:
    """The ids of those who voted, each between two line ends."""
    return "\n".join(["", *(member.id for camp in ballot.camps for member in camp.members), ""])


def study_row(run_id: str, study: Study) -> Row:
    """Analysis and vectors as a row; pictures have rows of their own."""
    return {
        "run_id": run_id,
        "mean_similarity": study.analysis.mean_similarity,
        "embedder": study.analysis.embedder,
        "body": to_json(study.analysis),
        "vectors": study.vectors.data if study.vectors else None,
        "dimensions": study.vectors.dimensions if study.vectors else None,
    }


def chart_row(run_id: str, position: int, chart: Chart) -> Row:
    """A picture as a row."""
    return {
        "run_id": run_id,
        "kind": chart.kind,
        "position": position,
        "png": chart.png,
        "size": len(chart.png),
        "alt": chart.alt,
        "width": chart.width,
        "height": chart.height,
    }


def material_row(run_id: str, position: int, material: Material) -> Row:
    """What came with a question as a row."""
    return {
        "run_id": run_id,
        "position": position,
        "attachment": to_json(material.attachment),
        "text": material.text,
        "image": material.image,
    }


def material_of(row: RowMapping) -> Material:
    """What came with a question from its row."""
    attachment = Attachment.model_validate_json(row["attachment"])
    return Material(attachment=attachment, text=row["text"], image=row["image"])


def run_of(
    row: RowMapping, round_rows: Sequence[RowMapping], outcomes: Mapping[int, Sequence[Outcome]], analysis: str | None
) -> Run:
    """The run from its rows; ``outcomes`` by round, oldest first."""
    ask = Ask.model_validate_json(row["ask"])
    if ask.where.thread != row["thread"]:
        ask = ask.model_copy(update={"where": ask.where.model_copy(update={"thread": row["thread"]})})
    panel = _members.validate_json(row["panel"])
    return Run(
        id=row["id"],
        ask=ask,
        consortium=row["consortium"],
        panel=panel,
        status=row["status"],
        rounds=_rounds(panel, round_rows, outcomes),
        analysis=Analysis.model_validate_json(analysis) if analysis else None,
        bill=Bill.model_validate_json(row["bill"]),
        notes=_strings.validate_json(row["notes"]),
        error=row["error"],
        created_at=row["created_at"],
        answered_at=row["answered_at"],
        ended_at=row["ended_at"],
    )


def outcomes_of(rows: Iterable[RowMapping]) -> dict[int, list[Outcome]]:
    """Outcomes by round, in the order of the rows."""
    by_round: dict[int, list[Outcome]] = defaultdict(list)
    for row in rows:
        by_round[row["round"]].append(types.outcome.validate_json(row["body"]))
    return dict(by_round)


def vectors_of(row: RowMapping) -> Vectors | None:
    """Vectors from an analysis's row; None when none were kept."""
    if row["vectors"] is None:
        return None
    return Vectors(embedder=row["embedder"], dimensions=row["dimensions"], data=row["vectors"])


def chart_of(row: RowMapping) -> Chart:
    """A picture from its row."""
    return Chart(kind=row["kind"], png=row["png"], alt=row["alt"], width=row["width"], height=row["height"])


def summary_of(row: RowMapping) -> RunSummary:
    """A line of history from a run's row."""
    return RunSummary(
        id=row["id"],
        question=row["question"],
        answer=row["answer"],
        status=row["status"],
        simulated=row["simulated"],
        confidence=row["confidence"],
        consortium=row["consortium"],
        where=ThreadRef(
            platform=row["platform"],
            workspace=row["workspace"],
            channel=row["channel"],
            thread=row["thread"],
            private=row["private"],
        ),
        created_at=row["created_at"],
    )


def _rounds(
    panel: Sequence[Member], round_rows: Sequence[RowMapping], outcomes: Mapping[int, Sequence[Outcome]]
) -> tuple[Round, ...]:
    """Rounds that ended, and one for the outcomes of a round that has not.

    Outcomes stand in the panel's order, those of members that are not on it last.
    """
    seats = {member.id: i for i, member in enumerate(panel)}
    ended = {row["number"]: row for row in round_rows}
    result = []
    for number in sorted({*ended, *outcomes}):
        row = ended.get(number)
        in_order = sorted(outcomes.get(number, ()), key=lambda o: seats.get(o.member.id, len(seats)))
        verdict = types.Verdict.model_validate_json(row["verdict"]) if row and row["verdict"] else None
        kind: types.RoundKind = row["kind"] if row else "answers"
        result.append(Round(number=number, outcomes=tuple(in_order), verdict=verdict, kind=kind))
    return tuple(result)


def _total(values: Iterable[float | None]) -> float | None:
    """The sum; None when there is nothing or anything is unknown, for part of a sum would pass for the whole."""
    known = list(values)
    return sum(v for v in known if v is not None) if known and None not in known else None


def to_json(value: BaseModel) -> str:
    """A value as JSON that every database can store, whatever its texts are made of."""
    try:
        return value.model_dump_json()
    except PydanticSerializationError:
        return mend(json.dumps(value.model_dump(), ensure_ascii=False, default=datetime.isoformat))


def _dump(adapter: TypeAdapter[Any], value: object) -> str:
    try:
        return adapter.dump_json(value).decode()
    except PydanticSerializationError:
        return mend(json.dumps(adapter.dump_python(value), ensure_ascii=False))
