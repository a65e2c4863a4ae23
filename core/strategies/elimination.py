"""After each round those that the arbiter ranks last leave."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from core.strategies.base import Strategy
from core.table import Table
from core.types import Member, Verdict


class Elimination(Strategy):
    """See :attr:`summary`."""

    name = "elimination"
    summary = "the arbiter ranks the answers, the worst leave, and the rest goes another round"
    use_when = "for hard questions with members of unequal strength, where more rounds are worth their price"

    eliminate_count: int = Field(default=1, ge=0, le=11, description="how many leave after a round")
    eliminate_fraction: float = Field(
        default=0.0, ge=0, lt=1, description="the share of those left that leave, where that is more than the count"
    )
    keep_minimum: int = Field(default=2, ge=1, le=12, description="how many stay at the least")
    elimination_delay: int = Field(default=0, ge=0, le=9, description="rounds before the first leaves")

    async def deliberate(self, table: Table) -> None:
        """Rounds of those who are left, up to the threshold."""
        left: Sequence[Member] = table.panel
        while True:
            answers = await table.ask_members(left, table.refine)
            failed = table.silent
            verdict = await table.judge(answers, method="rank")
            table.end_round(verdict)
            if table.settled(verdict):
                return
            out = self._out(left, failed, verdict, len(table.rounds))
            if out:
                table.note(f"Left after round {len(table.rounds)}: {', '.join(m.label for m in out)}.")
            left = [member for member in left if member not in out]
            if len(left) < 2:  # nobody is left to be compared with
                return

    def _out(
        self, left: Sequence[Member], failed: Sequence[Member], verdict: Verdict, rounds: int
    ) -> tuple[Member, ...]:
        """Who leaves after that many rounds: first who gave nothing, then the lowest of the ranking."""
        if rounds <= self.elimination_delay:
            return ()
        many = max(self.eliminate_count, int(self.eliminate_fraction * len(left)))
        many = min(many, len(left) - self.keep_minimum)
        # Without a ranking (no arbiter could give one) there is no ground to send anybody away but silence. Whom a
        # ranking leaves out stands behind those that it has.
        ranked = {m.id for m in (*failed, *verdict.ranking)}
        unranked = [m for m in reversed(left) if m.id not in ranked] if verdict.ranking else []
        return (*failed, *unranked, *reversed(verdict.ranking))[: max(0, many)]
