"""The connection to Redis: one pool, commands that travel together, errors in our words."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from hashlib import sha1
from typing import Any

from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError

from core.errors import ConfigError, Unavailable

TIMEOUT = 5.0
"""How long to wait for a reply, or for a free connection, in seconds."""

CONNECTIONS = 64
"""The most connections of one process for commands."""

_RETRIES = 5  # after 50, 100, 200, 400, 500 ms at the most: long enough for a server that restarts
_BATCH = 40

Argument = str | bytes | int | float


class Script:
    """A Lua script with its digest."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()


class Link:
    """A process's way to one Redis server. Make it with :func:`link`.

    Commands given to :meth:`command` and :meth:`script` while others are on their way wait for those and then go
    together in one pipeline, which costs a quarter of their processor time. ``client`` is for all else.
    """

    def __init__(self, url: str, client: Redis) -> None:
        self.url, self.client = url, client
        self._waiting: list[tuple[tuple[Argument, ...], asyncio.Future[Any]]] = []
        self._sender: asyncio.Task[None] | None = None

    async def command(self, *words: Argument) -> Any:
        """Run one command and return its reply. Raises Unavailable."""
        with self.errors():
            return await self._send(words)

    async def script(self, script: Script, keys: Sequence[str], args: Sequence[Argument]) -> Any:
        """Run a script and return its reply. Raises Unavailable."""
        rest = (len(keys), *keys, *args)
        with self.errors():
            try:
                return await self._send(("EVALSHA", script.sha, *rest))
            except NoScriptError:
                return await self._send(("EVAL", script.text, *rest))

    def errors(self) -> AbstractContextManager[None]:
        """Errors of Redis within the block become Unavailable."""
        return redis_errors(self.url)

    def subscriber(self, name: str) -> Redis:
        """A client of its own for pub/sub: it reports a broken connection at once instead of trying again."""
        retry = Retry(NoBackoff(), 0)
        client = Redis.from_url(self.url, client_name=name, protocol=2, retry=retry, socket_timeout=TIMEOUT)
        _harden(client.connection_pool)
        return client

    async def _send(self, words: tuple[Argument, ...]) -> Any:
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((words, reply))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_all(), name="redis sender")
        return await reply

    async def _send_all(self) -> None:
        batch: list[tuple[tuple[Argument, ...], asyncio.Future[Any]]] = []
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
                replies = await self._exchange([words for words, _ in batch])
                for (_, future), reply in zip(batch, replies, strict=True):
                    if future.done():  # its caller was cancelled
                        continue
                    if isinstance(reply, Exception):
                        future.set_exception(reply)
                    else:
                        future.set_result(reply)
        finally:
            self._sender = None
            for _, future in (*batch, *self._waiting):
                if not future.done():
                    future.set_exception(RedisError("the connection was closed"))
            self._waiting.clear()

    async def _exchange(self, commands: Sequence[tuple[Argument, ...]]) -> list[Any]:
        try:
            if len(commands) == 1:
                return [await self.client.execute_command(*commands[0])]  # type: ignore[no-untyped-call]
            pipeline = self.client.pipeline(transaction=False)
            for words in commands:
                pipeline.execute_command(*words)
            return await pipeline.execute(raise_on_error=False)
        except RedisError as error:
            return [error] if len(commands) == 1 else [RedisError(str(error)) for _ in commands]

    async def aclose(self) -> None:
        """Close the connections; commands that wait for a reply raise Unavailable."""
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.wait([self._sender])
        await self.client.aclose()
        await self.client.connection_pool.aclose()


@asynccontextmanager
async def link(url: str) -> AsyncIterator[Link]:
    """Connect to the server at ``url`` (``redis://``, ``rediss://`` or ``unix://``).

    Raises ConfigError for an address that is none, Unavailable when no server answers there.
    """
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=TIMEOUT,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            protocol=2,
            retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), _RETRIES),
        )
    except ValueError as error:
        raise ConfigError(
            f"REDIS_URL: {address(url)!r} is not the address of a Redis server; write e.g. redis://localhost:6379/0"
        ) from error
    _harden(pool)
    connection = Link(url, Redis(connection_pool=pool))
    try:
        await connection.command("PING")
        yield connection
    finally:
        await connection.aclose()


class _Hardened:
    """A connection whose loop says RuntimeError (as uvloop does) where something is written just after it broke: the
    library tries again after errors of its own alone."""

    async def send_packed_command(self, *args: Any, **kwargs: Any) -> None:
        try:
            await super().send_packed_command(*args, **kwargs)  # type: ignore[misc]
        except RuntimeError as error:
            raise RedisConnectionError(str(error)) from error


def _harden(pool: ConnectionPool) -> None:
    pool.connection_class = type("Connection", (_Hardened, pool.connection_class), {})


@contextmanager
def redis_errors(url: str) -> Iterator[None]:
    """Errors of the Redis at ``url`` within the block become Unavailable."""
    try:
        yield
    except RedisError as error:
        raise Unavailable(f"Redis at {address(url)} (REDIS_URL) cannot be used: {error}") from error


def address(url: str) -> str:
    """The URL without user, password and options."""
    return re.sub(r"^([a-z]+://)?[^/]*@", r"\1", url.partition("?")[0])
