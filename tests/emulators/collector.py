"""An OpenTelemetry collector that takes OTLP over HTTP and keeps what it gets."""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import dataclass
from typing import Any, Self

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.emulators.serving import shut


@dataclass(frozen=True)
class Told:
    """A span as it came; ``begun`` and ``ended`` are seconds of the epoch, ``parent`` is empty for a root."""

    name: str
    trace: str
    id: str
    parent: str
    begun: float
    ended: float
    attributes: dict[str, Any]
    service: str
    failed: bool


class Collector:
    """Use as an async context manager; ``url`` is what goes into OTEL_EXPORTER_OTLP_ENDPOINT. ``spans`` is all that
    came, ``texts`` every request in words, ``headers`` those of the latest."""

    def __init__(self) -> None:
        self.spans: list[Told] = []
        self.texts: list[str] = []
        self.headers: dict[str, str] = {}
        self.url = ""
        self._came = asyncio.Condition()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**24)
        app.router.add_post("/v1/traces", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await shut(self._runner)

    async def wait(self, count: int, *names: str, timeout: float = 20.0) -> None:
        """Until so many spans of each of these names have come."""

        def enough() -> bool:
            come = [span.name for span in self.spans]
            return all(come.count(name) >= count for name in names)

        async with asyncio.timeout(timeout), self._came:
            await self._came.wait_for(enough)

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.content_type != "application/x-protobuf":
            return web.Response(status=415)
        if request.headers.get("Content-Encoding") == "gzip" and body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        sent = ExportTraceServiceRequest.FromString(body)
        async with self._came:
            self.headers = dict(request.headers)
            self.texts.append(str(sent))
            for resource in sent.resource_spans:
                service = _attributes(resource.resource.attributes)["service.name"]
                self.spans += [_told(span, service) for scope in resource.scope_spans for span in scope.spans]
            self._came.notify_all()
        return web.Response(content_type="application/x-protobuf")


def _told(span: Any, service: str) -> Told:
    return Told(
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        begun=span.start_time_unix_nano / 1e9,
        ended=span.end_time_unix_nano / 1e9,
        attributes=_attributes(span.attributes),
        service=service,
        failed=span.status.code == 2,
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
