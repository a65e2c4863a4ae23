"""One database, reached without holding up the event loop; and its driver's errors as ours.

What is to be done is a plain function over a SQLAlchemy connection. On PostgreSQL it runs in SQLAlchemy's
asyncio bridge over asyncpg. On SQLite it runs in a thread as a whole: an asyncio driver passes every cursor call
of it to a thread and back, which came to 1.1 ms of processor time for a transaction instead of 0.2.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, InterfaceError, OperationalError

from core.errors import ConfigError, NotFound, Unavailable

T = TypeVar("T")
Work = Callable[[Connection], T]

_HOW_TO_WRITE = "write sqlite:///data/consortium.db or postgresql://user:password@host/database"
_PATIENCE = 10
"""Seconds to wait for another process's transaction, or for a server to let us in."""
_READERS = 2


class Database(ABC):
    """Where the history lies. Its methods raise :class:`core.errors.Unavailable` when it does not work, and
    :class:`core.errors.NotFound` for a row that refers to a run that is not on record."""

    def __init__(self, url: URL) -> None:
        self._url = url

    @property
    def backend(self) -> str:
        """Either "sqlite" or "postgresql"."""
        return self._url.get_backend_name()

    @abstractmethod
    async def write(self, work: Work[T]) -> T:
        """Do the work in one transaction, committed on return. Only one may be under way at a time."""

    @abstractmethod
    async def read(self, work: Work[T]) -> T:
        """Do work that changes nothing."""

    @abstractmethod
    async def close(self) -> None:
        """Give up all connections."""


class Sqlite(Database):
    """An SQLite file in WAL mode; any number of processes of one machine may share it."""

    def __init__(self, url: URL) -> None:
        super().__init__(url)
        with translated(url):
            Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
        driver: dict[str, Any] = {"timeout": _PATIENCE, "isolation_level": None}
        self._writing = create_engine(url, pool_size=1, max_overflow=0, connect_args=driver)
        self._reading = create_engine(url, pool_size=_READERS, max_overflow=0, connect_args=driver)
        for engine in (self._writing, self._reading):
            event.listen(engine, "connect", _set_up)
        event.listen(self._writing, "begin", _begin_to_write)
        self._writer = ThreadPoolExecutor(1, "history-write")
        self._readers = ThreadPoolExecutor(_READERS, "history-read")

    async def write(self, work: Work[T]) -> T:
        """Do the work in the one writing thread."""

        def transact() -> T:
            with translated(self._url), self._writing.begin() as connection:
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._writer, transact)

    async def read(self, work: Work[T]) -> T:
        """Do the work in a reading thread."""

        def query() -> T:
            with translated(self._url), self._reading.connect() as connection:
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._readers, query)

    async def close(self) -> None:
        """Close the connections in their threads, and let the threads end."""
        for threads, engine in ((self._readers, self._reading), (self._writer, self._writing)):
            await asyncio.get_running_loop().run_in_executor(threads, engine.dispose)
            threads.shutdown(wait=False)


class Postgres(Database):
    """A PostgreSQL database."""

    def __init__(self, url: URL) -> None:
        from sqlalchemy.ext.asyncio import create_async_engine  # not needed on SQLite

        super().__init__(url)
        options: dict[str, Any] = {"async_creator": self._connect, "pool_pre_ping": True}
        self._writing = create_async_engine(url, pool_size=1, max_overflow=0, pool_reset_on_return=None, **options)
        self._reading = create_async_engine(url, pool_size=4, isolation_level="AUTOCOMMIT", **options)

    async def _connect(self) -> Any:
        """The driver reads the address itself: it knows ``sslmode`` and the like, SQLAlchemy does not."""
        import asyncpg  # type: ignore[import-untyped]  # not needed on SQLite

        address = self._url.set(drivername="postgresql").render_as_string(hide_password=False)
        return await asyncpg.connect(address, timeout=_PATIENCE, command_timeout=60)

    async def write(self, work: Work[T]) -> T:
        """Do the work on the writing connection."""
        with translated(self._url):
            async with self._writing.begin() as connection:
                return await connection.run_sync(work)

    async def read(self, work: Work[T]) -> T:
        """Do the work on a reading connection; each query sees the newest data."""
        with translated(self._url):
            async with self._reading.connect() as connection:
                return await connection.run_sync(work)

    async def close(self) -> None:
        """Close the connections."""
        await self._reading.dispose()
        await self._writing.dispose()


def parse(url: str) -> URL:
    """The address as SQLAlchemy takes it. Raises :class:`core.errors.ConfigError`."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigError(f"DATABASE_URL is not the address of a database: {_HOW_TO_WRITE}.") from None
    backend = parsed.drivername.partition("+")[0]
    if backend in ("postgres", "postgresql"):
        return parsed.set(drivername="postgresql+asyncpg")
    if backend != "sqlite":
        raise ConfigError(f"DATABASE_URL names a kind of database that we do not know: {_HOW_TO_WRITE}.")
    if parsed.database in (None, "", ":memory:"):
        raise ConfigError(f"DATABASE_URL names no file, and a history in memory would be lost: {_HOW_TO_WRITE}.")
    return parsed.set(drivername="sqlite")


def connect(url: URL) -> Database:
    """The database at an address that :func:`parse` gave. Creates the folder of an SQLite file."""
    return Sqlite(url) if url.get_backend_name() == "sqlite" else Postgres(url)


@contextmanager
def translated(url: URL) -> Iterator[None]:
    """Turn what drivers raise into our errors."""
    try:
        yield
    except DBAPIError as error:
        if isinstance(error, IntegrityError) and "foreign key" in str(error.orig).lower():
            raise NotFound("There is no such run on record.") from error
        cause = error.orig or error
        raise _unavailable(url, cause.__cause__ or cause) from error
    except OSError as error:  # also the time-outs
        raise _unavailable(url, error) from error


def is_outage(error: Exception) -> bool:
    """Whether the database itself is at fault, so that no other statement would do better."""
    cause = error.__cause__
    if isinstance(cause, DBAPIError) and cause.connection_invalidated:
        return True
    return isinstance(cause, OSError | OperationalError | InterfaceError)


def _unavailable(url: URL, error: BaseException) -> Unavailable:
    lines = (getattr(error, "strerror", None) or str(error) or "no reply in time").strip().splitlines()
    reason = lines[0].rstrip(".")
    if url.password:
        reason = reason.replace(url.password, "***")
    shown = URL.create(url.get_backend_name(), host=url.host, port=url.port, database=url.database)
    return Unavailable(f"The database at {shown} (DATABASE_URL) does not work: {reason}.")


def _set_up(connection: Any, record: object) -> None:
    _use_wal(connection)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _use_wal(connection: Any) -> None:
    """The switch of a new file to WAL fails at once where a transaction would wait for another process."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)


def _begin_to_write(connection: Connection) -> None:
    """Lock at the start: a transaction that turned from reading to writing would not wait for others."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
