"""Front and worker as programs of their own, with everything logged: what they say is fit for anybody to read, and one
trace tells of both."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
import pytest_asyncio

from adapters.tracing import ids
from tests.e2e.slack.stage import KEY_VARIABLE, shown, troubled_provider, workspace
from tests.emulators.collector import Collector
from tests.emulators.discord import DiscordEmulator
from tests.emulators.provider import ProviderEmulator
from tests.emulators.slack import SlackEmulator
from tests.servers import REDIS_MISSING, own_redis

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

WORD = "canary"
QUESTION = f"Is a {WORD}-question good?"
PASSWORD, HEADER, SIGNING = f"{WORD}-password", f"{WORD}-header", f"{WORD}-signing"

MODELS = """
[providers.emulated]
base_url = "{url}"
api_key_env = "{key}"

[models.ada]
provider = "emulated"
name = "ada"

[models.gone]
provider = "emulated"
name = "gone"

[models.judge]
provider = "emulated"
name = "judge"

[models.babbler]
provider = "emulated"
name = "babbler"

[consortia.default]
members = ["ada:2", "gone"]
arbiter = "babbler"
arbiter_fallbacks = ["judge"]
max_iterations = 1
"""


class Program:
    """``consortium`` with a command, and what it writes to standard error. Use as an async context manager."""

    def __init__(self, folder: Path, command: tuple[str, ...], **env: str) -> None:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        self._folder, self._command = folder, command
        self._env = {**kept, "PYTHONPATH": str(Path(__file__).parents[2]), **env}
        self.lines: list[str] = []
        self._more = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from bot.cli import main; main()", *self._command),
            cwd=self._folder,
            env=self._env,
            stderr=asyncio.subprocess.PIPE,
            limit=2**20,
        )
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.wait()
        await self._reading

    async def line(self, pattern: str) -> re.Match[str]:
        """The first line that a pattern is found in, once it is there. Raises AssertionError when it ends before."""
        async with asyncio.timeout(60), self._more:
            while True:
                if found := next(filter(None, (re.search(pattern, line) for line in self.lines)), None):
                    return found
                assert not self._reading.done(), self.lines
                await self._more.wait()

    async def _read(self) -> None:
        assert self._process.stderr
        async for line in self._process.stderr:
            async with self._more:
                self.lines.append(line.decode().rstrip("\n"))
                self._more.notify_all()
        async with self._more:
            self._more.notify_all()


@dataclass
class Told:
    """What the two programs did and said."""

    slack: SlackEmulator
    discord: DiscordEmulator
    provider: ProviderEmulator
    collector: Collector
    front: list[str]
    worker: list[str]
    run: str = ""
    ready: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, str] = field(default_factory=dict)


async def _look(told: Told, name: str, url: str) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{url.rstrip('/')}/readyz") as reply:
            told.ready[name] = (reply.status, [part["part"] for part in (await reply.json())["parts"]])
        async with session.get(f"{url.rstrip('/')}/metrics") as reply:
            told.figures[name] = await reply.text()
        async with session.get(url) as reply:
            told.ready[f"{name} page"] = reply.status


async def _use(told: Told, front: Program, worker: Program) -> None:
    """Ask in Slack, which refuses some of what it is told."""
    slack = told.slack
    page = (await front.line(r'"page": "(\S+)"'))[1]
    watch = (await worker.line(r"watch=(\S+)"))[1]
    await slack.connected(timeout=30)
    slack.fault("chat.postMessage", status=429, retry_after=0)
    slack.fault("chat.postMessage", status=500)
    delivery = await slack.command(f"/consortium ask --no-charts {QUESTION}")
    assert delivery.acked
    await slack.command(f"/consortium run {WORD}-run")
    answer = (await slack.wait_for(lambda: [m for m in slack.messages(by_bot=True) if "· run " in shown(m)], 30))[0]
    told.run = re.findall(r"· run (\w+)", shown(answer))[0]
    discord = told.discord
    await discord.wait_connected(30)
    discord.faults.rate_limit(0.01, "POST", r"/channels/\d+/messages$")
    await discord.command(discord.alice, "consortium ask", {"question": QUESTION, "charts": False})
    thread = (await discord.wait_for(lambda: discord.threads, 30))[0]
    await discord.wait_for(lambda: [m for m in discord.messages(thread.id) if "-# consortium " in m.text], 30)
    await told.collector.wait(2, "ask", "delivery")
    await _look(told, "front", page)
    await _look(told, "worker", watch)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Told]:
    folder = tmp_path_factory.mktemp("programs")
    redis = own_redis()
    if redis is None:
        pytest.skip(REDIS_MISSING)
    async with AsyncExitStack() as stack:
        stack.enter_context(redis)
        provider = await stack.enter_async_context(troubled_provider())
        slack = await stack.enter_async_context(workspace())
        discord = await stack.enter_async_context(DiscordEmulator(rates=False, ack_deadline=20.0))
        collector = await stack.enter_async_context(Collector())
        (folder / "consortium.toml").write_text(MODELS.format(url=provider.base_url, key=KEY_VARIABLE), "utf-8")
        env = {
            KEY_VARIABLE: provider.key,
            "REDIS_URL": redis.url.replace("redis://", f"redis://default:{PASSWORD}@"),  # any word will do there
            "LOG_LEVEL": "DEBUG",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={HEADER}",
            "SHUTDOWN_GRACE": "1",
        }
        tokens = {
            "SLACK_BOT_TOKEN": slack.bot_token,
            "SLACK_APP_TOKEN": slack.app_token,
            "SLACK_API_URL": slack.api_url,
            "SLACK_SIGNING_SECRET": SIGNING,
            "DISCORD_BOT_TOKEN": discord.token,
            "DISCORD_API_URL": discord.api_url,
            "DISCORD_GATEWAY_URL": discord.gateway_url,
        }
        front = Program(folder, ("serve", "--no-work"), **env, **tokens, PORT="0", LOG_JSON="true")
        worker = Program(folder, ("worker",), **env, WORKER_PORT="0", LOG_TEXTS="false")
        told = Told(slack, discord, provider, collector, front.lines, worker.lines)
        async with front, worker:
            await _use(told, front, worker)
        yield told


# --- what is logged -------------------------------------------------------------------------------------


async def test_the_log_has_no_secret(told: Told) -> None:
    tokens = (told.provider.key, told.slack.bot_token, told.slack.app_token, told.discord.token)
    for lines in (told.front, told.worker):
        assert len(lines) > 2
        for secret in (*tokens, PASSWORD, HEADER, SIGNING):
            assert [line for line in lines if secret in line] == []


async def test_the_log_has_nothing_that_people_or_models_wrote(told: Told) -> None:
    for word in (WORD, "has read the question", "Final answer"):
        assert [line for line in (*told.front, *told.worker) if word in line] == []


async def test_every_line_is_a_record_and_those_of_the_run_have_its_id(told: Told) -> None:
    records = [json.loads(line) for line in told.front]
    assert all({"event", "level", "logger", "timestamp"} <= set(record) for record in records)
    for event in ("run begun", "arbiter failed", "run ended"):
        lines = [line for line in told.worker if f"] {event} " in line]
        assert len(lines) == 2
        assert sum(f"run={told.run}" in line for line in lines) == 1
    assert all(line.isprintable() for line in told.worker)


# --- how they are watched -------------------------------------------------------------------------------


async def test_both_are_ready_and_the_worker_serves_nothing_else(told: Told) -> None:
    assert told.ready["front"] == (200, ["database", "redis", "slack", "discord"])
    assert told.ready["worker"] == (200, ["database", "redis", "arbiter"])
    assert (told.ready["front page"], told.ready["worker page"]) == (200, 404)


async def test_each_counts_its_own(told: Told) -> None:
    front, worker = told.figures["front"], told.figures["worker"]
    assert 'consortium_runs_total{platform="slack",status="done",strategy="default"} 1.0' in worker
    assert 'consortium_runs_total{platform="discord",status="done",strategy="default"} 1.0' in worker
    assert 'consortium_verdicts_total{source="stand_in"} 2.0' in worker
    assert 'consortium_arbiter_failures_total{kind="bad_reply",model="babbler"} 2.0' in worker
    assert 'consortium_stage_seconds_count{stage="delivery"} 2.0' in front
    assert 'consortium_events_total{platform="discord",result="taken"} 1.0' in front
    assert 'consortium_events_total{platform="slack",result="taken"} 1.0' in front
    assert 'consortium_platform_rate_limited_total{method="chat.postMessage",platform="slack"} 1.0' in front
    assert 'consortium_platform_rate_limited_total{method="POST /channels/…/messages",platform="discord"} 1.0' in front
    assert "consortium_runs_total{" not in front
    for figures in (front, worker):
        assert WORD not in figures
        assert told.run not in figures


async def test_one_trace_tells_of_both(told: Told) -> None:
    spans = [span for span in told.collector.spans if span.trace == f"{ids(told.run)[0]:032x}"]
    services = {span.name: span.service for span in spans}
    assert services["delivery"] == "consortium-serve"
    assert {services[name] for name in ("ask", "queue", "run", "round", "member", "judge")} == {"consortium-worker"}
    roots = [span for span in spans if not span.parent]
    assert [span.name for span in roots] == ["ask"]
    known = {span.id for span in spans}
    assert all(span.parent in known for span in spans if span.parent)
    assert WORD not in "".join(told.collector.texts)
    assert told.collector.headers["x-key"] == HEADER
