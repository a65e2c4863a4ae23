"""No faster than Slack takes it: what is left of a minute's calls, and turns in a channel."""

from __future__ import annotations

import asyncio
from collections import deque

_MOST = 2_000  # channels


class Allowance:
    """How many calls of a kind are made in a minute, so that what matters finds some left."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._spent: deque[float] = deque()

    def spend(self) -> None:
        """One was made."""
        self._spent.append(asyncio.get_running_loop().time())

    def left(self, keep: int = 0) -> bool:
        """Whether one more can be spared when so many are kept for what matters more."""
        minute_ago = asyncio.get_running_loop().time() - 60
        while self._spent and self._spent[0] < minute_ago:
            self._spent.popleft()
        return len(self._spent) + keep < self._most


class Turns:
    """At most ``most`` messages into one channel within ``seconds``; who comes later waits for a turn."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most, self._seconds = most, seconds
        self._taken: dict[str, deque[float]] = {}

    def free(self, channel: str) -> bool:
        """Whether the next one need not wait."""
        return self._next(channel) <= asyncio.get_running_loop().time()

    async def take(self, channel: str) -> None:
        """Wait until one may be posted."""
        now = asyncio.get_running_loop().time()
        at = max(now, self._next(channel))
        if channel not in self._taken and len(self._taken) >= _MOST:
            self._taken.pop(next(iter(self._taken)))
        self._taken.setdefault(channel, deque(maxlen=self._most)).append(at)
        await asyncio.sleep(at - now)

    def _next(self, channel: str) -> float:
        taken = self._taken.get(channel)
        return taken[0] + self._seconds if taken and len(taken) == self._most else float("-inf")
