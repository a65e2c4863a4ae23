"""The arbiter: one model reads the anonymised answers and writes the one that goes out.

What the evidence asks for: names removed and the order shuffled anew for each call; member text fenced with
delimiters that cannot be forged, and declared to be data; structured output read tolerantly; an unreadable
verdict is the arbiter's failure (once more, then the next arbiter, then the most central answer, labelled).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import ConsortiumError
from core.judging import arbiter_prompt
from core.parsing import FieldStream, Unreadable, read_confidence, read_verdict
from core.ports import Analyst, Message, Models, Prompt
from core.resilience import Caller, Deadline
from core.telemetry import get_logger
from core.types import (
    Ask,
    Failure,
    FailureKind,
    Member,
    Position,
    Response,
    Stance,
    Turn,
    Usage,
    Verdict,
    VerdictSource,
)

log = get_logger(__name__)

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        # First, so that it streams while the rest is still to come.
        "synthesis": {"type": "string"},
        "confidence": {"type": "integer", "minimum": 0, "maximum": 100},
        "members": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "letter": {"type": "string"},
                    "stance": {"type": "string", "enum": [s.value for s in Stance]},
                    "point": {"type": "string"},
                },
                "required": ["letter", "stance", "point"],
                "additionalProperties": False,
            },
        },
        "refine": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["synthesis", "confidence", "members", "refine"],
    "additionalProperties": False,
}
"""What an arbiter's reply looks like."""


@dataclass(frozen=True)
class Case:
    """What is to be judged: the ask, the thread before it, this round's answers, and which round it is."""

    ask: Ask
    turns: tuple[Turn, ...]
    responses: tuple[Response, ...]
    round: int
    max_rounds: int


@dataclass(frozen=True)
class Watcher:
    """Who wants to see the synthesis while it is written. ``started`` voids what was sent before."""

    started: Callable[[Member], None]
    text: Callable[[str], None]


class Arbiter:
    """Finds the verdict of a round. Holds no state of any run."""

    def __init__(
        self,
        caller: Caller,
        models: Models,
        timeouts: Mapping[str, float],
        analyst: Analyst,
        nonce: Callable[[], str],
    ) -> None:
        self._caller, self._models, self._timeouts = caller, models, timeouts
        self._analyst, self._nonce = analyst, nonce

    async def decide(self, case: Case, judges: Sequence[Member], deadline: Deadline, watcher: Watcher) -> Verdict:
        """The arbiter's verdict, or a stand-in's, or the most central answer. Needs at least one response."""
        if len(case.responses) == 1:
            only = case.responses[0]
            return Verdict(source=VerdictSource.ONLY, judge=only.member, synthesis=only.text)
        started = deadline.clock.monotonic()
        rng = random.Random(f"{case.ask.id}/{case.round}")  # noqa: S311 - an order that can be replayed, no secret
        failures: list[Failure] = []
        usage: list[Usage] = []
        for index, judge in enumerate(judges):
            # Nobody may use up the time that those who stand in for him need.
            share = Deadline.after(deadline.remaining / (len(judges) - index), deadline.clock)
            failure: Failure | None = None
            for _ in range(2):  # an unreadable verdict is asked for once more
                found = await self._judge(case, judge, share, watcher, usage, rng)
                if isinstance(found, dict):
                    source = VerdictSource.STAND_IN if index else VerdictSource.ARBITER
                    return Verdict(
                        source=source,
                        judge=judge,
                        failures=tuple(failures),
                        usage=tuple(usage),
                        seconds=deadline.clock.monotonic() - started,
                        **found,
                    )
                log.warning("arbiter failed", judge=judge.id, kind=found.kind, detail=found.detail)
                failure = found
                if found.kind is not FailureKind.BAD_REPLY:
                    break
            failures += [failure] if failure else []
        central = await self._central(case.responses)
        return Verdict(
            source=VerdictSource.CENTRAL,
            judge=central.member,
            synthesis=central.text,
            failures=tuple(failures),
            usage=tuple(usage),
            seconds=deadline.clock.monotonic() - started,
        )

    async def _judge(
        self,
        case: Case,
        judge: Member,
        deadline: Deadline,
        watcher: Watcher,
        usage: list[Usage],
        rng: random.Random,
    ) -> dict[str, Any] | Failure:
        """Ask one judge once: a verdict's fields, or why there are none."""
        lots = [chr(ord("A") + i) for i in range(len(case.responses))]
        rng.shuffle(lots)
        letters = {lot: response.member for lot, response in zip(lots, case.responses, strict=True)}
        names = {name for m in letters.values() for name in (m.id, m.model)}
        texts = (without_self_references(response.text, names) for response in case.responses)
        candidates = sorted(zip(lots, texts, strict=True))
        prompt = arbiter_prompt(
            case.ask, case.turns, candidates, self._nonce(), round_=case.round, max_rounds=case.max_rounds
        )
        field = FieldStream()
        outcome = await self._caller.stream(
            judge,
            self._models[judge.model],
            Prompt(
                messages=(Message(role="system", content=prompt[0]), Message(role="user", content=prompt[1])),
                json_schema=SCHEMA,
            ),
            self._timeouts[judge.model],
            deadline,
            on_attempt=lambda: _restart(field, watcher, judge),
            on_text=lambda piece: _pass_on(field, watcher, piece),
        )
        if isinstance(outcome, Failure):
            usage.extend(outcome.usage)
            return outcome
        usage.extend((*outcome.failed_usage, outcome.usage))
        try:
            return _read(outcome.text, letters)
        except Unreadable as error:
            detail = f"its verdict could not be read: {error}"
            return Failure(member=judge, kind=FailureKind.BAD_REPLY, detail=detail, seconds=outcome.seconds)

    async def _central(self, responses: Sequence[Response]) -> Response:
        """The answer most like all others; the first one where even that cannot be told."""
        try:
            return responses[(await self._analyst.analyse(responses)).central]
        except ConsortiumError as error:
            log.warning("no central answer", error=str(error))
        except Exception:
            log.exception("no central answer")
        return responses[0]


def _restart(field: FieldStream, watcher: Watcher, judge: Member) -> None:
    field.reset()
    watcher.started(judge)


def _pass_on(field: FieldStream, watcher: Watcher, piece: str) -> None:
    if text := field.feed(piece):
        watcher.text(text)


def _read(text: str, letters: Mapping[str, Member]) -> dict[str, Any]:
    """The verdict's fields with letters turned back into members. Raises Unreadable."""
    found = read_verdict(text)
    positions: dict[str, Position] = {}
    for entry in _list(found.get("members")):
        position = _position(entry, letters)
        if position:
            positions.setdefault(position.member.id, position)
    refine = list(filter(None, map(_line, _list(found.get("refine")))))
    return {
        "synthesis": named(found["synthesis"].strip(), letters),
        "confidence": read_confidence(found.get("confidence")),
        "positions": tuple(positions[m.id] for m in letters.values() if m.id in positions),
        "refine": tuple(named(r, letters) for r in refine[:10]),
    }


_STANCES = {stance.value: stance for stance in Stance}


def _position(entry: Any, letters: Mapping[str, Member]) -> Position | None:
    """One member's stance, None when the entry makes no sense."""
    if not isinstance(entry, dict):
        return None
    member = letters.get(_line(entry.get("letter")).upper().removeprefix("CANDIDATE").strip())
    stance = _STANCES.get(_line(entry.get("stance")).lower())
    if member is None or stance is None:
        return None
    return Position(member=member, stance=stance, point=named(_line(entry.get("point")), letters)[:400])


def _list(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else ()


def _line(value: Any) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""


def named(text: str, letters: Mapping[str, Member]) -> str:
    """Put names back where a judge wrote "Candidate B" all the same."""
    return re.sub(r"\b[Cc]andidate ([A-L])\b", lambda m: letters[m[1]].label if m[1] in letters else m[0], text)


_SELF = r"(?:As|I am|I'm|This is|My name is|Speaking as)"
_KIND = r"(?:an? (?:AI|artificial intelligence|(?:large )?language model|AI (?:assistant|language model)))"


def without_self_references(text: str, names: Iterable[str]) -> str:
    """Take out phrases by which an answer tells who wrote it ("As Llama, …", "I'm an AI assistant.")."""
    who = "|".join([*(re.escape(n) for n in sorted(names, key=len, reverse=True)), _KIND])
    return re.sub(rf"\b{_SELF} (?:{who})\b[^.,;:\n]*[.,;:]?\s*", "", text, flags=re.IGNORECASE)
