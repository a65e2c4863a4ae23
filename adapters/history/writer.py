"""One writer for all runs of a process: many callers' statements go into one transaction (group commit).

A commit costs far more than a row, and SQLite lets in one writer at a time anyway. So callers queue their
statements and wait; the one writer takes what has queued up, brings equal statements together into batches,
commits, and lets the callers go. While the database is away they wait; whatever a statement does must be the same
when it is done twice, because a commit may be reached without our hearing of it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, Executable

from adapters.history.database import Database, Work
from adapters.history.outages import is_outage
from adapters.history.receipts import Receipts
from core.errors import Unavailable

T = TypeVar("T")
Statement = tuple[Executable, dict[str, Any]]
"""What to execute, with its parameters. Equal statements must be the same object to be batched."""

Batches = list[tuple[Executable, list[dict[str, Any]]]]

_CLOSED = "The history is closed: this was not stored."


class Write:
    """Statements of one caller, carried out together or not at all."""

    __slots__ = ("done", "run_id", "statements")

    def __init__(self, run_id: str, statements: Sequence[Statement], done: asyncio.Future[Any]) -> None:
        self.run_id, self.statements, self.done = run_id, statements, done


class Change:
    """Work of one caller that reads before it writes: it has a transaction of its own."""

    __slots__ = ("done", "work")

    def __init__(self, work: Work[Any], done: asyncio.Future[Any]) -> None:
        self.work, self.done = work, done


class Writer:
    """Carries out writes in the order they are made for each run. Must be started and closed.

    ``waiting`` bounds the writes in flight, later callers wait for room; ``batch`` bounds one transaction.
    ``burst`` transactions may follow each other at once; when many callers write all the time there are no more
    than ``rate`` a second, so that each takes many writes along.
    """

    def __init__(
        self, database: Database, *, waiting: int = 512, batch: int = 64, burst: int = 20, rate: float = 100
    ) -> None:
        self._database = database
        self._room = asyncio.Semaphore(waiting)
        self._batch = batch
        self._pause, self._burst = 1 / rate, burst / rate
        self._due = 0.0
        self._queue: deque[Write | Change] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._receipts = Receipts()

    def start(self) -> None:
        """Begin to take writes."""
        self._task = asyncio.create_task(self._work(), name="history-writer")

    async def close(self) -> None:
        """Carry out what was handed in, then stop."""
        self._closing = True
        self._wake.set()
        if self._task:
            await self._task

    async def write(self, run_id: str, *statements: Statement) -> None:
        """Return when the statements are committed. A caller that is cancelled has them carried out still.

        Raises :class:`core.errors.Unavailable` when the database does not work, and whatever is wrong with the
        statements themselves.
        """
        await self._carried_out(Write(run_id, statements, asyncio.get_running_loop().create_future()))

    async def change(self, work: Work[T]) -> T:
        """Do work that depends on what is there; returns what it returns, once it is committed.

        It counts once, even where the first commit was not acknowledged. Raises as :meth:`write` does, and whatever
        the work raises; nothing is changed then.
        """
        result: T = await self._carried_out(Change(work, asyncio.get_running_loop().create_future()))
        return result

    async def _carried_out(self, item: Write | Change) -> Any:
        async with self._room:
            if self._closing or self._task is None or self._task.done():
                raise Unavailable(_CLOSED)
            self._queue.append(item)
            self._wake.set()
            return await item.done

    async def _work(self) -> None:
        taken: list[Write | Change] = []
        try:
            while self._queue or not self._closing:
                if not self._queue:
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                paused = await self._keep_pace()
                first = self._queue.popleft()
                taken = [first]
                if isinstance(first, Change):
                    await self._carry_out(first)
                    continue
                writes = [first, *self._more_writes()]
                taken = [*writes]
                if paused and len(writes) == 1:
                    self._due = 0.0  # nobody else is writing, so there is nothing to wait for
                await self._commit(writes)
        finally:
            _settle([*taken, *self._queue], Unavailable(_CLOSED))  # only there when this task was cancelled

    def _more_writes(self) -> Iterator[Write]:
        """What can go into one transaction with the first: all up to the next change, as many as fit."""
        for _ in range(self._batch - 1):
            if not self._queue or not isinstance(following := self._queue[0], Write):
                return
            self._queue.popleft()
            yield following

    async def _keep_pace(self) -> bool:
        """Wait until another transaction is due; whether that took any time."""
        now = asyncio.get_running_loop().time()
        self._due = max(self._due, now - self._burst) + self._pause
        if self._due <= now or self._closing:
            return False
        await asyncio.sleep(self._due - now)
        return True

    async def _commit(self, writes: Sequence[Write]) -> None:
        """Commit the writes together; when that fails because of one of them, each alone."""
        try:
            await self._database.write(partial(_execute, batched(writes)))
        except Exception as error:  # noqa: BLE001 - the writer must outlive whatever a caller handed in
            if len(writes) == 1 or is_outage(error):
                _settle(writes, error)
            else:
                for write in writes:
                    await self._commit([write])
        else:
            _settle(writes, None)

    async def _carry_out(self, change: Change) -> None:
        try:
            result = await self._database.write(self._receipts.once(change.work))
        except Exception as error:  # noqa: BLE001 - as above
            _settle([change], error)
        else:
            _settle([change], None, result)


def batched(writes: Iterable[Write]) -> Batches:
    """Bring equal statements of all writes together, keeping the order within each run."""
    batches: Batches = []
    earliest: dict[str, int] = {}
    for write in writes:
        for statement, row in write.statements:
            start = earliest.get(write.run_id, 0)
            at = next((i for i in range(start, len(batches)) if batches[i][0] is statement), len(batches))
            if at == len(batches):
                batches.append((statement, []))
            batches[at][1].append(row)
            earliest[write.run_id] = at
    return batches


def _execute(batches: Batches, connection: Connection) -> None:
    for statement, rows in batches:
        connection.execute(statement, rows)


def _settle(items: Iterable[Write | Change], error: Exception | None, result: Any = None) -> None:
    for item in items:
        if item.done.done():
            continue
        if error:
            item.done.set_exception(error)
        else:
            item.done.set_result(result)
