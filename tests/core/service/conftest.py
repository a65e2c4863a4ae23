"""A service on the real state and history, with a queue that nobody works on."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from adapters.history import SqlHistory
from adapters.state.state import State
from core.asks import Ask, Person, Platform, ThreadRef
from core.cards import Form, Reply, Result
from core.catalog import Catalog, LimitSpec
from core.commands.values import AskCommand, Command
from core.governance import Spent
from core.ports import QueueDepth
from core.service import Inbound, Office, Service
from core.types import Run
from tests.core.fakes import START, FakeAnalyst, catalog

CHANNEL = ThreadRef(platform=Platform.SLACK, workspace="T1", channel="C1")
DIRECT = CHANNEL.model_copy(update={"channel": "D1", "private": True})
ANN, BOB = Person(id="U1", name="Ann"), Person(id="U2", name="Bob")


class Queue:
    """Jobs that stay where they are put."""

    def __init__(self) -> None:
        self.asks: list[Ask] = []
        self.waits = False

    async def submit(self, ask: Ask) -> None:
        if ask.id not in {known.id for known in self.asks}:
            self.asks.append(ask)

    async def place(self, run_id: str) -> int | None:
        waiting = [ask.id for ask in self.asks]
        return waiting.index(run_id) if run_id in waiting else None

    async def withdraw(self, run_id: str) -> bool:
        """Runs wait here until a test takes them."""
        place = await self.place(run_id)
        if place is not None and self.waits:
            del self.asks[place]
        return place is not None and self.waits

    async def depth(self) -> QueueDepth:
        return QueueDepth(waiting=len(self.asks))


def inbound(by: Person = ANN, where: ThreadRef = CHANNEL, **fields: Any) -> Inbound:
    """What a platform tells; by default Ann in the channel, with no more rights than anybody."""
    return Inbound(asker=by, where=where, **fields)


class Desk:
    """A service whose clock stands still unless it is set: ``now``. ``office`` has all stores."""

    def __init__(
        self, state: State, history: SqlHistory, limits: LimitSpec | None = None, models: Catalog | None = None
    ) -> None:
        self.history, self.sessions, self.now = history, state.sessions, START
        self.queue, self.ids = Queue(), iter(range(1000))
        self.governance, self.drafts, self.stops = history.governance, state.drafts, state.stops
        models = models or catalog(members=["a:2", "b", "c"]).model_copy(update={"domains": {"law": "Think of it."}})
        self.office = Office(
            models,
            history=history,
            lessons=history.lessons,
            consortia=history.consortia,
            governance=self.governance,
            sessions=state.sessions,
            limits=state.limits(limits or LimitSpec(user="100/minute")),
            duplicates=state.duplicates,
            drafts=self.drafts,
            stops=self.stops,
            claims=state.claims,
            inbox=state.inbox,
            events=state.events,
            breakers=state.breakers(),
            jobs=self.queue,
            analyst=FakeAnalyst(),
            clock=lambda: self.now,
            new_id=lambda: f"run{next(self.ids)}",
            rng=random.Random(1),
        )
        self.service = Service(self.office)

    async def do(self, command: Command, by: Person = ANN, where: ThreadRef = CHANNEL, **fields: Any) -> Result:
        """Carry out a command; ``fields`` are those of :class:`Inbound`."""
        return await self.service.handle(command, inbound(by, where, **fields))

    async def reply(self, command: Command, by: Person = ANN, where: ThreadRef = CHANNEL, **fields: Any) -> Reply:
        """The same for what is answered with a reply."""
        reply = await self.do(command, by, where, **fields)
        assert isinstance(reply, Reply)
        return reply

    async def say(self, command: Command, by: Person = ANN, where: ThreadRef = CHANNEL, **fields: Any) -> str:
        """A reply's text."""
        return (await self.reply(command, by, where, **fields)).text

    async def form(self, command: Command, by: Person = ANN, where: ThreadRef = CHANNEL, **fields: Any) -> Form:
        """The same for what is answered with a form."""
        form = await self.do(command, by, where, **fields)
        assert isinstance(form, Form)
        return form

    async def ask(self, by: Person = ANN, where: ThreadRef = CHANNEL, **fields: Any) -> Run:
        """Ask; ``fields`` are those of :class:`AskCommand`."""
        run = await self.do(AskCommand(**{"text": "Is it so?", **fields}), by, where)
        assert isinstance(run, Run)
        return run

    async def follow(self, text: str, where: ThreadRef, by: Person = ANN) -> Run:
        """Write into a thread of ours."""
        run = await self.service.follow_up(text, inbound(by, where))
        assert isinstance(run, Run)
        return run

    async def thread(self, thread: str = "1.2", **fields: Any) -> Run:
        """Ask, in a thread of its own; each a minute after the one before."""
        self.now += timedelta(minutes=1)
        return await self.service.thread_opened(await self.ask(**fields), thread)

    async def spent(self, by: Person = ANN) -> Spent:
        """What a person has used today, with what runs that go on may use."""
        return (await self.governance.spending(CHANNEL, by, self.now)).at("user", "day")


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker ends a run here, so that nobody waits for it."""
    monkeypatch.setattr("core.service.stopping.LOOKS", (0,))


@pytest.fixture
async def desk(state: State, history: SqlHistory) -> AsyncIterator[Desk]:
    desk = Desk(state, history)
    yield desk
    await desk.service.aclose()
