"""What happened in an emulated workspace: calls, deliveries, acknowledgements, violations."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

JSON = dict[str, Any]
Clock = Callable[[], float]


class ApiError(Exception):
    """A refusal in Slack's own words; `extra` joins the reply."""

    def __init__(self, error: str, **extra: Any) -> None:
        super().__init__(error)
        self.error = error
        self.extra = extra


class Malformed(ApiError):
    """A refusal that no correct client can meet: the reply is the error, and a violation is recorded."""

    def __init__(self, error: str, *details: str) -> None:
        messages = [f"[ERROR] {detail}" for detail in details]
        extra: JSON = {"response_metadata": {"messages": messages}} if messages else {}
        if error in {"invalid_blocks", "invalid_attachments"}:
            extra["errors"] = list(details)
        super().__init__(error, **extra)
        self.details = details


@dataclass(frozen=True)
class Violation:
    """Something a correct app never does. `kind` is stable and meant for comparison."""

    at: float
    kind: str
    detail: str


@dataclass
class Call:
    """One request to the Web API, an upload URL (`method="upload"`) or a response URL (`"response_url"`)."""

    at: float
    method: str
    verb: str
    args: JSON = field(default_factory=dict)
    status: int = 0
    error: str | None = None
    fault: bool = False

    @property
    def ok(self) -> bool:
        return self.status == 200 and self.error is None


@dataclass(frozen=True)
class Attempt:
    """One try at handing a payload to the app. `reason` says why it failed, empty when it was acknowledged."""

    at: float
    number: int
    transport: str
    reason: str
    latency: float


@dataclass
class Delivery:
    """A payload on its way to the app: an event, a command or an interaction.

    `response` is what came back with the acknowledgement.
    """

    at: float
    kind: str
    payload: JSON
    attempts: list[Attempt] = field(default_factory=list)
    acked: bool = False
    failed: bool = False
    response: JSON | None = None

    @property
    def latency(self) -> float:
        """Seconds from the last attempt to its outcome."""
        return self.attempts[-1].latency if self.attempts else 0.0

    @property
    def event_type(self) -> str:
        """The type of the event, or of the payload where there is no event."""
        event = self.payload.get("event")
        return str(event["type"] if event else self.payload.get("type", self.kind))


@dataclass(frozen=True)
class Ack:
    """One acknowledgement as it arrived, late ones and wrong ones included."""

    at: float
    kind: str
    latency: float
    payload: JSON | None


@dataclass
class Journal:
    """The record of one emulator, oldest entries first."""

    clock: Clock
    calls: list[Call] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    acks: list[Ack] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)

    def violation(self, kind: str, detail: str) -> None:
        self.violations.append(Violation(self.clock(), kind, detail))

    def dump(self) -> JSON:
        """Everything recorded, as JSON values."""
        entries: JSON = {
            name: [asdict(entry) for entry in getattr(self, name)]
            for name in ("calls", "deliveries", "acks", "violations")
        }
        plain: JSON = json.loads(json.dumps(entries, default=repr))
        return plain
