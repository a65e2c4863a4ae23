"""What drivers raise as our errors, and patience with a database that is away for a while."""

from __future__ import annotations

import asyncio
import math
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from core.errors import NotFound, Unavailable

T = TypeVar("T")

_PAUSES = 0.02, 0.5
"""Seconds between two attempts: at first, doubled each time, and at most."""

_COMES_BACK = ("08", "57P01", "57P02", "57P03", "53300", "40001", "40P01", "25006", "55P03")
"""How codes of PostgreSQL's errors begin after which the same may go well: connections lost or refused while it stops,
starts or has too many; transactions in each other's way; a server that has become another's copy."""

_READ_ONLY = "25006"

_SQLITE_COMES_BACK = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

_SQLITE_SAYS = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space",
    sqlite3.SQLITE_READONLY: "it may only be read; let this user write the file and its folder",
    sqlite3.SQLITE_IOERR: "the disk does not work (disk I/O error); see to it that it is there and has room",
}


class Patience:
    """How long callers wait for a database that is away: ``seconds`` from when it was missed first.

    Whoever comes later is told at once, until it is back: nobody is to pile up behind an outage of hours.
    """

    def __init__(self, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._monotonic = seconds, monotonic
        self._missed_first = self._missed_last = -math.inf

    async def insist(self, attempt: Callable[[], Awaitable[T]], renew: Callable[[], Awaitable[None]]) -> T:
        """Attempt it until it goes well; ``renew`` gives up connections to a server that only can be read from.

        A first attempt that took all the time there is (the server fell silent) is followed by another. Raises what
        the last attempt raised when patience is over, or when trying again cannot help.
        """
        begun, (pause, most) = self._monotonic(), _PAUSES
        again = False
        while True:
            try:
                result = await attempt()
            except Unavailable as error:
                if not comes_back(error) or not self._may_wait(begun if again else self._monotonic()):
                    raise
                again = True
                if _sqlstate(error) == _READ_ONLY:
                    await renew()
            else:
                self._missed_last = -math.inf
                return result
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - not all at the same time
            pause = min(2 * pause, most)

    def _may_wait(self, begun: float) -> bool:
        now = self._monotonic()
        if now - self._missed_last > self._seconds:
            self._missed_first = now  # it was there, or nobody has asked for so long: another outage
        self._missed_last = now
        return now - self._missed_first < self._seconds and now - begun < self._seconds


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
    except NoConnectionFree as error:
        raise _unavailable(url, TimeoutError("too much is asked of it at once")) from error
    except (OSError, sqlite3.Error) as error:  # also the time-outs
        raise _unavailable(url, error) from error


def is_outage(error: Exception) -> bool:
    """Whether the database itself is at fault, so that no other statement would do better."""
    cause = error.__cause__
    if isinstance(cause, DBAPIError) and cause.connection_invalidated:
        return True
    kinds = (OSError, NoConnectionFree, OperationalError, InterfaceError, sqlite3.OperationalError)
    return isinstance(cause, kinds) or comes_back(error)


def comes_back(error: Exception) -> bool:
    """Whether the same may go well in a while, for all that is known."""
    cause = error.__cause__
    if isinstance(cause, OSError):
        return not isinstance(cause, FileNotFoundError | FileExistsError | NotADirectoryError | PermissionError)
    if (code := _sqlite_code(cause)) is not None:
        return code in _SQLITE_COMES_BACK
    if not isinstance(cause, DBAPIError):
        return False
    lost = cause.connection_invalidated or isinstance(cause, InterfaceError)
    return lost or _sqlstate(error).startswith(_COMES_BACK)


def _sqlstate(error: Exception) -> str:
    """PostgreSQL's code of what is behind one of our errors; empty when it is something else."""
    cause = error.__cause__
    behind = getattr(cause.orig, "__cause__", None) if isinstance(cause, DBAPIError) else None
    return getattr(behind, "sqlstate", None) or ""


def _sqlite_code(cause: BaseException | None) -> int | None:
    """SQLite's code of an error; None when it is no error of SQLite's."""
    behind = cause.orig if isinstance(cause, DBAPIError) else cause
    code: int | None = getattr(behind, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _unavailable(url: URL, error: BaseException) -> Unavailable:
    code = _sqlite_code(error)
    said = _SQLITE_SAYS.get(code) if code is not None else None
    lines = (said or getattr(error, "strerror", None) or str(error) or "no reply in time").strip().splitlines()
    reason = lines[0].rstrip(".")
    if url.password:
        reason = reason.replace(url.password, "***")
    shown = URL.create(url.get_backend_name(), host=url.host, port=url.port, database=url.database)
    return Unavailable(f"The database at {shown} (DATABASE_URL) does not work: {reason}.")
