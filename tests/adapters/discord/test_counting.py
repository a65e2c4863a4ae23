"""Refusals for the rate of calls, as they are counted on the requests themselves."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp import web

from adapters.discord.counting import counted, route
from core.telemetry import metrics
from tests.emulators.serving import listening


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/api/v10/channels/123456/messages", "/channels/…/messages"),
        ("/api/v10/channels/1/messages/2/reactions/%F0%9F%91%8D/@me", "/channels/…/messages/…/reactions/…/@me"),
        ("/api/v10/webhooks/123/aSecretToken/messages/@original", "/webhooks/…/…/messages/@original"),
        ("/api/v10/interactions/123/aSecretToken/callback", "/interactions/…/…/callback"),
        ("/api/v10/applications/1/guilds/2/commands", "/applications/…/guilds/…/commands"),
        ("/api/v10/gateway/bot", "/gateway/bot"),
    ],
)
def test_a_route_has_neither_ids_nor_tokens(path: str, shown: str) -> None:
    assert route(path) == shown


async def test_only_refusals_for_the_rate_are_counted() -> None:
    metrics.switch_on()

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=int(request.query["status"]))

    async with listening(web.route("*", "/api/v10/{path:.*}", answer)) as url:
        line = 'consortium_platform_rate_limited_total{method="PATCH /channels/…/messages/…",platform="discord"} '
        async with aiohttp.ClientSession(url, trace_configs=[counted()]) as session:
            for status in (200, 429, 404, 429, 500):
                async with session.patch(f"/api/v10/channels/1/messages/{status}", params={"status": status}):
                    pass
    assert f"{line}2.0" in metrics.exposition().decode()
