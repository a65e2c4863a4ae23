"""Failures to order: by method and path, so many times, before or after the request took effect."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

When = Literal["before", "after"]
Scope = Literal["user", "shared", "global"]


@dataclass
class Fault:
    """One ordered failure; `left` counts down, `hits` up."""

    kind: Literal["status", "delay", "drop", "rate_limit"]
    method: str
    pattern: re.Pattern[str]
    left: int
    when: When = "before"
    status: int = 0
    seconds: float = 0.0
    scope: Scope = "user"
    hits: int = 0

    def __str__(self) -> str:
        return f"{self.kind} {self.when} commit"


class Faults:
    """The failures still to come. Paths are regular expressions, searched in what follows /api/v10."""

    def __init__(self) -> None:
        self._ordered: list[Fault] = []

    def status(self, status: int, method: str, path: str, *, times: int = 1, when: When = "before") -> Fault:
        """Answer with `status` instead; with `when="after"` the request took effect all the same."""
        return self._add(Fault("status", method, re.compile(path), times, when, status=status))

    def delay(self, seconds: float, method: str, path: str, *, times: int = 1, when: When = "before") -> Fault:
        """Hold the request, or with `when="after"` only its reply, for `seconds`."""
        return self._add(Fault("delay", method, re.compile(path), times, when, seconds=seconds))

    def drop(self, method: str, path: str, *, times: int = 1, when: When = "before") -> Fault:
        """Cut the TCP connection without a reply."""
        return self._add(Fault("drop", method, re.compile(path), times, when))

    def rate_limit(self, retry_after: float, method: str, path: str, *, times: int = 1, scope: Scope = "user") -> Fault:
        """Answer 429 with `retry_after` seconds."""
        fault = Fault("rate_limit", method, re.compile(path), times, seconds=retry_after, scope=scope)
        return self._add(fault)

    def clear(self) -> None:
        """Forget all that has not happened yet."""
        self._ordered.clear()

    def due(self, method: str, path: str, when: When) -> list[Fault]:
        """Use up the failures that fit this request at this moment: delays, up to the first that ends it."""
        found = []
        for fault in self._ordered:
            fits = fault.when == when and fault.method in {method, "*"} and fault.pattern.search(path)
            if fits and fault.left > 0:
                fault.left -= 1
                fault.hits += 1
                found.append(fault)
                if fault.kind != "delay":
                    break
        return found

    def _add(self, fault: Fault) -> Fault:
        self._ordered.append(fault)
        return fault
