"""Pub/sub: one subscribed connection of this process, and who wants which of its messages.

Redis forgets who was away for a moment, so a message alone is never the truth: whoever listens is told as well when
some may have been missed, and then looks where the truth is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from adapters.state.redis import Link
from core.telemetry import get_logger

log = get_logger(__name__)

QUEUE = 256
"""How many messages may wait for a listener before it is told instead that it has missed some."""

News = asyncio.Queue[bytes | None]  # None: some may have been missed


class Channels:
    """What the process listens to. ``name`` is that of the connection, and of a channel that keeps it subscribed."""

    def __init__(self, connection: Link, name: str) -> None:
        self._link, self._name = connection, name
        self._listeners: dict[str, set[News]] = {}
        self._asked: set[str] = set()  # subscribed to, confirmed or not
        self._confirmed: set[str] = set()
        self._pubsub: PubSub | None = None
        self._lock = asyncio.Lock()  # orders what is sent on the subscribed connection
        self._reader: asyncio.Task[None] | None = None
        self._adjusting: set[asyncio.Task[None]] = set()
        self.closed = False

    @asynccontextmanager
    async def listening(self, name: str) -> AsyncIterator[News]:
        """A queue that gets the channel's messages, and None whenever some may have been missed."""
        news: News = asyncio.Queue(QUEUE)
        self._listeners.setdefault(name, set()).add(news)
        try:
            if self._reader is None and not self.closed:
                self._reader = asyncio.create_task(self._read_forever(), name="redis channels")
            if name in self._confirmed or self.closed:
                _offer(news, None)
            await self._adjust(name)
            yield news
        finally:
            listeners = self._listeners[name]
            listeners.discard(news)
            if not listeners:
                del self._listeners[name]
            await self._adjust(name)

    async def aclose(self) -> None:
        """End the subscription; :attr:`closed` from now on, and all listeners are told."""
        self.closed = True
        if self._reader is not None:
            self._reader.cancel()
            with suppress(asyncio.CancelledError):
                await self._reader
        self._stale(self._listeners)
        await asyncio.gather(*self._adjusting)

    async def _adjust(self, name: str) -> None:
        """Subscribe to a channel or leave it, in a task of its own: a cancellation that comes as the library's send is
        done gets lost there (``wait_for`` of Python 3.11), and the listener would wait for ever."""
        adjusting = asyncio.create_task(self._subscribe(name), name=f"redis channel {name}")
        self._adjusting.add(adjusting)
        adjusting.add_done_callback(self._adjusting.discard)
        await asyncio.shield(adjusting)

    async def _subscribe(self, name: str) -> None:
        """As the channel's listeners want it by now. A broken connection is the reader's matter."""
        async with self._lock:
            wanted = name in self._listeners
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
                async with self._link.subscriber(self._name) as client, client.pubsub() as pubsub:
                    async with self._lock:
                        self._asked = set(self._listeners)
                        await pubsub.subscribe(self._name, *self._asked)
                        self._pubsub = pubsub
                    while True:
                        message = await pubsub.get_message(timeout=None)
                        pause = 0.05
                        if message is not None:
                            self._dispatch(message["type"], message["channel"].decode(), message["data"])
            except RedisError as error:
                log.warning("channels interrupted, subscribing again", error=str(error))
            finally:
                self._pubsub = None
                self._confirmed.clear()
            await asyncio.sleep(pause)
            pause = min(1.0, pause * 2)

    def _dispatch(self, kind: str, name: str, data: bytes | int) -> None:
        if kind == "subscribe" and name in self._listeners:
            self._confirmed.add(name)
            self._stale([name])
        elif kind == "message" and name in self._listeners and isinstance(data, bytes):
            for news in self._listeners[name]:
                _offer(news, data)

    def _stale(self, names: Iterable[str]) -> None:
        for name in names:
            for news in self._listeners[name]:
                _offer(news, None)


def _offer(news: News, item: bytes | None) -> None:
    if news.full():
        while not news.empty():
            news.get_nowait()
        item = None
    news.put_nowait(item)
