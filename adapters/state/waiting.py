"""What waits in Redis: drafts for their person, and requests to stop a run for whoever is at work on it."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress

from adapters.state.channels import Channels
from adapters.state.redis import Link, Script
from core.asks import Person
from core.errors import Unavailable
from core.stores import Draft
from core.telemetry import get_logger

log = get_logger(__name__)

DRAFT_SECONDS = 3600
"""How long a draft waits for its person."""

STOP_SECONDS = 24 * 3600
"""How long a request to stop a run holds: a run may wait in the queue, or for a worker that takes it over."""

IDLE_SECONDS = 10.0
"""After so long without news whoever waits for a stop looks, should a message have been lost."""


class RedisDrafts:
    """Implements :class:`core.stores.Drafts`. Raises Unavailable."""

    # A draft that is taken stays until it expires, and knows by whom: the same command sent again after a lost reply
    # gets it again, anybody else does not.
    _TAKE = Script(
        """
        local draft = redis.call('HMGET', KEYS[1], 'person', 'body', 'taken')
        if draft[1] ~= ARGV[1] or (draft[3] and draft[3] ~= ARGV[2]) then return false end
        if ARGV[3] == '0' then redis.call('HSET', KEYS[1], 'taken', ARGV[2]) end
        return draft[2]
        """
    )
    _KEEP = Script(
        """
        redis.call('DEL', KEYS[1])
        redis.call('HSET', KEYS[1], 'person', ARGV[1], 'body', ARGV[2])
        redis.call('EXPIRE', KEYS[1], ARGV[3])
        """
    )

    def __init__(self, connection: Link, prefix: str) -> None:
        self._link, self._prefix = connection, f"{prefix}:draft"

    async def keep(self, draft: Draft, draft_id: str | None = None) -> str:
        """Keep it; returns its id of at most 32 letters and digits. With the ``draft_id`` of one that was taken, it is
        there once more."""
        draft_id = draft_id or secrets.token_hex(12)
        await self._link.script(self._KEEP, (f"{self._prefix}:{draft_id}",), (draft.person, draft.body, DRAFT_SECONDS))
        return draft_id

    async def take(self, draft_id: str, person: Person, *, again: bool = False, event: str | None = None) -> str | None:
        """The body of that person's draft, once; any number of times with ``again``. None when there is none.

        The ``event`` that takes it, when it is carried out once more, gets it once more.
        """
        arguments = (person.id, event or secrets.token_hex(8), int(again))
        body: bytes | None = await self._link.script(self._TAKE, (f"{self._prefix}:{draft_id}",), arguments)
        return None if body is None else body.decode()


class RedisStops:
    """Implements :class:`core.stores.Stops`: a key that holds, and a message on the run's channel that wakes."""

    _REQUEST = Script(
        """
        redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2], 'NX')
        redis.call('PUBLISH', KEYS[1], '')
        """
    )

    def __init__(self, connection: Link, channels: Channels, prefix: str) -> None:
        self._link, self._channels, self._prefix = connection, channels, f"{prefix}:stop"

    async def request(self, run_id: str, reason: str) -> None:
        """Have a run end, in whichever process; of several reasons the first one stands. Raises Unavailable."""
        await self._link.script(self._REQUEST, (f"{self._prefix}:{run_id}",), (reason, STOP_SECONDS))

    async def requested(self, run_id: str) -> str:
        """Wait until the run is to end; returns the reason. Returns at once when that was asked for before.

        Outages only delay. Raises Unavailable when the connection is closed.
        """
        name = f"{self._prefix}:{run_id}"
        async with self._channels.listening(name) as news:
            while not self._channels.closed:
                try:
                    reason: bytes | None = await self._link.command("GET", name)
                except Unavailable as error:
                    log.warning("not known whether the run is to stop", run=run_id, error=str(error))
                    reason = None
                if reason is not None:
                    return reason.decode()
                with suppress(TimeoutError):
                    async with asyncio.timeout(IDLE_SECONDS):
                        await news.get()
        raise Unavailable("The connection to Redis was closed.")
