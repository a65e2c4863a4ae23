"""A way to PostgreSQL that can be cut: between two commits, or exactly around one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal
from urllib.parse import urlsplit

Cut = Literal["before", "after"]
"""Where a commit is cut off: before the server gets it, or after it was carried out and before that is heard."""

_COMMIT, _COMMITTED = b"COMMIT;\0", b"COMMIT\0"


class Proxy:
    """Passes on what a client and the server at ``url`` say. ``cuts`` is what happens to the commits to come."""

    def __init__(self, url: str) -> None:
        self._server = urlsplit(url)
        self.cuts: list[Cut] = []
        self.away = False
        """Whether connections are turned away."""
        self.turned_away = 0
        self.missed = asyncio.Event()
        """Set when a connection is turned away."""
        self._ends: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._frozen: list[asyncio.Event] = []

    @property
    def url(self) -> str:
        """The address by which clients reach the server through this."""
        return self._server._replace(netloc=f"{self._server.username}@127.0.0.1:{self._port}").geturl()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Proxy]:
        """Listen until the end of the block."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()
            for frozen in self._frozen:
                frozen.set()
            await server.wait_closed()

    def cut(self) -> None:
        """Break all connections off."""
        for end in self._ends:
            end.transport.abort()

    def freeze(self) -> None:
        """Pass nothing on any more, without a word; connections that are made later work."""
        self._flowing.clear()
        self._frozen.append(self._flowing)
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.away:
            self.turned_away += 1
            self.missed.set()
            writer.transport.abort()
            return
        assert self._server.hostname
        assert self._server.port
        there, to_server = await asyncio.open_connection(self._server.hostname, self._server.port)
        flowing = self._flowing
        ends = {writer, to_server}
        self._ends |= ends
        doomed = asyncio.Event()
        """Set when the reply to a commit is not to be passed on."""
        asking = asyncio.create_task(self._pass_up(reader, to_server, doomed, flowing))
        try:
            with suppress(OSError):
                while said := await there.read(65_536):
                    await flowing.wait()
                    if doomed.is_set() and _COMMITTED in said:
                        break
                    writer.write(said)
        finally:
            asking.cancel()
            self._ends -= ends
            for end in ends:
                end.transport.abort()

    async def _pass_up(
        self,
        reader: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
        doomed: asyncio.Event,
        flowing: asyncio.Event,
    ) -> None:
        with suppress(OSError):
            while said := await reader.read(65_536):
                await flowing.wait()
                if _COMMIT in said and self.cuts:
                    if self.cuts.pop(0) == "before":
                        break
                    doomed.set()
                to_server.write(said)
        to_server.transport.abort()
