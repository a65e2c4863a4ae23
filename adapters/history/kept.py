"""What was read a moment ago, by key, so that not every ask reads it again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(Generic[K, V]):
    """Values that ``read`` gives, kept for ``fresh`` seconds of ``monotonic``; of many that want one, one reads it."""

    def __init__(self, read: Callable[[K], Awaitable[V]], *, fresh: float, monotonic: Callable[[], float]) -> None:
        self._read, self._fresh, self._monotonic = read, fresh, monotonic
        self._values: dict[K, tuple[float, V]] = {}
        self._reading: dict[K, asyncio.Lock] = {}
        self._changes = 0

    async def get(self, key: K) -> V:
        """The value, at most ``fresh`` seconds old, and no older than the last :meth:`forget`."""
        async with self._reading.setdefault(key, asyncio.Lock()):
            kept = self._values.get(key)
            if kept and self._monotonic() < kept[0]:
                return kept[1]
            changes, due = self._changes, self._monotonic() + self._fresh
            value = await self._read(key)
            if changes == self._changes:  # else what was read may be from before the change
                self._values[key] = due, value
            return value

    def forget(self) -> None:
        """All that was read is out of date, and so is what is being read right now."""
        self._changes += 1
        self._values.clear()
