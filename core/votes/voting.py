"""Counting votes: equal final answers make a camp, the heaviest camp wins.

Votes go by normalised final answers, never by how alike the texts are: likeness sees the topic, not the answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from core.asks import QuestionType
from core.types import Agreement, Ballot, Camp, Grouping, Member, Position, Response, Stance, Verdict, VerdictSource
from core.votes.answers import FinalAnswer, final_answer, read_answer
from core.votes.normal import same
from core.votes.units import at_odds

LEAST_VOTES = 2
"""Votes that a ballot must have to decide: one, among abstentions or alone, is no majority of anything."""

_SHORT = 160  # characters of a first sentence
_SLACK = 1e-9  # weights closer than this are equal


def cast(
    responses: Sequence[Response],
    weights: Mapping[str, float],
    question_type: QuestionType | None = None,
    *,
    prose: bool = False,
) -> Ballot | None:
    """Count the final answers that the responses state; None when none does.

    ``prose`` reads conclusions out of the text as well; only for questions that are known to have a final answer.
    ``weights`` go by member id. Camps are ordered by weight, then by number, then by their most trusted member, then
    as they came.
    """
    read = read_answer if prose else final_answer
    stated = [(r.member, answer) for r in responses if (answer := read(r.text, question_type))]
    if not stated:
        return None
    voters = {member.id for member, _ in stated}
    return Ballot(
        basis="final answers",
        camps=_ordered((_camp(group, weights) for group in _alike(stated)), weights),
        abstained=tuple(r.member for r in responses if r.member.id not in voters),
    )


def _alike(stated: Iterable[tuple[Member, FinalAnswer]]) -> list[list[tuple[Member, FinalAnswer]]]:
    """Those with equal answers together, in the order in which the answers came."""
    groups: list[list[tuple[Member, FinalAnswer]]] = []
    for member, answer in stated:
        place = next((group for group in groups if _belongs(answer, group)), None)
        if place is None:
            groups.append([(member, answer)])
        else:
            place.append((member, answer))
    return groups


def _belongs(answer: FinalAnswer, group: Sequence[tuple[Member, FinalAnswer]]) -> bool:
    """Whether it is the answer of this group: the same once normalised, and at odds with nobody's unit."""
    first = group[0][1]
    if answer.normal != first.normal and not same(answer.normal, first.normal):
        return False
    return not any(at_odds(answer.text, other.text) for _, other in group)


def _camp(group: Sequence[tuple[Member, FinalAnswer]], weights: Mapping[str, float]) -> Camp:
    answers = {member.id: answer for member, answer in group}
    members = tuple(member for member, _ in group)
    speaker = _most_trusted(members, weights)
    return Camp(
        answer=answers[speaker.id].text,
        normal=group[0][1].normal,
        members=members,
        weight=sum(weights[m.id] for m in members),
    )


def _ordered(camps: Iterable[Camp], weights: Mapping[str, float]) -> tuple[Camp, ...]:
    def key(camp: Camp) -> tuple[float, int, float]:
        most = weights[_most_trusted(camp.members, weights).id]
        return -round(camp.weight, 9), -len(camp.members), -most

    return tuple(sorted(camps, key=key))


def _most_trusted(members: Sequence[Member], weights: Mapping[str, float]) -> Member:
    """The first of those whose vote weighs most."""
    return max(members, key=lambda member: weights[member.id])


def by_meaning(responses: Sequence[Response], grouping: Grouping, weights: Mapping[str, float]) -> Ballot:
    """Answers grouped by meaning as camps. An outlier is a camp of its own; a camp's answer is a first sentence."""
    groups: dict[str, list[Response]] = {}
    for response, label in zip(responses, grouping.labels, strict=True):
        name = f"group {label + 1}" if label >= 0 else f"{response.member.id} alone"
        groups.setdefault(name, []).append(response)
    camps = (_camp_of_texts(name, group, weights) for name, group in groups.items())
    return Ballot(basis="meaning", camps=_ordered(camps, weights))


def _camp_of_texts(name: str, group: Sequence[Response], weights: Mapping[str, float]) -> Camp:
    speaker = _most_trusted([r.member for r in group], weights)
    text = next(r.text for r in group if r.member.id == speaker.id)
    return Camp(
        answer=_first_sentence(text),
        normal=name,
        members=tuple(r.member for r in group),
        weight=sum(weights[r.member.id] for r in group),
    )


def _first_sentence(text: str) -> str:
    line = next((line.strip(" \t#>*_-") for line in text.splitlines() if line.strip(" \t#>*_-`")), "")
    sentence = re.split(r"(?<=[.!?。])\s", line, maxsplit=1)[0]
    return sentence if len(sentence) <= _SHORT else sentence[: _SHORT - 1].rstrip() + "…"


def by_vote(ballot: Ballot, responses: Sequence[Response], weights: Mapping[str, float], **fields: Any) -> Verdict:
    """The heaviest camp's answer as a verdict, in the words of its most trusted member.

    ``fields`` go into the verdict as they are. Where texts were grouped by meaning, nobody's stance is known: the
    verdict has neither positions nor agreement then. The ballot must have a camp.
    """
    camp = ballot.camps[0]
    judge = _most_trusted(camp.members, weights)
    text = next(r.text for r in responses if r.member.id == judge.id)
    stated = ballot.basis == "final answers"
    known: dict[str, Any] = {
        "source": VerdictSource.VOTE,
        "judge": judge,
        "synthesis": _headed(camp.answer, text) if stated else text,
        "agreement": Agreement(agree=len(camp.members), total=ballot.votes) if stated else None,
        "positions": _positions(ballot) if stated else (),
        "ballot": ballot,
    }
    return Verdict(**(known | fields))


_STATEMENT = re.compile(r"^[ \t>#*_`~-]*final[ \t]+answer[ \t*_`~]*[:\uff1a].*$", re.IGNORECASE | re.MULTILINE)
_MARKUP = re.compile(r"[*_`~<>\[\]|\\]")


def _headed(answer: str, text: str) -> str:
    """The text with its answer on top in place of the line that stated it; code-like answers are set as code."""
    reasons = _STATEMENT.sub("", text).strip()
    shown = f"`{answer}`" if _MARKUP.search(answer) and "`" not in answer else answer
    return f"**{shown}**\n\n{reasons}" if reasons else f"**{shown}**"


def _positions(ballot: Ballot) -> tuple[Position, ...]:
    winners, *others = ballot.camps
    return (
        *(Position(member=m, stance=Stance.AGREES) for m in winners.members),
        *(_position(m, Stance.DISAGREES, f"final answer: {c.answer}") for c in others for m in c.members),
        *(_position(m, Stance.PARTLY, "stated no final answer") for m in ballot.abstained),
    )


def _position(member: Member, stance: Stance, point: str) -> Position:
    return Position(member=member, stance=stance, point=point)


_COUNTS = {Stance.AGREES: 1.0, Stance.PARTLY: 0.5, Stance.DISAGREES: 0.0}


def agreement_of(positions: Sequence[Position], total: int | None = None) -> Agreement | None:
    """How many agree by an arbiter's word on each, "partly" counting half; None when it judged nobody.

    ``total`` is how many that is out of, when it is not those who were judged.
    """
    if not positions:
        return None
    agree = sum(_COUNTS[position.stance] for position in positions)
    return Agreement(agree=agree, total=max(len(positions), total or 0))


def can_change(ballot: Ballot, outstanding: Sequence[float]) -> bool:
    """Whether votes that are still out, by their weights, could make another answer win (or draw level)."""
    if not ballot.camps:
        return bool(outstanding)
    runner_up = ballot.camps[1].weight if len(ballot.camps) > 1 else 0.0
    return bool(outstanding) and runner_up + sum(outstanding) >= ballot.camps[0].weight - _SLACK
