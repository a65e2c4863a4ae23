"""Consortium as a library: ask a panel from a program of one's own, without any server.

::

    from core import create_consortium

    run = await create_consortium().run("Is 91 prime?")
    print(run.synthesis)
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Self, get_args

from core import convening
from core.arbiter import Arbiter
from core.asks import Ask, Person, Platform, QuestionType, ThreadRef, Turn
from core.breaker import LocalBreakers
from core.catalog import Catalog
from core.engine import Engine
from core.errors import BadInput, ConfigError
from core.events import Answered, RunEnded, RunEvent
from core.ports import Embedder, Models
from core.resilience import Caller, SystemClock
from core.setup import ConsortiumSpec
from core.study.studio import Studio
from core.table import Tools
from core.types import Run, RunStatus, Study
from core.votes.trust import Experience

GROUP = "consortium.models"
"""The entry point group that brings models: its entry "configured" takes the path of a models file, or None for the
one that the command line would take, and returns a :class:`Wiring`. Thus the core needs to know no adapter."""


@dataclass(frozen=True)
class Wiring:
    """Models, and what makes vectors where that is a server; ``open`` connects them for as long as they are used."""

    catalog: Catalog
    open: Callable[[], AbstractAsyncContextManager[tuple[Models, Embedder | None]]]


def create_consortium(
    name: str | None = None,
    *,
    config: str | Path | None = None,
    experience: Experience | None = None,
    wiring: Wiring | None = None,
    **changes: Any,
) -> Consortium:
    """A panel that can be asked.

    Without arguments it is the default consortium of ``consortium.toml`` in this folder, else of real models where
    OPENROUTER_API_KEY is set, else of simulated ones. ``name`` takes another one of that file, ``config`` another
    file. Any field of :class:`core.setup.ConsortiumSpec` may be given to change it, e.g. ``members=["qwen:2",
    "llama"]``, ``arbiter="gemma"``, ``strategy="voting"``, ``params={"lead": 2}``. ``experience`` weighs the members'
    votes; ``wiring`` brings models of one's own.

    Raises ConfigError or BadInput, naming what is wrong.
    """
    wiring = wiring or _configured(None if config is None else Path(config))
    catalog, wanted = wiring.catalog, name or "default"
    if wanted not in catalog.consortia:
        raise BadInput(f"There is no consortium {wanted!r}; there are: {', '.join(catalog.consortia)}.")
    setup = convening.changed(catalog, catalog.consortia[wanted], changes)
    return Consortium(wanted, setup, wiring, experience or Experience())


class Consortium:
    """A panel, asked any number of times, also at once. Make it with :func:`create_consortium`.

    Used as an async context manager it keeps its connections (and breakers) between runs; otherwise each run opens
    and closes its own.
    """

    def __init__(self, name: str, setup: ConsortiumSpec, wiring: Wiring, experience: Experience) -> None:
        self.name, self.setup = name, setup
        self._wiring, self._experience = wiring, experience
        self._stack = AsyncExitStack()
        self._opened: tuple[Engine, Studio] | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:  # closed again if it cannot be opened whole
            self._opened = await self._open(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._opened = None
        await self._stack.aclose()

    async def run(
        self,
        question: str,
        *,
        conversation: Sequence[Turn] = (),
        question_type: QuestionType | None = None,
        domain: str | None = None,
        system: str | None = None,
        roles: Mapping[str, str] | None = None,
    ) -> Run:
        """Ask, and return the run with its answer (``run.synthesis``) or, if it failed, the reason (``run.error``).

        ``conversation`` is what was asked and answered before, oldest first; ``roles`` maps models to roles.
        """
        ended: Run | None = None
        told = self.stream(
            question,
            conversation=conversation,
            question_type=question_type,
            domain=domain,
            system=system,
            roles=roles,
        )
        async with aclosing(told) as events:
            async for event in events:
                if isinstance(event, Answered):
                    ended = event.run
        if ended is None:
            raise RuntimeError("a run ends with what came of it")
        return ended

    async def stream(
        self,
        question: str,
        *,
        conversation: Sequence[Turn] = (),
        question_type: QuestionType | None = None,
        domain: str | None = None,
        system: str | None = None,
        roles: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[RunEvent, None]:
        """Ask, and yield what happens (:mod:`core.events`) as it happens: the last two are Answered and RunEnded.

        Answered carries the run, also where it failed. Closing the iterator ends the run. Takes what :meth:`run` takes.
        """
        ask = self._ask(question, question_type, domain, system, roles)
        run = Run(
            id=ask.id,
            ask=ask,
            consortium=self.name,
            panel=self._wiring.catalog.panel(self.setup, ask.roles),
            status=RunStatus.RUNNING,
            created_at=ask.asked_at,
        )
        queue: asyncio.Queue[RunEvent | None] = asyncio.Queue()
        async with AsyncExitStack() as stack:
            engine, _ = self._opened or await self._open(stack)
            working = asyncio.create_task(engine.run(run, conversation, queue.put_nowait, self._experience))
            working.add_done_callback(lambda _: queue.put_nowait(None))
            try:
                while (event := await queue.get()) is not None:
                    yield event
                ended = self._ended(await working)
                yield Answered(run=ended, charts_follow=False)
                yield RunEnded(status=ended.status, error=ended.error)
            finally:
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)

    async def study(self, run: Run, *, charts: bool = True) -> Study:
        """How alike a run's answers are and how they sound; with ``charts`` as pictures (``study.charts``) too.

        Starts processes for it, which takes some seconds the first time. Raises ValueError when the run has no
        answers, :class:`core.errors.Unavailable` when it cannot be done.
        """
        async with AsyncExitStack() as stack:
            _, studio = self._opened or await self._open(stack)
            return await studio.study(run.answers, run.panel, charts=charts)

    async def _open(self, stack: AsyncExitStack) -> tuple[Engine, Studio]:
        catalog, clock = self._wiring.catalog, SystemClock()
        models, embedder = await stack.enter_async_context(self._wiring.open())
        studio = await stack.enter_async_context(Studio(embeddings=catalog.embeddings, remote=embedder))
        caller = Caller(LocalBreakers(clock=clock.monotonic), clock, random.Random())  # noqa: S311 - jitter
        timeouts = {key: spec.timeout for key, spec in catalog.models.items()}
        arbiter = Arbiter(caller, models, timeouts, studio, _nonce)
        return Engine(Tools(catalog, models, caller, arbiter, studio, clock, _nonce), _now), studio

    def _ask(
        self,
        question: str,
        question_type: QuestionType | None,
        domain: str | None,
        system: str | None,
        roles: Mapping[str, str] | None,
    ) -> Ask:
        if not question.strip():
            raise BadInput("There is no question.")
        catalog = self._wiring.catalog
        if domain and domain not in catalog.all_domains:
            raise BadInput(f"There is no domain {domain!r}; there are: {', '.join(catalog.all_domains)}.")
        if question_type not in (None, *get_args(QuestionType)):
            raise BadInput(
                f"There is no question type {question_type!r}; there are: {', '.join(get_args(QuestionType))}."
            )
        if unknown := set(roles or {}) - set(catalog.models):
            raise BadInput(f"roles: no model {', '.join(sorted(unknown))} (there are: {', '.join(catalog.models)}).")
        return Ask(
            id=secrets.token_hex(6),
            text=question.strip(),
            asked_at=_now(),
            asker=Person(id="library"),
            where=ThreadRef(platform=Platform.CLI, workspace="library", channel="library", private=True),
            consortium=self.name,
            setup=self.setup,
            domain=domain,
            question_type=question_type,
            system=system,
            roles=dict(roles or {}),
            charts=False,
        )

    @staticmethod
    def _ended(run: Run) -> Run:
        status = RunStatus.DONE if run.answered_at else RunStatus.FAILED
        return run.model_copy(update={"status": status, "ended_at": _now()})


def _configured(path: Path | None) -> Wiring:
    for point in entry_points(group=GROUP, name="configured"):
        wiring = point.load()(path)
        if isinstance(wiring, Wiring):
            return wiring
    raise ConfigError("The package is not installed whole: nothing brings models. Install it with its entry points.")


def _now() -> datetime:
    return datetime.now(UTC)


def _nonce() -> str:
    return secrets.token_hex(8)
