"""The connection to Discord: the library's client, supervised, and what ends it for good."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from adapters.discord.commands import sync_if_changed
from adapters.discord.library import Interaction, discord, point_at
from adapters.discord.limits import Timing
from core.errors import ConfigError
from core.telemetry import get_logger

log = get_logger(__name__)

PORTAL = "https://discord.com/developers/applications"
AUTHENTICATION_FAILED = 4004


@dataclass(frozen=True)
class DiscordConfig:
    """How to reach Discord; addresses only where they differ from the public ones."""

    token: str
    api_url: str | None = None
    gateway_url: str | None = None


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

    async def on_ready(self) -> None:
        """A new session stands; guilds and threads are known."""
        ...


class Connection:
    """Keeps a client running. The client changes when the library gives up on one, so ask for it each time."""

    def __init__(self, config: DiscordConfig, listener: Listener, timing: Timing) -> None:
        self._config, self._listener, self._timing = config, listener, timing
        self.online = asyncio.Event()
        self._client: _Client | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._undo: Callable[[], None] | None = None

    def client(self) -> discord.Client:
        """The client of the moment. Raises ConnectionError before the first."""
        if self._client is None:
            raise ConnectionError("Discord is not connected")
        return self._client

    def me(self) -> int:
        """The bot's user id. Raises ConnectionError when not logged in."""
        user = self.client().user
        if user is None:
            raise ConnectionError("Discord is not connected")
        return user.id

    async def start(self, patience: float) -> None:
        """Connect in the background; see :meth:`adapters.discord.surface.DiscordSurface.start`."""
        self._undo = point_at(self._config.api_url, self._config.gateway_url)
        self._supervisor = asyncio.create_task(self._supervise(), name="discord")
        self._supervisor.add_done_callback(_log_end)
        online = asyncio.create_task(self.online.wait())
        await asyncio.wait({online, self._supervisor}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        online.cancel()
        if self._supervisor.done():
            await self.close()
            await self._supervisor

    async def wait(self) -> None:
        """Until closed. Raises ConfigError when Discord refuses the token or the intents."""
        if self._supervisor is not None:
            await asyncio.wait({self._supervisor})
            if not self._supervisor.cancelled():
                await self._supervisor

    async def close(self) -> None:
        """Disconnect."""
        if self._supervisor is not None and not self._supervisor.done():
            self._supervisor.cancel()
            await asyncio.wait({self._supervisor})
        if self._undo is not None:
            self._undo()
            self._undo = None

    async def _supervise(self) -> None:
        """The library reconnects by itself, but gives up when the first connection fails."""
        first, most = self._timing.reconnect
        pause = first
        while True:
            was_online = await self._run_client()
            pause = first if was_online else min(pause * 2, most)
            await asyncio.sleep(pause)

    async def _run_client(self) -> bool:
        """Run one client to its end; returns whether it was ever online. Raises ConfigError."""
        client = self._client = _Client(self._listener, self.online, self._timing)
        try:
            await client.start(self._config.token)
        except discord.LoginFailure as error:
            raise _wrong_token() from error
        except discord.PrivilegedIntentsRequired as error:
            raise ConfigError(
                "DISCORD_BOT_TOKEN: this bot may not read messages; switch on Message Content Intent on the Bot "
                f"page of your application at {PORTAL}, then start again"
            ) from error
        except discord.ConnectionClosed as error:
            if error.code == AUTHENTICATION_FAILED:
                raise _wrong_token() from error
            log.warning("Discord closed the connection", code=error.code)
        except Exception as error:  # noqa: BLE001 - the library raises anything when the gateway is away
            log.warning("Discord is not reached", error=type(error).__name__, detail=str(error)[:200])
        finally:
            was_online = self.online.is_set()
            self.online.clear()
            with suppress(Exception):
                await client.close()
        return was_online


class _Client(discord.Client):
    """The library's client: events go to the listener, nothing is cached that we do not use, nobody is pinged."""

    def __init__(self, listener: Listener, online: asyncio.Event, timing: Timing) -> None:
        super().__init__(
            intents=discord.Intents(guilds=True, guild_messages=True, dm_messages=True, message_content=True),
            allowed_mentions=discord.AllowedMentions.none(),
            max_messages=None,
            chunk_guilds_at_startup=False,
            member_cache_flags=discord.MemberCacheFlags.none(),
            guild_ready_timeout=timing.guilds,
        )
        self._listener, self._online = listener, online

    def dispatch(self, event: str, /, *args: Any, **kwargs: Any) -> None:
        """Hand an event on. The library's wait for guilds outlives a closed client, whose loop is gone then."""
        if not self.is_closed():
            super().dispatch(event, *args, **kwargs)

    async def setup_hook(self) -> None:
        """Bring the commands up to date. Without success the ones that Discord has stay in force."""
        try:
            if await sync_if_changed(self):
                log.info("slash commands updated")
        except discord.HTTPException as error:
            log.error("slash commands not updated", code=error.code, detail=str(error)[:200])

    async def on_connect(self) -> None:
        """A session stands."""
        self._online.set()

    async def on_ready(self) -> None:
        """Guilds and threads are known."""
        await self._listener.on_ready()

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


def _wrong_token() -> ConfigError:
    return ConfigError(
        "DISCORD_BOT_TOKEN: Discord does not accept this token; write the one from the Bot page of your application "
        f"at {PORTAL} (Reset Token shows a new one)"
    )


def _log_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("Discord is off", reason=str(error))
