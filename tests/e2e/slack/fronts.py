"""Several fronts of one service in one test process: each with a presence of its own, and one can be killed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from adapters.slack.limits import Timing
from adapters.slack.surface import SlackSurface
from adapters.state.state import State, connect
from bot.app import Core
from core.service import Service
from tests.e2e.slack.stage import TIMING, Stage, surface_of
from tests.emulators.slack import SlackEmulator

ALIVE = 1.0
"""Seconds after which a silent front counts as gone."""

LOOK = 0.1
"""Seconds between two looks for what others have left."""


@dataclass
class Front(Stage):
    """One front as a process would hold it."""

    state: State

    async def kill(self) -> None:
        """As SIGKILL does: it says nothing more to anybody."""
        await self.state.presence.aclose()
        doomed = set(self.surface._tasks)
        for task in doomed:
            task.cancel()
        await asyncio.gather(*doomed, return_exceptions=True)
        self.surface._intake = None
        sockets = self.surface._socket._sockets if self.surface._socket else []
        for socket in sockets:  # no words of farewell
            session = socket.client.current_session
            if session is not None and session._conn is not None and session._conn.transport is not None:
                session._conn.transport.abort()
        await self.surface.close()


async def take_over(surface: SlackSurface) -> None:
    """What a process does again and again."""
    while True:
        await surface.resume()
        await asyncio.sleep(LOOK)


@asynccontextmanager
async def front(
    slack: SlackEmulator,
    core: Core,
    *,
    http: bool = False,
    redis: str | None = None,
    inbox: str | None = None,
    timing: Timing = TIMING,
    heir: bool = True,
    connections: int = 2,
) -> AsyncIterator[Front]:
    """A front on the stores of ``core``. ``redis`` and ``inbox`` are servers of its own for claims and kept events;
    ``heir``: it looks for what others have left."""
    shared = core.state._link.url
    async with (
        connect(redis or shared, alive=ALIVE) as state,
        connect(inbox or redis or shared, alive=ALIVE) as keeping,
    ):
        kept = (state if inbox is None else keeping).inbox
        kept._patience = 0.5
        office = replace(core.office, claims=state.claims, inbox=kept)
        own = replace(core, service=Service(office), state=state)
        surface = surface_of(slack, own, http=http, timing=timing, connections=connections)
        await surface.start()
        looking = asyncio.create_task(take_over(surface)) if heir else None
        try:
            yield Front(slack, own, surface, state)
        finally:
            if looking is not None:
                looking.cancel()
                await asyncio.wait([looking])
            await surface.close(2)


def parts(slack: SlackEmulator) -> Counter[str]:
    """How often each part of the runs stands."""
    marks = [message.metadata or {} for message in slack.messages(by_bot=True)]
    return Counter(mark["event_payload"].get("part") for mark in marks if mark.get("event_type") == "consortium_run")
