"""The whole product behind its page: what tests need to start it, and a visitor without a screen."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from adapters.web.server import WebSurface
from bot.app import Core, open_core
from bot.settings import Settings
from core.catalog import Catalog
from tests.databases import new_database
from tests.emulators.provider import ProviderEmulator, status

KEY_VARIABLE = "EMULATED_PAGE_KEY"

Json = dict[str, Any]

HOSTILE = (
    "<script>window.harmed = 'script'</script> <img src=x onerror=\"window.harmed = 'image'\">\n\n"
    "[press me](javascript:window.harmed='link') ![](https://evil.example/pixel.png) "
    "[https://bank.example](https://evil.example/login)\n\n"
    "| name | value |\n|:-----|------:|\n| <svg onload=\"window.harmed = 'svg'\"> | 1 |\n\n"
    "```html\n<iframe src=javascript:window.harmed='frame'></iframe>\n```"
)
"""A member's answer that means no good."""

WIDE = (
    "```python\n"
    + "a_long_line_of_code = " * 30
    + "\n```\n\n|"
    + " a column |" * 25
    + "\n|"
    + "---|" * 25
    + "\n|"
    + " some value |" * 25
    + "\n\n"
    + "onewordwithoutanyend" * 40
)
"""An answer that does not fit the page."""


def catalog(provider: ProviderEmulator, **extra: Any) -> Catalog:
    """Simulated members by default, and models of an emulated provider in consortia for every kind of trouble."""
    simulated = ("pragmatist", "optimist", "skeptic", "scholar", "nomad")
    models: Json = {name: {"provider": "simulated", "name": name} for name in (*simulated, "arbiter")}
    keys = ("ada", "bert", "judge", "hanging", "hostile", "wide", "gone", "lost", "slow")
    models |= {key: {"provider": "emulated", "name": key, "timeout": 30} for key in keys}
    panels: dict[str, tuple[tuple[str, ...], str]] = {
        "default": (simulated, "arbiter"),
        "real": (("ada", "bert"), "judge"),
        "stuck": (("ada", "hanging"), "judge"),
        "slowly": (("ada", "slow"), "judge"),
        "single": (("ada",), "judge"),
        "partly": (("ada", "bert", "gone"), "judge"),
        "hostile": (("hostile", "ada"), "judge"),
        "wide": (("wide", "ada"), "wide"),
        "dead": (("gone", "lost"), "judge"),
    }
    consortia: dict[str, Json] = {
        name: {"members": members, "arbiter": arbiter, "max_iterations": 1, "quorum": 1.0}
        for name, (members, arbiter) in panels.items()
    }
    for strategy, params in (("council", {}), ("voting", {"lead": 3}), ("elimination", {})):
        consortia[strategy] = {**consortia["default"], "strategy": strategy, "params": params, "max_iterations": 2}
    consortia["elimination"]["min_iterations"] = 2
    return Catalog.model_validate(
        {
            "providers": {"emulated": {"base_url": provider.base_url, "api_key_env": KEY_VARIABLE}},
            "models": models,
            "consortia": consortia,
            "limits": {"user": "9999/minute", "workspace": "9999/minute"},
            **extra,
        }
    )


@asynccontextmanager
async def troubled_provider() -> AsyncIterator[ProviderEmulator]:
    """The emulated provider behind :func:`catalog`, each model with its own way to behave."""
    async with ProviderEmulator() as provider:
        for name in ("ada", "bert"):
            provider.model(name)
        provider.model("judge", pause=0.05)
        provider.model("slow", latency=2.2)
        provider.model("hanging", always="hang")
        provider.model("hostile", text=HOSTILE)
        provider.model("wide", text=WIDE)
        provider.model("gone", always=status(401))
        provider.model("lost", always=status(404))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(KEY_VARIABLE, provider.key)
            yield provider


@dataclass
class Stage:
    """A running product and its page."""

    core: Core
    provider: ProviderEmulator
    surface: WebSurface
    url: str

    async def restart_page(self) -> None:
        """The page's server goes away and comes back at the same address."""
        port = int(self.url.rstrip("/").rpartition(":")[2])
        await self.surface.close()
        self.surface = WebSurface(self.core.service, self.core.history)
        await self.surface.start("127.0.0.1", port)


@asynccontextmanager
async def stage(folder: Path, *, pace: float = 0.0, **extra: Any) -> AsyncIterator[Stage]:
    """The product with its page on a free port; ``pace`` stretches the delays of simulated members."""
    new_database(folder / "consortium.db")
    settings = Settings(  # type: ignore[call-arg]  # pydantic-settings takes the file's name beside the fields
        _env_file=None, data_dir=folder, redis_url="", database_url="", shutdown_grace=0.2
    )
    async with (
        troubled_provider() as provider,
        open_core(settings, catalog(provider, **extra), pace=pace) as core,
    ):
        surface = WebSurface(core.service, core.history)
        stage = Stage(core, provider, surface, await surface.start("127.0.0.1", 0))
        try:
            yield stage
        finally:
            await stage.surface.close()


class Visitor:
    """A browser without a screen: it has its own cookie and speaks to the page's API. Use as a context manager."""

    def __init__(self, url: str) -> None:
        self.session = aiohttp.ClientSession(url, cookie_jar=aiohttp.CookieJar(unsafe=True))

    async def __aenter__(self) -> Visitor:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def post(self, body: Json) -> tuple[int, Json]:
        """Send a command as the page does; gives status and reply."""
        async with self.session.post("/api/commands", json=body) as reply:
            return reply.status, await reply.json()

    async def send(self, text: str, thread: str | None = None, id: str | None = None) -> tuple[int, Json]:
        """Send a text."""
        return await self.post({"text": text, "thread": thread, "id": id})

    async def press(self, action: str, thread: str | None = None) -> Json:
        """Press a button; gives what comes of it."""
        code, reply = await self.post({"action": action, "thread": thread})
        assert code == 200, reply
        return reply

    async def fill(self, action: str, thread: str | None = None, **filled: str | list[str]) -> tuple[int, Json]:
        """Fill in a form and send it."""
        values = {name: value if isinstance(value, list) else [value] for name, value in filled.items()}
        return await self.post({"action": action, "filled": values, "thread": thread})

    async def send_files(self, text: str, *files: tuple[str, bytes, str]) -> tuple[int, Json]:
        """Send a text with files, each with its name, contents and type."""
        form = aiohttp.FormData()
        form.add_field("command", json.dumps({"text": text}))
        for name, data, kind in files:
            form.add_field("file", io.BytesIO(data), filename=name, content_type=kind)
        async with self.session.post("/api/commands", data=form) as reply:
            return reply.status, await reply.json()

    async def suggestions(self, text: str) -> tuple[int, list[str]]:
        """Where what is suggested begins, and the texts."""
        async with self.session.get("/api/suggest", params={"text": text}) as reply:
            found = await reply.json()
            return found["start"], [option["insert"] for option in found["options"]]

    async def ask(self, question: str, thread: str | None = None, options: str = "--no-charts") -> Json:
        """Ask; gives the run as it begins."""
        code, reply = await self.send(f"/consortium ask {options} {question}", thread)
        assert code == 200, reply
        run: Json = reply["run"]
        return run

    async def threads(self) -> list[Json]:
        """The runs that the page would show when it is opened."""
        async with self.session.get("/api/threads") as reply:
            assert reply.status == 200
            runs: list[Json] = (await reply.json())["runs"]
            return runs

    async def status_of(self, path: str) -> int:
        """What a GET of a path gives."""
        async with self.session.get(path) as reply:
            return reply.status

    async def follow(self, *runs: str) -> AsyncIterator[Json]:
        """What the page is told of runs, until the stream ends."""
        async with self.session.get("/api/events", params={"runs": ",".join(runs)}) as reply:
            assert reply.status == 200
            assert reply.content_type == "text/event-stream"
            async for line in reply.content:
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])

    async def result(self, run: Json) -> Json:
        """The run when it is over."""
        async with asyncio.timeout(30):
            states = [state async for state in self.follow(run["id"])]
        assert states[-1]["over"]
        return states[-1]
