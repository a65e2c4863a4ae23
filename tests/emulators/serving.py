"""How a server of the tests ends: with nothing of it left behind."""

from __future__ import annotations

import asyncio

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
