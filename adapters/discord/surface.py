"""The Discord surface: what people do there, and the runs that are shown to them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from adapters.discord.connection import Connection, DiscordConfig
from adapters.discord.files import Files
from adapters.discord.inbound import is_for_us_to_read
from adapters.discord.interactions import Interactions
from adapters.discord.library import Interaction, discord
from adapters.discord.limits import Timing
from adapters.discord.messages import Messages
from adapters.discord.shows import Shows
from core.ports import Events, History
from core.service import Service

__all__ = ["DiscordConfig", "DiscordSurface"]

REMEMBERED = 2048
"""Events whose ids are kept to drop repeated dispatches; they come within seconds of each other."""


class DiscordSurface:
    """Consortium on Discord. One per process; runs are shown by tasks of their own."""

    def __init__(
        self, config: DiscordConfig, service: Service, events: Events, history: History, timing: Timing | None = None
    ) -> None:
        timing = timing or Timing()
        self._connection = Connection(config, self, timing)
        self._files = Files(config.api_url)
        self._shows = Shows(self._connection, service, events, history, timing)
        self._interactions = Interactions(service, self._shows, self._files, timing)
        self._messages = Messages(self._connection, service, self._shows, self._files, timing)
        self._closing = False
        self._seen: OrderedDict[int, None] = OrderedDict()
        self._tasks = self._shows.tasks

    # --- lifecycle ----------------------------------------------------------------------------------

    async def start(self, patience: float = 10.0) -> None:
        """Connect in the background, and go on doing so. Returns once connected, or after ``patience`` seconds.

        Raises ConfigError when Discord refuses the token or the intents within that time; see :meth:`wait`.
        """
        await self._connection.start(patience)

    async def wait(self) -> None:
        """Until the surface is closed. Raises ConfigError when Discord refuses the token or the intents."""
        await self._connection.wait()

    async def close(self, grace: float) -> None:
        """Take nothing new, give deliveries in flight so many seconds to finish, then disconnect."""
        self._closing = True
        pending = self._tasks - {asyncio.current_task()}
        if pending:
            _, late = await asyncio.wait(pending, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._connection.close()
        await self._files.close()

    async def resume(self) -> None:
        """Show the runs of the last hour whose answer an earlier process did not get to post."""
        await self._shows.resume()

    # --- what happens -------------------------------------------------------------------------------

    async def on_interaction(self, interaction: Interaction) -> None:
        """Something was used, tapped, filled in, or is being typed."""
        await self._once(interaction.id, lambda: self._interactions.handle(interaction))

    async def on_message(self, message: discord.Message) -> None:
        """Somebody wrote."""
        if is_for_us_to_read(message):
            await self._once(message.id, lambda: self._messages.handle(message))

    async def on_guild_join(self, guild: discord.Guild) -> None:
        """The bot was added to a server."""
        await self._once(guild.id, lambda: self._messages.greet_guild(guild))

    async def on_ready(self) -> None:
        """Take the follow-ups that were written in threads while nobody was connected."""
        for message in await self._messages.backfill():
            if is_for_us_to_read(message):
                await self._late(message)

    async def _late(self, message: discord.Message) -> None:
        await self._once(message.id, lambda: self._messages.handle(message, late=True))

    async def _once(self, event_id: int, work: Callable[[], Awaitable[None]]) -> None:
        """Do what an event calls for, unless it came before: the library hands on what Discord sends twice."""
        if self._closing or event_id in self._seen:
            return
        self._seen[event_id] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        with self._counted():
            await work()

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
