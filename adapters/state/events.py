"""Events of runs between processes: a stream for what came before, pub/sub for what comes now.

Every event is in the run's stream, which is the truth; each publication carries the stream's ids along. A follower
subscribes first and reads the stream as soon as that is confirmed, so nothing falls between the two. The same
happens after a broken connection (the new one confirms again) and when a follower was too slow for its queue: it
reads on in the stream from the last event it has seen.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from pydantic import ValidationError
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from adapters.state.redis import Argument, Link, Script
from core.errors import Unavailable
from core.events import RunEnded, RunEvent, run_event
from core.telemetry import get_logger

log = get_logger(__name__)

KEPT_SECONDS = 3600
"""How long a run's events are kept after the last of them."""

QUEUE = 256
"""How many publications may wait for a follower before it has to read the stream again."""

IDLE_SECONDS = 10.0
"""After so long without news a follower looks into the stream, should a publication have been lost."""

_PATIENCE = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds between attempts while Redis is away

EventId = tuple[int, int]
Numbered = tuple[EventId, RunEvent]
News = asyncio.Queue[list[Numbered] | None]  # None: read the stream

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

    def __init__(self, connection: Link, prefix: str) -> None:
        self._link, self._prefix = connection, prefix
        self._dispatcher = _Dispatcher(connection, f"{prefix}:events")

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
        async with self._dispatcher.listening(name) as news:
            while True:
                try:
                    async with asyncio.timeout(IDLE_SECONDS):
                        numbered = await news.get()
                except TimeoutError:
                    numbered = None
                for number, event in await self._read(name, last) if numbered is None else numbered:
                    if number <= last:
                        continue
                    last = number
                    yield event
                    if isinstance(event, RunEnded):
                        return

    async def aclose(self) -> None:
        """End the subscription; followers raise Unavailable."""
        await self._dispatcher.aclose()

    def _name(self, run_id: str) -> str:
        return f"{self._prefix}:events:{run_id}"

    async def _read(self, name: str, last: EventId) -> list[Numbered]:
        """What the stream holds after ``last``."""
        entries = await self._patiently(lambda: self._link.command("XRANGE", name, f"({last[0]}-{last[1]}", "+"))
        return list(_numbered((number, fields[b"event"]) for number, fields in entries))

    async def _patiently(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Do it, again while Redis is away. Raises Unavailable in the end."""
        for pause in _PATIENCE:
            if self._dispatcher.closed:
                raise Unavailable("The connection to Redis was closed.")
            with suppress(Unavailable):
                return await work()
            await asyncio.sleep(pause)
        return await work()


class _Dispatcher:
    """One subscribed connection of this process, and who wants which of its messages."""

    def __init__(self, connection: Link, own_channel: str) -> None:
        self._link, self._own_channel = connection, own_channel
        self._followers: dict[str, set[News]] = {}
        self._asked: set[str] = set()  # subscribed to, confirmed or not
        self._confirmed: set[str] = set()
        self._pubsub: PubSub | None = None
        self._lock = asyncio.Lock()  # orders what is sent on the subscribed connection
        self._reader: asyncio.Task[None] | None = None
        self.closed = False

    @asynccontextmanager
    async def listening(self, name: str) -> AsyncIterator[News]:
        """A queue that gets the channel's messages, and None whenever some may have been missed."""
        news: News = asyncio.Queue(QUEUE)
        self._followers.setdefault(name, set()).add(news)
        try:
            if self._reader is None and not self.closed:
                self._reader = asyncio.create_task(self._read_forever(), name="run events")
            if name in self._confirmed or self.closed:
                _offer(news, None)
            await self._adjust(name)
            yield news
        finally:
            followers = self._followers[name]
            followers.discard(news)
            if not followers:
                del self._followers[name]
            await self._adjust(name)

    async def aclose(self) -> None:
        self.closed = True
        if self._reader is not None:
            self._reader.cancel()
            with suppress(asyncio.CancelledError):
                await self._reader
        self._stale(self._followers)

    async def _adjust(self, name: str) -> None:
        """Subscribe to a channel or leave it, as its followers want. A broken connection is the reader's matter."""
        async with self._lock:
            wanted = name in self._followers
            if self._pubsub is None or wanted == (name in self._asked):
                return
            with suppress(RedisError):
                if wanted:
                    self._asked.add(name)
                    await self._pubsub.subscribe(name)
                else:
                    self._asked.discard(name)
                    self._confirmed.discard(name)
                    await self._pubsub.unsubscribe(name)

    async def _read_forever(self) -> None:
        pause = 0.05
        while True:
            try:
                async with self._link.subscriber(self._own_channel) as client, client.pubsub() as pubsub:
                    async with self._lock:
                        self._asked = set(self._followers)
                        await pubsub.subscribe(self._own_channel, *self._asked)
                        self._pubsub = pubsub
                    while True:
                        message = await pubsub.get_message(timeout=None)
                        pause = 0.05
                        if message is not None:
                            self._dispatch(message["type"], message["channel"].decode(), message["data"])
            except RedisError as error:
                log.warning("events interrupted, subscribing again", error=str(error))
            finally:
                self._pubsub = None
                self._confirmed.clear()
            await asyncio.sleep(pause)
            pause = min(1.0, pause * 2)

    def _dispatch(self, kind: str, name: str, data: Any) -> None:
        if kind == "subscribe" and name in self._followers:
            self._confirmed.add(name)
            self._stale([name])
        elif kind == "message" and name in self._followers:
            numbered = list(_numbered(tuple(line.split(b" ", 1)) for line in data.split(b"\n")))
            for news in self._followers[name]:
                _offer(news, numbered)

    def _stale(self, names: Iterable[str]) -> None:
        for name in names:
            for news in self._followers[name]:
                _offer(news, None)


def _offer(news: News, item: list[Numbered] | None) -> None:
    if news.full():
        while not news.empty():
            news.get_nowait()
        item = None
    news.put_nowait(item)


def _numbered(entries: Iterable[tuple[bytes, bytes]]) -> Iterable[Numbered]:
    for number, text in entries:
        milliseconds, _, count = number.partition(b"-")
        try:
            yield (int(milliseconds), int(count)), run_event.validate_json(text)
        except ValidationError:  # of another version, while both run
            log.warning("event not readable, left out", id=number.decode())
