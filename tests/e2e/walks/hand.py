"""What a walk can do on a platform, and what it sees: the same words for Slack and Discord."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bot.app import Core
from core.commands import actions
from core.commands.grammar import parse
from core.types import Run

T = TypeVar("T")

FLAGS = ("consortium", "domain", "type", "strategy", "arbiter", "models", "confidence", "rounds")
"""Options that are written with their names where commands are text."""

FLAGGED = ("ask", "save")
"""The commands that have such options."""


@dataclass(frozen=True)
class Shown:
    """A message as one person sees it. ``actions`` are what its buttons do, by their labels."""

    text: str
    actions: Mapping[str, str]
    files: tuple[str, ...]
    native: Any = field(repr=False)


@dataclass(frozen=True)
class Opened:
    """A form on somebody's screen."""

    action: str
    text: str
    native: Any = field(repr=False)


class Reaction(ABC):
    """What somebody gets to see for what they did; either of the two waits for it."""

    @abstractmethod
    async def told(self) -> Shown:
        """What they alone are shown."""

    @abstractmethod
    async def form(self) -> Opened:
        """The form that opens."""


def typed(words: str, options: Mapping[str, Any]) -> str:
    """A command as text, for where it is typed."""
    flagged = words in FLAGGED
    flags = [f"--{name} {options[name]}" for name in FLAGS if flagged and name in options]
    if options.get("charts") is False:
        flags.append("--no-charts")
    rest = [str(value) for name, value in options.items() if name not in ("charts", *(FLAGS if flagged else ()))]
    return " ".join([words, *flags, *rest] if words == "ask" else [words, *rest, *flags])


class Hand(ABC):
    """One person's hand, with another person and an administrator beside; all three are new to each walk, and so is
    the channel.

    ``did`` collects what was done: commands by their types, ``/`` and their first word where they were typed or chosen
    as such, ``tap:`` and a verb, ``form:`` and a verb, ``by:`` and a way in. A place is a thread, or a direct channel.
    """

    platform: str
    core: Core
    ana: Any
    ben: Any
    boss: Any
    did: set[str]

    # --- commands -----------------------------------------------------------------------------------

    async def use(self, words: str, *, by: Any = None, **options: Any) -> Reaction:
        """Use a command; ``words`` as the grammar has them, e.g. "roles assign"; a person as ``who``."""
        command = parse(typed(words, {**options, **({"who": "user:U1"} if "who" in options else {})}))
        self.did |= {f"/{words.split()[0]}", type(command).__name__}
        return await self._use(words, by or self.ana, options)

    @abstractmethod
    async def _use(self, words: str, by: Any, options: Mapping[str, Any]) -> Reaction: ...

    async def said(self, words: str, *, by: Any = None, **options: Any) -> str:
        """The text that the person is shown for a command."""
        return (await (await self.use(words, by=by, **options)).told()).text

    async def ask(self, question: str, *, by: Any = None, charts: bool = False, **options: Any) -> Any:
        """Ask by slash command; gives the place of the answer as soon as it is there."""
        before = self.places()
        await self.use("ask", by=by, charts=charts, **options, question=question)
        return await self.new_place(before)

    async def asked(self, question: str, *, by: Any = None, **options: Any) -> Any:
        """The same, once the answer stands."""
        place = await self.ask(question, by=by, **options)
        await self.answer(place)
        return place

    # --- taps and forms -----------------------------------------------------------------------------

    async def tap(self, shown: Shown, what: str, *, by: Any = None) -> Reaction:
        """Tap a button, by its label or by the verb (and beginning) of what it does."""
        label = what if what in shown.actions else None
        label = label or next((k for k, action in shown.actions.items() if f"{action}:".startswith(f"{what}:")), None)
        assert label is not None, f"{what} is not among {dict(shown.actions)} of {shown.text}"
        action = shown.actions[label]
        self.did |= {f"tap:{action.partition(':')[0]}", type(actions.decode(action)).__name__}
        return await self._tap(shown, label, by or self.ana)

    @abstractmethod
    async def _tap(self, shown: Shown, label: str, by: Any) -> Reaction: ...

    async def fill(self, form: Opened, values: Mapping[str, Any]) -> Reaction:
        """Fill in a form and send it."""
        verb = form.action.partition(":")[0]
        self.did.add(f"form:{verb}")
        if verb in actions._VERBS:
            filled = {name: (value,) if isinstance(value, str) else tuple(value) for name, value in values.items()}
            self.did.add(type(actions.submitted(form.action, filled)).__name__)
        return await self._fill(form, values)

    @abstractmethod
    async def _fill(self, form: Opened, values: Mapping[str, Any]) -> Reaction: ...

    # --- words --------------------------------------------------------------------------------------

    @abstractmethod
    async def mention(self, text: str, *, by: Any = None, files: Sequence[tuple[str, bytes]] = ()) -> Any:
        """Mention the bot in the channel; gives the place where it answers."""

    @abstractmethod
    async def direct(self, text: str, *, files: Sequence[tuple[str, bytes]] = ()) -> Any:
        """Write to the bot alone; gives the place where it answers."""

    @abstractmethod
    async def say(self, place: Any, text: str, *, by: Any = None) -> None:
        """Write in a thread."""

    @abstractmethod
    async def ask_about(self, text: str) -> Reaction:
        """Choose the bot from the menu of a message that another person wrote in the channel."""

    @abstractmethod
    async def welcomed(self) -> Shown:
        """Meet the bot for the first time; gives what it says of itself."""

    # --- what is to be seen -------------------------------------------------------------------------

    @abstractmethod
    def places(self) -> list[Any]:
        """The threads there are."""

    @abstractmethod
    def shown(self, place: Any) -> list[Shown]:
        """What the bot wrote in a place, oldest first."""

    @abstractmethod
    def told_all(self) -> list[str]:
        """Everything that all can read, wherever the bot wrote it to more than one person."""

    @abstractmethod
    async def wait(self, condition: Callable[[], T | None], timeout: float = 20) -> T:
        """Wait until something holds."""

    async def new_place(self, before: list[Any]) -> Any:
        """The thread that was not there before."""
        return (await self.wait(lambda: [place for place in self.places() if place not in before]))[0]

    def answers(self, place: Any) -> list[Shown]:
        """The messages that end an answer."""
        return [s for s in self.shown(place) if "· run " in s.text and any("feedback" in a for a in s.actions.values())]

    async def answer(self, place: Any, count: int = 1) -> Shown:
        """The latest answer in a place, once there are so many and nothing is in progress."""
        await self.wait(lambda: len(self.answers(place)) >= count and not self.running(place))
        return self.answers(place)[-1]

    def running(self, place: Any) -> list[Shown]:
        """The messages of runs that go on."""
        return [s for s in self.shown(place) if any(action.startswith("stop:") for action in s.actions.values())]

    async def run_of(self, place: Any) -> Run:
        """The run that the latest answer of a place names."""
        run = await self.core.history.run(run_id(await self.answer(place)))
        assert run
        return run

    @abstractmethod
    def id_of(self, person: Any) -> str:
        """The platform's id of somebody."""

    # --- the process --------------------------------------------------------------------------------

    @abstractmethod
    async def begin(self) -> None:
        """New people in a new channel."""

    @abstractmethod
    async def move(self) -> None:
        """The same people go to a new channel."""

    async def restart(self) -> None:
        """The process goes, and another one comes in its place."""
        self.did.add("by:restart")
        await self.stop()
        await self.start()

    async def start(self) -> None:
        """A process of the product comes. It lives in a task of its own, where what it opens is closed as well."""
        ready = asyncio.get_running_loop().create_future()
        self._over = asyncio.Event()

        async def live() -> None:
            try:
                async with self.process():
                    ready.set_result(None)
                    await self._over.wait()
            except BaseException as error:
                if ready.done():
                    raise
                ready.set_exception(error)

        self._life = asyncio.create_task(live())
        await ready

    async def stop(self) -> None:
        """It goes."""
        self._over.set()
        await self._life

    @abstractmethod
    def process(self) -> AbstractAsyncContextManager[None]:
        """The product while it runs; sets ``core``."""

    @abstractmethod
    async def end(self) -> None:
        """Wait until nothing is under way. Raises AssertionError for what the platform would not have."""


def run_id(shown: Shown) -> str:
    """The run that an answer's small print names."""
    return shown.text.rpartition("· run ")[2].strip("`_*")[:12]
