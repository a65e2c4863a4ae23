"""Figures of this process, as Prometheus reads them: named, described and labelled in this one place.

Labels take few values: models, platforms, methods, kinds. What people write, and ids of people, runs and workspaces,
are never among them. Until :func:`switch_on` nothing is counted and the library is not loaded.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

Kind = Literal["counter", "gauge", "histogram"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0)
"""Upper bounds of what durations are sorted into."""


class Metric:
    """One figure. ``name`` is what Prometheus shows, ``labels`` what it is divided by."""

    def __init__(self, kind: Kind, name: str, meaning: str, *labels: str) -> None:
        self.kind, self.name, self.meaning, self.labels = kind, name, meaning, labels
        self._live: Any = None
        METRICS.append(self)

    def add(self, amount: float = 1.0, /, **labels: str) -> None:
        """Count up."""
        if self._live is not None:
            self._of(labels).inc(amount)

    def set(self, value: float, /, **labels: str) -> None:
        """Show this value from now on."""
        if self._live is not None:
            self._of(labels).set(value)

    def observe(self, seconds: float, /, **labels: str) -> None:
        """Take a duration into account; one that clocks of two machines make negative counts as none."""
        if self._live is not None:
            self._of(labels).observe(max(0.0, seconds))

    @contextmanager
    def timed(self, **labels: str) -> Iterator[None]:
        """Take the duration of the block into account, whatever way it ends."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.observe(time.monotonic() - started, **labels)

    def clear(self) -> None:
        """Forget all values: better none than one that is not true any more."""
        if self._live is not None and self.labels:
            self._live.clear()

    def begin(self, registry: CollectorRegistry) -> None:
        """Be counted from now on."""
        import prometheus_client as library

        if self.kind == "counter":
            self._live = library.Counter(self.name, self.meaning, self.labels, registry=registry)
        elif self.kind == "gauge":
            self._live = library.Gauge(self.name, self.meaning, self.labels, registry=registry)
        else:
            self._live = library.Histogram(self.name, self.meaning, self.labels, buckets=SECONDS, registry=registry)

    def _of(self, labels: dict[str, str]) -> Any:
        return self._live.labels(**labels) if self.labels else self._live


METRICS: list[Metric] = []
"""All there are, in the order in which they are described."""

_registry: CollectorRegistry | None = None

RUNS = Metric(
    *("counter", "consortium_runs_total", "Runs that ended in this process"),
    *("status", "platform", "strategy"),
)
STAGES = Metric(
    "histogram",
    "consortium_stage_seconds",
    "How long the stages of runs took: queue, members (a round), arbiter, study (analysis and charts), delivery (from "
    "the answer's arrival in this process until it was posted), run (from question to end)",
    "stage",
)
MEMBERS = Metric(
    *("histogram", "consortium_member_seconds", "How long members took to answer, tries in vain included"), "model"
)
FAILURES = Metric(
    *("counter", "consortium_member_failures_total", "Members that gave no answer, by the reason"), *("model", "kind")
)
VERDICTS = Metric(
    "counter",
    "consortium_verdicts_total",
    "Where verdicts came from: arbiter, stand_in, vote, central (the answer most like the others), only (one answer)",
    "source",
)
ARBITER_FAILURES = Metric(
    "counter",
    "consortium_arbiter_failures_total",
    "Judges that gave no verdict, or none that could be read, by the reason",
    *("model", "kind"),
)
TOKENS = Metric(
    "counter",
    "consortium_tokens_total",
    "Tokens as providers reported them; kind is prompt or completion",
    *("model", "kind"),
)
COST = Metric(*("counter", "consortium_cost_dollars_total", "Dollars as providers reported them"), "model")
BREAKERS = Metric(
    "gauge",
    "consortium_breaker_state",
    "1 for the state that the model's circuit breaker is in: closed, open or half_open; 0 for the others",
    *("model", "state"),
)
EVENTS = Metric(
    "counter",
    "consortium_events_total",
    "Events of platforms: taken, or duplicate where the platform had delivered it before",
    *("platform", "result"),
)
RATE_LIMITED = Metric(
    "counter",
    "consortium_platform_rate_limited_total",
    "Calls that a platform refused for their rate (429)",
    *("platform", "method"),
)
QUEUE = Metric(
    "gauge",
    "consortium_queue_runs",
    "Runs in the queue that all processes share: waiting, or running on a worker",
    "state",
)
QUEUE_OLDEST = Metric(
    "gauge",
    "consortium_queue_oldest_seconds",
    "For how long the run has been waiting that has been waiting longest; 0 where none waits, NaN where Redis is away",
)
READY = Metric("gauge", "consortium_ready", "1 where the part works as /readyz sees it, 0 where it does not", "part")
TASKS = Metric("gauge", "consortium_asyncio_tasks", "Tasks of the process's event loop")


def switch_on() -> None:
    """Count from now on. Loads the library (some 50 ms); once is enough."""
    global _registry
    if _registry is not None:
        return
    from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, disable_created_metrics

    disable_created_metrics()  # type: ignore[no-untyped-call]  # a third series each that nobody looks at
    _registry = CollectorRegistry()
    ProcessCollector(registry=_registry)
    GCCollector(registry=_registry)
    for metric in METRICS:
        metric.begin(_registry)


def exposition() -> bytes:
    """All figures in Prometheus's text format; empty where they are off."""
    if _registry is None:
        return b""
    from prometheus_client import generate_latest

    return generate_latest(_registry)
