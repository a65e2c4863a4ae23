"""Faults to be injected into calls."""

from __future__ import annotations

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


class Faults:
    """The faults still to come, first in, first used."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        self._waiting.append(fault)

    def clear(self) -> None:
        self._waiting.clear()

    def take(self, method: str) -> Fault | None:
        """The fault that hits this call. "*" leaves upload and response URLs alone."""
        for fault in self._waiting:
            if fault.method == method or (fault.method == "*" and "." in method):
                fault.times -= 1
                if fault.times <= 0:
                    self._waiting.remove(fault)
                return fault
        return None
