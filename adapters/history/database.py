"""One database, reached without holding up the event loop; and its driver's errors as ours.

What is to be done is a plain function over a SQLAlchemy connection, run in SQLAlchemy's asyncio bridge over
aiosqlite or asyncpg. aiosqlite passes every cursor call to a thread and back, which makes a transaction dear (about
1 ms of processor time) and statements within it cheap: hence the group commit of the writer.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, CompoundSelect, Connection, MappingResult, RowMapping, Select, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.util import await_only

from core.errors import ConfigError, NotFound, Unavailable

T = TypeVar("T")
Work = Callable[[Connection], T]
Query = Select[Any] | CompoundSelect[Any]

_HOW_TO_WRITE = "write sqlite:///data/consortium.db or postgresql://user:password@host/database"
_PATIENCE = 10
"""Seconds to wait for another process's transaction, or for a server to let us in."""
_READERS = 4


class Database:
    """An SQLite file in WAL mode, shared by any number of processes of one machine, or a PostgreSQL database.

    Its methods raise :class:`core.errors.Unavailable` when it does not work, and :class:`core.errors.NotFound`
    for a row that refers to a run that is not on record.
    """

    def __init__(self, url: URL) -> None:
        self._url = url
        hidden = {"hide_parameters": True}  # errors, which may be logged, quote no texts
        one: dict[str, Any] = {**hidden, "pool_size": 1, "max_overflow": 0, "pool_reset_on_return": None}
        several = {
            **hidden,
            "pool_size": _READERS,
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
            event.listen(self._writing.sync_engine, "begin", _begin_to_write)
        else:
            options: dict[str, Any] = {"async_creator": self._connect, "pool_pre_ping": True}
            self._writing = create_async_engine(url, **one, **options)
            self._reading = create_async_engine(url, **several, **options)

    @property
    def backend(self) -> str:
        """Either "sqlite" or "postgresql"."""
        return self._url.get_backend_name()

    async def _connect(self) -> Any:
        """PostgreSQL's driver reads the address itself: it knows ``sslmode`` and the like, SQLAlchemy does not."""
        import asyncpg  # type: ignore[import-untyped]  # not needed on SQLite

        address = self._url.set(drivername="postgresql").render_as_string(hide_password=False)
        return await asyncpg.connect(address, timeout=_PATIENCE, command_timeout=60)

    async def write(self, work: Work[T]) -> T:
        """Do the work in one transaction, committed on return. Only one may be under way at a time."""
        with translated(self._url):
            async with self._writing.begin() as connection:
                return await connection.run_sync(work)

    async def read(self, work: Work[T]) -> T:
        """Do work that changes nothing; each query sees the newest data."""
        with translated(self._url):
            async with self._reading.connect() as connection:
                return await connection.run_sync(work)

    async def rows(self, query: Query, given: Mapping[str, Any] | None = None) -> Sequence[RowMapping]:
        """All rows that a query finds with these parameters."""
        return await self.read(partial(fetch, query, given=given))

    async def close(self) -> None:
        """Give up all connections."""
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
        return parsed.set(drivername="postgresql+asyncpg")
    if backend != "sqlite":
        raise ConfigError(f"DATABASE_URL names a kind of database that we do not know: {_HOW_TO_WRITE}.")
    if parsed.database in (None, "", ":memory:"):
        raise ConfigError(f"DATABASE_URL names no file, and a history in memory would be lost: {_HOW_TO_WRITE}.")
    return parsed.set(drivername="sqlite+aiosqlite")


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
    except (OSError, sqlite3.Error) as error:  # also the time-outs
        raise _unavailable(url, error) from error


def is_outage(error: Exception) -> bool:
    """Whether the database itself is at fault, so that no other statement would do better."""
    cause = error.__cause__
    if isinstance(cause, DBAPIError) and cause.connection_invalidated:
        return True
    return isinstance(cause, OSError | OperationalError | InterfaceError | sqlite3.OperationalError)


def _unavailable(url: URL, error: BaseException) -> Unavailable:
    lines = (getattr(error, "strerror", None) or str(error) or "no reply in time").strip().splitlines()
    reason = lines[0].rstrip(".")
    if url.password:
        reason = reason.replace(url.password, "***")
    shown = URL.create(url.get_backend_name(), host=url.host, port=url.port, database=url.database)
    return Unavailable(f"The database at {shown} (DATABASE_URL) does not work: {reason}.")


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


def _insist(connection: Any, statement: str) -> None:
    """Wait for the lock in the event loop, trying again.

    While SQLite itself waits, its connection is locked inside: a cursor of it that is collected meanwhile would hold
    up the event loop, and with it whoever of this process has the lock. The switch to WAL does not wait at all.
    """
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            connection.execute(statement)
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            await_only(asyncio.sleep(0.01))


def _begin_to_write(connection: Connection) -> None:
    """Lock at the start: a transaction that turned from reading to writing would not wait for others."""
    _insist(connection.connection.dbapi_connection, "BEGIN IMMEDIATE")
