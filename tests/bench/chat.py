"""Many asks at once on Slack and Discord: how soon they are acknowledged and something shows, and the pace of edits.

The emulated platform is a process of its own (``python -m tests.bench.chat slack|http|discord asks channels``) and
takes the times where people would: from the moment that it sends something to what it then receives. It keeps the
limits of the real one, so what comes too fast is refused and counted.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Protocol

import aiohttp
from pydantic import SecretStr

from adapters.discord.surface import DiscordConfig, DiscordSurface
from adapters.slack.manifest import SCOPES
from adapters.slack.surface import SlackConfig, SlackSurface
from bot.app import Core
from core.asks import Platform
from tests.e2e.slack.stage import served
from tests.emulators.discord import DiscordEmulator, Interaction
from tests.emulators.slack import SlackEmulator
from tests.emulators.slack.journal import Call
from tests.emulators.slack.workspace import BOT_USER, Channel, User

ASKS = 50
WARM = 5
THINKING = 2.0
"""Seconds that a model takes: long enough that progress is shown."""

WARMING = 1000
"""The number of the first ask that only warms up, in a channel of its own."""

MOST = 300.0
"""Seconds within which all answers stand, or the benchmark ends."""

Figures = dict[str, Any]


def question(number: int) -> str:
    """What is asked; the mark at its end tells asks apart."""
    return f"Should it be the default? ({mark(number)})"


def mark(number: int) -> str:
    """Found in what shows first."""
    return f"case {number:04}"


# --- the platform's side ----------------------------------------------------------------------------------


class Side(Protocol):
    """An emulated platform that fires asks and looks at what comes of them."""

    def addresses(self) -> dict[str, str]:
        """What the product needs to reach it."""

    async def connected(self, url: str) -> None:
        """Wait for the product; ``url`` is where it takes events, where it does."""

    async def fire(self, numbers: Sequence[int]) -> None:
        """Send so many asks at once; returns when all are acknowledged."""

    def figures(self, numbers: Sequence[int], begun: float) -> Figures:
        """What was measured of them, from ``begun`` on by :meth:`now`."""

    def now(self) -> float:
        """The time as it is recorded."""


class SlackSide:
    """Everybody asks in one of the channels by slash command."""

    def __init__(self, slack: SlackEmulator, channels: int) -> None:
        self._slack, self._channels = slack, channels
        self._sent: dict[int, tuple[float, float]] = {}
        for number in (*range(channels), *(WARMING + n for n in range(WARM))):
            name = f"C0BENCH{number:04}"
            slack.workspace.channels[name] = Channel(name, f"bench-{number}", "channel", {BOT_USER})

    def addresses(self) -> dict[str, str]:
        slack = self._slack
        return {"api": slack.api_url, "bot": slack.bot_token, "app": slack.app_token, "secret": slack.signing_secret}

    async def connected(self, url: str) -> None:
        await (self._slack.deliver_to(url) if url else self._slack.connected())

    def now(self) -> float:
        return self._slack.journal.clock()

    async def fire(self, numbers: Sequence[int]) -> None:
        await asyncio.gather(*(self._ask(number) for number in numbers))

    async def _ask(self, number: int) -> None:
        space = self._slack.workspace
        channel = f"C0BENCH{number if number >= WARMING else number % self._channels:04}"
        user = User(f"U0BENCH{number:04}", f"person{number}", f"Person {number}")
        space.users[user.id] = user
        space.channels[channel].members.add(user.id)
        sent = self.now()
        delivery = await self._slack.command(
            f"/consortium ask --no-charts {question(number)}", channel=channel, user=user.id
        )
        self._sent[number] = (sent, delivery.latency if delivery.acked else float("inf"))

    def figures(self, numbers: Sequence[int], begun: float) -> Figures:
        calls = [call for call in self._slack.calls if call.at >= begun]
        signs = []
        for number in numbers:
            sent, _ = self._sent[number]
            user = f"U0BENCH{number:04}"
            first = [c.at for c in calls if c.ok and (mark(number) in str(c.args) or c.args.get("user") == user)
                     and c.method in ("chat.postMessage", "chat.postEphemeral", "response_url")]  # fmt: skip
            signs.append(min(first, default=float("inf")) - sent)
        edits = [c for c in calls if c.ok and c.method in ("chat.update", "chat.appendStream", "chat.stopStream")]
        return {
            "ack": [self._sent[number][1] for number in numbers],
            "sign": signs,
            "edits": _pace((str(c.args.get("ts")), str(c.args.get("channel")), c.at) for c in edits),
            "busiest minute": _busiest(calls),
            "refused": dict(Counter(call.method for call in calls if call.status == 429)),
            "violations": [f"{v.kind}: {v.detail}" for v in self._slack.violations],
        }


def _busiest(calls: Iterable[Call]) -> dict[str, int]:
    """The most calls of a method within a minute."""
    by_method: dict[str, list[float]] = defaultdict(list)
    for call in calls:
        if call.ok:
            by_method[call.method].append(call.at)
    return {name: max(sum(at <= t < at + 60 for t in times) for at in times) for name, times in by_method.items()}


class DiscordSide:
    """The same on Discord, where "is thinking" is the first that shows, and the question stands for the second."""

    def __init__(self, emu: DiscordEmulator, channels: int) -> None:
        self._emu = emu
        self._channels = [emu.add_channel(f"bench-{number}") for number in range(channels)]
        self._warming = {WARMING + n: emu.add_channel(f"warm-{n}") for n in range(WARM)}
        self._asked: dict[int, Interaction] = {}
        self._sent: dict[int, float] = {}

    def addresses(self) -> dict[str, str]:
        return {"api": self._emu.api_url, "gateway": self._emu.gateway_url, "bot": self._emu.token}

    async def connected(self, url: str) -> None:
        await self._emu.wait_connected(30)

    def now(self) -> float:
        return self._emu.clock.wall()

    async def fire(self, numbers: Sequence[int]) -> None:
        people = {number: self._emu.add_user(f"person{number}") for number in numbers}
        for number, user in people.items():
            channel = self._warming.get(number) or self._channels[number % len(self._channels)]
            given = {"question": question(number), "charts": False}
            self._sent[number] = self.now()
            self._asked[number] = await self._emu.command(user, "consortium ask", given, channel_id=channel)
        await asyncio.gather(*(self._asked[number].wait_acked(30) for number in numbers))

    def figures(self, numbers: Sequence[int], begun: float) -> Figures:
        requests = [request for request in self._emu.requests if request.at >= begun]
        acks, stands = [], []
        for number in numbers:
            asked, sent = self._asked[number], self._sent[number]
            acks.append(min(r.at for r in requests if r.path.startswith(f"/interactions/{asked.id}/")) - sent)
            up = [r.at for r in requests if r.method == "PATCH" and mark(number) in str(r.body) and r.status == 200]
            stands.append(min(up, default=float("inf")) - sent)
        edits = [
            (message, place, r.at)
            for r in requests
            for place, _, message in [r.path.rpartition("/")]
            if r.method == "PATCH" and "/channels/" in place and r.status == 200
        ]
        seen = Counter(r.route or r.path for r in requests if r.status == 429)
        return {
            "ack": acks,
            "sign": stands,
            "edits": _pace(edits),
            "busiest minute": {},
            "refused": dict(seen),
            "violations": [f"{v.kind}: {v.detail}" for v in self._emu.violations],
        }


def _pace(edits: Iterable[tuple[str, str, float]]) -> Figures:
    """Of edits as (message, channel, time): how many a message had, and the most in five seconds of a channel."""
    by_message: dict[str, list[float]] = defaultdict(list)
    by_channel: dict[str, list[float]] = defaultdict(list)
    for message, channel, at in edits:
        by_message[message].append(at)
        by_channel[channel].append(at)
    times = [sorted(each) for each in by_message.values()]
    gaps = [b - a for each in times for a, b in pairwise(each)]
    busy = [sum(at <= t < at + 5 for t in each) for each in by_channel.values() for at in each]
    return {
        "most of a message": max(map(len, times), default=0),
        "shortest gap": round(min(gaps, default=0.0), 3),
        "most in 5 s of a channel": max(busy, default=0),
    }


@asynccontextmanager
async def side(name: str, channels: int) -> AsyncIterator[Side]:
    """The platform of that name."""
    if name == "discord":
        async with DiscordEmulator() as emu:
            yield DiscordSide(emu, channels)
    else:
        async with SlackEmulator(socket_mode=name == "slack", scopes=SCOPES) as slack:
            yield SlackSide(slack, channels)


async def platform(name: str, asks: int, channels: int) -> None:
    """Be the platform, told what to do line by line: the product's address, then to go on when answers stand."""
    async with side(name, channels) as there:
        _say(there.addresses())
        await there.connected(await _line())
        await there.fire(range(WARMING, WARMING + WARM))
        _say({"asked": WARM})
        await _line()
        begun, numbers = there.now(), range(asks)
        await there.fire(numbers)
        _say({"asked": asks})
        await _line()
        _say(there.figures(numbers, begun))


def _say(what: Figures) -> None:
    print(json.dumps(what), flush=True)


async def _line() -> str:
    line: str = await asyncio.to_thread(sys.stdin.readline)
    return line.strip()


# --- the product's side -----------------------------------------------------------------------------------


@asynccontextmanager
async def other_process(*arguments: str) -> AsyncIterator[Callable[[str | None], Awaitable[Figures]]]:
    """The platform's process; what is yielded writes a line to it, where there is one, and reads its next."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.chat", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    assert process.stdin
    assert process.stdout
    write, read = process.stdin, process.stdout

    async def exchange(line: str | None) -> Figures:
        if line is not None:
            write.write(f"{line}\n".encode())
            await write.drain()
        answer = await asyncio.wait_for(read.readline(), MOST)
        if not answer:
            raise SystemExit("the platform's process has ended")
        found: Figures = json.loads(answer)
        return found

    try:
        yield exchange
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def slack_product(core: Core, at: dict[str, str], *, http: bool) -> AsyncIterator[str]:
    """The Slack surface; yields where it takes events, if it does."""
    config = SlackConfig(
        SecretStr(at["bot"]), None if http else SecretStr(at["app"]), SecretStr(at["secret"]), api_url=at["api"]
    )
    surface = SlackSurface(config, core.service, core.events, core.history)
    await surface.start()
    try:
        if http:
            async with served(surface) as url:
                yield url
        else:
            yield ""
    finally:
        await surface.close(5)


@asynccontextmanager
async def discord_product(core: Core, at: dict[str, str]) -> AsyncIterator[str]:
    """The Discord surface."""
    config = DiscordConfig(at["bot"], at["api"], at["gateway"])
    surface = DiscordSurface(config, core.service, core.history)
    await surface.start()
    try:
        yield ""
    finally:
        await surface.close(5)


async def measured(core: Core, name: str, asks: int, channels: int) -> Figures:
    """One measurement: as many asks at once, in as many channels."""
    where = Platform.DISCORD if name == "discord" else Platform.SLACK
    async with other_process(name, str(asks), str(channels)) as exchange:
        at = await exchange(None)
        product = discord_product(core, at) if name == "discord" else slack_product(core, at, http=name == "http")
        async with product as url:
            loop, now = asyncio.get_running_loop(), datetime.now(UTC)
            await exchange(url)
            await _delivered(core, where, now, WARM)
            begun = loop.time()
            await exchange("go")
            await _delivered(core, where, now, WARM + asks)
            seconds = loop.time() - begun
            return {**await exchange("done"), "seconds": seconds}


async def _delivered(core: Core, where: Platform, since: datetime, asks: int) -> None:
    """Wait until so many are on record and all their answers stand."""
    async with asyncio.timeout(MOST):
        while len(await core.history.search(since=since, limit=asks)) < asks:  # noqa: ASYNC110 - what is on record is only to be read
            await asyncio.sleep(0.1)
        while await core.history.undelivered(where, since):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def chat(core: Core) -> None:
    """Fifty asks at once on every platform: each in a channel of its own, then ten in each of five."""
    for name in ("slack", "http", "discord"):
        for channels in (ASKS, 5):
            try:
                found = await measured(core, name, ASKS, channels)
            except (TimeoutError, aiohttp.ClientError) as error:
                raise SystemExit(f"{name}: not all answers came within {MOST:.0f} s") from error
            edits = ", ".join(f"{what} {number}" for what, number in found["edits"].items())
            print(
                f"{ASKS} asks at once on {TITLES[name]}, {channels} channels: "
                f"acknowledged {centiles(found['ack'])} ms, first sign {centiles(found['sign'])} ms, "
                f"all answered after {found['seconds']:.0f} s; edits: {edits}; "
                f"busiest minute: {found['busiest minute'] or '-'}; refused: {found['refused'] or 'none'}; "
                f"violations: {found['violations'] or 'none'}",
                flush=True,
            )


TITLES = {"slack": "Slack (Socket Mode)", "http": "Slack (HTTP)", "discord": "Discord"}


def centiles(seconds: Sequence[float]) -> str:
    """p50 and p99 in milliseconds."""
    ordered = sorted(seconds)
    p50, p99 = ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return f"p50 {p50 * 1e3:.0f}, p99 {p99 * 1e3:.0f}"


if __name__ == "__main__":
    asyncio.run(platform(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
