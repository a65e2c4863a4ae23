"""Servers of the tests on loopback: how they begin, and how they end with nothing left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web


async def shut(runner: web.AppRunner | web.ServerRunner) -> None:
    """Stop a server and end all of its connections at once.

    aiohttp closes them, which leaves one open whose peer reads no more until all is written: for ever, for by then
    the event loop has ended. It is found in whichever test collects it.
    """
    handlers = runner.server.connections if runner.server else []
    transports = [handler.transport for handler in handlers if handler.transport]
    await runner.cleanup()
    for transport in transports:
        transport.abort()
    await asyncio.sleep(0)  # in which they let go of their sockets


@asynccontextmanager
async def listening(*routes: web.RouteDef) -> AsyncIterator[str]:
    """A server with these routes on a port of its own; yields its address, without a slash at the end."""
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await shut(runner)
