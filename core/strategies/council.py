"""Every member ranks the others' answers; the arbiter writes the answer with their order before it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from core.judging import LETTERS, without_self_references
from core.prompts import Brief, review
from core.strategies.base import Strategy
from core.table import Silence, Table
from core.types import Member, Response

Ranks = list[list[str]]
"""Letters from best to worst, equals together."""


class Council(Strategy):
    """See :attr:`summary`."""

    name = "council"
    summary = "members rank each other's answers without names; the arbiter writes from them in that order"
    use_when = "for open questions where the members are good judges; twice the calls of one round"

    @property
    def passes(self) -> int:
        """Answers, then reviews."""
        return 2

    async def deliberate(self, table: Table) -> None:
        """A round of answers, a round of reviews, a verdict."""
        answers = await table.ask_members(rounds=2)
        if len(answers) < 3 or not table.has_time:
            few = "Too few answers for the members to rank each other's."
            table.note(few if len(answers) < 3 else "No time was left for the members to rank each other's answers.")
            table.end_round(await table.judge(answers))
            return
        table.end_round(None)
        order = await self._order(table, answers)
        verdict = await table.judge(answers, reviewed=order)
        # What the arbiter ranks itself goes first; else the panel's own order is on record.
        table.end_round(verdict if verdict.ranking else verdict.model_copy(update={"ranking": order}))

    async def _order(self, table: Table, answers: Sequence[Response]) -> tuple[Member, ...]:
        """The panel's own order of the answers; empty when no review could be read."""
        shown = {answer.member.id: _ballot_paper(table, answer.member, answers) for answer in answers}

        def brief(member: Member) -> Brief:
            papers = [(letter, _anonymous(answer, answers)) for letter, answer in shown[member.id].items()]
            return review(papers, table.nonce())

        try:
            reviews = await table.ask_members([a.member for a in answers], brief, kind="reviews", rounds=2)
        except Silence:
            reviews = ()
        rankings = [
            [[shown[r.member.id][letter].member for letter in equals] for equals in ranks]
            for r in reviews
            if (ranks := read_ranking(r.text, list(shown[r.member.id])))
        ]
        if not rankings:
            table.note("No member's ranking of the others could be read.")
            return ()
        if len(rankings) < len(answers):
            table.note(f"{len(rankings)} of {len(answers)} members ranked the others' answers.")
        return borda(rankings)


def _ballot_paper(table: Table, reviewer: Member, answers: Sequence[Response]) -> dict[str, Response]:
    """The others' answers by letter, in an order of the reviewer's own."""
    others = [answer for answer in answers if answer.member.id != reviewer.id]
    table.rng(f"review by {reviewer.id}").shuffle(others)
    return dict(zip(LETTERS, others, strict=False))


def _anonymous(answer: Response, answers: Sequence[Response]) -> str:
    return without_self_references(answer.text, {name for a in answers for name in (a.member.id, a.member.model)})


_HEAD = re.compile(r"ranking\W*?:\s*", re.IGNORECASE)
_ASIDE = re.compile(r"\((?=[^()]*[a-z]{2})[^()]*\)")
_END = re.compile(r"(?<=[A-L])[.!]\s")
_LETTER = re.compile(r"\b[A-L]\b")


def read_ranking(text: str, letters: Sequence[str]) -> Ranks:
    """The last line ``Ranking: B > A = C`` of a review, or the list below it; empty when it names none, or one twice.

    Words in brackets, and sentences behind it, are no part of it. Letters that it leaves out stand together at the end.
    """
    heads = list(_HEAD.finditer(text))
    if not heads:
        return []
    said = _ASIDE.sub("", text[heads[-1].end() :])
    line = said.partition("\n")[0]
    if len(_LETTER.findall(line)) < 2:  # a list, a line for each
        line = re.split(r"\n\s*\n", said, maxsplit=1)[0]
    if not _LETTER.search(line):
        line = line.upper()
    parts = re.split(r"[>,;\n]|\d+[.)]", _END.split(line)[0])
    ranks = [found for part in parts if (found := [x for x in _LETTER.findall(part) if x in letters])]
    named = [letter for equals in ranks for letter in equals]
    if not named or len(set(named)) < len(named):
        return []
    rest = [letter for letter in letters if letter not in named]
    return [*ranks, rest] if rest else ranks


def borda(rankings: Sequence[Sequence[Sequence[Member]]]) -> tuple[Member, ...]:
    """Members by their mean Borda score, best first; equals keep the order of their first mention.

    Of n ranked, the first gets 1 and the last 0; those on one place share what their places would get. The mean is
    over those who ranked a member: nobody ranks himself.
    """
    scores: dict[str, list[float]] = {}
    members: dict[str, Member] = {}
    for ranking in rankings:
        total, above = sum(map(len, ranking)), 0
        for equals in ranking:
            place = above + (len(equals) - 1) / 2
            for member in equals:
                members.setdefault(member.id, member)
                scores.setdefault(member.id, []).append(1 - place / max(1, total - 1))
            above += len(equals)
    means: Mapping[str, float] = {key: sum(values) / len(values) for key, values in scores.items()}
    return tuple(members[key] for key in sorted(means, key=lambda key: -round(means[key], 9)))
