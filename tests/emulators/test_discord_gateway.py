"""The emulator's gateway, spoken to by hand, and the intents that decide what a bot reads."""

from __future__ import annotations

import asyncio
import json
import sys
import zlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.emulators.discord import DiscordEmulator, Intent

Json = dict[str, Any]

MOST = Intent.GUILDS | Intent.GUILD_MESSAGES | Intent.DIRECT_MESSAGES
ALL = MOST | Intent.MESSAGE_CONTENT
QUERY = "?v=10&encoding=json"


class Client:
    """One gateway connection."""

    def __init__(self, emulator: DiscordEmulator, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.emulator = emulator
        self.socket = socket

    async def send(self, op: int, data: Any) -> None:
        await self.socket.send_str(json.dumps({"op": op, "d": data}))

    async def next(self) -> Json:
        return dict(json.loads(await self.socket.receive_str(timeout=5)))

    async def identify(self, intents: int = ALL, **more: Any) -> Json:
        """Identify and give what comes next, READY if all is well."""
        await self.send(2, {"token": self.emulator.token, "intents": intents, "properties": {}, **more})
        return await self.next()

    async def closed(self) -> int | None:
        """Read to the end and give the close code."""
        async for _ in self.socket:
            pass
        return self.socket.close_code


class Gateway:
    """Opens connections to one emulator."""

    def __init__(self, emulator: DiscordEmulator, session: aiohttp.ClientSession) -> None:
        self.emulator = emulator
        self.session = session

    async def open(self, query: str = QUERY) -> Client:
        client = Client(self.emulator, await self.session.ws_connect(self.emulator.gateway_url + query))
        hello = await client.next()
        assert hello == {"op": 10, "d": {"heartbeat_interval": int(self.emulator.gateway.heartbeat_interval * 1000)}}
        return client


@pytest.fixture
async def emu() -> AsyncIterator[DiscordEmulator]:
    async with DiscordEmulator(rates=False) as emulator:
        yield emulator


@pytest.fixture
async def gateway(emu: DiscordEmulator) -> AsyncIterator[Gateway]:
    async with aiohttp.ClientSession() as session:
        yield Gateway(emu, session)


async def test_ready_and_guild(emu: DiscordEmulator, gateway: Gateway) -> None:
    client = await gateway.open()
    ready = await client.identify(shard=[0, 1])
    assert (ready["t"], ready["s"], ready["d"]["shard"]) == ("READY", 1, [0, 1])
    assert ready["d"]["guilds"] == [{"id": str(emu.guild_id), "unavailable": True}]
    guild = await client.next()
    assert (guild["t"], guild["s"]) == ("GUILD_CREATE", 2)
    assert str(emu.channel_id) in [channel["id"] for channel in guild["d"]["channels"]]
    await client.send(1, 2)
    assert (await client.next())["op"] == 11
    emu.gateway.faults.withhold_acks = True
    await client.send(1, 2)
    await emu.say(emu.alice, emu.channel_id, "hi")
    assert (await client.next())["t"] == "MESSAGE_CREATE"


async def test_compressed_stream(emu: DiscordEmulator, gateway: Gateway) -> None:
    url = f"{emu.gateway_url}{QUERY}&compress=zlib-stream"
    socket = await gateway.session.ws_connect(url)
    inflate = zlib.decompressobj()
    hello = await socket.receive_bytes(timeout=5)
    assert hello.endswith(b"\x00\x00\xff\xff")
    assert json.loads(inflate.decompress(hello))["op"] == 10
    await socket.send_json({"op": 1, "d": None})
    assert json.loads(inflate.decompress(await socket.receive_bytes(timeout=5)))["op"] == 11


BAD: list[tuple[str, int]] = [
    ('{"op": 99, "d": null}', 4003),
    ("{", 4002),
    (json.dumps({"op": 1, "d": "x" * 4096}), 4002),
    (json.dumps({"op": 2, "d": {"token": "wrong", "intents": 0, "properties": {}}}), 4004),
    (json.dumps({"op": 2, "d": {"token": "emulated.bot.token", "intents": 1 << 40, "properties": {}}}), 4013),
    (
        json.dumps({"op": 2, "d": {"token": "emulated.bot.token", "intents": 0, "properties": {}, "shard": [1, 1]}}),
        4010,
    ),
    (json.dumps({"op": 6, "d": {"token": "wrong", "session_id": "x", "seq": 0}}), 4004),
]


@pytest.mark.parametrize(("text", "code"), BAD)
async def test_close_codes(emu: DiscordEmulator, gateway: Gateway, text: str, code: int) -> None:
    client = await gateway.open()
    await client.socket.send_str(text)
    assert await client.closed() == code
    assert [(v.kind, v.detail[:4]) for v in emu.violations] == [("gateway", str(code))]


@pytest.mark.parametrize(
    ("op", "data", "code"),
    [
        (99, None, 4001),
        (2, {"token": "emulated.bot.token", "intents": 0, "properties": {}}, 4005),
        (1, 77, 4007),
    ],
)
async def test_close_codes_after_identify(
    emu: DiscordEmulator, gateway: Gateway, op: int, data: Any, code: int
) -> None:
    client = await gateway.open()
    await client.identify()
    await client.send(op, data)
    assert await client.closed() == code


async def test_wrong_version(gateway: Gateway) -> None:
    assert await (await gateway.open("?v=9&encoding=json")).closed() == 4012


async def test_too_many_sends(gateway: Gateway) -> None:
    client = await gateway.open()
    for _ in range(121):
        await client.send(1, None)
    assert await client.closed() == 4008


async def test_missing_heartbeat() -> None:
    async with DiscordEmulator(heartbeat_interval=0.02) as emu, aiohttp.ClientSession() as session:
        client = await Gateway(emu, session).open()
        assert await client.closed() == 4009


async def test_content_intent_must_be_enabled() -> None:
    async with DiscordEmulator(message_content=False) as emu, aiohttp.ClientSession() as session:
        client = await Gateway(emu, session).open()
        await client.send(2, {"token": emu.token, "intents": ALL, "properties": {}})
        assert await client.closed() == 4014


async def test_intents_gate_events_and_content(emu: DiscordEmulator, gateway: Gateway) -> None:
    without, guilds_only = await gateway.open(), await gateway.open()
    await without.identify(MOST)
    await guilds_only.identify(Intent.GUILDS)
    plain = await emu.say(emu.alice, emu.channel_id, "secret")
    await emu.say(emu.alice, emu.channel_id, "to you", mention=True)
    await emu.say(emu.alice, emu.dm_channel_id, "direct")
    await emu.say(emu.alice, emu.hidden_channel_id, "unseen")
    await emu.edit(plain.id, "changed")
    await emu.delete(plain.id)
    assert (await without.next())["t"] == "GUILD_CREATE"
    seen = [await without.next() for _ in range(5)]
    assert [(event["t"], event["d"].get("content")) for event in seen] == [
        ("MESSAGE_CREATE", ""),
        ("MESSAGE_CREATE", f"{emu.bot.mention} to you"),
        ("MESSAGE_CREATE", "direct"),
        ("MESSAGE_UPDATE", ""),
        ("MESSAGE_DELETE", None),
    ]
    sessions = list(emu.gateway.sessions.values())
    assert [event["t"] for event in sessions[1].events] == ["READY", "GUILD_CREATE"]


async def test_replies_that_ping_are_readable(emu: DiscordEmulator, gateway: Gateway) -> None:
    client = await gateway.open()
    await client.identify(MOST)
    headers = {"Authorization": f"Bot {emu.token}", "User-Agent": "DiscordBot (x, 1)"}
    url = f"{emu.api_url}/channels/{emu.channel_id}/messages"
    async with gateway.session.post(url, json={"content": "ask me"}, headers=headers) as reply:
        own = int((await reply.json())["id"])
    await emu.say(emu.alice, emu.channel_id, "loud", reply_to=own)
    await emu.say(emu.alice, emu.channel_id, "quiet", reply_to=own, ping=False)
    seen = [(await client.next())["d"].get("content") for _ in range(4)]
    assert seen == [None, "ask me", "loud", ""]


async def test_resume_replays_in_order(emu: DiscordEmulator, gateway: Gateway) -> None:
    client = await gateway.open()
    session_id = (await client.identify())["d"]["session_id"]
    emu.gateway.cut()
    for text in "abc":
        await emu.say(emu.alice, emu.channel_id, text)
    client = await gateway.open()
    await client.send(6, {"token": emu.token, "session_id": session_id, "seq": 2})
    events = [await client.next() for _ in range(4)]
    assert [(event["t"], event["s"]) for event in events] == [
        *(("MESSAGE_CREATE", n) for n in (3, 4, 5)),
        ("RESUMED", 6),
    ]
    await client.socket.close(code=1000)
    await emu.wait_for(lambda: not emu.gateway.connected)
    client = await gateway.open()
    await client.send(6, {"token": emu.token, "session_id": session_id, "seq": 6})
    assert await client.next() == {"op": 9, "d": False, "s": None, "t": None}


async def test_resume_from_the_future(emu: DiscordEmulator, gateway: Gateway) -> None:
    client = await gateway.open()
    session_id = (await client.identify())["d"]["session_id"]
    emu.gateway.cut()
    client = await gateway.open()
    await client.send(6, {"token": emu.token, "session_id": session_id, "seq": 99})
    assert await client.closed() == 4007


async def test_slow_ready(emu: DiscordEmulator, gateway: Gateway) -> None:
    emu.gateway.faults.ready_delay = 30
    client = await gateway.open()
    await client.send(2, {"token": emu.token, "intents": ALL, "properties": {}})
    await emu.wait_for(lambda: emu.gateway.connected)
    with pytest.raises(TimeoutError):
        await client.socket.receive(timeout=0.05)


async def test_ordered_disturbances(emu: DiscordEmulator, gateway: Gateway) -> None:
    emu.gateway.faults.omit_guild_create = True
    client = await gateway.open()
    await client.identify()
    emu.gateway.reconnect()
    assert (await client.next())["op"] == 7
    emu.gateway.invalidate(resumable=True)
    assert await client.next() == {"op": 9, "d": True, "s": None, "t": None}
    await emu.dispatch("THREAD_UPDATE", {"id": "1"}, times=2)
    assert [(await client.next())["t"] for _ in range(2)] == ["THREAD_UPDATE"] * 2
    emu.gateway.close(4000)
    assert await client.closed() == 4000


async def test_identifies_are_limited() -> None:
    async with DiscordEmulator() as emu, aiohttp.ClientSession() as session:
        gateway = Gateway(emu, session)
        assert (await (await gateway.open()).identify())["t"] == "READY"
        assert (await (await gateway.open()).identify())["op"] == 9
        emu.clock.advance(5.1)
        assert (await (await gateway.open()).identify())["t"] == "READY"
        assert emu.gateway.start_limit()["remaining"] == 998


async def test_revoked_token(emu: DiscordEmulator, gateway: Gateway) -> None:
    client = await gateway.open()
    await client.identify()
    emu.revoke_token()
    assert await client.closed() == 4004
    headers = {"Authorization": f"Bot {emu.token}", "User-Agent": "DiscordBot (x, 1)"}
    async with gateway.session.get(f"{emu.api_url}/users/@me", headers=headers) as reply:
        assert reply.status == 401
    assert emu.violations == []


async def test_a_session_gets_only_its_shard(emu: DiscordEmulator, gateway: Gateway) -> None:
    home = (emu.guild_id >> 22) % 2
    here, elsewhere = await gateway.open(), await gateway.open()
    await here.identify(shard=[home, 2])
    ready = await elsewhere.identify(shard=[1 - home, 2])
    assert ready["d"]["guilds"] == []
    await emu.say(emu.alice, emu.channel_id, "hi")
    await emu.say(emu.alice, emu.dm_channel_id, "direct")
    events = {session.shard[0]: [event["t"] for event in session.events] for session in emu.gateway.sessions.values()}
    directs = ["MESSAGE_CREATE"]
    assert events[home] == ["READY", "GUILD_CREATE", "MESSAGE_CREATE", *(directs if home == 0 else [])]
    assert events[1 - home] == ["READY", *(directs if home == 1 else [])]


async def test_the_module_starts_one() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.emulators.discord", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        lines = [(await process.stdout.readline()).decode() for _ in range(3)]
        places = {name: value.strip() for name, _, value in (line.partition("=") for line in lines)}
        async with aiohttp.ClientSession() as session:
            socket = await session.ws_connect(places["DISCORD_GATEWAY_URL"] + QUERY)
            await socket.receive_str(timeout=5)
            await socket.send_json(
                {"op": 2, "d": {"token": places["DISCORD_BOT_TOKEN"], "intents": 0, "properties": {}}}
            )
            assert (await socket.receive_json(timeout=5))["t"] == "READY"
    finally:
        process.kill()
        await process.wait()
