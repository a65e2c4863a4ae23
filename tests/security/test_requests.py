"""Requests from anywhere: only what Slack has just signed is carried out, and once; nothing swells in memory."""

from __future__ import annotations

import gzip
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from io import BytesIO

import aiohttp
import psutil
import pytest
import pytest_asyncio
from aiohttp import web

from adapters.slack.surface import EVENTS_PATH, SlackSurface
from adapters.web.server import WebSurface
from bot.app import Core, open_core
from tests.e2e.slack.stage import catalog, settings_in, surface_of, workspace
from tests.emulators.serving import listening
from tests.emulators.slack import SlackEmulator

pytestmark = pytest.mark.asyncio(loop_scope="module")

MEGABYTE = 2**20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def core(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Core]:
    async with open_core(settings_in(tmp_path_factory.mktemp("data")), catalog(), pace=0) as running:
        yield running


def signed(body: bytes, at: int, secret: str) -> dict[str, str]:
    """The headers by which Slack shows that it has sent this."""
    proof = hmac.new(secret.encode(), b"v0:%d:%s" % (at, body), "sha256").hexdigest()
    return {"X-Slack-Request-Timestamp": str(at), "X-Slack-Signature": f"v0={proof}"}


@dataclass
class Fronts:
    """Two processes that take what Slack sends. ``sent`` is what it has sent so far, as it was written."""

    slack: SlackEmulator
    surfaces: list[SlackSurface]
    urls: list[str] = field(default_factory=list)
    sent: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        kept = {name: request.headers[name] for name in request.headers if name.startswith(("X-Slack", "Content-Type"))}
        self.sent.append((await request.read(), kept))
        return await self.surfaces[0].handle_http(request)

    async def post(self, body: bytes, headers: dict[str, str], front: int = 0) -> int:
        url = self.urls[front]
        async with aiohttp.ClientSession() as client, client.post(url, data=body, headers=headers) as response:
            return response.status

    def signed(self, body: bytes, at: int) -> dict[str, str]:
        return signed(body, at, self.slack.signing_secret)

    async def carried_out(self) -> int:
        """How many answers there are, once nothing is at work any more."""
        for surface in self.surfaces:
            await surface.idle()
        return len(self.slack.ephemerals)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fronts(core: Core) -> AsyncIterator[Fronts]:
    async with workspace(http=True) as slack, AsyncExitStack() as stack:
        both = Fronts(slack, [surface_of(slack, core, http=True) for _ in range(2)])
        for surface in both.surfaces:
            await surface.start()
            stack.push_async_callback(surface.close)
            page = WebSurface(core.service, core.history, outside=surface.routes())
            both.urls.append((await page.start("127.0.0.1", 0)).rstrip("/") + EVENTS_PATH)
            stack.push_async_callback(page.close)
        url = await stack.enter_async_context(listening(web.post(EVENTS_PATH, both.take)))
        await slack.deliver_to(f"{url}{EVENTS_PATH}")
        yield both
        assert slack.violations == []


async def test_what_slack_has_signed_is_carried_out_once(fronts: Fronts) -> None:
    before = await fronts.carried_out()
    await fronts.slack.command("/consortium models")
    body, headers = fronts.sent[-1]
    assert await fronts.carried_out() == before + 1
    assert [await fronts.post(body, headers, front) for front in (0, 1, 0, 1)] == [200] * 4
    assert await fronts.carried_out() == before + 1


async def test_what_slack_has_signed_long_ago_or_somebody_else_is_refused(fronts: Fronts) -> None:
    await fronts.slack.command("/consortium models")
    before, now = await fronts.carried_out(), int(time.time())
    body, headers = fronts.sent[-1]
    new = body.replace(b"trigger_id=", b"trigger_id=9")
    assert new != body
    refused = (
        headers,
        fronts.signed(new, now - 301),
        fronts.signed(new, now + 400),  # the test may take a while
        signed(new, now, "another secret"),
        {**fronts.signed(new, now), "X-Slack-Request-Timestamp": str(now - 1)},
        {**fronts.signed(new, now), "X-Slack-Request-Timestamp": "9" * 6_000},
        {**fronts.signed(new, now), "X-Slack-Signature": "v0=é"},
    )
    for wrong in refused:
        assert await fronts.post(new, {**wrong, "Content-Type": headers["Content-Type"]}) == 401
    assert await fronts.carried_out() == before


async def test_what_is_packed_does_not_swell_in_memory(fronts: Fronts) -> None:
    bomb, before = gzip.compress(bytes(60 * MEGABYTE)), psutil.Process().memory_info().rss
    assert len(bomb) < MEGABYTE / 4
    assert await fronts.post(bomb, {"Content-Encoding": "gzip", "Content-Type": "application/json"}) == 413
    assert psutil.Process().memory_info().rss - before < 30 * MEGABYTE


async def test_bodies_from_outside_have_an_end_told_or_not(fronts: Fronts) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield bytes(MEGABYTE)

    for body in (BytesIO(bytes(3 * MEGABYTE)), endless()):
        async with aiohttp.ClientSession() as client, client.post(fronts.urls[0], data=body) as response:
            assert response.status == 413
