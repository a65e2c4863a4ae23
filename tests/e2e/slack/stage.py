"""The whole product against an emulated Slack workspace: what the walks need to start it and to look at it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from aiohttp import web
from pydantic import SecretStr

from adapters.slack.limits import Timing
from adapters.slack.manifest import SCOPES
from adapters.slack.surface import SlackConfig, SlackSurface
from bot.app import Core, open_core
from bot.settings import Settings
from core.asks import Person, Platform, ThreadRef
from core.catalog import Catalog
from core.commands.values import ChangeSettings
from core.service import Inbound
from tests.databases import new_database
from tests.emulators.provider import ProviderEmulator, status
from tests.emulators.serving import listening
from tests.emulators.slack import Ephemeral, Message, SlackEmulator
from tests.emulators.slack.blocks import texts

TIMING = Timing(
    pace=0.05,
    stream_pace=0.05,
    ping=0.5,
    repeats=(0.05, 0.1, 0.2),
    redeliver=(0.1, 0.2),
    sign=60.0,
    call=10.0,
    connect=10.0,
)

KEY_VARIABLE = "EMULATED_PROVIDER_KEY"

WORDY = "\n\n".join(
    [
        "Ask <!channel> and <@U0BOBBY001>, or read [bank.com](https://evil.net).",
        *(f"Paragraph {n}. " + "Some more words to fill the line. " * 12 for n in range(20)),
        "```python\n" + "\n".join(f"value_{n} = {n}" for n in range(900)) + "\n```",
        "| n | square |\n|---|---|\n| 2 | 4 |",
    ]
)
"""A member's answer that takes several messages, the cut being inside a code fence, and that means no good."""


def workspace(*, http: bool = False, stream_life: float = 300) -> SlackEmulator:
    """An emulated workspace with the app installed: its token may do what the manifest asks for, and no more."""
    return SlackEmulator(socket_mode=not http, scopes=SCOPES, speed=0.01, stream_life=stream_life)


def settings_in(folder: Path) -> Settings:
    """Settings that keep everything in a folder, whatever the environment says; the database is there already."""
    new_database(folder / "consortium.db")
    return Settings(  # type: ignore[call-arg]  # pydantic-settings takes the file's name beside the fields
        _env_file=None, data_dir=folder, redis_url="", database_url="", shutdown_grace=1
    )


def catalog(provider: ProviderEmulator | None = None, **extra: Any) -> Catalog:
    """Simulated members, and beside them models of an emulated provider in consortia for every kind of trouble."""
    names = ("pragmatist", "optimist", "skeptic")
    models: dict[str, Any] = {name: {"provider": "simulated", "name": name} for name in (*names, "arbiter")}
    consortia: dict[str, Any] = {"default": {"members": names, "arbiter": "arbiter", "max_iterations": 1}}
    consortia["council"] = {**consortia["default"], "strategy": "council"}
    providers: dict[str, Any] = {}
    if provider is not None:
        providers["emulated"] = {"base_url": provider.base_url, "api_key_env": KEY_VARIABLE}
        keys = ("ada", "bert", "cleo", "judge", "late", "hanging", "babbler", "wordy", "gone", "lost")
        models |= {key: {"provider": "emulated", "name": key, "timeout": 20} for key in keys}
        panels = {
            "slow": (("ada", "late"), "judge"),
            "stuck": (("ada", "bert", "hanging"), "judge"),
            "held": (("ada", "hanging"), "judge"),
            "rubbish": (("ada", "bert", "cleo"), "babbler"),
            "long": (("wordy",), "judge"),
            "verbose": (("wordy:2",), "babbler"),
            "dead": (("gone", "lost"), "judge"),
        }
        for name, (members, arbiter) in panels.items():
            consortia[name] = {"members": members, "arbiter": arbiter, "max_iterations": 1, "quorum": 0.6}
        consortia["slow"]["quorum"] = consortia["held"]["quorum"] = 1.0  # nobody is left behind
    everything = {"providers": providers, "models": models, "consortia": consortia, **extra}
    return Catalog.model_validate({"limits": {"user": "9999/minute", "workspace": "9999/minute"}, **everything})


@asynccontextmanager
async def troubled_provider() -> AsyncIterator[ProviderEmulator]:
    """The emulated provider behind :func:`catalog`, each model with its own way to behave."""
    async with ProviderEmulator() as provider:
        for name in ("ada", "bert", "cleo", "judge"):
            provider.model(name)
        provider.model("late", latency=1.0)
        provider.model("hanging", always="hang")
        provider.model("babbler", reply="rubbish")
        provider.model("wordy", text=WORDY)
        provider.model("gone", always=status(401))
        provider.model("lost", always=status(404))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(KEY_VARIABLE, provider.key)
            yield provider
        assert provider.violations == []


@dataclass
class Stage:
    """A running product and the workspace it serves."""

    slack: SlackEmulator
    core: Core
    surface: SlackSurface

    async def ask(self, question: str, *, channel: str | None = None, options: str = "--no-charts") -> Message:
        """Ask by slash command; gives the message that opened the thread."""
        delivery = await self.slack.command(f"/consortium ask {options} {question}", channel=channel)
        assert delivery.acked
        assert delivery.response is None
        return await self.root(question)

    async def root(self, text: str, timeout: float = 20) -> Message:
        """The message that opened a thread for a question asked by slash command."""
        found = await self.slack.wait_for(
            lambda: [m for m in self.slack.messages(by_bot=True) if text in m.text and not m.thread_ts], timeout
        )
        return found[0]

    async def show(self, *what: Literal["charts", "long"], user: str | None = None) -> None:
        """Set what the asker, or another person, is shown of answers in the public channel."""
        where = ThreadRef(platform=Platform.SLACK, workspace=self.slack.team_id, channel=self.slack.channel)
        inbound = Inbound(asker=Person(id=user or self.slack.user), where=where)
        await self.core.service.handle(ChangeSettings(show=what), inbound)

    def replies(self, root: str, channel: str | None = None) -> list[Message]:
        """What the bot wrote in a thread."""
        found = self.slack.thread(channel or self.slack.channel, root)
        return [m for m in found if m.bot_id and m.ts != root]

    def answers(self, root: str, channel: str | None = None) -> list[Message]:
        """The messages that end an answer in a thread."""
        return [m for m in self.replies(root, channel) if is_answer(m)]

    async def answer(self, root: str, channel: str | None = None, count: int = 1, timeout: float = 20) -> Message:
        """The latest answer in a thread, once there are ``count``."""
        await self.slack.wait_for(lambda: len(self.answers(root, channel)) >= count, timeout)
        return self.answers(root, channel)[-1]

    async def told(self, count: int = 1, timeout: float = 20) -> str:
        """The latest text that the asker alone was shown, once there are ``count``."""
        await self.slack.wait_for(lambda: len(self.slack.ephemerals) >= count, timeout)
        return shown(self.slack.ephemerals[-1])

    async def charts(self, root: str, channel: str | None = None, timeout: float = 30) -> Message:
        """The message that carries a run's charts."""
        found = await self.slack.wait_for(lambda: [m for m in self.replies(root, channel) if m.files], timeout)
        return found[0]

    async def idle(self) -> None:
        """Wait until nothing is being shown or delivered any more."""
        async with asyncio.timeout(30):
            await self.surface.idle()
        await self.slack.settled()


def is_answer(message: Message) -> bool:
    """Whether a message holds the end of an answer: its small print names the run."""
    return not message.streaming and "consortium " in shown(message) and "· run " in shown(message)


def shown(message: Message | Ephemeral) -> str:
    """What people see of a message: the text of its blocks, else its text."""
    return "\n".join(text for _, text in texts([b for b in message.blocks if b["type"] in _WORDS])) or message.text


_WORDS = ("markdown", "section", "context")


def buttons(message: Message | Ephemeral) -> dict[str, str]:
    """The actions of a message's buttons, by their labels."""
    rows = [block["elements"] for block in message.blocks if block["type"] == "actions"]
    return {element["text"]["text"]: element["action_id"] for row in rows for element in row}


def surface_of(
    slack: SlackEmulator,
    core: Core,
    *,
    http: bool = False,
    bot_token: str | None = None,
    app_token: str | None = None,
    timing: Timing = TIMING,
    connections: int = 2,
) -> SlackSurface:
    """The surface with the workspace's tokens where no others are given, at a pace for tests."""
    config = SlackConfig(
        bot_token=SecretStr(bot_token or slack.bot_token),
        app_token=None if http else SecretStr(app_token or slack.app_token),
        signing_secret=SecretStr(slack.signing_secret),
        api_url=slack.api_url,
        connections=connections,
    )
    return SlackSurface(config, core.service, core.events, core.history, timing)


@asynccontextmanager
async def on_stage(slack: SlackEmulator, core: Core, *, http: bool = False) -> AsyncIterator[Stage]:
    """The surface on a running core, connected over either transport."""
    surface = surface_of(slack, core, http=http)
    await surface.start()
    try:
        if http:
            async with served(surface) as url:
                await slack.deliver_to(url)
                yield Stage(slack, core, surface)
        else:
            await slack.connected()
            yield Stage(slack, core, surface)
    finally:
        await surface.close(2)


@asynccontextmanager
async def served(surface: SlackSurface) -> AsyncIterator[str]:
    """The surface's HTTP endpoint on a port of its own."""
    async with listening(web.post("/slack/events", surface.handle_http)) as url:
        yield f"{url}/slack/events"


@asynccontextmanager
async def product(slack: SlackEmulator, folder: Path, catalog: Catalog, *, http: bool = False) -> AsyncIterator[Stage]:
    """Core and surface, as the composition root builds them."""
    async with open_core(settings_in(folder), catalog, pace=0) as core, on_stage(slack, core, http=http) as stage:
        yield stage
