"""Locks across processes and hosts: rows that say who may go on, and until when unless it is said again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from uuid import uuid4
from weakref import WeakValueDictionary

from sqlalchemy import Connection

from adapters.history.access import Access
from core.errors import Unavailable

_LOOKS = 0.05, 0.5
"""Seconds between two looks at a lock that others hold, first and at most."""


class SqlLocks:
    """:class:`core.installed.Locks` in SQL.

    Whoever holds a lock says so anew three times in every ``lease`` seconds of the database's clock; a process that
    dies, or is cut off from the database for longer, loses it. ``patience`` is how long, in seconds, others wait.
    """

    def __init__(self, access: Access, *, lease: float = 30, patience: float = 30) -> None:
        self._access = access
        self._lease, self._patience = lease, patience
        self._here: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """Those of this process wait for each other without asking the database."""

    @asynccontextmanager
    async def locked(self, name: str) -> AsyncIterator[None]:
        """Wait for the lock. Raises :class:`core.errors.Unavailable` when it does not come free in time."""
        end = asyncio.get_running_loop().time() + self._patience
        here = self._here.setdefault(name, asyncio.Lock())
        try:
            async with asyncio.timeout(self._patience):
                await here.acquire()
        except TimeoutError:
            raise _in_use(name) from None
        try:
            async with self._held(name, end) as ours:
                if not ours:
                    raise _in_use(name)
                yield
        finally:
            here.release()

    @asynccontextmanager
    async def attempted(self, name: str) -> AsyncIterator[bool]:
        """The lock, if it is free: whether it is ours."""
        async with self._held(name, 0) as ours:
            yield ours

    @asynccontextmanager
    async def _held(self, name: str, end: float) -> AsyncIterator[bool]:
        """The lock, if it comes free until then on the event loop's clock."""
        holder = uuid4().hex
        renewing: asyncio.Task[None] | None = None
        try:
            ours = await self._wait(name, holder, end)
            if ours:
                renewing = asyncio.create_task(self._renew(name, holder), name=f"lock-{name}")
            yield ours
        finally:  # also where the taking was cancelled, for it is carried out still
            if renewing:
                renewing.cancel()
                await asyncio.wait([renewing])
            with suppress(Unavailable):  # then it goes when its time is up
                await self._access.writer.write(
                    f"lock {name}", (self._access.do.release_lock, {"name_": name, "holder_": holder})
                )

    async def _wait(self, name: str, holder: str, end: float) -> bool:
        pause, most = _LOOKS
        while not await self._take(name, holder):
            if asyncio.get_running_loop().time() + pause > end:
                return False
            await asyncio.sleep(pause)
            pause = min(2 * pause, most)
        return True

    async def _take(self, name: str, holder: str) -> bool:
        """Take or keep the lock; whether it is ours."""
        row = {"name": name, "holder": holder, "seconds_": self._lease}
        return await self._access.writer.change(partial(self._taken, row))

    def _taken(self, row: dict[str, object], connection: Connection) -> bool:
        return connection.execute(self._access.do.take_lock, row).first() is not None

    async def _renew(self, name: str, holder: str) -> None:
        while True:
            await asyncio.sleep(self._lease / 3)
            with suppress(Unavailable):
                await self._take(name, holder)


def _in_use(name: str) -> Unavailable:
    return Unavailable(f"Another process has been busy with the same for too long ({name}). Try again in a minute.")
