"""All members, one arbiter, round after round until it is sure enough."""

from __future__ import annotations

from core.strategies.base import Strategy
from core.table import Table


class Default(Strategy):
    """See :attr:`summary`."""

    name = "default"
    summary = "everybody answers, the arbiter writes one answer, and open points go round again until it is sure enough"
    use_when = "for any question; the best choice for open ones"

    async def deliberate(self, table: Table) -> None:
        """Rounds of answers and verdicts up to the threshold."""
        while True:
            answers = await table.ask_members(brief=table.refine)
            verdict = await table.judge(answers)
            table.end_round(verdict)
            if table.settled(verdict):
                return
