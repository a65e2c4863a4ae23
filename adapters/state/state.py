"""What Consortium keeps in Redis between events: sessions, rate limits, what was seen; and the way in to all of it."""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import quote

from pydantic import ValidationError
from redis.asyncio import Redis

from adapters.state.breakers import RedisBreakers
from adapters.state.channels import Channels
from adapters.state.events import RedisEvents
from adapters.state.fronts import RedisClaims, RedisInbox
from adapters.state.presence import ALIVE_SECONDS, Presence
from adapters.state.redis import Link, Script, link
from adapters.state.waiting import RedisDrafts, RedisStops
from core.asks import Person, Platform, ThreadRef
from core.breaker import BreakerPolicy
from core.catalog import LimitSpec
from core.errors import ConfigError, RateLimited, Unavailable
from core.stores import Session
from core.telemetry import get_logger

log = get_logger(__name__)

SESSION_SECONDS = 30 * 24 * 3600
"""How long a session lives after it was last saved."""

SEEN_SECONDS = 15 * 60
"""How long a platform event counts as seen."""

LIMIT_SECONDS = 2.0
"""How long an ask waits for its rate limits."""

LEAVE_SECONDS = 2.0
"""How long the end waits for Redis: without it the others find out a little later."""


class State:
    """The parts that share one connection. Make it with :func:`connect`."""

    def __init__(self, connection: Link, prefix: str, *, alive: float = ALIVE_SECONDS) -> None:
        self._link, self._prefix = connection, prefix
        self.presence = Presence(connection, prefix, alive=alive, beat=alive / 4)
        self.claims = RedisClaims(connection, prefix, self.presence)
        self.inbox = RedisInbox(connection, prefix, self.presence)
        self.sessions = RedisSessions(connection, prefix)
        self.duplicates = RedisDuplicates(connection, prefix)
        self.channels = Channels(connection, f"{prefix}:channels")
        self.events = RedisEvents(connection, self.channels, prefix)
        self.drafts = RedisDrafts(connection, prefix)
        self.stops = RedisStops(connection, self.channels, prefix)

    @property
    def redis(self) -> Redis:
        """The client itself."""
        return self._link.client

    def limits(self, spec: LimitSpec) -> RedisLimits:
        """Rate limits. Raises ConfigError when they cannot be read."""
        return RedisLimits(self._link, self._prefix, spec)

    def breakers(self, policy: BreakerPolicy | None = None, clock: Callable[[], float] | None = None) -> RedisBreakers:
        """Circuit breakers, by default with the server's clock."""
        return RedisBreakers(self._link, self._prefix, policy, clock)

    async def ping(self) -> None:
        """Raises Unavailable when Redis does not answer."""
        await self._link.command("PING")


@asynccontextmanager
async def connect(url: str, *, prefix: str = "consortium", alive: float = ALIVE_SECONDS) -> AsyncIterator[State]:
    """Connect to Redis; all keys begin with ``prefix``. Within the block this process is there for the others: they
    take over what it holds when it leaves, or has been silent for ``alive`` seconds.

    Raises ConfigError for an address that is none, Unavailable when no server answers there.
    """
    async with link(url) as connection:
        state = State(connection, prefix, alive=alive)
        try:
            await state.presence.start()
            yield state
        finally:
            await state.presence.aclose()
            with suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(LEAVE_SECONDS):
                    await state.claims.leave()
            await state.channels.aclose()


def _key(*parts: str) -> str:
    return ":".join(quote(part, safe="") for part in parts)


class RedisSessions:
    """Implements :class:`core.stores.Sessions`. Raises Unavailable."""

    def __init__(self, connection: Link, prefix: str) -> None:
        self._link, self._prefix = connection, prefix

    async def load(self, asker: Person, where: ThreadRef) -> Session:
        """The person's session in that channel; empty when there is none, or none that this version can read."""
        stored: bytes | None = await self._link.command("GET", self._name(asker, where))
        if stored is None:
            return Session()
        try:
            return Session.model_validate_json(stored)
        except ValidationError:
            log.warning("session not readable, starting afresh", platform=where.platform)
            return Session()

    async def save(self, asker: Person, where: ThreadRef, session: Session) -> None:
        """Replace it and start its expiry anew."""
        await self._link.command("SET", self._name(asker, where), session.model_dump_json(), "EX", SESSION_SECONDS)

    async def forget(self, asker: Person, where: ThreadRef) -> None:
        """Forget what the person has set in any channel of that workspace."""
        # Quoted parts have no signs of a pattern in them, and no colon: the star is a channel and nothing else.
        pattern = f"{self._prefix}:session:{_key(where.platform, where.workspace)}:*:{_key(asker.id)}"
        with self._link.errors():
            keys = [key async for key in self._link.client.scan_iter(pattern, count=1000)]
        if keys:
            await self._link.command("DEL", *keys)

    def _name(self, asker: Person, where: ThreadRef) -> str:
        return f"{self._prefix}:session:{_key(where.platform, where.workspace, where.channel, asker.id)}"


class RedisDuplicates:
    """Implements :class:`core.stores.Duplicates`. Raises Unavailable."""

    # The value tells who saw it: a command that is sent again after a lost reply must not find itself seen.
    _FIRST = Script(
        """
        local first = 1
        for _, key in ipairs(KEYS) do
          local seen = redis.call('GET', key)
          if not seen then
            redis.call('SET', key, ARGV[1], 'EX', ARGV[2])
          elseif seen ~= ARGV[1] then
            first = 0
          end
        end
        return first
        """
    )

    def __init__(self, connection: Link, prefix: str) -> None:
        self._link, self._prefix = connection, prefix

    async def first(self, *keys: str) -> bool:
        """Whether none of the keys was seen within the last quarter of an hour; marks them all as seen."""
        names = [f"{self._prefix}:seen:{key}" for key in keys]
        return not keys or bool(await self._link.script(self._FIRST, names, (secrets.token_hex(8), SEEN_SECONDS)))


class RedisLimits:
    """Implements :class:`core.stores.Limits` with moving windows.

    They are there to help: while Redis is away, everybody may ask.
    """

    def __init__(self, connection: Link, prefix: str, spec: LimitSpec) -> None:
        from limits import parse_many  # 0.2 s: only who limits pays for it
        from limits.aio.storage import RedisStorage
        from limits.aio.strategies import MovingWindowRateLimiter

        self._link, self._prefix = connection, f"{prefix}:limit"
        self._items = []
        for scope, text in (("user", spec.user), ("workspace", spec.workspace)):
            try:
                items = parse_many(text)
            except ValueError as error:
                raise ConfigError(
                    f'limits.{scope}: {text!r} is not a rate limit; write e.g. "10/minute" or "10/minute;200/day"'
                ) from error
            self._items += [(scope, item) for item in dict.fromkeys(items)]
        self._storage = RedisStorage(
            "async+redis://",
            implementation="redispy",
            key_prefix=self._prefix,
            connection_pool=connection.client.connection_pool,  # type: ignore[arg-type]
        )
        self._limiter = MovingWindowRateLimiter(self._storage)
        self._quiet_till = 0.0

    async def spend(self, asker: Person, where: ThreadRef) -> None:
        """Take one token of each. Raises RateLimited; a refusal spends nothing."""
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                await self._spend(asker, where)
        except (Unavailable, TimeoutError) as error:
            now = time.monotonic()
            if now > self._quiet_till:
                self._quiet_till = now + 60
                log.warning("asked without a look at rate limits", error=str(error) or "Redis does not answer")

    async def _spend(self, asker: Person, where: ThreadRef) -> None:
        names = {
            "user": ("user", _key(where.platform, where.workspace, asker.id)),
            "workspace": ("workspace", _key(where.platform, where.workspace)),
        }
        with self._link.errors():
            taken: list[str] = []
            for scope, item in self._items:
                if await self._limiter.hit(item, *names[scope]):
                    taken.append(f"{self._prefix}:{item.key_for(*names[scope])}")
                    continue
                # The window is a list of times, newest first: giving a token back is taking off the newest.
                for key in taken:
                    await self._link.command("LPOP", key)
                raise RateLimited(_speaker(scope, where), await self._wait(names))

    async def _wait(self, names: dict[str, tuple[str, str]]) -> float:
        """Seconds until every exhausted window has room again."""
        resets = []
        for scope, item in self._items:
            stats = await self._limiter.get_window_stats(item, *names[scope])
            if stats.remaining <= 0:
                resets.append(stats.reset_time)
        return math.ceil(max(resets, default=0.0) - time.time())


def _speaker(scope: str, where: ThreadRef) -> str:
    if scope == "user":
        return "You"
    return "This server" if where.platform is Platform.DISCORD else "This workspace"
