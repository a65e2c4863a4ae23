"""Socket Mode with the hazards of the SDK's client taken care of: no storm of reconnects, no dead tickets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from slack_bolt.adapter.socket_mode.async_base_handler import AsyncBaseSocketModeHandler
from slack_bolt.adapter.socket_mode.async_internals import run_async_bolt_app, send_async_response
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.web.async_client import AsyncWebClient

from adapters.slack.api import TOKEN_REFUSED, error_code, sdk_log

_LONGEST_WAIT = 30.0  # seconds between two attempts to connect


class PacedSocketClient(SocketModeClient):
    """The SDK's client, which asks for a new URL at a decent pace.

    The first reconnect after a quiet time is immediate; repeats wait, twice as long each time. ``ping_interval``
    is the measure of quiet. ``refused`` is told Slack's word when it takes the token no more.
    """

    refused: Callable[[str], None]
    _last = float("-inf")
    _wait = 0.0

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
        self._watchdog: asyncio.Task[None] | None = None

    async def handle(self, client: AsyncBaseSocketModeClient, req: SocketModeRequest) -> None:
        """Dispatch one envelope and acknowledge it."""
        start = time.time()
        await send_async_response(client, req, await run_async_bolt_app(self._bolt, req), start)

    async def open(self, url: str, timeout: float) -> None:
        """Connect with a URL fresh from apps.connections.open. Raises TimeoutError."""
        self.client.wss_uri = url
        self._watchdog = asyncio.create_task(self._watch(), name="slack socket watchdog")
        async with asyncio.timeout(timeout):
            await self.client.connect()  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        """Close the connection; envelopes under way are not acknowledged any more."""
        if self._watchdog is not None:
            self._watchdog.cancel()
        await self.client.close()  # type: ignore[no-untyped-call]

    async def _watch(self) -> None:
        """Throw away the URL while there is no connection: the client would try a used ticket for ever."""
        while True:
            await asyncio.sleep(self._ping_interval)
            if not await self.client.is_connected():
                self.client.wss_uri = None
