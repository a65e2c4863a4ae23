"""The library's client: it posts for every process, and holds a gateway session where this process has its turn."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any, Protocol

from adapters.discord.commands import sync_if_changed
from adapters.discord.counting import counted
from adapters.discord.library import Interaction, discord, interaction_of, session_limits
from adapters.discord.limits import Shards, Timing
from core.telemetry import get_logger

log = get_logger(__name__)

PAYLOAD, VISITING = "payload", "visiting"
"""What an interaction carries beside what the library makes of it: how it came, and whether we are no member there."""


class Listener(Protocol):
    """Who is told what happens."""

    async def on_interaction(self, interaction: Interaction) -> None:
        """Something was used, tapped, filled in, or is being typed."""
        ...

    async def on_guild_join(self, guild: discord.Guild) -> None:
        """The bot was added to a server."""
        ...

    async def on_message(self, message: discord.Message) -> None:
        """A message was written."""
        ...

    async def on_shard_ready(self, shard: int) -> None:
        """A new session stands; its guilds and threads are known."""
        ...


class Pacing:
    """Keeps new sessions apart as Discord wants it: shards with the same remainder wait for each other."""

    def __init__(self, between: float) -> None:
        self.at_once = 1
        self._between = between
        self._last: dict[int, float] = {}
        self._locks: dict[int, asyncio.Lock] = {}

    async def wait(self, shard: int) -> None:
        """Until this shard may begin a session."""
        key = shard % self.at_once
        async with self._locks.setdefault(key, asyncio.Lock()):
            pause = self._last.get(key, -self._between) + self._between - time.monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
            self._last[key] = time.monotonic()


class Client(discord.AutoShardedClient):
    """Events go to the listener, nothing is cached that we do not use, nobody is pinged."""

    def __init__(self, listener: Listener, online: asyncio.Event, pacing: Pacing, timing: Timing) -> None:
        super().__init__(
            intents=discord.Intents(guilds=True, guild_messages=True, dm_messages=True, message_content=True),
            allowed_mentions=discord.AllowedMentions.none(),
            max_messages=None,
            chunk_guilds_at_startup=False,
            member_cache_flags=discord.MemberCacheFlags.none(),
            guild_ready_timeout=timing.guilds,
            http_trace=counted(),
            enable_debug_events=True,  # the one public way to what was sent word for word
        )
        self._listener, self._online, self._pacing = listener, online, pacing
        self._ready_shards: set[int] = set()
        self._received: str = ""
        self._look = timing.reconnect[1]

    async def hold(self, shards: Shards | None) -> None:
        """Hold the gateway sessions of those shards, of all where none are named, until closed. They begin once so many
        may begin: who exceeds what Discord allows in a day loses the token.

        Raises like the library: ConnectionClosed, PrivilegedIntentsRequired, GatewayNotFound, OSError and others.
        """
        wanted, self._pacing.at_once, left = await session_limits(self)
        if shards is None:
            self.shard_count, self.shard_ids = wanted, list(range(wanted))
        else:
            self.shard_count, self.shard_ids = shards.count, list(range(shards.first, shards.last + 1))
        while left < len(self.shard_ids):
            log.error("Discord lets too few sessions begin today", needed=len(self.shard_ids), left=left)
            await asyncio.sleep(self._look)
            _, _, left = await session_limits(self)
        await self.connect()

    @property
    def stands(self) -> bool:
        """Whether a session has a connection; many shards take their time until all have."""
        return any(not shard.is_closed() for shard in self.shards.values())

    def guilds_of(self, shard: int) -> list[discord.Guild]:
        """The servers of a shard."""
        return [guild for guild in self.guilds if guild.shard_id == shard]

    def interaction(self, payload: Mapping[str, Any]) -> Interaction:
        """An interaction as Discord sent it, to whichever process. Raises KeyError or ValueError where it is none."""
        return self._with(interaction_of(self, payload), payload)

    def _with(self, interaction: Interaction, payload: Mapping[str, Any]) -> Interaction:
        interaction.extras[PAYLOAD] = payload
        interaction.extras[VISITING] = self._visiting(interaction)
        return interaction

    def _visiting(self, interaction: Interaction) -> bool:
        """Whether we are no member there: the session's servers tell, without one what Discord says of the install."""
        guild = interaction.guild_id
        if guild is None:
            return bool(interaction.context.private_channel)
        if self.get_guild(guild) is not None:
            return False
        knows = self.shard_count is not None and (guild >> 22) % self.shard_count in self._ready_shards
        return knows or not interaction.is_guild_integration()

    # --- the library's events -----------------------------------------------------------------------

    def dispatch(self, event: str, /, *args: Any, **kwargs: Any) -> None:
        """Hand an event on, with what was sent for it: the library gives both in one go."""
        if event in ("socket_raw_receive", "socket_raw_send"):
            self._received = args[0] if event == "socket_raw_receive" else self._received
            return
        if event == "interaction":
            self._with(args[0], json.loads(self._received)["d"])
        if not self.is_closed():  # the library's wait for guilds outlives a closed client, whose loop is gone then
            super().dispatch(event, *args, **kwargs)

    async def setup_hook(self) -> None:
        """Bring the commands up to date. Without success the ones that Discord has stay in force."""
        try:
            if await sync_if_changed(self):
                log.info("slash commands updated")
        except discord.HTTPException as error:
            log.error("slash commands not updated", code=error.code, detail=str(error)[:200])

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Wait until a session may begin."""
        await self._pacing.wait(shard_id or 0)

    async def on_connect(self) -> None:
        """A session stands."""
        self._online.set()

    async def on_shard_ready(self, shard_id: int) -> None:
        """Guilds and threads are known."""
        self._ready_shards.add(shard_id)
        await self._listener.on_shard_ready(shard_id)

    async def on_interaction(self, interaction: Interaction) -> None:
        """Somebody used, tapped or filled in something."""
        await self._listener.on_interaction(interaction)

    async def on_guild_join(self, guild: discord.Guild) -> None:
        """The bot was added to a server."""
        await self._listener.on_guild_join(guild)

    async def on_message(self, message: discord.Message) -> None:
        """Somebody wrote."""
        await self._listener.on_message(message)

    async def on_error(self, event_method: str, /, *args: object, **kwargs: object) -> None:
        """An event could not be handled."""
        log.exception("event not handled", event_name=event_method)
