"""Models that need no server: five characters and an arbiter, deterministic, for trying the product out.

The character is chosen by the model's name in the catalogue. Any of them judges when it is shown candidates,
by rules that are simple and honest: it compares the final answers that the candidates state, nothing else.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from adapters.models.characters import CHARACTERS, Task, is_lost, opinion, plain
from core.catalog import ModelSpec
from core.errors import ConfigError, ModelError
from core.ports import Completion, Prompt
from core.types import FailureKind, Usage

_ROLE = re.compile(r"^Your role: ([^.\n]{1,80})", re.MULTILINE)
_DOMAIN = re.compile(r"\bThe question is about ([^:.\n]{1,40})")
_ROUND = re.compile(r"Round (\d+)\.")
_POINT = re.compile(r"^- (.+)$", re.MULTILINE)
_NONCE = re.compile(r"<<(?:EARLIER|QUESTION|CANDIDATE A) (\w+)>>")
_FINAL = re.compile(r"^\W*final answer\W*?:\W*(.+)$", re.IGNORECASE | re.MULTILINE)
_HEDGE = re.compile(r"^(?:it depends|depends|partly|perhaps|maybe|yes but|no but|both)\b")
_FREE = Usage(cost=0.0)  # no tokens were counted, and nothing is paid for


class SimulatedModel:
    """A :class:`core.ports.ChatModel` that plays a character. ``pace`` stretches its delays, 0 leaves them out.

    Raises :class:`core.errors.ConfigError` when the model's name is no character.
    """

    simulated: bool = True

    def __init__(
        self,
        key: str,
        spec: ModelSpec,
        *,
        pace: float = 1.0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        if spec.name not in CHARACTERS:
            known = ", ".join(CHARACTERS)
            raise ConfigError(f"models.{key}.name: no simulated character {spec.name!r} (there are: {known})")
        self.key = key
        self._name, self._character = spec.name, CHARACTERS[spec.name]
        self._pace, self._sleep = pace, sleep

    async def complete(self, prompt: Prompt, *, timeout: float) -> Completion:
        """See :meth:`core.ports.ChatModel.complete`."""
        left = await self._pause(self._character.think, timeout)
        text = self._reply(prompt)
        await self._pause(self._character.word * len(text.split()), left)
        return Completion(text=text, usage=_FREE)

    async def stream(self, prompt: Prompt, *, timeout: float) -> AsyncIterator[str | Completion]:
        """See :meth:`core.ports.ChatModel.stream`."""
        left = await self._pause(self._character.think, timeout)
        text = self._reply(prompt)
        for word in re.findall(r"\S+\s*", text):
            left = await self._pause(self._character.word, left)
            yield word
        yield Completion(text=text, usage=_FREE)

    async def _pause(self, seconds: float, left: float) -> float:
        """Take time; returns how much of the call's time is left then. Raises ModelError when it runs out."""
        seconds *= self._pace
        await self._sleep(min(seconds, left))
        if seconds > left:
            raise ModelError(FailureKind.TIMEOUT, "no whole answer came in time")
        return left - seconds

    def _reply(self, prompt: Prompt) -> str:
        if candidates := read_candidates(prompt):
            return judge(candidates)
        task = read_task(prompt)
        if is_lost(self._name, task.question):
            detail = "this simulated member lost its connection, as it does on one question in three"
            raise ModelError(FailureKind.UNREACHABLE, detail, retryable=False)
        return opinion(self._name, task)


def read_task(prompt: Prompt) -> Task:
    """What a member's prompt asks for."""
    instructions = "\n".join(m.content for m in prompt.messages if m.role == "system")
    said = [m.content for m in prompt.messages if m.role == "user"] or [""]
    number, points = 1, ()
    if len(said) > 1 and (heading := _ROUND.match(said[-1])):
        number = int(heading[1])
        points = tuple(_POINT.findall(said.pop().partition("Still to be cleared up:")[2]))
    role, domain = _ROLE.search(instructions), _DOMAIN.search(instructions)
    return Task(
        question=said[-1],
        role=role and role[1].strip(),
        domain=domain and domain[1].strip(),
        round=number,
        points=points,
        earlier=said[-2] if len(said) > 1 else None,
    )


# --- the arbiter ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Candidate:
    """An answer to be judged; ``final`` is the final answer it states, in plain words, None when it has none."""

    letter: str
    text: str
    said: str | None
    final: str | None

    @property
    def point(self) -> str:
        """The sentence after the opening one, where reasons tend to begin; else the only one."""
        body = _FINAL.sub("", self.text)
        sentences = re.split(r"(?<=[.!?])\s+", " ".join(body.split()))
        point = sentences[min(1, len(sentences) - 1)]
        return point if len(point) <= 200 else f"{point[:199]}…"


def read_candidates(prompt: Prompt) -> tuple[Candidate, ...]:
    """The candidates in an arbiter's prompt; none when it is a member's."""
    case = prompt.messages[-1].content if prompt.messages else ""
    nonce = _NONCE.search(case)
    if not nonce:
        return ()
    mark = nonce[1]  # the first mark stands before any foreign text, so nobody can have forged it
    blocks = re.findall(rf"<<CANDIDATE ([A-Z]) {mark}>>\n(.*?)\n<<END \1 {mark}>>", case, re.DOTALL)
    return tuple(_candidate(letter, text) for letter, text in blocks)


def _candidate(letter: str, text: str) -> Candidate:
    finals = _FINAL.findall(text)
    said = finals[-1].strip(" *_`.") if finals else ""
    return Candidate(letter, text, said or None, plain(said) or None)


def judge(candidates: tuple[Candidate, ...]) -> str:
    """The verdict on the candidates, as the JSON that arbiters are asked for."""
    votes = Counter(c.final for c in candidates if c.final and not _HEDGE.match(c.final))
    ranked = votes.most_common()
    leading = ranked[0][0] if ranked else None
    stances = {c.letter: _stance(c.final, leading) for c in candidates}
    share = sum({"agree": 1.0, "partly": 0.5}.get(s, 0.0) for s in stances.values()) / len(candidates)
    confidence = _confidence(share) if leading else 40
    agreeing = [c for c in candidates if stances[c.letter] == "agree"]
    others = [c for c in candidates if stances[c.letter] != "agree"]
    refine = [f"whether this objection holds: “{c.point}”" for c in others if stances[c.letter] == "disagree"][:2]
    if not leading:
        refine = ["state a final answer that can be compared"]
    verdict = {
        "synthesis": _synthesis(agreeing, others, confidence),
        "confidence": confidence,
        "members": [{"letter": c.letter, "stance": stances[c.letter], "point": c.point} for c in candidates],
        "refine": refine if confidence < 80 else [],
    }
    return json.dumps(verdict, ensure_ascii=False)


def _stance(final: str | None, leading: str | None) -> str:
    if final is None or leading is None or _HEDGE.match(final):
        return "partly"
    return "agree" if final == leading else "disagree"


def _confidence(share: float) -> int:
    """From the share that agrees: all 95, four of five 85, three of four 81, three of five 66, half 52."""
    missing = 1 - share
    return round(95 - 25 * missing - 120 * missing**2)


def _synthesis(agreeing: list[Candidate], others: list[Candidate], confidence: int) -> str:
    if not agreeing:
        said = " ".join(dict.fromkeys(c.point for c in others[:3]))
        return f"**No common answer can be read from these texts:** none of them states a final one. {said}"
    said = agreeing[0].said or ""
    parts = [f"**{said[:1].upper()}{said[1:]}.**"]
    parts += dict.fromkeys(c.point for c in agreeing[:2])
    if others:
        parts.append(f"There is another view: “{others[0].point}”")
    if confidence < 80:
        parts.append("The answers are close, so this may yet change.")
    return " ".join(parts)
