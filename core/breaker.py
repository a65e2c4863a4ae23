"""Circuit breakers: what opens and closes them, and those of a program that is a single process.

Breakers that several processes share follow the same rules, and the same tests hold for both.
"""

from __future__ import annotations

import asyncio
import math
import operator
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from typing import TypeVar

from core.errors import Unavailable
from core.ports import Breakers, BreakerState
from core.telemetry import get_logger

log = get_logger(__name__)

T = TypeVar("T")

_UNTOLD = 1000
"""So many reports wait for the shared breakers at the most."""

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


class FallbackBreakers:
    """Implements :class:`core.ports.Breakers` with those that all processes share and, while these cannot be asked,
    with this process's own. Use it in one event loop.

    The own ones are told how every call went, so that they know the latest of this process. Shared ones that do not
    answer within ``patience`` seconds are left alone for ``pause`` seconds; what they could not be told they are told
    once they are back. A ticket is that of the shared ones and that of the own, with a bar between.
    """

    def __init__(self, shared: Breakers, own: LocalBreakers, *, patience: float = 1.0, pause: float = 1.0) -> None:
        self._shared, self._own, self._patience, self._pause = shared, own, patience, pause
        self._away_till, self._quiet_till = 0.0, 0.0
        self._untold: deque[tuple[str, str, bool | None]] = deque(maxlen=_UNTOLD)
        self._late: set[asyncio.Task[None]] = set()

    async def admit(self, key: str) -> str | None:
        """Ask to call the model. Returns a ticket, or None when the breaker is open."""
        if not self._away:
            asked = asyncio.create_task(self._ask(key), name=f"breaker {key}")
            try:
                shared = await self._reach(asyncio.shield(asked))
                return None if shared is None else f"{shared}|{await self._own.admit(key) or ''}"
            except Unavailable:
                self._give_back(key, asked)
            except asyncio.CancelledError:
                self._give_back(key, asked)
                raise
        own = await self._own.admit(key)
        return None if own is None else f"|{own}"

    async def report(self, key: str, ticket: str, ok: bool | None) -> None:
        """Tell how the call went; None (cancelled) counts as nothing and frees a probe."""
        shared, _, own = ticket.partition("|")
        if own:
            await self._own.report(key, own, ok)
        if shared:
            self._untold.append((key, shared, ok))
        if shared and not self._away:
            with suppress(Unavailable):
                await self._reach(self._tell())

    async def state(self, key: str) -> BreakerState:
        """The breaker's state now."""
        with suppress(Unavailable):
            if not self._away:
                return await self._reach(self._shared.state(key))
        return await self._own.state(key)

    async def reset(self, key: str) -> None:
        """Close it and forget what was; calls on their way no longer count. Raises Unavailable: then only this
        process's own is closed."""
        await self._own.reset(key)
        await self._shared.reset(key)

    @property
    def _away(self) -> bool:
        """Whether the shared ones could not be reached a moment ago."""
        return time.monotonic() < self._away_till

    async def _ask(self, key: str) -> str | None:
        await self._tell()
        return await self._shared.admit(key)

    async def _tell(self) -> None:
        untold = list(self._untold)
        self._untold.clear()
        try:
            await asyncio.gather(*(self._shared.report(*report) for report in untold))
        except BaseException:
            self._untold.extendleft(reversed(untold))
            raise

    async def _reach(self, work: Awaitable[T]) -> T:
        """What the shared ones say. Raises Unavailable."""
        try:
            async with asyncio.timeout(self._patience):
                return await work
        except (Unavailable, TimeoutError) as error:
            now = time.monotonic()
            self._away_till = now + self._pause
            if now > self._quiet_till:
                self._quiet_till = now + 60
                log.warning(
                    "the shared breakers are out of reach, this process's own decide", error=str(error) or "no answer"
                )
            raise Unavailable("The shared breakers are out of reach.") from error

    def _give_back(self, key: str, asked: asyncio.Task[str | None]) -> None:
        """A ticket that comes too late would hold up the next probe."""

        async def wait() -> None:
            with suppress(Unavailable):
                if ticket := await asked:
                    await self._shared.report(key, ticket, None)

        late = asyncio.create_task(wait(), name=f"late ticket {key}")
        self._late.add(late)
        late.add_done_callback(self._late.discard)


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
