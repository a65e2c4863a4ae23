"""What a process holds for the others to see: claims, and events that came to it. Both pass on when it is gone.

Keys: ``{prefix}:claim:{name}`` is the id of the process that holds it, for two hours after it last said so;
``{prefix}:inbox:{platform}`` has events by their id, each with its holder and when it came;
``{prefix}:inbox-known:{platform}:{id}`` marks for 15 minutes what has been dealt with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence

from adapters.state.presence import LIB, Presence
from adapters.state.redis import Argument, Link, Script
from core.asks import Platform
from core.errors import Unavailable
from core.stores import Kept
from core.telemetry import get_logger

log = get_logger(__name__)

CLAIM_SECONDS = 2 * 3600
"""How long a claim stays of which nothing is heard; who holds it renews it with a quarter of that gone."""

KNOWN_SECONDS = 15 * 60
"""How long an event that was dealt with is known."""

PATIENCE = 2.0
"""Seconds in which an event is kept or not: a platform waits three for its answer."""

# Whether each of the claims is held by this process then. "keep": only those that are free or its own already.
_TAKE = Script(
    LIB
    + """
    local taken = {}
    for i = 2, #KEYS do
      local holder = redis.call('GET', KEYS[i])
      local mine = not holder or holder == me or (ARGV[5] ~= 'keep' and gone(holder))
      if mine then redis.call('SET', KEYS[i], me, 'EX', ARGV[4]) end
      taken[i - 1] = mine and 1 or 0
    end
    return taken
    """
)

_LEAVE = Script(
    """
    for i = 2, #KEYS do
      if redis.call('GET', KEYS[i]) == ARGV[1] then redis.call('DEL', KEYS[i]) end
    end
    if ARGV[2] == 'all' then redis.call('ZREM', KEYS[1], ARGV[1]) end
    """
)

# An event's value: who holds it, when it came, and itself, with a space between. Gives 1 when it is this process's.
_KEEP = Script(
    """
    if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
    local known = redis.call('HGET', KEYS[1], ARGV[2])
    if known then return string.sub(known, 1, #ARGV[1] + 1) == ARGV[1] .. ' ' and 1 or 0 end
    local time = redis.call('TIME')
    local at = string.format('%d%06d', time[1], time[2])
    redis.call('HSET', KEYS[1], ARGV[2], ARGV[1] .. ' ' .. at .. ' ' .. ARGV[3])
    return 1
    """
)

_DONE = Script(
    """
    redis.call('HDEL', KEYS[1], ARGV[1])
    redis.call('SET', KEYS[2], '1', 'EX', ARGV[2])
    """
)

# Those of processes that are gone, and this process's own: it knows which of these it has.
_ORPHANS = Script(
    LIB
    + """
    local events, found = redis.call('HGETALL', KEYS[2]), {}
    for i = 1, #events, 2 do
      local holder, rest = string.match(events[i + 1], '^(%S+) (.*)$')
      if holder == me or gone(holder) then
        redis.call('HSET', KEYS[2], events[i], me .. ' ' .. rest)
        found[#found + 1] = rest
      end
    end
    return found
    """
)


class RedisClaims:
    """Implements :class:`core.stores.Claims`. Raises Unavailable."""

    def __init__(self, connection: Link, prefix: str, presence: Presence) -> None:
        self._link, self._prefix, self._presence = connection, prefix, presence
        self._held: set[str] = set()
        self._unwanted: set[str] = set()  # may be ours in Redis, and are not to be
        self._renewed = 0.0
        presence.relive.append(self._hold)
        presence.beats.append(self._tidy)

    async def take(self, name: str) -> bool:
        """Whether it is this process's now: it was free, ours already, or of a process that is gone."""
        return bool(await self.take_all((name,)))

    async def take_all(self, names: Collection[str]) -> set[str]:
        """The same for many at once: gives those that are this process's now."""
        wanted = set(names)
        self._unwanted -= wanted
        try:
            taken = await self._take(wanted, self._presence.asking())
            if left := wanted - taken:  # their holders may be processes of this machine that have just died
                taken |= await self._take(left, await self._presence.who_asks())
        except BaseException:  # they may be ours, and nobody knows
            self._unwanted |= wanted - self._held
            raise
        self._held |= taken
        self._held -= wanted - taken
        self._unwanted -= taken  # they may be there again: an attempt to drop them has failed meanwhile
        return taken

    async def holds(self, name: str) -> bool:
        """Whether it still is this process's. What Redis has lost is taken again first, where nobody else has."""
        if name not in self._held:
            return False
        holder: bytes | None = await self._link.command("GET", self._key(name))
        if holder is None:
            await self._presence.renew()
            holder = await self._link.command("GET", self._key(name))
        if holder != self._presence.id.encode():
            self._held.discard(name)
        return name in self._held

    async def drop(self, name: str) -> None:
        """Leave it to others; nothing where it is not ours. Should Redis be away, that is done once it is back."""
        self._held.discard(name)
        self._unwanted.add(name)
        await self._drop_unwanted()

    async def leave(self) -> None:
        """The process goes: all that it holds is free at once, and it is there no longer."""
        keys = (self._presence.key, *map(self._key, self._held | self._unwanted))
        self._held.clear()
        await self._link.script(_LEAVE, keys, (self._presence.id, "all"))

    async def _take(self, wanted: Iterable[str], who: Sequence[Argument]) -> set[str]:
        names = sorted(wanted)
        if not names:
            return set()
        keys = (self._presence.key, *map(self._key, names))
        taken = await self._link.script(_TAKE, keys, (*who, CLAIM_SECONDS, ""))
        return {name for name, mine in zip(names, taken, strict=True) if mine}

    async def _tidy(self) -> None:
        """With every beat."""
        await self._drop_unwanted()
        now = asyncio.get_running_loop().time()
        if now > self._renewed + CLAIM_SECONDS / 4:
            await self._hold()
            self._renewed = now

    async def _hold(self) -> None:
        """Store the claims that are held anew: they last from now, and what Redis has lost is there again."""
        names = sorted(self._held)
        if names:
            keys = (self._presence.key, *map(self._key, names))
            await self._link.script(_TAKE, keys, (*self._presence.asking(), CLAIM_SECONDS, "keep"))

    async def _drop_unwanted(self) -> None:
        # Commands go out in the order in which they are given: a claim that is taken from here on stays.
        unwanted, self._unwanted = self._unwanted, set()
        if not unwanted:
            return
        try:
            keys = (self._presence.key, *map(self._key, sorted(unwanted)))
            await self._link.script(_LEAVE, keys, (self._presence.id, ""))
        except BaseException:
            self._unwanted |= unwanted - self._held
            raise

    def _key(self, name: str) -> str:
        return f"{self._prefix}:claim:{name}"


class RedisInbox:
    """Implements :class:`core.stores.Inbox`. Raises Unavailable.

    ``patience`` is for how many seconds :meth:`keep` tries.
    """

    def __init__(self, connection: Link, prefix: str, presence: Presence, *, patience: float = PATIENCE) -> None:
        self._link, self._prefix, self._presence, self._patience = connection, prefix, presence, patience
        self._working: dict[tuple[Platform, str], Kept] = {}  # or on their way to be: these are no orphans
        self._untold: set[tuple[Platform, str]] = set()  # dealt with, and Redis does not know
        presence.relive.append(self._store_again)
        presence.beats.append(self._tell)

    async def keep(self, event: Kept) -> bool:
        """Store it as taken by this process; False when it is here already, or was dealt with in the last quarter of
        an hour. Raises Unavailable within two seconds; the event may be stored then all the same, and comes back
        as an orphan if the platform does not send it again."""
        name = (event.platform, event.id)
        if name in self._working:
            return False
        self._working[name] = event
        kept = False
        try:
            async with asyncio.timeout(self._patience):
                kept = await self._store(event)
        except TimeoutError:
            raise Unavailable("Redis (REDIS_URL) takes too long to store an event.") from None
        finally:
            if not kept:
                self._working.pop(name, None)
        return kept

    async def done(self, event: Kept) -> None:
        """It has been dealt with. Should Redis be away, it is told as soon as it is back."""
        name = (event.platform, event.id)
        self._untold.add(name)
        try:
            await self._tell_one(name)
        except Unavailable as error:
            log.warning("an event stays in the inbox until Redis is back", platform=event.platform, error=str(error))

    async def orphans(self, platform: Platform) -> list[Kept]:
        """Those of processes that are gone, oldest first; they are this process's from now on."""
        who = await self._presence.who_asks()
        mine = {name: event for name, event in self._working.items() if name[0] is platform}
        found: list[bytes] = await self._link.script(_ORPHANS, (self._presence.key, self._events(platform)), who)
        orphans = []
        for event in _oldest_first(found):
            name = (event.platform, event.id)
            if name not in mine and name not in self._working and name not in self._untold:
                self._working[name] = event
                orphans.append(event)
        return orphans

    async def _store(self, event: Kept) -> bool:
        keys = (self._events(event.platform), self._known(event.platform, event.id))
        return bool(await self._link.script(_KEEP, keys, (self._presence.id, event.id, event.model_dump_json())))

    async def _store_again(self) -> None:
        for event in list(self._working.values()):
            await self._store(event)

    async def _tell(self) -> None:
        for name in list(self._untold):
            await self._tell_one(name)

    async def _tell_one(self, name: tuple[Platform, str]) -> None:
        await self._link.script(_DONE, (self._events(name[0]), self._known(*name)), (name[1], KNOWN_SECONDS))
        self._untold.discard(name)
        self._working.pop(name, None)

    def _events(self, platform: Platform) -> str:
        return f"{self._prefix}:inbox:{platform}"

    def _known(self, platform: Platform, event: str) -> str:
        return f"{self._prefix}:inbox-known:{platform}:{event}"


def _oldest_first(found: Iterable[bytes]) -> list[Kept]:
    pairs = (text.partition(b" ") for text in found)
    return [Kept.model_validate_json(body) for _, _, body in sorted(pairs, key=lambda pair: int(pair[0]))]
