"""What machines ask of a process: whether it lives, whether it can do its work, and its figures.

These three answer whoever can reach the port, by whatever name: probes come from outside, by bare addresses. They tell
nothing of people, and nothing secret.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from core.telemetry import metrics
from core.telemetry.health import Health, Report

ALIVE, READY, METRICS = "/healthz", "/readyz", "/metrics"

_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


async def alive(_: web.Request) -> web.Response:
    """The event loop turns; nothing else is asked."""
    return web.Response(text="ok\n", headers=_HEADERS)


def routes(health: Health, refresh: Callable[[], Awaitable[None]]) -> list[web.RouteDef]:
    """Readiness and figures. ``refresh`` brings figures up to date that are only looked at, in bounded time."""

    async def ready(_: web.Request) -> web.Response:
        report = await health.report()
        status = 200 if report.ok else 503
        return web.Response(text=written(report), status=status, content_type="application/json", headers=_HEADERS)

    async def figures(_: web.Request) -> web.Response:
        await refresh()
        return web.Response(body=metrics.exposition(), headers={**_HEADERS, "Content-Type": metrics.CONTENT_TYPE})

    return [web.get(READY, ready), web.get(METRICS, figures)]


def written(report: Report) -> str:
    """A report as JSON, a line a part."""
    parts = (json.dumps({"part": p.name, "ok": p.ok, "detail": p.detail}) for p in report.parts)
    lines = ",\n  ".join(parts)
    return f'{{"ready": {json.dumps(report.ok)}, "parts": [\n  {lines}\n]}}\n'


@asynccontextmanager
async def listening(outside: list[web.RouteDef], host: str, port: int) -> AsyncIterator[str]:
    """Serve these and :func:`alive`, and nothing else, within the block; gives the address. Raises OSError when the
    port is taken."""
    app = web.Application(client_max_size=1024)
    app.add_routes([web.get(ALIVE, alive), *outside])
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        bound = runner.addresses[0]
        yield f"http://{f'[{bound[0]}]' if ':' in bound[0] else bound[0]}:{bound[1]}"
    finally:
        await runner.cleanup()
