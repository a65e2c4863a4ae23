"""Receipts: how a change whose commit was not acknowledged is kept from being made twice.

Each process has one row with the number of its last change, written in the same transaction as the change. When a
connection is lost after COMMIT was sent, the row tells whether it was reached, after a failover too. An SQLite file has
no connection to lose.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from typing import Any, Generic, TypeVar
from uuid import uuid4

from sqlalchemy import Connection, Executable, bindparam, delete, update

from adapters.history.database import Work
from adapters.history.schema import receipts

T = TypeVar("T")

_KEPT = timedelta(days=1)
"""For how long the row of a process that has gone stays: no commit is under way for as long."""

_OWN = receipts.c.writer == bindparam("writer_")
_WRITE = update(receipts).where(_OWN).values(number=bindparam("number_"), at=bindparam("at_", type_=receipts.c.at.type))


class Receipts:
    """Those of one process."""

    def __init__(self) -> None:
        self._writer = uuid4().hex
        self._numbers = count(1)

    def once(self, work: Work[T]) -> Work[T]:
        """The work so that it may be attempted again: what was committed is not done anew, and gives the same."""
        return _Once(work, self._writer, next(self._numbers))


class _Once(Generic[T]):
    def __init__(self, work: Work[T], writer: str, number: int) -> None:
        self._work, self._writer, self._number = work, writer, number
        self._result: Any = None

    def __call__(self, connection: Connection) -> T:
        if connection.dialect.name != "postgresql":
            return self._work(connection)
        if self._last(connection) != self._number:
            self._result = self._work(connection)
            now = datetime.now(UTC)
            connection.execute(_WRITE, {"writer_": self._writer, "number_": self._number, "at_": now})
        result: T = self._result
        return result

    def _last(self, connection: Connection) -> int:
        """The number that stands there. An attempt that the server still holds open is waited for."""
        now = datetime.now(UTC)
        row = {"writer": self._writer, "number": 0, "at": now}
        number = int(connection.execute(_hold(), row).scalar_one())
        if number == 0:
            connection.execute(delete(receipts).where(receipts.c.at < now - _KEPT))
        return number


@cache
def _hold() -> Executable:
    """Make or keep the row, and lock it; gives its number."""
    from sqlalchemy.dialects.postgresql import insert  # not needed on SQLite

    row = insert(receipts)
    holding = row.on_conflict_do_update(index_elements=[receipts.c.writer], set_={"at": row.excluded.at})
    held: Executable = holding.returning(receipts.c.number)
    return held
