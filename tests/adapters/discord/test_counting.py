"""Refusals for the rate of calls, as they are counted on the requests themselves."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp import web

from adapters.discord.counting import counted, route
from core.telemetry import metrics


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

    app = web.Application()
    app.router.add_route("*", "/api/v10/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        line = 'consortium_platform_rate_limited_total{method="PATCH /channels/…/messages/…",platform="discord"} '
        async with aiohttp.ClientSession(url, trace_configs=[counted()]) as session:
            for status in (200, 429, 404, 429, 500):
                async with session.patch(f"/api/v10/channels/1/messages/{status}", params={"status": status}):
                    pass
    finally:
        await runner.cleanup()
    assert f"{line}2.0" in metrics.exposition().decode()
