"""Members vote by the final answers that they state; the arbiter is called only when no answer clearly wins.

Votes are counted on normalised final answers, never on how alike the texts are: on recorded answers of seven weak
models the first gives 91.7 % on grade-school mathematics, the second 82.9 %, no more than a member alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import Field

from core.errors import Unavailable
from core.prompts import to_vote
from core.strategies.base import Strategy
from core.table import Silence, Table
from core.types import Ballot, Member, Response, Verdict
from core.votes.voting import LEAST_VOTES, by_meaning, can_change


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
        ballot = self.count(table, answers) or await self._by_meaning(table, answers)
        if ballot is None:
            return await table.judge(answers)
        heard = 2 * ballot.votes >= len(answers)
        clear = heard and ballot.share > self.majority and ballot.votes >= LEAST_VOTES
        if clear or not self.arbiter:
            return table.decide_by_vote(ballot, answers)
        why = "No answer won the vote clearly" if heard else "Most members stated no final answer"
        table.note(f"{why}, so it went to the arbiter.")
        return await table.judge(answers, ballot=ballot)

    async def _by_meaning(self, table: Table, answers: tuple[Response, ...]) -> Ballot | None:
        """The texts by what is alike, where there is nothing to count; None when even that cannot be told."""
        why = "The question is open" if table.ask.question_type == "open" else "No member stated a final answer"
        try:
            grouping = await table.group(answers)
        except Unavailable as error:
            table.note(f"{why}, so there was nothing to count, and the texts could not be grouped: {error}")
            return None
        ballot = by_meaning(answers, grouping, table.weights)
        table.note(
            f"{why}, so there was nothing to count. The texts were grouped by meaning instead, which shows what is "
            f"alike, not who agrees: {len(ballot.camps[0].members)} of {len(answers)} in the largest group."
        )
        return ballot

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
        waiting = list(table.panel)
        for wave in self._waves(table):
            try:
                answers = await table.ask_members(wave, lambda _: to_vote(table.ask), rounds=1)
            except Silence:
                if table.asked.issuperset(m.id for m in table.panel):
                    raise
            waiting = [member for member in table.panel if member.id not in table.asked]
            if self.lead and self._decided(self.count(table, answers), waiting, table):
                break
        if waiting:
            table.note(f"Not asked, because the vote was decided without: {', '.join(m.label for m in waiting)}.")
        table.end_round(await self.decide(table, answers))

    def _waves(self, table: Table) -> Iterator[Sequence[Member]]:
        """Who is asked when: everybody at once, or the most trusted first; equals in an order of chance.

        Once there is no time for another wave like those before, all who are left are asked together.
        """
        if not self.lead or table.ask.question_type == "open":
            yield table.panel
            return
        order = list(table.panel)
        table.rng("waves").shuffle(order)
        order.sort(key=lambda member: -table.weights[member.id])
        first = max(self.lead, LEAST_VOTES)
        yield order[:first]
        start = first
        while start < len(order):
            end = start + self.wave if table.has_time else len(order)
            yield order[start:end]
            start = end

    def _decided(self, ballot: Ballot | None, waiting: Sequence[Member], table: Table) -> bool:
        if ballot is None or ballot.votes < LEAST_VOTES:
            return False
        return ballot.lead >= self.lead or not can_change(ballot, [table.weights[m.id] for m in waiting])
