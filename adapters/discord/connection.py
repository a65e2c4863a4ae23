"""The connection to Discord: a client that is logged in, supervised; the gateway session, which one process holds for
all; and what ends it for good."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from adapters.discord.gateway import Client, Listener, Pacing
from adapters.discord.library import discord, point_at
from adapters.discord.limits import Shards, Timing
from core.errors import ConfigError, Unavailable
from core.telemetry import get_logger

log = get_logger(__name__)

PORTAL = "https://discord.com/developers/applications"
AUTHENTICATION_FAILED = 4004
REFUSED = {4010: "no such shards", 4011: "too few shards"}
"""Codes with which Discord closes connections that it will not take the next time either."""


@dataclass(frozen=True)
class DiscordConfig:
    """How to reach Discord; addresses only where they differ from the public ones.

    ``shards`` are those whose gateway sessions are held here, all where None. ``public_key`` is with what Discord signs
    interactions that it sends by HTTP, in hexadecimal; None where it does not.
    """

    token: str = field(repr=False)
    api_url: str | None = None
    gateway_url: str | None = None
    shards: Shards | None = None
    public_key: str | None = None


@dataclass(frozen=True)
class Turns:
    """Whose turn something is, among all processes; see :class:`core.stores.Claims`. Both raise Unavailable."""

    take: Callable[[str], Awaitable[bool]]
    leave: Callable[[str], Awaitable[None]]


class Connection:
    """Keeps a client running. The client changes when the library gives up on one, so ask for it each time.

    ``reachable`` is set while a client is logged in: requests can be made. ``online`` is set while a gateway session is
    held here. Processes with the same shards take turns: one holds the session, the others stand by.
    """

    def __init__(self, config: DiscordConfig, listener: Listener, turns: Turns, timing: Timing) -> None:
        self._config, self._listener, self._turns, self._timing = config, listener, turns, timing
        self.reachable, self.online = asyncio.Event(), asyncio.Event()
        self._turn = f"discord:gateway:{config.shards or 'all'}"
        self._pacing = Pacing(timing.identify)
        self._client: Client | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()
        self._undo: Callable[[], None] | None = None
        self._standing_by, self._in_the_dark = False, False

    def client(self) -> Client:
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

    def problem(self) -> str | None:
        """What keeps people from being served, in a few words; None while all is well."""
        if not self.reachable.is_set():
            return "Discord is not reached"
        if not (self.online.is_set() or self._standing_by):
            return "no gateway session stands"
        return None

    async def start(self, patience: float) -> None:
        """Connect in the background; see :meth:`adapters.discord.surface.DiscordSurface.start`."""
        self._undo = point_at(self._config.api_url, self._config.gateway_url)
        self._supervisor = asyncio.create_task(self._supervise(), name="discord")
        self._supervisor.add_done_callback(_log_end)
        settled = asyncio.create_task(self._settled.wait())
        online = asyncio.create_task(self.online.wait())
        await asyncio.wait({online, settled, self._supervisor}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        online.cancel()
        settled.cancel()
        if self._supervisor.done():
            await self.close()
            await self._supervisor

    async def wait(self) -> None:
        """Until closed. Raises ConfigError when Discord refuses the token, the intents or the shards."""
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

    # --- the client ---------------------------------------------------------------------------------

    async def _supervise(self) -> None:
        """The library reconnects by itself, but gives up when the first connection fails."""
        first, most = self._timing.reconnect
        pause = first
        while True:
            was_online = await self._run_client()
            pause = first if was_online else min(pause * 2, most)
            await asyncio.sleep(pause)

    async def _run_client(self) -> bool:
        """Run one client to its end; returns whether it ever held a session. Raises ConfigError."""
        client = self._client = Client(self._listener, self.online, self._pacing, self._timing)
        try:
            await client.login(self._config.token)
            self.reachable.set()
            await self._in_turn(client)
        except discord.LoginFailure as error:
            raise _wrong_token() from error
        except discord.PrivilegedIntentsRequired as error:
            raise ConfigError(
                "DISCORD_BOT_TOKEN: this bot may not read messages; switch on Message Content Intent on the Bot "
                f"page of your application at {PORTAL}, then start again"
            ) from error
        except discord.ConnectionClosed as error:
            self._explain(error)
        except Exception as error:  # noqa: BLE001 - the library raises anything when the gateway is away
            log.warning("Discord is not reached", error=type(error).__name__, detail=str(error)[:200])
        finally:
            was_online = self.online.is_set()
            self.reachable.clear()
            self.online.clear()
            with suppress(Exception):
                await client.close()
        return was_online

    def _explain(self, error: discord.ConnectionClosed) -> None:
        """Raises ConfigError where connecting anew would end in the same way."""
        if error.code == AUTHENTICATION_FAILED:
            raise _wrong_token() from error
        if error.code in REFUSED:
            raise ConfigError(
                f"DISCORD_SHARDS: Discord does not take these sessions ({error.code}, {REFUSED[error.code]}); leave it "
                "out, or write as many shards as Discord wants, e.g. DISCORD_SHARDS=0-3/8"
            ) from error
        log.warning("Discord closed the connection", code=error.code)

    # --- turns --------------------------------------------------------------------------------------

    async def _in_turn(self, client: Client) -> None:
        """Hold the gateway session while it is this process's turn. Ends when that is over, or raises what the library
        raises."""
        await self._stand_by()
        holding = asyncio.create_task(client.hold(self._config.shards), name="discord gateway")
        watching = asyncio.create_task(self._watch(client), name="discord turn")
        try:
            await asyncio.wait({holding, watching}, return_when=asyncio.FIRST_COMPLETED)
            if holding.done():
                await holding
        finally:
            for task in (holding, watching):
                task.cancel()
            await asyncio.gather(holding, watching, return_exceptions=True)
            await client.close()
            with suppress(Unavailable):
                await self._turns.leave(self._turn)

    async def _stand_by(self) -> None:
        """Until the session is this process's to hold."""
        while not await self._our_turn(unknown=False):
            self._standing_by = True
            self._settled.set()
            await asyncio.sleep(self._timing.stand_by)
        self._standing_by = False

    async def _watch(self, client: Client) -> None:
        """Until another process holds the session, or none stands here for so long that another should try."""
        clock = asyncio.get_running_loop().time
        stood = clock()
        while clock() - stood < self._timing.gone:
            await asyncio.sleep(self._timing.stand_by)
            if not await self._our_turn(unknown=True):
                log.warning("another process holds the gateway session by now")
                return
            if client.stands:
                stood = clock()
        log.warning("no gateway session stands; another process has its turn")

    async def _our_turn(self, *, unknown: bool) -> bool:
        """Whether the session is ours; ``unknown`` while that cannot be found out."""
        try:
            ours = await self._turns.take(self._turn)
        except Unavailable as error:
            if not self._in_the_dark:
                log.warning("whose turn the gateway session is cannot be found out", error=str(error))
            self._in_the_dark = True
            return unknown
        self._in_the_dark = False
        return ours


def _wrong_token() -> ConfigError:
    return ConfigError(
        "DISCORD_BOT_TOKEN: Discord does not accept this token; write the one from the Bot page of your application "
        f"at {PORTAL} (Reset Token shows a new one)"
    )


def _log_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("Discord is off", reason=str(error))
