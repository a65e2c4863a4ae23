"""The whole product on the Discord emulator: real client library, real core, real sockets."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from adapters.discord.limits import Timing
from adapters.discord.surface import DiscordConfig, DiscordSurface
from bot.app import Core, open_core
from bot.settings import Settings
from core.catalog import Catalog
from core.types import Run
from tests.databases import new_database
from tests.emulators.discord import DiscordEmulator, Interaction, Message, Thread, User
from tests.emulators.provider import ProviderEmulator

TIMING = Timing(
    pace=0.02,
    tick=0.5,
    thread=3.0,
    call=5.0,
    retries=(0.01, 0.02, 0.05),
    redeliver=(0.05, 0.1),
    reconnect=(0.05, 0.2),
    guilds=0.1,
    stand_by=0.1,
    gone=3.0,
    identify=0.0,
    patience=(0.1, 0.2, 0.4, 0.8, 1.5),
    rest=1.0,
)


def simulated(**extra: object) -> Catalog:
    """A panel of three simulated members."""
    names = ("pragmatist", "optimist", "skeptic")
    models = {name: {"provider": "simulated", "name": name} for name in (*names, "arbiter")}
    panel = {"members": names, "arbiter": "arbiter", "max_iterations": 1}
    return Catalog.model_validate({"models": models, "consortia": {"default": panel, "deep": panel}, **extra})


def provided(provider: ProviderEmulator, **panel: object) -> Catalog:
    """A panel of three members and an arbiter at an emulated provider."""
    keys = ("ada", "bert", "cleo", "judge")
    models = {key: {"provider": "emulated", "name": key, "timeout": 5} for key in keys}
    spec = {"members": keys[:3], "arbiter": "judge", "max_iterations": 1, "deadline": 20, **panel}
    server = {"base_url": provider.base_url, "api_key_env": "EMULATED_KEY"}
    return Catalog.model_validate({"providers": {"emulated": server}, "models": models, "consortia": {"default": spec}})


@dataclass
class Stage:
    """One process of the product on an emulator."""

    emu: DiscordEmulator
    core: Core
    surface: DiscordSurface

    async def ask(
        self, question: str, *, user: User | None = None, channel_id: int | None = None, **options: object
    ) -> Interaction:
        """Use /consortium ask, without charts where nothing else is said."""
        return await self.emu.command(
            user or self.emu.alice,
            "consortium ask",
            {"question": question, "charts": False, **options},
            channel_id=channel_id,
        )

    async def answered(self, question: str, **options: object) -> Thread:
        """Ask, and wait for the answer to stand and the progress message to be gone."""
        before = len(self.emu.threads)
        await self.ask(question, **options)  # type: ignore[arg-type]
        thread = await self.emu.wait_for(lambda: self.emu.threads[before:], 20)
        await self.settled(thread[0].id)
        return thread[0]

    async def settled(self, channel_id: int, answers: int = 1) -> list[Message]:
        """Wait until so many answers stand in a place; gives their last messages."""
        await self.emu.wait_for(lambda: len(self.answers(channel_id)) >= answers and not self.progress(channel_id), 20)
        return self.answers(channel_id)

    def answers(self, channel_id: int) -> list[Message]:
        """The messages that end an answer: their small print names the run."""
        return [m for m in self.emu.messages(channel_id) if "-# consortium " in m.text and "👍" in str(m.components)]

    def progress(self, channel_id: int) -> list[Message]:
        """The progress messages."""
        return [m for m in self.emu.messages(channel_id) if any(i.startswith("stop:") for i in m.custom_ids)]

    async def run_of(self, answer: Message) -> Run:
        """The run that an answer's small print names, as history has it."""
        found = re.search(r"run ([0-9a-f]{12})", answer.text)
        assert found
        run = await self.core.history.run(found[1])
        assert run
        return run

    async def wants(self, *show: str, channel_id: int | None = None) -> str:
        """Have alice's answers shown "long" or with "charts" there, by the form; gives what she is told."""
        opened = await self.emu.command(self.emu.alice, "consortium settings", channel_id=channel_id)
        await opened.wait_acked(20)
        return await self.told(await self.emu.submit_modal(opened, {"show": list(show)}))

    async def told(self, interaction: Interaction, timeout: float = 20.0) -> str:
        """What the asker alone is told."""

        def seen() -> list[Message]:
            shown = [interaction.response, *interaction.followups]
            return [m for m in shown if m is not None and m.ephemeral and not m.loading]

        return "\n".join(m.text for m in await self.emu.wait_for(seen, timeout))


@asynccontextmanager
async def on_stage(
    emu: DiscordEmulator,
    folder: Path,
    catalog: Catalog | None = None,
    *,
    timing: Timing = TIMING,
    pace: float = 0.0,
    grace: float = 5.0,
    work: bool = True,
) -> AsyncIterator[Stage]:
    """Run the product in a data folder until the block ends; ``grace`` is what deliveries in flight get then."""
    async with (
        open_core(settings_in(folder, grace), catalog or simulated(), pace=pace, work=work) as core,
        on_core(emu, core, timing=timing, grace=grace) as stage,
    ):
        yield stage


@asynccontextmanager
async def on_core(
    emu: DiscordEmulator, core: Core, *, timing: Timing = TIMING, grace: float = 5.0
) -> AsyncIterator[Stage]:
    """Show what a core does on an emulator until the block ends."""
    config = DiscordConfig(emu.token, emu.api_url, emu.gateway_url)
    surface = DiscordSurface(config, core.service, core.history, timing)
    await surface.start()
    try:
        await surface.resume()
        yield Stage(emu, core, surface)
    finally:
        await surface.close(grace)


def settings_in(folder: Path, grace: float = 5.0) -> Settings:
    """Settings that keep everything in a folder, whatever the environment says; the database is there already."""
    new_database(folder / "consortium.db")
    return Settings(  # type: ignore[call-arg]  # pydantic-settings takes the file's name beside the fields
        _env_file=None, data_dir=folder, redis_url="", database_url="", shutdown_grace=grace
    )
