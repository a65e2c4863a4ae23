"""Answers are grouped by meaning, and the densest group is what the arbiter works from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from core.errors import Unavailable
from core.strategies.base import Strategy
from core.table import Table
from core.types import Grouping, Response, Verdict


class Semantic(Strategy):
    """See :attr:`summary`."""

    name = "semantic"
    summary = "answers are embedded and clustered; the arbiter writes from the densest group, outliers are named"
    use_when = "for open questions to members of like strength, when stray answers should not colour the result"

    method: Literal["dbscan", "hdbscan"] = Field(default="dbscan", description="how answers are clustered")
    eps: float | None = Field(
        default=None, gt=0, le=2, description="DBSCAN's radius in cosine distance; left out: chosen from the distances"
    )

    async def deliberate(self, table: Table) -> None:
        """Rounds of answers, the densest group of which is judged, up to the threshold."""
        while True:
            answers = await table.ask_members(brief=table.refine)
            verdict = await self._verdict(table, answers)
            table.end_round(verdict)
            if table.settled(verdict):
                return

    async def _verdict(self, table: Table, answers: tuple[Response, ...]) -> Verdict:
        grouping = await self._group(table, answers)
        kept = (
            tuple(a for a, label in zip(answers, grouping.labels, strict=True) if label == grouping.densest)
            if (grouping and grouping.densest >= 0)
            else answers
        )
        if len(kept) < len(answers):
            out = ", ".join(a.member.label for a in answers if a not in kept)
            table.note(f"Outside the densest group of answers, and not shown to the arbiter: {out}.")
        # Those outside hold something else, so they count as not agreeing; where it comes to votes, they have theirs.
        verdict = await table.judge(kept, ballot=table.vote(answers), total=len(answers))
        return verdict.model_copy(update={"grouping": grouping or verdict.grouping})

    async def _group(self, table: Table, answers: tuple[Response, ...]) -> Grouping | None:
        if len(answers) < 3:
            table.note("Too few answers to group them by meaning.")
            return None
        try:
            return await table.group(answers, method=self.method, eps=self.eps)
        except Unavailable as error:
            table.note(f"The answers were not grouped by meaning: {error}")
            return None
