"""Traces by OTLP over HTTP, to whatever collector the operator names. Loads OpenTelemetry: only where that is wanted.

The provider is our own, not the process's: what libraries trace by themselves goes nowhere.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import datetime
from importlib.metadata import version

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from core.telemetry import traces
from core.telemetry.traces import Attribute, Span

PATH = "/v1/traces"
TIMEOUT = 5.0
"""Seconds for one delivery to the collector, and for the last one when the process ends."""

_SAMPLED = trace.TraceFlags(trace.TraceFlags.SAMPLED)
_wanted: ContextVar[tuple[int, int] | None] = ContextVar("wanted", default=None)


def ids(run: str) -> tuple[int, int]:
    """The trace of a run and its root span, the same in every process; never zero, which would be none."""
    digest = hashlib.sha256(f"consortium run {run}".encode()).digest()
    return int.from_bytes(digest[:16]) or 1, int.from_bytes(digest[16:24]) or 1


class _Ids(IdGenerator):
    """Random ids but for roots."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()

    def generate_span_id(self) -> int:
        wanted = _wanted.get()
        return wanted[1] if wanted else self._random.generate_span_id()

    def generate_trace_id(self) -> int:
        wanted = _wanted.get()
        return wanted[0] if wanted else self._random.generate_trace_id()


class _Span:
    """Implements :class:`core.telemetry.traces.Span`."""

    def __init__(self, span: trace.Span) -> None:
        self.span = span

    def set(self, attributes: Mapping[str, Attribute]) -> None:
        self.span.set_attributes(attributes)
        if kind := attributes.get("error.type"):
            self.span.set_status(trace.StatusCode.ERROR, str(kind))

    def end(self, at: datetime | None = None) -> None:
        self.span.end(_nanoseconds(at))


class OtlpTracer:
    """Implements :class:`core.telemetry.traces.Tracer`."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    def start(
        self, name: str, run: str, parent: Span | None, begun: datetime | None, attributes: Mapping[str, Attribute]
    ) -> Span:
        """Begin a span below ``parent``, or right below the run's root."""
        trace_id, root = ids(run)
        above = trace.NonRecordingSpan(trace.SpanContext(trace_id, root, is_remote=True, trace_flags=_SAMPLED))
        context = trace.set_span_in_context(parent.span if isinstance(parent, _Span) else above, Context())
        made = self._tracer.start_span(name, context, attributes=attributes, start_time=_nanoseconds(begun))
        return _Span(made)

    def root(self, name: str, run: str, begun: datetime, attributes: Mapping[str, Attribute]) -> Span:
        """Begin the run's root."""
        token = _wanted.set(ids(run))
        try:
            start = _nanoseconds(begun)
            made = self._tracer.start_span(
                name, Context(), attributes={**attributes, "consortium.run": run}, start_time=start
            )
        finally:
            _wanted.reset(token)
        return _Span(made)


@asynccontextmanager
async def tracing(
    endpoint: str, headers: str = "", process: str = "consortium", timeout: float = TIMEOUT
) -> AsyncIterator[None]:
    """Send the spans of this process to a collector within the block.

    ``endpoint`` is the collector's address without the path; ``headers`` are written name=value,name=value. Spans are
    gathered, and dropped where the collector is away: nothing waits for it, but for ``timeout`` seconds at the end.
    """
    for name in ("opentelemetry.exporter", "opentelemetry.sdk"):  # one line a lost batch is enough
        logging.getLogger(name).setLevel(logging.ERROR)
    exporter = OTLPSpanExporter(endpoint.rstrip("/") + PATH, headers=_headers(headers), timeout=timeout)
    processor = BatchSpanProcessor(exporter, schedule_delay_millis=1000)
    instance = f"{socket.gethostname()}-{os.getpid()}"
    about = {"service.name": process, "service.version": version("consortium-bot"), "service.instance.id": instance}
    provider = TracerProvider(
        sampler=ALWAYS_ON, resource=Resource.create(about), shutdown_on_exit=False, id_generator=_Ids()
    )
    provider.add_span_processor(processor)
    traces.use(OtlpTracer(provider.get_tracer("consortium")))
    try:
        yield
    finally:
        traces.use(None)
        late = asyncio.get_running_loop().call_later(timeout, exporter.shutdown)
        await asyncio.to_thread(processor.shutdown)
        late.cancel()


def _headers(text: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in text.split(",") if "=" in pair)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _nanoseconds(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp() * 1e9)
