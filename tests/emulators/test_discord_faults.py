"""Rate limits and ordered failures, raw and as discord.py meets them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.emulators.discord import DiscordEmulator
from tests.emulators.discord.faults import When
from tests.emulators.discord.samplebot import SampleBot, running

SEND = r"^/channels/\d+/messages$"
STORED: dict[When, int] = {"before": 0, "after": 1}
Reply = tuple[int, dict[str, str], bytes]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


async def send(emu: DiscordEmulator, session: aiohttp.ClientSession, channel_id: int | None = None) -> Reply:
    headers = {"Authorization": f"Bot {emu.token}", "User-Agent": "DiscordBot (x, 1)"}
    url = f"{emu.api_url}/channels/{channel_id or emu.channel_id}/messages"
    async with session.post(url, json={"content": "hi"}, headers=headers) as reply:
        return reply.status, dict(reply.headers), await reply.read()


async def test_buckets_are_per_channel(session: aiohttp.ClientSession) -> None:
    rates = {"POST /channels/{channel_id}/messages": (2, 60.0)}
    async with DiscordEmulator(rates=rates) as emu:
        first = await send(emu, session)
        assert [first[1][f"X-RateLimit-{name}"] for name in ("Limit", "Remaining")] == ["2", "1"]
        assert (await send(emu, session))[1]["X-RateLimit-Remaining"] == "0"
        status, headers, body = await send(emu, session)
        assert status == 429
        assert b'"global":false' in body
        assert headers["X-RateLimit-Scope"] == "user"
        assert {"Via", "Retry-After", "X-RateLimit-Bucket"} <= headers.keys()
        other = emu.add_channel("other")
        assert (await send(emu, session, other))[0] == 200
        emu.clock.advance(61)
        assert (await send(emu, session))[0] == 200
        assert len(emu.messages(emu.channel_id)) == 3


async def test_limits_can_be_off(session: aiohttp.ClientSession) -> None:
    async with DiscordEmulator(rates=False) as emu:
        assert {(await send(emu, session))[0] for _ in range(60)} == {200}


async def test_ordered_rate_limits(session: aiohttp.ClientSession) -> None:
    async with DiscordEmulator(rates=False) as emu:
        emu.faults.rate_limit(280, "POST", SEND, scope="shared")
        emu.faults.rate_limit(1.5, "POST", SEND, scope="global")
        status, headers, body = await send(emu, session)
        assert (status, headers["Retry-After"], headers["X-RateLimit-Scope"]) == (429, "280", "shared")
        status, headers, body = await send(emu, session)
        assert (headers["X-RateLimit-Global"], b'"retry_after":1.5,"global":true' in body) == ("true", True)
        assert (await send(emu, session))[0] == 200


async def test_failure_before_and_after_the_commit(session: aiohttp.ClientSession) -> None:
    async with DiscordEmulator(rates=False) as emu:
        emu.faults.status(502, "POST", SEND, when="before")
        assert (await send(emu, session))[0] == 502
        assert emu.messages(emu.channel_id) == []
        fault = emu.faults.status(503, "POST", SEND, when="after", times=2)
        assert [(await send(emu, session))[0] for _ in range(3)] == [503, 503, 200]
        assert (fault.hits, len(emu.messages(emu.channel_id))) == (2, 3)
        assert [record.fault for record in emu.requests] == ["status before commit", *["status after commit"] * 2, None]
        assert emu.violations == []


async def test_cut_before_and_after_the_commit(session: aiohttp.ClientSession) -> None:
    async with DiscordEmulator(rates=False) as emu:
        for when, stored in STORED.items():
            emu.faults.drop("POST", SEND, when=when)
            with pytest.raises(aiohttp.ClientConnectionError):
                await send(emu, session)
            assert len(emu.messages(emu.channel_id)) == stored
        assert [record.status for record in emu.requests] == [0, 0]


@pytest.mark.parametrize(("when", "stored"), STORED.items())
async def test_delay_holds_the_commit_or_the_reply(session: aiohttp.ClientSession, when: When, stored: int) -> None:
    async with DiscordEmulator(rates=False) as emu:
        emu.faults.delay(30, "POST", SEND, when=when)
        task = asyncio.create_task(send(emu, session))
        await emu.wait_for(lambda: emu.requests and emu.requests[0].fault == f"delay {when} commit")
        assert len(emu.messages(emu.channel_id)) == stored
        task.cancel()
        await asyncio.wait([task])


async def test_discord_py_waits_out_a_rate_limit() -> None:
    async with DiscordEmulator(rates=False) as emu, running(emu, SampleBot()):
        emu.faults.rate_limit(0.05, "POST", SEND, times=2)
        await emu.say(emu.alice, emu.dm_channel_id, "psst")
        await emu.wait_for(lambda: len(emu.messages(emu.dm_channel_id)) == 2)
        statuses = [record.status for record in emu.requests if record.path.endswith("/messages")]
        assert statuses == [429, 429, 200]


async def test_lost_reply_to_a_nonce_makes_one_message() -> None:
    async with DiscordEmulator(rates=False) as emu, running(emu, SampleBot()):
        emu.faults.status(502, "POST", SEND, when="after")
        await emu.command(emu.alice, "consortium ask", question="Why?")
        await emu.wait_for(
            lambda: [r.status for r in emu.requests if r.route == "POST /channels/{channel_id}/messages"] == [502, 200]
        )
        assert len(emu.files(emu.threads[0].id)) == 1


async def test_lost_reply_to_a_callback_shows_as_a_second_ack() -> None:
    async with DiscordEmulator(rates=False) as emu, running(emu, SampleBot()):
        emu.faults.status(502, "POST", "/callback$", when="after")
        interaction = await emu.command(emu.alice, "consortium help")
        await interaction.wait_acked()
        await emu.wait_for(
            lambda: [r.status for r in emu.requests if r.path.endswith("/callback")] == [502, 400] or None
        )
        assert [r.reply.get("code") for r in emu.requests if r.path.endswith("/callback")] == [None, 40060]
        assert emu.violations == []
