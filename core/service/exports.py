"""A person's runs as a file that they can read and keep."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from core.asks import Person, ThreadRef
from core.cards import Download
from core.types import Response, Round, Run


def export_of(runs: Sequence[Run], asker: Person, where: ThreadRef, now: datetime) -> Download:
    """All of it as JSON in UTF-8; pictures are left out."""
    whole = {
        "exported_at": now.isoformat(),
        "platform": where.platform,
        "workspace": where.workspace,
        "person": {"id": asker.id, "name": asker.name},
        "left_out": ["charts", "the contents of files that were sent along"],
        "runs": [_run(run) for run in runs],
    }
    data = json.dumps(whole, ensure_ascii=False, indent=2).encode()
    return Download(filename=f"consortium-export-{now:%Y-%m-%d}.json", media_type="application/json", data=data)


def _run(run: Run) -> dict[str, Any]:
    ask, verdict = run.ask, run.verdict
    return {
        "id": run.id,
        "question": ask.text,
        "answer": run.synthesis,
        "status": run.status,
        "error": run.error,
        "asked_at": run.created_at.isoformat(),
        "answered_at": run.answered_at.isoformat() if run.answered_at else None,
        "ended_at": run.ended_at.isoformat() if run.ended_at else None,
        "channel": ask.where.channel,
        "thread": ask.where.thread,
        "private": ask.where.private,
        "consortium": run.consortium,
        "setup": ask.setup.model_dump(mode="json", exclude_defaults=True) if ask.setup else None,
        "domain": ask.domain,
        "question_type": ask.question_type,
        "roles": ask.roles,
        "files": [attachment.name for attachment in ask.attachments],
        "rounds": [_round(round_) for round_ in run.rounds],
        "verdict": verdict.model_dump(mode="json", exclude_defaults=True, exclude={"usage"}) if verdict else None,
        "notes": run.notes,
        "bill": run.bill.model_dump(),
    }


def _round(round_: Round) -> dict[str, Any]:
    """What members said in a round, or why they said nothing."""
    return {
        "number": round_.number,
        "kind": round_.kind,
        "answers": [
            {"member": outcome.member.label, "role": outcome.member.role, "seconds": outcome.seconds}
            | ({"text": outcome.text} if isinstance(outcome, Response) else {"failed": outcome.detail})
            for outcome in round_.outcomes
        ],
        "synthesis": round_.verdict.synthesis if round_.verdict else None,
    }
