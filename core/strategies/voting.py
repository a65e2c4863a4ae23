"""Members vote by the final answers that they state; the arbiter is called only when no answer clearly wins.

Votes are counted on normalised final answers, never on how alike the texts are: on recorded answers of seven weak
models the first gives 91.7 % on grade-school mathematics, the second 82.9 %, no more than a member alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import Field

from core.prompts import MUST_STATE, Brief
from core.strategies.base import Strategy
from core.table import Table
from core.types import Ballot, Member, Response, Verdict
from core.voting import by_meaning, can_change


class ByVote(Strategy):
    """Base of the strategies that end in a vote."""

    majority: float = Field(
        default=0.5, ge=0, lt=1, description="the share of all weight that an answer must exceed to win clearly"
    )
    arbiter: bool = Field(
        default=True, description="whether the arbiter decides when no answer wins clearly; else the heaviest goes out"
    )
    prose: bool = Field(
        default=False, description="read a conclusion from the text of members that state no final answer"
    )

    async def decide(self, table: Table, answers: tuple[Response, ...]) -> Verdict:
        """The verdict of the round that goes on."""
        if len(answers) == 1:
            return await table.judge(answers)
        ballot = self.count(table, answers)
        if ballot is None:
            grouping = await table.group(answers)
            ballot = by_meaning(answers, grouping, table.weights)
            table.note(
                f"No member stated a final answer to vote on. The texts were grouped by meaning instead, which shows "
                f"what is alike, not who agrees: {len(ballot.camps[0].members)} of {len(answers)} in the largest group."
            )
        if self.arbiter and not ballot.share > self.majority:
            table.note("No answer won the vote clearly, so the arbiter decided.")
            return await table.judge(answers, ballot=ballot)
        return table.decide_by_vote(ballot, answers)

    def count(self, table: Table, answers: Sequence[Response]) -> Ballot | None:
        """The vote. Conclusions are read from plain text only where the question is known to have a final answer."""
        return table.vote(answers, prose=self.prose or table.ask.question_type in ("yes-no", "choice", "number"))


class Voting(ByVote):
    """See :attr:`summary`."""

    name = "voting"
    summary = "members state a final answer apart from their reasons; equal answers are counted, weighed by trust"
    use_when = "for questions with one right answer: a number, yes or no, an option, a name, a short literal"

    lead: int = Field(
        default=0, ge=0, le=6, description="ask few members first and stop at this many votes ahead; 0: ask all at once"
    )
    wave: int = Field(default=1, ge=1, le=12, description="with lead: how many are asked at a time after the first")

    async def deliberate(self, table: Table) -> None:
        """One round, in one go or in waves."""
        answers: tuple[Response, ...] = ()
        waves = list(self._waves(table))
        for index, wave in enumerate(waves):
            answers = await table.ask_members(wave, lambda _: _brief(table), rounds=1)
            waiting = [member for later in waves[index + 1 :] for member in later]
            if self._decided(self.count(table, answers), waiting, table):
                if waiting:
                    table.note(
                        f"Not asked, because the vote was decided without: {', '.join(m.label for m in waiting)}."
                    )
                break
        table.end_round(await self.decide(table, answers))

    def _waves(self, table: Table) -> Iterator[Sequence[Member]]:
        """Who is asked when: everybody at once, or the most trusted first; equals in an order of chance."""
        if not self.lead:
            yield table.panel
            return
        order = list(table.panel)
        table.rng("waves").shuffle(order)
        order.sort(key=lambda member: -table.weights[member.id])
        yield order[: self.lead]
        for start in range(self.lead, len(order), self.wave):
            yield order[start : start + self.wave]

    def _decided(self, ballot: Ballot | None, waiting: Sequence[Member], table: Table) -> bool:
        if ballot is None or not self.lead:
            return False
        return ballot.lead >= self.lead or not can_change(ballot, [table.weights[m.id] for m in waiting])


def _brief(table: Table) -> Brief:
    return Brief() if table.ask.question_type == "open" else Brief(system=MUST_STATE)
