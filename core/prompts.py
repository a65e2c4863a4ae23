"""What members are told, and how much of a conversation they get."""

from __future__ import annotations

from collections.abc import Sequence

from core.catalog import Catalog
from core.ports import Message, Prompt
from core.types import Ask, Member, Response, Turn, Verdict

MEMBER = (
    "You are one member of a panel that answers the same question independently. Think for yourself: give your "
    "answer with its main reasons, briefly and concretely, and say where you are unsure. Where the question has a "
    "final answer (a number, yes or no, an option, a name), end with a line `Final answer: …`."
)


def estimate_tokens(text: str) -> int:
    """A rough count before a call: four bytes a token."""
    return -(-len(text.encode()) // 4)


def within_budget(turns: Sequence[Turn], budget: int) -> tuple[Turn, ...]:
    """The latest turns that fit the budget of tokens, the oldest dropped first."""
    kept: list[Turn] = []
    for turn in reversed(turns):
        budget -= estimate_tokens(turn.question) + estimate_tokens(turn.answer)
        if budget < 0:
            break
        kept.append(turn)
    return tuple(reversed(kept))


def member_prompt(
    ask: Ask,
    member: Member,
    catalog: Catalog,
    turns: Sequence[Turn],
    *,
    previous: tuple[Response | None, Verdict] | None = None,
    round_: int = 1,
) -> Prompt:
    """What a member is asked. ``previous`` is its own answer of the round before and that round's verdict."""
    system = [MEMBER]
    if ask.domain:
        system.append(catalog.all_domains.get(ask.domain, ""))
    if member.role:
        role = catalog.all_roles.get(member.role)
        system.append(f"Your role: {member.role}. {role}" if role else f"Your role: {member.role}")
    messages = [Message(role="system", content="\n\n".join(filter(None, system)))]
    for turn in turns:
        messages += [
            Message(role="user", content=turn.question),
            Message(role="assistant", content=turn.answer),
        ]
    messages.append(Message(role="user", content=ask.text))
    if previous:
        own, verdict = previous
        if own:
            messages.append(Message(role="assistant", content=own.text))
        messages.append(Message(role="user", content=_refinement(verdict, round_)))
    return Prompt(messages=tuple(messages))


def _refinement(verdict: Verdict, round_: int) -> str:
    points = "\n".join(f"- {point}" for point in verdict.refine) or "- where the answers differ"
    return (
        f"Round {round_}. The panel's answer so far:\n{verdict.synthesis}\n\nStill to be cleared up:\n{points}\n\n"
        "Answer the question again with these points in mind. Keep your view where your reasons stand; change it "
        "where you were shown wrong."
    )
