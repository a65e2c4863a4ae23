"""Faults to be injected into calls."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass
class Fault:
    """Trouble for the next `times` calls of `method` ("*": any Web API method).

    Attributes:
        status: HTTP status of the refusal.
        retry_after: seconds in the Retry-After header.
        error: an error in Slack's words, with HTTP 200.
        delay: seconds to wait before the call is looked at.
        drop: cut the connection instead of replying.
        after: let the side effect happen first, then drop or refuse.
    """

    method: str
    times: int
    status: int | None = None
    retry_after: int | None = None
    error: str | None = None
    delay: float = 0.0
    drop: bool = False
    after: bool = False


class Weather:
    """Trouble by chance: of all calls, ``share`` (0 to 1) are refused for their rate, fail, or lose their reply, as
    often before as after they had their effect. The same ``seed`` gives the same trouble to the same calls."""

    KINDS = (
        Fault("*", 1, 429, retry_after=1),
        Fault("*", 1, 500),
        Fault("*", 1, 503, after=True),
        Fault("*", 1, drop=True),
        Fault("*", 1, drop=True, after=True),
    )

    def __init__(self, share: float, seed: int) -> None:
        self._share, self._chance = share, random.Random(seed)

    def strikes(self) -> Fault | None:
        """What hits the next call."""
        return self._chance.choice(self.KINDS) if self._chance.random() < self._share else None


class Faults:
    """The faults still to come, first in, first used; then what the weather brings."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self.weather: Weather | None = None

    def add(self, fault: Fault) -> None:
        self._waiting.append(fault)

    def clear(self) -> None:
        self._waiting.clear()
        self.weather = None

    def take(self, method: str) -> Fault | None:
        """The fault that hits this call. "*" leaves upload and response URLs alone."""
        for fault in self._waiting:
            if fault.method == method or (fault.method == "*" and "." in method):
                fault.times -= 1
                if fault.times <= 0:
                    self._waiting.remove(fault)
                return fault
        return self.weather.strikes() if self.weather else None
