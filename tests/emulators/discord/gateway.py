"""The gateway: sessions that outlive their connections, events in order, and its ways to fail."""

from __future__ import annotations

import json
import secrets
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.emulators.discord import limits
from tests.emulators.discord.errors import Json
from tests.emulators.discord.limits import Intent, Permission
from tests.emulators.discord.payloads import Payloads
from tests.emulators.discord.record import DispatchRecord, Recorder
from tests.emulators.discord.world import Channel, Guild, World

if TYPE_CHECKING:
    from tests.emulators.discord.connection import Connection

_HIDDEN = {"content": "", "embeds": [], "attachments": [], "components": []}


@dataclass
class Session:
    """What one identify started. `events` are all it was sent, for replay; `dead` means not resumable."""

    id: str
    intents: int
    shard: tuple[int, int]
    events: list[Json] = field(default_factory=list, repr=False)
    connection: Connection | None = None
    dead: bool = False

    @property
    def seq(self) -> int:
        """The number of the last event."""
        return len(self.events)


@dataclass
class GatewayFaults:
    """Switches for what the gateway does wrong; change them at any time."""

    withhold_acks: bool = False
    omit_guild_create: bool = False
    ready_delay: float = 0.0
    repeats: dict[str, int] = field(default_factory=dict)


class Gateway:
    """All sessions of the bot. Times are seconds."""

    def __init__(
        self,
        world: World,
        payloads: Payloads,
        recorder: Recorder,
        *,
        token: str,
        heartbeat_interval: float,
        identify_window: float,
        max_concurrency: int,
        message_content: bool,
    ) -> None:
        self.world = world
        self.recorder = recorder
        self.token = token
        self.heartbeat_interval = heartbeat_interval
        self.max_concurrency = max_concurrency
        self.message_content = message_content
        self.faults = GatewayFaults()
        self.url = ""
        self.shards = 1
        self.too_soon = 0
        self.remaining = limits.IDENTIFIES_PER_DAY
        self.connections: set[Connection] = set()
        self.sessions: dict[str, Session] = {}
        self._payloads = payloads
        self._identify_window = identify_window
        self._identified: dict[int, deque[float]] = {}

    def publish(
        self,
        event: str,
        data: Json,
        channel: Channel | None = None,
        readable: bool = True,
        guild_id: int | None = None,
    ) -> None:
        """Send an event to every session that may see it; connected or not, as long as it can be resumed."""
        world = self.world
        if channel is not None and not world.permissions(world.bot, channel) & Permission.VIEW_CHANNEL:
            return
        needed = _intent(event, channel)
        home = channel.guild_id if channel is not None else guild_id
        for session in list(self.sessions.values()):
            if session.dead or needed & ~session.intents or not _on_shard(session, home):
                continue
            sees = readable or not event.startswith("MESSAGE_") or session.intents & Intent.MESSAGE_CONTENT
            for _ in range(1 + self.faults.repeats.get(event, 0)):
                self.dispatch(session, event, data if sees else {**data, **_HIDDEN})

    def dispatch(self, session: Session, event: str, data: Json) -> None:
        """Give `session` its next event."""
        payload = {"op": 0, "t": event, "s": session.seq + 1, "d": data}
        session.events.append(payload)
        self.recorder.dispatches.append(DispatchRecord(session.id, session.seq, event, data))
        if session.connection is not None:
            session.connection.send(payload)
        self.recorder.changed()

    def may_identify(self, shard_id: int) -> bool:
        """Count an identify; False when this key had max_concurrency of them within the window."""
        now = self.world.clock.now()
        recent = self._identified.setdefault(shard_id % self.max_concurrency, deque())
        while recent and recent[0] <= now - self._identify_window:
            recent.popleft()
        if self._identify_window and recent:
            self.too_soon += 1
            return False
        recent.append(now)
        self.remaining -= 1
        return True

    def open_session(self, connection: Connection, intents: int, shard: tuple[int, int]) -> Session:
        """Start a session on `connection` and send it READY and its guilds."""
        session = Session(secrets.token_hex(16), intents, shard, connection=connection)
        self.sessions[session.id] = session
        mine = [guild for guild in self.world.joined if _on_shard(session, guild.id)]
        self.dispatch(session, "READY", self._ready(session, mine))
        for guild in mine if intents & Intent.GUILDS and not self.faults.omit_guild_create else ():
            self.dispatch(session, "GUILD_CREATE", self._payloads.guild(guild))
        return session

    def announce_guild(self, guild: Guild) -> None:
        """Tell that the bot was just added to `guild`: `unavailable` is only said of guilds that READY named."""
        written = {key: value for key, value in self._payloads.guild(guild).items() if key != "unavailable"}
        self.publish("GUILD_CREATE", written, guild_id=guild.id)

    def _ready(self, session: Session, mine: list[Guild]) -> Json:
        guilds = [{"id": str(guild.id), "unavailable": True} for guild in mine]
        return {
            "v": 10,
            "user": self._payloads.user(self.world.bot) | {"verified": True, "mfa_enabled": False, "email": None},
            "guilds": guilds,
            "private_channels": [],
            "session_id": session.id,
            "resume_gateway_url": self.url,
            "shard": list(session.shard),
            "application": {"id": str(self.world.app_id), "flags": (1 << 18) if self.message_content else 0},
        }

    def start_limit(self) -> Json:
        """Write what /gateway/bot says about identifies."""
        return {
            "total": limits.IDENTIFIES_PER_DAY,
            "remaining": self.remaining,
            "reset_after": 14400000,
            "max_concurrency": self.max_concurrency,
        }

    @property
    def connected(self) -> bool:
        """Whether a session has a connection."""
        return any(session.connection is not None for session in self.sessions.values())

    def cut(self) -> None:
        """Break every connection without a close frame; the sessions can be resumed."""
        for connection in list(self.connections):
            connection.abort()

    def close(self, code: int) -> None:
        """Close every connection with `code`."""
        for connection in list(self.connections):
            connection.close(code, "")

    def reconnect(self) -> None:
        """Ask every connection to reconnect and resume (op 7)."""
        self._send({"op": 7, "d": None})

    def invalidate(self, *, resumable: bool) -> None:
        """Tell every connection that its session is invalid (op 9)."""
        if not resumable:
            self.kill_sessions()
        self._send({"op": 9, "d": resumable})

    def kill_sessions(self) -> None:
        """Make every session so far impossible to resume."""
        for session in self.sessions.values():
            session.dead = True

    def repeat(self, event: str, times: int) -> None:
        """Dispatch every `event` from now on `times` times in all."""
        self.faults.repeats[event] = times - 1

    def _send(self, payload: Json) -> None:
        for connection in list(self.connections):
            connection.send({**payload, "s": None, "t": None})


def _intent(event: str, channel: Channel | None) -> int:
    if event.startswith("MESSAGE_"):
        direct = channel is None or channel.guild_id is None
        return Intent.DIRECT_MESSAGES if direct else Intent.GUILD_MESSAGES
    return Intent.GUILDS if event.startswith(("THREAD_", "CHANNEL_", "GUILD_")) else 0


def _shard_of(guild_id: int, shards: int) -> int:
    return (guild_id >> 22) % shards


def _on_shard(session: Session, guild_id: int | None) -> bool:
    return session.shard[0] == (0 if guild_id is None else _shard_of(guild_id, session.shard[1]))


def encode(payload: Json) -> str:
    """Write a gateway payload."""
    return json.dumps(payload, separators=(",", ":"))
