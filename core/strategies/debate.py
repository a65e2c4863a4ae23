"""Members read each other's answers and revise their own, then they vote.

Offered because people ask for it. On recorded answers debates barely help and can hurt (88.5 to 89.2 % on grade-school
mathematics, 56.7 to 53.9 % on general knowledge over three rounds), so nothing uses it by default.
"""

from __future__ import annotations

from pydantic import Field

from core.prompts import Brief, revision, to_vote
from core.strategies.voting import ByVote
from core.table import Silence, Table
from core.types import Member


class Debate(ByVote):
    """See :attr:`summary`."""

    name = "debate"
    summary = "members read the others' answers and revise their own, then vote"
    use_when = "when members hold different knowledge; costly, and seldom better than voting"

    rounds: int = Field(default=2, ge=2, le=5, description="rounds in all, the first one without sight of the others")

    @property
    def passes(self) -> int:
        """As many as there are rounds."""
        return self.rounds

    async def deliberate(self, table: Table) -> None:
        """Rounds of revision, ended early when all agree; then the vote."""
        while True:
            try:
                answers = await table.ask_members(brief=lambda member: _brief(table, member), rounds=self.rounds)
            except Silence:
                if not table.last_answers:
                    raise
                table.fall_back(await self.decide(table, table.last_answers))
                return
            ballot = self.count(table, answers)
            unanimous = ballot is not None and len(ballot.camps) == 1 and ballot.votes == len(answers)
            if unanimous or len(answers) == 1 or table.number >= self.rounds or not table.has_time:
                table.end_round(await self.decide(table, answers))
                return
            table.end_round(None)


def _brief(table: Table, member: Member) -> Brief:
    said = {response.member.id: response for response in table.last_answers}
    if not said:
        return to_vote(table.ask)
    own = said.pop(member.id, None)
    others = list(said.values())
    table.rng(f"{table.number} {member.id}").shuffle(others)
    return revision(table.ask, own, others, table.nonce(), table.number)
