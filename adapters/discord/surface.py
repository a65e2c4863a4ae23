"""The Discord surface: what people do there, and the runs that are shown to them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from adapters.discord.connection import Connection, DiscordConfig, Turns
from adapters.discord.endpoint import Endpoint
from adapters.discord.files import Files
from adapters.discord.intake import Intake
from adapters.discord.interactions import Interactions
from adapters.discord.library import Interaction, discord
from adapters.discord.limits import Timing
from adapters.discord.messages import Messages
from adapters.discord.shows import Shows
from core.errors import ConfigError
from core.ports import History
from core.service import Service

__all__ = ["DiscordConfig", "DiscordSurface"]

REMEMBERED = 2048
"""Servers and typing whose events are remembered to drop repeated ones; they come within seconds of each other."""


class DiscordSurface:
    """Consortium on Discord. One per process; runs are shown by tasks of their own."""

    def __init__(self, config: DiscordConfig, service: Service, history: History, timing: Timing | None = None) -> None:
        timing = timing or Timing()
        self._connection = Connection(config, self, Turns(service.claim, service.unclaim), timing)
        self._files = Files(config.api_url)
        self._shows = Shows(self._connection, service, history, timing)
        self._interactions = Interactions(service, self._shows, self._files, timing)
        self._messages = Messages(self._connection, service, self._shows, self._files, timing)
        self._intake = Intake(self._connection, service, self._interactions, self._messages, self._shows, timing)
        self._endpoint = _endpoint(config, self._connection, self._intake, self._interactions)
        self._seen: OrderedDict[int, None] = OrderedDict()
        self._tasks = self._shows.tasks

    # --- lifecycle ----------------------------------------------------------------------------------

    async def start(self, patience: float = 10.0) -> None:
        """Connect in the background, and go on doing so. Returns once a gateway session stands, here or in another
        process with the same shards, or after ``patience`` seconds.

        Raises ConfigError when Discord refuses the token or the intents within that time; see :meth:`wait`.
        """
        await self._connection.start(patience)

    async def wait(self) -> None:
        """Until the surface is closed. Raises ConfigError when Discord refuses the token, the intents or the shards."""
        await self._connection.wait()

    async def close(self, grace: float) -> None:
        """Give what is under way so many seconds to finish, then disconnect. What is not finished is left to other
        processes, or to the next one."""
        if pending := self._pending():
            await asyncio.wait(pending, timeout=grace)
        late = self._pending()
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        await self._connection.close()
        await self._files.close()

    async def resume(self) -> None:
        """Take over what other processes have left behind: events, then answers that do not stand yet. To be called
        again and again."""
        if self._connection.reachable.is_set():
            await self._intake.take_over()
            await self._shows.resume(self._intake.coming)

    async def ready(self) -> str | None:
        """What keeps people from being served, in a few words; None while all is well."""
        return self._connection.problem()

    async def handle_http(self, request: web.Request) -> web.Response:
        """An interaction that Discord sends by HTTP; 404 where no key is set to know it by."""
        if self._endpoint is None:
            return web.Response(status=404)
        return await self._endpoint.handle(request)

    # --- what happens -------------------------------------------------------------------------------

    async def on_interaction(self, interaction: Interaction) -> None:
        """Something was used, tapped, filled in, or is being typed."""
        with self._counted():
            if interaction.type is not discord.InteractionType.autocomplete:
                await self._intake.interaction(interaction)
            elif self._first(interaction.id):
                await self._interactions.suggest(interaction)

    async def on_message(self, message: discord.Message) -> None:
        """Somebody wrote."""
        with self._counted():
            await self._intake.message(message)

    async def on_guild_join(self, guild: discord.Guild) -> None:
        """The bot was added to a server."""
        if self._first(guild.id):
            with self._counted():
                await self._messages.greet_guild(guild)

    async def on_shard_ready(self, shard: int) -> None:
        """Take what was written while nobody was connected."""
        with self._counted():
            async for message in self._messages.missed(shard):
                await self._intake.message(message, late=True)

    def _first(self, event_id: int) -> bool:
        """Whether an event is new: the library hands on what Discord sends twice."""
        if event_id in self._seen:
            return False
        self._seen[event_id] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return True

    def _pending(self) -> set[asyncio.Task[None]]:
        return {task for task in self._tasks if task is not asyncio.current_task()}

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Let :meth:`close` wait for what this task does."""
        task = asyncio.current_task()
        if task is None or task in self._tasks:
            yield
            return
        self._tasks.add(task)
        try:
            yield
        finally:
            self._tasks.discard(task)


def _endpoint(
    config: DiscordConfig, connection: Connection, intake: Intake, interactions: Interactions
) -> Endpoint | None:
    if config.public_key is None:
        return None
    try:
        return Endpoint(config.public_key, connection, intake, interactions)
    except ValueError:
        raise ConfigError(
            "DISCORD_PUBLIC_KEY: is no key; copy the Public Key from the General Information page of your application"
        ) from None
