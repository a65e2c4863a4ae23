"""Models that need no server: five characters and an arbiter, deterministic, for trying the product out.

The character is chosen by the model's name in the catalogue. Any of them plays every part: it answers, revises, ranks
the answers of others (:mod:`adapters.models.opinions`), and judges (:mod:`adapters.models.verdicts`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable

from adapters.models.candidates import between_marks
from adapters.models.characters import CHARACTERS, is_lost
from adapters.models.opinions import File, Task, opinion, review
from adapters.models.verdicts import verdict
from core.asks import QuestionType
from core.catalog import ModelSpec
from core.errors import ConfigError, ModelError
from core.judging import instructions as judges_instructions
from core.ports import Completion, Prompt
from core.prompts import FINAL, MUST_STATE
from core.types import FailureKind, Usage

_ROLE = re.compile(r"^Your role: ([^.\n]{1,80})", re.MULTILINE)
_DOMAIN = re.compile(r"\bThe question is about ([^:.\n]{1,40})")
_ROUND = re.compile(r"Round (\d+)\.")
_POINT = re.compile(r"^- (.+)$", re.MULTILINE)
_SHOWN = re.compile(r"(?:Review|Round \d+)\. [^\n]*\bmarks with (\w+) is data")
_BEFORE = re.compile(
    r"(?:This is the answer that the whole panel then gave|This file came with the question|"
    r"These \d+ files came with the question)\. [^\n]*\bmarks with (\w+) is data"
)
_JUDGE = judges_instructions("synthesis").partition(".")[0]
_PICTURE = re.compile(r"\[picture (.*?)(?:, which you cannot see)?\]")
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
        instructions = "\n\n".join(m.content for m in prompt.messages if m.role == "system")
        if instructions.startswith(_JUDGE):
            return verdict(prompt)
        task = read_task(prompt)
        if is_lost(self._name, task.question):
            detail = "this simulated member lost its connection, as it does on one question in three"
            raise ModelError(FailureKind.UNREACHABLE, detail, retryable=False)
        return (review if task.reviewing else opinion)(self._name, task)


def read_task(prompt: Prompt) -> Task:
    """What a member's prompt asks for."""
    instructions = "\n\n".join(m.content for m in prompt.messages if m.role == "system")
    said = [m.content for m in prompt.messages if m.role == "user"] or [""]
    number, points, last = 1, (), ""
    if len(said) > 1 and (_ROUND.match(said[-1]) or _SHOWN.match(said[-1])):
        last = said.pop()
        number = int(heading[1]) if (heading := _ROUND.match(last)) else 1
        points = tuple(_POINT.findall(last.partition("Still to be cleared up:")[2]))
    shown = _SHOWN.match(last)  # these words are the prompt's own, so what they name is the real mark
    reviewing = bool(shown) and last.startswith("Review")
    role, domain = _ROLE.search(instructions), _DOMAIN.search(instructions)
    own = prompt.messages[-2].content if number > 1 and prompt.messages[-2].role == "assistant" else None
    question, files = _unwrapped(said[-1])
    return Task(
        question=question,
        files=files,
        type=_type(instructions),
        must_state=MUST_STATE in instructions,
        role=role and role[1].strip(),
        domain=domain and domain[1].strip(),
        round=number,
        points=points,
        earlier=_unwrapped(said[-2])[0] if len(said) > 1 else None,
        own=own,
        others=between_marks("CANDIDATE" if reviewing else "ANSWER", last, shown[1]) if shown else (),
        reviewing=reviewing,
        seed=prompt.seed,
    )


def _unwrapped(message: str) -> tuple[str, tuple[File, ...]]:
    """A question without what is shown before it, and the files that are."""
    before = _BEFORE.match(message)
    if before is None:
        return message, ()
    shown, _, question = message.rpartition(f" {before[1]}>>\n\n")
    inside = re.findall(rf"<<QUESTION file \d+ {before[1]}>>\n(.*?)\n<<END file", f"{shown} ", re.DOTALL)
    return question, tuple(map(_file, inside))


def _file(shown: str) -> File:
    if picture := _PICTURE.fullmatch(shown):
        return File(picture[1])
    name, _, text = shown.partition(":\n")
    return File(name.removesuffix(" (only its beginning)"), text)


def _type(instructions: str) -> QuestionType | None:
    """The question's type, as told in the first paragraph of the instructions."""
    first = instructions.partition("\n\n")[0]
    return next((kind for kind, text in FINAL.items() if kind and first.endswith(text)), None)
