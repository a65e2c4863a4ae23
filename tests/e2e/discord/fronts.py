"""Several fronts of one service in one test process: each with a presence of its own, and one can be killed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import cycle

from aiohttp import web

from adapters.discord.connection import Turns
from adapters.discord.limits import BODY, Shards, Timing
from adapters.discord.surface import DiscordConfig, DiscordSurface
from adapters.state.state import State, connect
from bot.app import Core
from core.service import Service
from tests.e2e.discord.stage import TIMING, Stage
from tests.emulators.discord import DiscordEmulator, Interaction, Message

ALIVE = 1.0
"""Seconds after which a silent front counts as gone."""

LOOK = 0.1
"""Seconds between two looks for what others have left."""


@dataclass
class Front(Stage):
    """One front as a process would hold it."""

    state: State
    heir: asyncio.Task[None] | None

    @property
    def holds(self) -> bool:
        """Whether the gateway session is held here."""
        return self.surface._connection.online.is_set()

    async def kill(self) -> None:
        """As SIGKILL does: it says nothing more to anybody."""
        await self.silence()
        connection = self.surface._connection
        connection._turns = Turns(connection._turns.take, _say_nothing)
        await self.surface.close(0)

    async def leave(self) -> None:
        """As a process ends in order that has no time left."""
        await _ended(self.heir)
        await self.surface.close(0)
        await self.state.claims.leave()

    async def silence(self) -> None:
        """For the others it is gone, though it goes on."""
        await self.state.presence.aclose()


async def _ended(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.wait([task])


async def _say_nothing(_: str) -> None:
    """Nobody is told that the turn is over."""


async def take_over(surface: DiscordSurface) -> None:
    """What a process does again and again."""
    while True:
        await surface.resume()
        await asyncio.sleep(LOOK)


@asynccontextmanager
async def front(
    emu: DiscordEmulator,
    core: Core,
    *,
    claims: str | None = None,
    inbox: str | None = None,
    shards: Shards | None = None,
    timing: Timing = TIMING,
    heir: bool = True,
) -> AsyncIterator[Front]:
    """A front on the stores of ``core``. ``claims`` and ``inbox`` are servers of its own for these; ``heir``: it looks
    for what others have left."""
    shared = core.state._link.url
    async with connect(claims or shared, alive=ALIVE) as state, connect(inbox or shared, alive=ALIVE) as keeping:
        office = replace(core.office, claims=state.claims, inbox=(keeping if inbox else state).inbox)
        own = replace(core, service=Service(office), state=state)
        config = DiscordConfig(emu.token, emu.api_url, emu.gateway_url, shards, emu.endpoint.public_key)
        surface = DiscordSurface(config, own.service, own.history, timing)
        await surface.start()
        looking = asyncio.create_task(take_over(surface)) if heir else None
        try:
            yield Front(emu, own, surface, state, looking)
        finally:
            await _ended(looking)
            await surface.close(2)


@asynccontextmanager
async def balanced(emu: DiscordEmulator, fronts: Sequence[Front]) -> AsyncIterator[list[int]]:
    """A balancer before fronts, each of which takes a request in turn; gives which front took each."""
    turns, taken = cycle(range(len(fronts))), []

    async def take(request: web.Request) -> web.Response:
        taken.append(next(turns))
        return await fronts[taken[-1]].surface.handle_http(request)

    app = web.Application(client_max_size=BODY)
    app.router.add_post("/discord/interactions", take)
    runner = web.AppRunner(app, access_log=None, lingering_time=0.1, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        await emu.endpoint.save(f"http://127.0.0.1:{runner.addresses[0][1]}/discord/interactions")
        taken.clear()
        yield taken
    finally:
        await runner.cleanup()


def numbers(emu: DiscordEmulator, *channels: int) -> Counter[int]:
    """How often each message of the bot stands, by the number that its box carries."""
    written = [message for channel in channels for message in emu.messages(channel) if message.author == emu.bot]
    return Counter(message.components[0]["id"] for message in written if message.components)


def shown(interaction: Interaction) -> list[Message]:
    """What the asker sees of an interaction's response."""
    return [message for message in interaction.replies if not message.loading]
