"""A Bolt app on either transport and other helpers to drive the Slack emulator with the real clients."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.emulators.serving import listening
from tests.emulators.slack import SlackEmulator


class Clock:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


async def refused(awaitable: Any) -> dict[str, Any]:
    """The body of the error the call ends in."""
    with pytest.raises(SlackApiError) as caught:
        await awaitable
    body: dict[str, Any] = caught.value.response.data
    return body


async def error_of(awaitable: Any) -> str:
    return str((await refused(awaitable))["error"])


def client_of(slack: SlackEmulator) -> AsyncWebClient:
    """A Web API client that never repeats a request by itself."""
    return AsyncWebClient(token=slack.bot_token, base_url=slack.api_url, retry_handlers=[])


def bolt_app(slack: SlackEmulator) -> AsyncApp:
    return AsyncApp(client=client_of(slack), signing_secret=slack.signing_secret)


def acknowledge_the_rest(app: AsyncApp) -> None:
    """Acknowledge events that nothing else listens to; to be called last."""

    @app.event(re.compile(".*"))
    async def ignore(ack: AsyncAck) -> None:
        await ack()


@asynccontextmanager
async def over_socket(slack: SlackEmulator, app: AsyncApp) -> AsyncIterator[AsyncSocketModeHandler]:
    """The app connected through Socket Mode."""
    handler = AsyncSocketModeHandler(app, slack.app_token, ping_interval=0.5)
    already = len(slack.sockets.sockets)
    await handler.connect_async()  # type: ignore[no-untyped-call]
    try:
        await slack.connected(already + 1)
        yield handler
    finally:
        await handler.close_async()  # type: ignore[no-untyped-call]


@asynccontextmanager
async def served(app: AsyncApp) -> AsyncIterator[str]:
    """The app behind an HTTP server; yields the URL for events, commands and clicks."""

    async def endpoint(request: web.Request) -> web.Response:
        return await to_aiohttp_response(await app.async_dispatch(await to_bolt_request(request)))

    async with listening(web.post("/slack/events", endpoint)) as url:
        yield f"{url}/slack/events"
