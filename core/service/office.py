"""What all desks share: the stores, the names there are, and who may do what."""

from __future__ import annotations

import asyncio
import difflib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from core import governance
from core.asks import ThreadRef
from core.cards import Result
from core.catalog import Catalog
from core.errors import NotAllowed, NotFound, Unavailable
from core.governance import Right
from core.ports import Analyst, Breakers, Events, History, Jobs, Lessons
from core.present.lists import written
from core.service.inbound import Inbound
from core.setup import ConsortiumSpec
from core.stores import Claims, Consortia, Drafts, Duplicates, Governance, Inbox, Limits, Session, Sessions, Stops


class Chosen(NamedTuple):
    """A consortium that is asked without being named; ``notes`` tell of what was to be asked and is gone."""

    name: str
    setup: ConsortiumSpec
    notes: tuple[str, ...]


Handlers = dict[type[Any], Callable[[Any, Inbound], Awaitable[Result]]]
"""What carries out a command, by its type."""

TURN = 10.0
"""Seconds to wait for one's turn: longer than it takes to notice that a process is gone."""

CUSTOM = "custom"
"""What a panel is called that somebody put together for one ask."""


@dataclass(frozen=True)
class Office:
    """The same for all desks, and for all asks: it holds no state of any run. ``analyst`` draws charts on demand."""

    catalog: Catalog
    history: History
    lessons: Lessons
    consortia: Consortia
    governance: Governance
    sessions: Sessions
    limits: Limits
    duplicates: Duplicates
    drafts: Drafts
    stops: Stops
    claims: Claims
    inbox: Inbox
    events: Events
    breakers: Breakers
    jobs: Jobs
    analyst: Analyst
    clock: Callable[[], datetime]
    new_id: Callable[[], str]
    rng: random.Random
    _turns: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        """One at a time, in this process and among all. Raises Unavailable when it does not come to that."""
        async with self._turns.setdefault(name, asyncio.Lock()):
            try:
                async with asyncio.timeout(TURN):
                    while not await self.claims.take(name):  # noqa: ASYNC110 - other processes set no event
                        await asyncio.sleep(0.02)
            except TimeoutError:
                raise Unavailable(
                    "Others are being served, for too long. Nothing was done; please try again."
                ) from None
            try:
                yield
            finally:
                with suppress(Unavailable):  # it is dropped once Redis is back, and what was done stands
                    await self.claims.drop(name)

    async def session(self, inbound: Inbound) -> Session:
        """What the person has set in this channel."""
        return await self.sessions.load(inbound.asker, inbound.where)

    async def check(self, inbound: Inbound, right: Right) -> None:
        """Raises NotAllowed for somebody who does not have that right here."""
        policy = await self.governance.policy(inbound.where)
        if not governance.may(policy, inbound.who, right):
            raise NotAllowed(REFUSALS[right])

    async def setup(self, name: str, where: ThreadRef | None) -> tuple[str, ConsortiumSpec]:
        """A consortium by name, as it is seen there. A saved one goes before one of the file. Raises NotFound."""
        wanted = name.strip("`")
        if saved := await self.consortia.get(wanted, where):
            return saved.name, saved.setup
        names = [*self.catalog.consortia, *(s.name for s in await self.consortia.all(where))]
        found = required("consortium", wanted, names)
        return found, self.catalog.consortia[found]

    async def all_consortia(self, where: ThreadRef | None) -> dict[str, ConsortiumSpec]:
        """All that can be asked there: a saved one goes before one of the file, whatever the case of their names."""
        saved = {consortium.name: consortium.setup for consortium in await self.consortia.all(where)}
        lower = {name.lower() for name in saved}
        return {name: setup for name, setup in self.catalog.consortia.items() if name.lower() not in lower} | saved

    async def chosen(self, inbound: Inbound, session: Session) -> Chosen:
        """What a person asks in a channel when they name nothing: their own choice, else the channel's default."""
        channels = await self.governance.channel_default(inbound.where)
        mine = (session.consortium, "which you chose here", written(inbound.prefix, "use none"))
        ours = (channels, "the default of this channel", written(inbound.prefix, "channel-default none"))
        return await self._first_there((mine, ours), inbound.where)

    async def default(self, where: ThreadRef | None) -> Chosen:
        """What is asked there when nobody has chosen anything."""
        return await self._first_there((), where)

    async def _first_there(self, wanted: Iterable[tuple[str | None, str, str]], where: ThreadRef | None) -> Chosen:
        """The first that is still there, with notes on those that are gone: name, what it was, how to take it back."""
        gone = []
        for name, what, undo in (*wanted, (await self.consortia.default(), "the default of all", "")):
            if name is not None:
                try:
                    found, setup = await self.setup(name, where)
                except NotFound:
                    gone.append((name, what, undo))
                else:
                    break
        else:
            found, setup = await self.setup("default", where)
        return Chosen(found, setup, tuple(_gone(*each, found) for each in gone))

    def role(self, name: str) -> str:
        """A known role by its proper name, whatever its case; anything else stands as free text, on one line."""
        name = " ".join(name.split())
        return next((known for known in self.catalog.all_roles if known.lower() == name.lower()), name)


REFUSALS: dict[Right, str] = {
    "ask": "You may not ask here. `access` shows who may; ask an administrator of this workspace to let you.",
    "save": "You may not save or remove consortia here. `access` shows who may; ask an administrator to let you.",
    "moderate": "Only those who moderate this channel may do that. `access` shows who else may.",
    "admin": "Only administrators may do that. `access` shows who they are.",
}
"""What somebody is told who lacks a right."""


def _gone(name: str, what: str, undo: str, instead: str) -> str:
    end = f" {undo} takes the choice back." if undo else ""
    return f"{name}, {what}, is not there any more, so {instead} is asked.{end}"


def required(what: str, name: str, names: Iterable[str]) -> str:
    """The proper name of something that must exist. Raises NotFound, with the nearest one."""
    by_lower = {known.lower(): known for known in names}
    if found := by_lower.get(name.strip("`").lower()):
        return found
    near = difflib.get_close_matches(name.lower(), by_lower, n=1)
    hint = f" Did you mean `{by_lower[near[0]]}`?" if near else f" There are: {', '.join(by_lower.values())}."
    raise NotFound(f"There is no {what} `{name[:40].replace('`', '')}`.{hint}")


def known(what: str, name: str | None, names: Iterable[str]) -> str | None:
    """The same for what may be left out."""
    return None if name is None else required(what, name, names)
