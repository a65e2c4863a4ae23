"""Rate tiers: how many calls a minute each method takes, and one message a second in a channel."""

from __future__ import annotations

import math
from collections import defaultdict, deque

from . import limits
from .journal import Clock


class RateLimiter:
    """Sliding windows per method.

    Args:
        clock: seconds.
        scale: multiplies every window, so 0.01 turns a minute into 0.6 s.
    """

    def __init__(self, clock: Clock, scale: float = 1.0) -> None:
        self._clock = clock
        self._scale = scale
        self._windows: dict[str, deque[float]] = defaultdict(deque)

    def refuse(self, method: str, channel: str | None) -> int | None:
        """Count a call, or say how many whole seconds to wait (at least 1) without counting it."""
        per_minute = limits.TIERS.get(limits.METHODS[method].tier, limits.SPECIAL_PER_MINUTE)
        windows = [(method, per_minute, 60.0)]
        if method == "chat.postMessage" and channel:
            windows.append((f"{method}:{channel}", limits.POST_BURST, float(limits.POST_BURST)))
        now = self._clock()
        waits = [self._wait(key, count, seconds * self._scale, now) for key, count, seconds in windows]
        if any(waits):
            return max(1, math.ceil(max(waits)))
        for key, _, _ in windows:
            self._windows[key].append(now)
        return None

    def _wait(self, key: str, count: int, seconds: float, now: float) -> float:
        """Seconds until one more call fits into the window, 0 if it fits now."""
        window = self._windows[key]
        while window and window[0] <= now - seconds:
            window.popleft()
        return window[0] + seconds - now if len(window) >= count else 0.0
