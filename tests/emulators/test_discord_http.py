"""The emulator's interactions by HTTP, and what it tells of shards."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.emulators.discord import DiscordEmulator, NotOffered
from tests.emulators.serving import listening

Answer = Callable[[dict[str, Any]], Awaitable[web.Response]]
COMMAND = {"name": "ping", "type": 1, "description": "Ping."}


@pytest.fixture
async def emu() -> AsyncIterator[DiscordEmulator]:
    async with DiscordEmulator(rates=False, ack_deadline=0.3) as emulator:
        emulator.commands.replace(None, [COMMAND])
        yield emulator


async def _pong(_: dict[str, Any]) -> web.Response:
    return web.json_response({"type": 1})


@asynccontextmanager
async def bot(emu: DiscordEmulator, answer: Answer, *, checks: bool = True) -> AsyncIterator[str]:
    """A bot that answers a PING, and anything else as it is told; gives its URL."""
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(emu.endpoint.public_key))

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        try:
            stamp = request.headers["X-Signature-Timestamp"].encode()
            key.verify(bytes.fromhex(request.headers["X-Signature-Ed25519"]), stamp + body)
        except InvalidSignature:
            if checks:
                return web.Response(status=401)
        payload = json.loads(body)
        return await (_pong(payload) if payload["type"] == 1 else answer(payload))

    async with listening(web.post("/", take)) as url:
        yield f"{url}/"


async def test_a_response_by_http_is_the_acknowledgement(emu: DiscordEmulator) -> None:
    async def answer(payload: dict[str, Any]) -> web.Response:
        return web.json_response({"type": 4, "data": {"content": f"pong {payload['data']['name']}", "flags": 64}})

    async with bot(emu, answer) as url:
        await emu.endpoint.save(url)
        asked = await emu.command(emu.alice, "ping")
        assert (await asked.wait_response()).content == "pong ping"
        assert asked.ephemeral
    assert emu.violations == []
    assert emu.dispatches == []


async def test_the_callback_is_the_acknowledgement_of_what_was_taken(emu: DiscordEmulator) -> None:
    calls: list[int] = []

    async def answer(payload: dict[str, Any]) -> web.Response:
        url = f"{emu.api_url}/interactions/{payload['id']}/{payload['token']}/callback"
        async with aiohttp.ClientSession() as session:
            for _ in range(2):
                async with session.post(url, json={"type": 5}) as response:
                    calls.append(response.status)
        return web.Response(status=202)

    async with bot(emu, answer) as url:
        await emu.endpoint.save(url)
        asked = await emu.command(emu.alice, "ping")
        await asked.wait_acked()
        await emu.wait_for(lambda: emu.endpoint.statuses == [202])
    assert calls == [204, 400]  # the second one is 40060


@pytest.mark.parametrize("how", ["taken and forgotten", "refused", "a wrong type"])
async def test_what_is_not_answered_rightly_is_noted(emu: DiscordEmulator, how: str) -> None:
    async def answer(_: dict[str, Any]) -> web.Response:
        if how == "a wrong type":
            return web.json_response({"type": 8, "data": {"choices": []}})
        return web.Response(status=202 if how == "taken and forgotten" else 500)

    async with bot(emu, answer) as url:
        await emu.endpoint.save(url)
        asked = await emu.command(emu.alice, "ping")
        await emu.wait_for(lambda: any("not acknowledged within" in v.detail for v in emu.violations))
    assert not asked.acked
    assert len(emu.take_violations()) == (1 if how == "taken and forgotten" else 2)


async def test_an_endpoint_that_takes_wrong_signatures_cannot_be_saved(emu: DiscordEmulator) -> None:
    async with bot(emu, _pong, checks=False) as url:
        with pytest.raises(NotOffered, match="wrong signature"):
            await emu.endpoint.save(url)
    assert emu.endpoint.url is None


async def test_an_endpoint_that_answers_no_ping_cannot_be_saved(emu: DiscordEmulator) -> None:
    async with bot(emu, _pong) as url:
        with pytest.raises(NotOffered, match="PING gave 404"):
            await emu.endpoint.save(f"{url}elsewhere")


async def test_the_bot_is_told_how_many_shards_it_has() -> None:
    async with DiscordEmulator(rates=False, shards=3, max_concurrency=2) as emu, aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bot {emu.token}", "User-Agent": "DiscordBot (test, 1)"}
        async with session.get(f"{emu.api_url}/gateway/bot", headers=headers) as response:
            said = await response.json()
        url = f"{emu.api_url}/guilds/{emu.guild_id}/members/"
        async with session.get(f"{url}{emu.alice.id}", headers=headers) as response:
            assert (await response.json())["user"]["username"] == "alice"
        async with session.get(f"{url}1", headers=headers) as response:
            assert (response.status, (await response.json())["code"]) == (404, 10007)
        assert emu.violations == []
    assert (said["shards"], said["session_start_limit"]["max_concurrency"]) == (3, 2)
