"""What happened: every request, every dispatch, every violation, and a way to wait for more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.emulators.discord.errors import Json

T = TypeVar("T")

POLL = 0.02


class Clock:
    """Monotonic and wall time, in seconds, that a test can move forward."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def now(self) -> float:
        """Give monotonic time."""
        return time.monotonic() + self._ahead

    def wall(self) -> float:
        """Give time since the Unix epoch."""
        return time.time() + self._ahead

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass at once: tokens expire, buckets refill, CDN links go stale."""
        self._ahead += seconds


@dataclass(frozen=True)
class Violation:
    """Something Discord would refuse, ignore, or show wrongly: a fault of the program under test."""

    kind: str
    detail: str
    where: str = ""


@dataclass
class RequestRecord:
    """One REST request as it arrived, and the reply made for it, even if a fault after the commit hid that.

    `route` is None for an unknown path; `status` is what went out: None as yet, 0 for a cut connection.
    """

    at: float
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    route: str | None = None
    body: Any = None
    files: tuple[str, ...] = ()
    status: int | None = None
    reply: Any = None
    fault: str | None = None


@dataclass(frozen=True)
class DispatchRecord:
    """One event put into a gateway session, whether or not the session was connected then."""

    session_id: str
    seq: int
    event: str
    data: Json = field(repr=False)


class Recorder:
    """The log of one emulator."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.requests: list[RequestRecord] = []
        self.dispatches: list[DispatchRecord] = []
        self.violations: list[Violation] = []
        self.typing: list[int] = []
        self._waiting: set[asyncio.Future[None]] = set()

    def violation(self, kind: str, detail: str, where: str = "") -> None:
        """Note a fault of the program under test."""
        self.violations.append(Violation(kind, detail, where))
        self.changed()

    def changed(self) -> None:
        """Wake everybody who waits for something to happen."""
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    async def wait_for(self, predicate: Callable[[], T | None], timeout: float) -> T:
        """Give the first truthy value of `predicate`, asked again after everything that happens here.

        It is asked every POLL seconds besides, for predicates about the program under test.
        Raises TimeoutError, which tells the last requests and the violations, after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while not (value := predicate()):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(self._summary(timeout))
            future = asyncio.get_running_loop().create_future()
            self._waiting.add(future)
            await asyncio.wait([future], timeout=min(left, POLL))
            self._waiting.discard(future)
        return value

    def _summary(self, timeout: float) -> str:
        last = "; ".join(f"{r.method} {r.path} -> {r.status}" for r in self.requests[-8:])
        return f"not within {timeout} s. Last requests: {last or 'none'}. Violations: {self.violations or 'none'}"
