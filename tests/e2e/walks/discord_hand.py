"""The hand in an emulated Discord server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from core.catalog import Catalog
from tests.e2e.discord.stage import on_stage
from tests.e2e.walks.hand import Hand, Opened, Reaction, Shown
from tests.emulators.discord import DiscordEmulator, File, Interaction, Message, User
from tests.emulators.discord.limits import MessageType, Permission

T = TypeVar("T")

_MENU = 3
"""The type of a menu in a modal."""

RENAMED = {
    "roles": "roles list",
    "models": "models list",
    "access": "access list",
    "budget": "budget list",
    "audit": "access audit",
}
"""Commands that Discord has under other words, since what is a group can be no command itself."""


class DiscordHand(Hand):
    """Uses slash commands, taps, fills in modals. A place is the id of a thread or of a direct channel."""

    platform = "discord"

    def __init__(self, emu: DiscordEmulator, folder: Path, catalog: Catalog) -> None:
        self.emu, self._folder, self._catalog = emu, folder, catalog
        self.did = set()
        self._walks = 0

    async def begin(self) -> None:
        self.did, self._walks = set(), self._walks + 1
        emu = self.emu
        manages = emu.add_role(f"bosses {self._walks}", permissions=Permission.MANAGE_GUILD)
        self.ana, self.ben = emu.add_user(f"ana{self._walks}"), emu.add_user(f"ben{self._walks}")
        self.boss = emu.add_user(f"boss{self._walks}", roles=[manages])
        await self.move()

    async def move(self) -> None:
        self.channel = self.emu.add_channel("walk")
        await self.emu.dispatch("CHANNEL_CREATE", self.emu._payloads.channel(self.emu.world.channels[self.channel]))

    @asynccontextmanager
    async def process(self) -> AsyncIterator[None]:
        async with on_stage(self.emu, self._folder, self._catalog) as self.stage:
            self.core = self.stage.core
            yield

    def id_of(self, person: User) -> str:
        return str(person.id)

    async def end(self) -> None:
        await self.emu.wait_for(lambda: not self.stage.surface._shows.tasks, 20)
        assert self.emu.violations == []

    # --- doing --------------------------------------------------------------------------------------

    async def _use(self, words: str, by: User, options: Mapping[str, Any]) -> Reaction:
        words, given = RENAMED.get(words, words), dict(options)
        if words.startswith("budget ") and words not in ("budget list", "budget confirm"):
            _, scope, period = words.split()
            words, given = "budget set", {"scope": scope, "period": period, **given}
        if words == "retention":
            given = {name: str(value) for name, value in given.items()}
        if "who" in given:
            given["user"] = given.pop("who")
        return await self._acked(await self.emu.command(by, f"consortium {words}", given, channel_id=self.channel))

    async def _tap(self, shown: Shown, label: str, by: User) -> Reaction:
        return await self._acked(await self.emu.click(by, shown.native, shown.actions[label]))

    async def _fill(self, form: Opened, values: Mapping[str, Any]) -> Reaction:
        inputs = [label["component"] for label in form.native.modal["components"] if "component" in label]
        chosen = {part["custom_id"] for part in inputs if part["type"] == _MENU}
        given = {name: [v] if name in chosen and isinstance(v, str) else v for name, v in values.items()}
        return await self._acked(await self.emu.submit_modal(form.native, given))

    async def _acked(self, interaction: Interaction) -> Reaction:
        return DiscordReaction(self, await interaction.wait_acked(20))

    async def mention(self, text: str, *, by: Any = None, files: Sequence[tuple[str, bytes]] = ()) -> int:
        self.did.add("by:mention")
        sent = [File(name, data) for name, data in files]
        message = await self.emu.say(by or self.ana, self.channel, text, mention=True, files=sent)
        return message.id  # the thread that it begins has its id

    async def direct(self, text: str, *, files: Sequence[tuple[str, bytes]] = ()) -> int:
        self.did.add("by:direct message")
        channel = self.emu.world.direct_channel(self.ana).id
        await self.emu.say(self.ana, channel, text, files=[File(name, data) for name, data in files])
        return channel

    async def say(self, place: int, text: str, *, by: Any = None) -> None:
        self.did.add("by:follow-up")
        await self.emu.say(by or self.ana, place, text)

    async def ask_about(self, text: str) -> Reaction:
        self.did.add("by:menu of a message")
        theirs = await self.emu.say(self.ben, self.channel, text)
        return await self._acked(await self.emu.context_menu(self.ana, "Ask the consortium", theirs))

    async def welcomed(self) -> Shown:
        self.did.add("by:welcome")
        guild = self.emu.join_guild(f"newcomers {self._walks}", self.ana)
        welcome = guild.system_channel_id or 0
        return _shown(*await self.wait(lambda: self.emu.messages(welcome)))

    # --- seeing -------------------------------------------------------------------------------------

    def places(self) -> list[int]:
        return [thread.id for thread in self.emu.threads if thread.parent_id == self.channel]

    def shown(self, place: int) -> list[Shown]:
        if place not in self.emu.world.channels:
            return []
        said = [m for m in self.emu.messages(place) if m.author == self.emu.bot]
        return [_shown(m) for m in said if m.type != MessageType.THREAD_STARTER]

    def told_all(self) -> list[str]:
        open_to_all = [c for c in self.emu.world.channels.values() if c.guild_id is not None]
        return [m.text for c in open_to_all for m in self.emu.messages(c.id) if m.author == self.emu.bot]

    async def wait(self, condition: Callable[[], T | None], timeout: float = 20) -> T:
        return await self.emu.wait_for(condition, timeout)


@dataclass
class DiscordReaction(Reaction):
    """What comes of an interaction."""

    hand: DiscordHand
    interaction: Interaction

    async def told(self) -> Shown:
        def seen() -> list[Message]:
            return [m for m in self.interaction.replies if m.ephemeral and not m.loading]

        return _shown(*await self.hand.wait(seen))

    async def form(self) -> Opened:
        modal = await self.hand.wait(lambda: self.interaction.modal)
        return Opened(modal["custom_id"], str(modal), self.interaction)


def _shown(*messages: Message) -> Shown:
    """Messages that belong together, as one; what is tapped is on the last."""
    last = messages[-1]
    buttons = {part["label"]: part["custom_id"] for part in last.parts if part["type"] == 2 and "custom_id" in part}
    files = tuple(file.filename for message in messages for file in message.files)
    return Shown("\n".join(m.text for m in messages), buttons, files, last)
