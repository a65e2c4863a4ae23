"""Circuit breakers: what opens and closes them, and those of a program that is a single process.

Breakers that several processes share follow the same rules, and the same tests hold for both.
"""

from __future__ import annotations

import math
import operator
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile

from core.ports import BreakerState

_DAY = 86_400_000
"""So many milliseconds after it could have probed, an open breaker is forgotten: what it knows says nothing now."""


@dataclass(frozen=True)
class BreakerPolicy:
    """When a breaker opens and how it closes again. Durations are seconds.

    A failure opens it when it is the ``streak``-th in a row, or when of the last ``calls`` results that are at most
    ``seconds`` old, and at least ``least`` in number, the share ``rate`` has failed. It stays open for ``cooldown``,
    twice as long each time that its probes fail, ``longest`` at the most. Then ``probes`` calls are let through at
    once; as many successes close it, one failure opens it again. A probe of which nothing is heard for
    ``lease`` (longer than any call may take) is given up, and another takes its place.
    """

    calls: int = 20
    seconds: float = 60
    least: int = 5
    rate: float = 0.5
    streak: int = 3
    cooldown: float = 15
    longest: float = 300
    probes: int = 1
    lease: float = 90


class LocalBreakers:
    """Implements :class:`core.ports.Breakers` in the memory of this process. Use it in one event loop.

    ``clock`` gives the time in seconds from whatever point.
    """

    def __init__(self, policy: BreakerPolicy | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._policy, self._clock = policy or BreakerPolicy(), clock
        self._breakers: dict[str, _Breaker] = {}

    async def admit(self, key: str) -> str | None:
        """Ask to call the model. Returns a ticket, or None when the breaker is open."""
        return self._breaker(key).admit(self._now())

    async def report(self, key: str, ticket: str, ok: bool | None) -> None:
        """Tell how the call went; None (cancelled) counts as nothing and frees a probe."""
        self._breaker(key).report(self._now(), ticket, ok)

    async def state(self, key: str) -> BreakerState:
        """The breaker's state now."""
        return self._breaker(key).state(self._now())

    async def reset(self, key: str) -> None:
        """Close it and forget what was; calls on their way no longer count."""
        self._breaker(key).close()

    def _breaker(self, key: str) -> _Breaker:
        breaker = self._breakers.get(key)
        if breaker is None:
            breaker = self._breakers[key] = _Breaker(self._policy)
        breaker.forget(self._now())
        return breaker

    def _now(self) -> int:
        return round(self._clock() * 1000)


class _Breaker:
    """One model's breaker. Times are whole milliseconds, so that no sum of them is off by a rounding.

    A ticket is "epoch:probe", the probe empty while the breaker is closed. A ticket of an earlier epoch says nothing
    of the present one: it only gives its lease back.
    """

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._epoch = 0  # counts changes of state
        self._till: int | None = None  # open until then; None when closed
        self._wait = 0.0  # how long it was opened for last, 0 since it was closed
        self._passed = 0  # probes that went well
        self._probe = 0  # the last probe's number
        self._leases: dict[str, float] = {}  # probes on their way, with the time at which each lease ends
        self._results: deque[tuple[int, bool]] = deque(maxlen=policy.calls)  # newest first

    def admit(self, now: int) -> str | None:
        if self._till is None:
            return f"{self._epoch}:"
        if now < self._till:
            return None
        self._leases = {probe: end for probe, end in self._leases.items() if end > now}
        if len(self._leases) >= self._policy.probes:
            return None
        self._probe += 1
        self._leases[str(self._probe)] = now + self._policy.lease * 1000
        return f"{self._epoch}:{self._probe}"

    def report(self, now: int, ticket: str, ok: bool | None) -> None:
        epoch, _, probe = ticket.partition(":")
        self._leases.pop(probe, None)
        if ok is None or epoch != str(self._epoch):
            return
        if probe:
            self._probed(now, ok)
            return
        self._results.appendleft((now, ok))
        if not ok and self._is_bad(self._recent(now)):
            self._open(now)

    def state(self, now: int) -> BreakerState:
        recent = self._recent(now)
        calls, failures = len(recent), recent.count(False)
        wait = 0 if self._till is None else self._till - now
        name = "closed" if self._till is None else "open" if wait > 0 else "half_open"
        rate = failures / calls if calls else 0.0
        return BreakerState(state=name, failure_rate=rate, calls=calls, retry_in=wait / 1000 if wait > 0 else None)

    def close(self) -> None:
        self._till, self._wait, self._passed = None, 0.0, 0
        self._epoch += 1
        self._leases.clear()
        self._results.clear()

    def forget(self, now: int) -> None:
        if self._till is not None and now >= self._till + _DAY:
            self.close()

    def _open(self, now: int) -> None:
        wait = self._wait * 2 or self._policy.cooldown * 1000
        self._wait = min(wait, self._policy.longest * 1000)
        self._till, self._passed = math.floor(now + self._wait), 0
        self._epoch += 1
        self._leases.clear()

    def _probed(self, now: int, ok: bool) -> None:
        self._passed += ok
        if not ok:
            self._open(now)
        elif self._passed >= self._policy.probes:
            self.close()

    def _recent(self, now: int) -> list[bool]:
        """How the latest calls went, newest first."""
        return [ok for at, ok in self._results if at > now - self._policy.seconds * 1000]

    def _is_bad(self, recent: list[bool]) -> bool:
        policy, failures = self._policy, recent.count(False)
        streak = sum(1 for _ in takewhile(operator.not_, recent))
        return streak >= policy.streak or (len(recent) >= policy.least and failures >= policy.rate * len(recent))
