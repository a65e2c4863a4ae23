"""The people and their Slack, a process of its own: ``python -m tests.bench.crowd``.

It reads a plan (:class:`Plan`, as JSON) from its first line, prints where its Slack listens, and then does what further
lines tell, each answered by one line. People ask by slash command, by mention, or once more in the thread of an earlier
question when its answer stands. Who sees Slack's "failed to run" repeats the command; who is told to try again does so.

Every ask carries a mark, ``mark-0042x1``: the number of the ask, and which attempt at it this is.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from adapters.slack.manifest import SCOPES
from tests.emulators.slack import SlackEmulator
from tests.emulators.slack.delivery import EVENTS
from tests.emulators.slack.journal import Delivery
from tests.emulators.slack.workspace import BOT_USER, Channel, Message, User

Kind = Literal["command", "mention", "follow"]

LOOK = 0.25
"""Seconds between two looks of people at what stands."""

PATIENCE = 10.0
"""Seconds that somebody waits for an answer to a message that Slack may not have got through."""

AGAIN = 2.0
"""Seconds after which somebody repeats a command that failed."""

TRIES = 40

FINAL = "The panel agrees on"
"""In the answer that the provider's arbiter writes, and nowhere else."""

RUN_TYPE = "consortium_run"


@dataclass(frozen=True)
class Errand:
    """One question that somebody is to ask ``at`` seconds after the beginning; a follow-up ``of`` another's number that
    long after that one's answer stands."""

    number: int
    kind: Kind
    at: float
    channel: int
    of: int | None = None


@dataclass(frozen=True)
class Plan:
    """What the crowd does. ``share`` of the platform's calls fail; ``speed`` shortens Slack's waits between repeats and
    ``rate_scale`` its windows for rate limits."""

    errands: tuple[Errand, ...]
    socket: bool = True
    share: float = 0.0
    seed: int = 0
    speed: float = 0.1
    rate_scale: float = 0.1
    charts: bool = True

    @classmethod
    def of(cls, told: dict[str, Any]) -> Plan:
        """The plan as it came over the wire."""
        return cls(**{**told, "errands": tuple(Errand(**errand) for errand in told["errands"])})


def errands(asks: int, seconds: float, channels: int, seed: int) -> tuple[Errand, ...]:
    """So many asks, spread over that time: four in ten by command, three by mention, three in a thread."""
    chance = random.Random(seed)
    first = max(1, round(asks * 0.7)) if asks > 1 else asks
    times = sorted(chance.uniform(0, seconds) for _ in range(first))
    out = [
        Errand(number, "mention" if number % 7 in (1, 3, 5) else "command", at, number % channels)
        for number, at in enumerate(times)
    ]
    # Whoever follows up asked early enough that their answer comes while things still go wrong.
    parents = chance.sample(out[: max(1, first * 2 // 3)], min(asks - first, max(1, first * 2 // 3)))
    out += [
        Errand(first + more, "follow", chance.uniform(0.5, 3.0), parent.channel, parent.number)
        for more, parent in enumerate(parents)
    ]
    return tuple(out)


@dataclass
class Attempt:
    """One attempt at an ask. ``taken`` is whether Slack got it through: a command at once or not at all, a message
    unless one of its events was given up. ``thread`` is where the answer belongs, None for a command, whose thread the
    bot opens; ``told`` is what its asker alone was shown."""

    number: int
    mark: str
    kind: Kind
    user: str
    channel: str
    at: float
    taken: bool | None = None
    thread: str | None = None
    answered: float | None = None
    told: list[str] = field(default_factory=list)


class Crowd:
    """People who carry out their errands in a Slack, and what came of it."""

    def __init__(self, slack: SlackEmulator, plan: Plan) -> None:
        self._slack, self._plan = slack, plan
        self.attempts: list[Attempt] = []
        self._staying = list(plan.errands)
        self._answered: dict[int, asyncio.Event] = {errand.number: asyncio.Event() for errand in plan.errands}
        self._threads: dict[int, str] = {}
        self._tasks: list[asyncio.Task[None]] = []
        for number in {errand.channel for errand in plan.errands}:
            name = _channel(number)
            slack.workspace.channels[name] = Channel(name, f"bench-{number}", "channel", {BOT_USER})
        for errand in plan.errands:
            user = self._user(errand)
            slack.workspace.users[user] = User(user, f"person{errand.number}", f"Person {errand.number}")
            slack.workspace.channels[_channel(errand.channel)].members.add(user)

    def begin(self, upto: int | None = None) -> None:
        """All set out who have not, or those whose number is below ``upto``."""
        if not self._tasks:
            self._tasks.append(asyncio.create_task(self._watch()))
        going = [errand for errand in self._staying if upto is None or errand.number < upto]
        self._staying = [errand for errand in self._staying if errand not in going]
        self._tasks += [asyncio.create_task(self._run(errand)) for errand in going]

    async def end(self) -> None:
        """Everybody goes home."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _user(self, errand: Errand) -> str:
        """Each ask has an asker of its own, and a follow-up that of its first question."""
        return f"U0CROWD{errand.number if errand.of is None else errand.of:04}"

    async def _run(self, errand: Errand) -> None:
        if errand.of is not None:
            await self._answered[errand.of].wait()
        await asyncio.sleep(errand.at)
        for number in range(1, TRIES + 1):
            attempt = self._attempt(errand, number)
            if errand.kind == "command":
                await self._command(attempt)
            else:
                await self._say(attempt, errand)
            if attempt.taken is not False and not await self._in_vain(errand, attempt):
                return
            await asyncio.sleep(AGAIN)

    def _attempt(self, errand: Errand, number: int) -> Attempt:
        attempt = Attempt(
            errand.number,
            f"mark-{errand.number:04}x{number}",
            errand.kind,
            self._user(errand),
            _channel(errand.channel),
            self._slack.journal.clock(),
        )
        self.attempts.append(attempt)
        return attempt

    async def _command(self, attempt: Attempt) -> None:
        charts = "" if self._plan.charts else "--no-charts "
        line = f"/consortium ask {charts}{_question(attempt.mark)}"
        delivery = await self._slack.command(line, channel=attempt.channel, user=attempt.user)
        attempt.taken = delivery.acked

    async def _say(self, attempt: Attempt, errand: Errand) -> None:
        """Slack repeats events by itself, for a while."""
        thread = None if errand.of is None else self._threads[errand.of]
        mention = thread is None
        said = await self._slack.say(
            _question(attempt.mark), channel=attempt.channel, user=attempt.user, thread_ts=thread, mention=mention
        )
        attempt.thread = thread or said

    async def _in_vain(self, errand: Errand, attempt: Attempt) -> bool:
        """Wait until the answer stands, or until the asker was told to try again, or Slack gave the message up."""
        while not self._answered[errand.number].is_set():
            if attempt.taken is False:
                await asyncio.sleep(PATIENCE)  # the other event of a mention may have come through
                return not self._answered[errand.number].is_set()
            if any(asks_again(text) for text in attempt.told):
                return True
            await asyncio.sleep(LOOK)
        return False

    async def _watch(self) -> None:
        """Look at what stands, as people do."""
        told = handed = 0
        seen: set[tuple[str, str]] = set()
        under_way: list[Delivery] = []
        while True:
            await asyncio.sleep(LOOK)
            self._look_at_answers(seen)
            for ephemeral in self._slack.ephemerals[told:]:
                mine = [a for a in self.attempts if a.user == ephemeral.user and a.answered is None]
                for attempt in mine[-1:]:
                    attempt.told.append(ephemeral.text or json.dumps(ephemeral.blocks))
            told = len(self._slack.ephemerals)
            under_way += self._slack.deliveries[handed:]
            handed = len(self._slack.deliveries)
            under_way = self._look_at_events(under_way)

    def _look_at_answers(self, seen: set[tuple[str, str]]) -> None:
        waiting = {attempt.mark: attempt for attempt in self.attempts if attempt.answered is None}
        for key, message in list(self._slack.workspace.messages.items()):
            if key in seen or message.user != BOT_USER:
                continue
            if message.files or is_final(message):
                seen.add(key)  # it changes no more
            attempt = waiting.get(_marks(text_of(message))[-1])
            if attempt is not None and key in seen and not message.files:
                attempt.answered = self._slack.journal.clock()
                self._threads.setdefault(attempt.number, message.thread_ts or message.ts)
                self._answered[attempt.number].set()

    def _look_at_events(self, under_way: list[Delivery]) -> list[Delivery]:
        """What became of people's messages; gives those of which it is not known yet."""
        said = {(a.user, a.mark): a for a in self.attempts if a.kind != "command"}
        for delivery in under_way:
            event = delivery.payload.get("event") or {}
            attempt = said.get((event.get("user", ""), _marks(event.get("text", ""))[-1]))
            if attempt is not None and delivery.failed:
                attempt.taken = False
            elif attempt is not None and delivery.acked and attempt.taken is None:
                attempt.taken = True
        return [delivery for delivery in under_way if not delivery.acked and not delivery.failed]

    def open(self) -> int:
        """How many of those who have set out have no answer yet."""
        return sum(not answered.is_set() for answered in self._answered.values()) - len(self._staying)

    def look(self) -> dict[str, Any]:
        """All that happened, for a judge."""
        slack = self._slack
        messages = [
            {
                "channel": message.channel,
                "ts": message.ts,
                "thread": message.thread_ts,
                "run": mark.get("run_id"),
                "part": mark.get("part"),
                "streaming": message.streaming,
                "final": is_final(message),
                "files": [file.name for file in message.files],
                "text": text_of(message)[:300],
            }
            for message in slack.messages(by_bot=True)
            for mark in [_run_mark(message)]
        ]
        statuses = [(thread, slack.status(*thread)) for thread in slack.statuses]
        latencies = sorted(d.latency for d in slack.deliveries if d.acked)
        return {
            "attempts": [asdict(attempt) for attempt in self.attempts],
            "messages": messages,
            "statuses": [f"{thread}: {text}" for thread, text in statuses if text not in ("", "active")],
            "planned": len(self._plan.errands),
            "given up": sum(d.failed for d in slack.deliveries if d.kind == EVENTS),
            "violations": [f"{v.kind}: {v.detail}" for v in slack.violations],
            "faults": sum(call.fault for call in slack.calls),
            "calls": len(slack.calls),
            "refused": sum(call.status == 429 and not call.fault for call in slack.calls),
            "acks": latencies,
            "repeated events": sum(max(0, len(d.attempts) - 1) for d in slack.deliveries),
        }


def _channel(number: int) -> str:
    return f"C0CROWD{number:04}"


def _question(mark: str) -> str:
    return f"Should it be the default? ({mark})"


def _run_mark(message: Message) -> dict[str, str]:
    metadata = message.metadata or {}
    return dict(metadata.get("event_payload", {})) if metadata.get("event_type") == RUN_TYPE else {}


def _marks(text: str) -> list[str]:
    return re.findall(r"mark-\d+x\d+", text) or [""]


def text_of(message: Message) -> str:
    """All that a message says."""
    return f"{message.text}\n{json.dumps(message.blocks)}"


def is_final(message: Message) -> bool:
    """Whether a message is an answer that stands, not one that is being written or offers to stop its run."""
    text = text_of(message)
    return FINAL in text and not message.streaming and re.search(r"stop:[0-9a-f]{12}", text) is None


def asks_again(text: str) -> bool:
    """Whether what somebody was told says that nothing was asked and that they are to try again."""
    return "again" in text.casefold()


async def act(slack: SlackEmulator, crowd: Crowd, told: dict[str, Any]) -> dict[str, Any]:
    """Do what a line says."""
    match told["do"]:
        case "connect":
            await (slack.connected(timeout=120) if not told.get("url") else slack.deliver_to(told["url"]))
        case "begin":
            crowd.begin(told.get("upto"))
        case "weather":
            slack.weather(told["share"], told["seed"])
        case "drop":
            await slack.disconnect(told["reason"])
        case "open":
            pending = sum(not d.acked and not d.failed for d in slack.deliveries)
            return {"open": crowd.open(), "pending": pending}
        case "look":
            return crowd.look()
    return {}


async def main() -> None:
    """Be the crowd until the last line."""
    plan = Plan.of(json.loads(await _line()))
    async with SlackEmulator(
        socket_mode=plan.socket, scopes=SCOPES, speed=plan.speed, rate_scale=plan.rate_scale, stream_life=300.0
    ) as slack:
        crowd = Crowd(slack, plan)
        _say({"api": slack.api_url, "bot": slack.bot_token, "app": slack.app_token, "secret": slack.signing_secret})
        while line := await _line():
            _say(await act(slack, crowd, json.loads(line)))
        await crowd.end()


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


async def _line() -> str:
    line: str = await asyncio.to_thread(sys.stdin.readline)
    return line.strip()


def told(plan: Plan) -> str:
    """The plan as the first line."""
    return json.dumps(asdict(plan))


def centile(ordered: Sequence[float], share: float) -> float:
    """That share of ordered numbers is at most this."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


if __name__ == "__main__":
    asyncio.run(main())
