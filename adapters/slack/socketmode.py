"""Socket Mode with the hazards of the SDK's client taken care of: no storm of reconnects, no dead tickets.

A front holds several connections, as Slack allows: it hands each payload to any of them, so that one which breaks or is
refreshed leaves the others at work.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from aiohttp import ClientConnectionError
from slack_bolt.adapter.socket_mode.async_base_handler import AsyncBaseSocketModeHandler
from slack_bolt.adapter.socket_mode.async_internals import run_async_bolt_app
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from adapters.slack.api import TOKEN_REFUSED, error_code, sdk_log
from core.telemetry import get_logger

log = get_logger(__name__)

_LONGEST_WAIT = 30.0  # seconds between two attempts to connect
_LAST_WORDS = 2.5  # seconds in which what came over a connection is acknowledged before that is closed


class PacedSocketClient(SocketModeClient):
    """The SDK's client, which asks for a new URL at a decent pace.

    The first reconnect after a quiet time is immediate; repeats wait, twice as long each time. ``ping_interval``
    is the measure of quiet. ``refused`` is told Slack's word when it takes the token no more.
    """

    refused: Callable[[str], None]
    _last = float("-inf")
    _wait = 0.0
    _open = 0  # envelopes that are not answered yet

    @contextmanager
    def answering(self) -> Iterator[None]:
        """An envelope is being dealt with: its connection is needed still."""
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    async def said_all(self) -> None:
        """Wait until all that has come is acknowledged, but not for longer than Slack waits."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS):
                while self._open:  # noqa: ASYNC110 - a few turns of some milliseconds
                    await asyncio.sleep(0.01)

    async def connect_to_new_endpoint(self, force: bool = False) -> None:
        """Connect anew, as Slack asks for now and then. What came over the old connection is acknowledged first."""
        if force:
            await self.said_all()
        await super().connect_to_new_endpoint(force)

    async def issue_new_wss_url(self) -> str:
        """A URL for one connection. Raises SlackApiError."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._last > 2 * self.ping_interval + self._wait:
            self._wait = 0.0
        await asyncio.sleep(self._wait)
        self._wait = min(max(2 * self._wait, self.ping_interval / 10), _LONGEST_WAIT)
        self._last = loop.time()
        try:
            return await super().issue_new_wss_url()
        except SlackApiError as error:
            if error_code(error) in TOKEN_REFUSED:
                self.refused(error_code(error))
            raise


class SocketMode(AsyncBaseSocketModeHandler):
    """One connection to Slack that hands what arrives to a Bolt app."""

    def __init__(
        self,
        app: AsyncApp,
        web: AsyncWebClient,
        app_token: str,
        ping_interval: float,
        refused: Callable[[str], None],
    ) -> None:
        self.app = self._bolt = app
        self._ping_interval = ping_interval
        self.client: PacedSocketClient = PacedSocketClient(
            app_token, logger=sdk_log, web_client=web, ping_interval=ping_interval
        )
        self.client.refused = refused
        self.client.socket_mode_request_listeners.append(self.handle)
        self._tasks: list[asyncio.Task[None]] = []

    async def handle(self, client: AsyncBaseSocketModeClient, req: SocketModeRequest) -> None:
        """Dispatch one envelope, and acknowledge it on the connection that it came on."""
        session = self.client.current_session
        with self.client.answering():
            reply = await run_async_bolt_app(self._bolt, req)
            if reply.status != 200 or session is None:
                return  # Slack sends it again
            payload = json.loads(reply.body) if reply.body else None
            frame = SocketModeResponse(envelope_id=req.envelope_id, payload=payload)
            try:
                await session.send_str(json.dumps(frame.to_dict()))
            except (ClientConnectionError, ConnectionError) as error:
                log.info("not acknowledged: the connection is gone", kind=req.type, error=type(error).__name__)

    async def open(self, url: str, timeout: float) -> None:
        """Connect with a URL fresh from apps.connections.open. Raises TimeoutError."""
        self.client.wss_uri = url
        self._tasks.append(asyncio.create_task(self._watch(), name="slack socket watchdog"))
        async with asyncio.timeout(timeout):
            await self.client.connect()  # type: ignore[no-untyped-call]

    def open_soon(self) -> None:
        """Connect, whenever that is possible."""
        self._tasks.append(asyncio.create_task(self._watch(), name="slack socket watchdog"))
        self._tasks.append(asyncio.create_task(self.client.connect(), name="slack socket"))  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        """Acknowledge what has come, and close the connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.client.said_all()
        await self.client.close()  # type: ignore[no-untyped-call]

    async def _watch(self) -> None:
        """Throw away the URL while there is no connection: the client would try a used ticket for ever."""
        while True:
            await asyncio.sleep(self._ping_interval)
            if not await self.client.is_connected():
                self.client.wss_uri = None


class Connections:
    """So many connections of one front. The first has to open at once, the others follow when they can."""

    def __init__(self, make: Callable[[], SocketMode], count: int) -> None:
        self._sockets = [make() for _ in range(count)]

    async def open(self, url: str, timeout: float) -> None:
        """Connect, with a URL fresh from apps.connections.open. Raises TimeoutError."""
        first, *others = self._sockets
        await first.open(url, timeout)
        for socket in others:
            socket.open_soon()

    async def connected(self) -> bool:
        """Whether one is open at the least."""
        return any([await socket.client.is_connected() for socket in self._sockets])

    async def close(self) -> None:
        """Acknowledge what has come, and close them all."""
        await asyncio.gather(*(socket.close() for socket in self._sockets))
