"""Whether this process can do its work: what it needs is asked, each within seconds, and told part by part."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from core.errors import ConsortiumError
from core.telemetry.logs import get_logger

log = get_logger(__name__)

Check = Callable[[], Awaitable[str | None]]
"""Finds out whether a part works; returns or raises what is wrong with it, in words without secrets."""

PATIENCE = 2.0
"""Seconds within which a part must answer."""

KEPT = 1.0
"""Seconds for which an answer is given again, so that many probes cost no more than one."""

LATEST = 10
"""How many judges in a row must have failed before a process counts as one that cannot bring answers together."""

FORGOTTEN = 300.0
"""Seconds after which failures say nothing any more: who is asked nothing because he failed could never do better."""


@dataclass(frozen=True)
class Part:
    """One thing that is needed. ``detail`` says what is wrong, or how it is."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class Report:
    """All parts as they were found."""

    parts: tuple[Part, ...]

    @property
    def ok(self) -> bool:
        """Whether the process can do its work."""
        return all(part.ok for part in self.parts)


class Lately:
    """How the latest attempts at something went, in this process."""

    def __init__(self, latest: int = LATEST, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._results: deque[bool] = deque(maxlen=latest)
        self._noted = float("-inf")
        self._last: float | None = None

    def note(self, ok: bool) -> None:
        """One more."""
        self._results.append(ok)
        self._noted = self._clock()
        if ok:
            self._last = self._noted

    @property
    def failing(self) -> bool:
        """Whether there were enough of them, not long ago, and the latest have all failed."""
        enough = len(self._results) == self._results.maxlen
        return enough and not any(self._results) and self._clock() - self._noted < FORGOTTEN

    @property
    def seconds(self) -> float | None:
        """How long ago one went well; None where none did."""
        return None if self._last is None else self._clock() - self._last

    def part(self, name: str) -> Part:
        """What there is to tell of it. Before the first success nothing is known, which is nothing bad."""
        since = "unknown" if self.seconds is None else f"answered {self.seconds:.0f} s ago"
        if not self.failing:
            return Part(name, True, since)
        before = "none before" if self.seconds is None else since
        return Part(name, False, f"the latest {len(self._results)} attempts have all failed; {before}")


class Health:
    """Asks the parts. ``checks`` are needed and asked at once; ``lately`` is looked at."""

    def __init__(
        self,
        checks: Mapping[str, Check],
        lately: Mapping[str, Lately] | None = None,
        *,
        patience: float = PATIENCE,
        kept: float = KEPT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._checks, self._lately, self._patience, self._kept = checks, lately or {}, patience, kept
        self._clock, self._lock = clock, asyncio.Lock()
        self._found: tuple[float, Report] | None = None

    async def report(self) -> Report:
        """How all parts are, at most a second ago."""
        async with self._lock:
            if self._found is None or self._clock() - self._found[0] >= self._kept:
                asked = await asyncio.gather(*(self._ask(name, check) for name, check in self._checks.items()))
                seen = (lately.part(name) for name, lately in self._lately.items())
                self._found = self._clock(), Report((*asked, *seen))
            return self._found[1]

    async def _ask(self, name: str, check: Check) -> Part:
        try:
            async with asyncio.timeout(self._patience):
                problem = await check()
        except TimeoutError:
            problem = f"does not answer within {self._patience:g} s"
        except ConsortiumError as error:
            problem = str(error)
        except Exception as error:
            log.exception("a part could not be asked", part=name)
            problem = f"could not be asked ({type(error).__name__})"
        return Part(name, problem is None, problem or "ok")
