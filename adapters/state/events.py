"""Events of runs between processes: a stream for what came before, pub/sub for what comes now.

Every event is in the run's stream, which is the truth; each publication carries the stream's ids along. A follower
subscribes first and reads the stream as soon as that is confirmed, so nothing falls between the two. The same
happens after a broken connection (the new one confirms again) and when a follower was too slow for its queue: it
reads on in the stream from the last event it has seen.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from adapters.state.channels import Channels
from adapters.state.redis import Argument, Link, Script
from core.errors import Unavailable
from core.events import RunEnded, RunEvent, run_event
from core.telemetry import get_logger

log = get_logger(__name__)

KEPT_SECONDS = 3600
"""How long a run's events are kept after the last of them."""

IDLE_SECONDS = 10.0
"""After so long without news a follower looks into the stream, should a publication have been lost."""

_PATIENCE = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds between attempts while Redis is away

EventId = tuple[int, int]
Numbered = tuple[EventId, RunEvent]

# A batch that is sent again because its reply was lost is recognised by its token.
_PUBLISH = Script(
    """
    local stream, token = KEYS[1], ARGV[1]
    local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
    if last and last[2][4] == token then return end
    local lines = {}
    for i = 3, #ARGV do
      local id = redis.call('XADD', stream, '*', 'event', ARGV[i], 'batch', token)
      lines[#lines + 1] = id .. ' ' .. ARGV[i]
    end
    redis.call('EXPIRE', stream, ARGV[2])
    redis.call('PUBLISH', stream, table.concat(lines, '\\n'))
    """
)


class RedisEvents:
    """Implements :class:`core.ports.Events`."""

    def __init__(self, connection: Link, channels: Channels, prefix: str) -> None:
        self._link, self._channels, self._prefix = connection, channels, prefix

    async def publish(self, run_id: str, *events: RunEvent) -> None:
        """Send events, in order, in one round trip.

        Outages of some seconds only delay; longer ones raise Unavailable.
        """
        if events:
            texts = [event.model_dump_json() for event in events]
            arguments: tuple[Argument, ...] = (secrets.token_hex(8), KEPT_SECONDS, *texts)
            await self._patiently(lambda: self._link.script(_PUBLISH, (self._name(run_id),), arguments))

    async def follow(self, run_id: str) -> AsyncGenerator[RunEvent, None]:
        """All events of a run from its first, ending after RunEnded. Close the iterator to stop early.

        Waits for a run that has no events yet, however long. Outages of some seconds only delay; longer ones
        raise Unavailable.
        """
        name, last = self._name(run_id), (0, 0)
        async with self._channels.listening(name) as news:
            while True:
                try:
                    async with asyncio.timeout(IDLE_SECONDS):
                        message = await news.get()
                except TimeoutError:
                    message = None
                for number, event in await self._read(name, last) if message is None else _sent(message):
                    if number <= last:
                        continue
                    last = number
                    yield event
                    if isinstance(event, RunEnded):
                        return

    def _name(self, run_id: str) -> str:
        return f"{self._prefix}:events:{run_id}"

    async def _read(self, name: str, last: EventId) -> list[Numbered]:
        """What the stream holds after ``last``."""
        entries = await self._patiently(lambda: self._link.command("XRANGE", name, f"({last[0]}-{last[1]}", "+"))
        return list(_numbered((number, fields[b"event"]) for number, fields in entries))

    async def _patiently(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Do it, again while Redis is away. Raises Unavailable in the end."""
        for pause in _PATIENCE:
            if self._channels.closed:
                raise Unavailable("The connection to Redis was closed.")
            with suppress(Unavailable):
                return await work()
            await asyncio.sleep(pause)
        return await work()


def _sent(message: bytes) -> Iterable[Numbered]:
    """What a publication holds."""
    return _numbered((number, text) for number, _, text in (line.partition(b" ") for line in message.split(b"\n")))


def _numbered(entries: Iterable[tuple[bytes, bytes]]) -> Iterable[Numbered]:
    for number, text in entries:
        milliseconds, _, count = number.partition(b"-")
        try:
            yield (int(milliseconds), int(count)), run_event.validate_json(text)
        except ValidationError:  # of another version, while both run
            log.warning("event not readable, left out", id=number.decode())
