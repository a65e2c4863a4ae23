"""One database, reached without holding up the event loop; and its driver's errors as ours.

What is to be done is a plain function over a SQLAlchemy connection, run in SQLAlchemy's asyncio bridge over
aiosqlite or asyncpg. aiosqlite passes every cursor call to a thread and back, which makes a transaction dear (about
1 ms of processor time) and statements within it cheap: hence the group commit of the writer.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, CompoundSelect, Connection, MappingResult, NullPool, RowMapping, Select, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import await_only

from adapters.history.outages import Patience, translated
from core.errors import ConfigError, Unavailable

T = TypeVar("T")
Work = Callable[[Connection], T]
Query = Select[Any] | CompoundSelect[Any]

_HOW_TO_WRITE = "write sqlite:///data/consortium.db or postgresql://user:password@host/database"
_PATIENCE = 10
"""Seconds to wait for another process's transaction, for a server to let us in, or for a connection to be free."""
_READERS = 4
_PARTING = 5.0  # seconds that reads under way get when all is closed
_IN_TIME = 30
"""Seconds within which a server has to answer a query; what is written has to be acknowledged sooner, so that there is
time left to try again."""
_LET_GO = "SET idle_in_transaction_session_timeout = '10s'"
"""Whom the server cannot reach any more is not to keep rows from being written for longer."""


class Database:
    """An SQLite file in WAL mode, shared by any number of processes of one machine, or a PostgreSQL database.

    Its methods raise :class:`core.errors.Unavailable` when it does not work, and :class:`core.errors.NotFound`
    for a row that refers to a run that is not on record. While it is away they try again, for so many seconds as
    ``reads`` and ``writes`` say: what is done must bear to be done twice, for a reply may be lost. A server that does
    not answer a statement within ``in_time`` seconds counts as away.
    """

    def __init__(self, url: URL, *, reads: float = 10, writes: float = 20, in_time: float = _IN_TIME) -> None:
        self._url, self._in_time = url, in_time
        self._closed, self._under_way, self._idle = False, 0, asyncio.Event()
        self._idle.set()
        self._reads, self._writes = Patience(reads), Patience(writes)
        hidden = {"hide_parameters": True}  # errors, which may be logged, quote no texts
        one: dict[str, Any] = {**hidden, "pool_size": 1, "max_overflow": 0, "pool_reset_on_return": None}
        several = {
            **hidden,
            "pool_size": _READERS,
            "pool_timeout": _PATIENCE,
            "pool_reset_on_return": None,
            "isolation_level": "AUTOCOMMIT",
            "skip_autocommit_rollback": True,
        }
        if self.backend == "sqlite":
            with translated(url):
                _make_openable(Path(url.database or ""))
            driver: dict[str, Any] = {"isolation_level": None}
            self._writing = create_async_engine(url, **one, connect_args={**driver, "timeout": 0})
            self._reading = create_async_engine(url, **several, connect_args={**driver, "timeout": _PATIENCE})
            for engine in (self._writing, self._reading):
                event.listen(engine.sync_engine, "connect", _set_up)
            event.listen(self._writing.sync_engine, "begin", partial(_begin_to_write, min(_PATIENCE, writes)))
        else:
            self._writing = create_async_engine(url, **one, async_creator=self._connect_to_write, pool_pre_ping=True)
            self._reading = create_async_engine(url, **several, async_creator=self._connect, pool_pre_ping=True)

    @property
    def backend(self) -> str:
        """Either "sqlite" or "postgresql"."""
        return self._url.get_backend_name()

    async def _connect(self) -> Any:
        return await self._connect_for(self._in_time)

    async def _connect_for(self, in_time: float | None) -> Any:
        """PostgreSQL's driver reads the address itself: it knows ``sslmode`` and the like, SQLAlchemy does not."""
        import asyncpg  # type: ignore[import-untyped]  # not needed on SQLite

        address = self._url.set(drivername="postgresql").render_as_string(hide_password=False)
        return await asyncpg.connect(address, timeout=_PATIENCE, command_timeout=in_time)

    async def _connect_to_write(self) -> Any:
        connection = await self._connect_for(min(self._in_time, _PATIENCE))
        await connection.execute(_LET_GO)
        return connection

    async def migrate(self, work: Work[None]) -> None:
        """Do the work in one transaction, however long it takes, without waiting for a database that is away."""
        if self.backend == "sqlite":
            await self.write(work)  # which waits for others that migrate
            return
        alone = create_async_engine(self._url, poolclass=NullPool, async_creator=partial(self._connect_for, None))
        await self._write(alone, work)

    async def write(self, work: Work[T]) -> T:
        """Do the work in one transaction, committed on return. Only one may be under way at a time."""
        return await self._writes.insist(partial(self._write, self._writing, work), self._writing.dispose)

    async def _write(self, engine: AsyncEngine, work: Work[T]) -> T:
        with translated(self._url):
            async with engine.begin() as connection:
                return await connection.run_sync(work)

    async def read(self, work: Work[T]) -> T:
        """Do work that changes nothing; each query sees the newest data."""
        return await self._reads.insist(partial(self._read, work), self._reading.dispose)

    async def _read(self, work: Work[T]) -> T:
        if self._closed:
            raise Unavailable("The history is closed.")
        self._under_way += 1
        self._idle.clear()
        try:
            with translated(self._url):
                async with self._reading.connect() as connection:
                    return await connection.run_sync(work)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def rows(self, query: Query, given: Mapping[str, Any] | None = None) -> Sequence[RowMapping]:
        """All rows that a query finds with these parameters."""
        return await self.read(partial(fetch, query, given=given))

    async def close(self) -> None:
        """Give up all connections. Reads under way are waited for: what they use would stay open."""
        self._closed = True
        with suppress(TimeoutError):
            async with asyncio.timeout(_PARTING):
                await self._idle.wait()
        await self._reading.dispose()
        await self._writing.dispose()


def fetch(query: Query, connection: Connection, given: Mapping[str, Any] | None = None) -> Sequence[RowMapping]:
    """All rows that a query finds with these parameters."""
    found: MappingResult = connection.execute(query, given).mappings()
    return found.all()


def parse(url: str) -> URL:
    """The address as SQLAlchemy takes it. Raises :class:`core.errors.ConfigError`."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigError(f"DATABASE_URL is not the address of a database: {_HOW_TO_WRITE}.") from None
    backend = parsed.drivername.partition("+")[0]
    if backend in ("postgres", "postgresql"):
        if not (parsed.database or {"database", "dbname"} & parsed.query.keys()):  # that of the user's name, else
            raise ConfigError(f"DATABASE_URL names no database: {_HOW_TO_WRITE}.")
        return parsed.set(drivername="postgresql+asyncpg")
    if backend != "sqlite":
        raise ConfigError(f"DATABASE_URL names a kind of database that we do not know: {_HOW_TO_WRITE}.")
    if parsed.database in (None, "", ":memory:"):
        raise ConfigError(f"DATABASE_URL names no file, and a history in memory would be lost: {_HOW_TO_WRITE}.")
    return parsed.set(drivername="sqlite+aiosqlite")


def _make_openable(path: Path) -> None:
    """Create folder and file, and find out here if they cannot be: a connection of aiosqlite that cannot be opened
    leaves a thread behind that may outlive the event loop it reports to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sqlite3.connect(path).close()


def _set_up(connection: Any, record: object) -> None:
    try:
        _insist(connection, "PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.create_function("lower", 1, _lower, deterministic=True)
    except BaseException:
        connection.close()  # nobody else will, and its thread would outlive the event loop
        raise


def _lower(value: Any) -> Any:
    """SQLite's own knows the letters of ASCII alone."""
    return value.lower() if isinstance(value, str) else value


def _insist(connection: Any, statement: str, seconds: float = _PATIENCE) -> None:
    """Wait for the lock in the event loop, trying again.

    While SQLite itself waits, its connection is locked inside: a cursor of it that is collected meanwhile would hold
    up the event loop, and with it whoever of this process has the lock. The switch to WAL does not wait at all.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            connection.execute(statement)
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            await_only(asyncio.sleep(0.01))


def _begin_to_write(seconds: float, connection: Connection) -> None:
    """Lock at the start: a transaction that turned from reading to writing would not wait for others."""
    _insist(connection.connection.dbapi_connection, "BEGIN IMMEDIATE", seconds)
