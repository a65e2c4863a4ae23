"""The hand in an emulated Slack workspace."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from adapters.slack.blocks import carried_by
from bot.app import open_core
from core.catalog import Catalog
from tests.e2e.slack.stage import on_stage, settings_in, shown
from tests.e2e.walks.hand import Hand, Opened, Reaction, Shown, typed
from tests.emulators.slack import Ephemeral, Message, SlackEmulator
from tests.emulators.slack.blocks import texts
from tests.emulators.slack.workspace import BOT_USER, Channel, User

T = TypeVar("T")
Place = tuple[str, str]


class SlackHand(Hand):
    """Types slash commands, taps, fills in modals. A place is a channel and the ts of a thread's root."""

    platform = "slack"

    def __init__(self, slack: SlackEmulator, folder: Path, catalog: Catalog) -> None:
        self.slack, self._folder, self._catalog = slack, folder, catalog
        self.did = set()
        self._walks = 0

    async def begin(self) -> None:
        self.did, self._walks = set(), self._walks + 1
        self.ana, self.ben, self.boss = (self._person(name) for name in ("ana", "ben", "boss"))
        await self.move()

    async def move(self) -> None:
        channels, people = self.slack.workspace.channels, {self.ana, self.ben, self.boss, BOT_USER}
        self.channel = f"C0WALK{len(channels):04}"
        channels[self.channel] = Channel(self.channel, f"walk-{len(channels)}", "channel", people)

    def _person(self, name: str) -> str:
        user = User(f"U0{name.upper()}{self._walks:04}", name, name.title(), is_admin=name == "boss")
        self.slack.workspace.users[user.id] = user
        return user.id

    @asynccontextmanager
    async def process(self) -> AsyncIterator[None]:
        async with (
            open_core(settings_in(self._folder), self._catalog, pace=0) as self.core,
            on_stage(self.slack, self.core) as self.stage,
        ):
            yield

    def id_of(self, person: str) -> str:
        return person

    async def end(self) -> None:
        await self.stage.idle()
        assert self.slack.violations == []

    # --- doing --------------------------------------------------------------------------------------

    async def _use(self, words: str, by: str, options: Mapping[str, Any]) -> Reaction:
        reaction = SlackReaction(self, by)
        given = {**options, **({"who": f"<@{options['who']}|somebody>"} if "who" in options else {})}
        delivery = await self.slack.command(f"/consortium {typed(words, given)}", channel=self.channel, user=by)
        assert delivery.acked
        return reaction

    async def _tap(self, shown: Shown, label: str, by: str) -> Reaction:
        message, elements = shown.native
        reaction = SlackReaction(self, by, message.channel)
        _, element, _, value = next(e for e in elements if e[0] == label)
        delivery = await self.slack.click(message.channel, message.ts, element, user=by, value=value)
        assert delivery.acked
        return reaction

    async def _fill(self, form: Opened, values: Mapping[str, Any]) -> Reaction:
        view = form.native
        reaction = SlackReaction(self, view.user)
        delivery = await self.slack.submit_view(view, values)
        assert delivery.acked
        assert view.errors == {}
        return reaction

    async def mention(self, text: str, *, by: Any = None, files: Sequence[tuple[str, bytes]] = ()) -> Place:
        self.did.add("by:mention")
        ts = await self.slack.say(text, channel=self.channel, user=by or self.ana, mention=True, files=files)
        return self.channel, ts

    async def direct(self, text: str, *, files: Sequence[tuple[str, bytes]] = ()) -> Place:
        self.did.add("by:direct message")
        channel, _ = self.slack.workspace.open_dm(self.ana)
        return channel.id, await self.slack.say(text, channel=channel.id, user=self.ana, channel_type="im", files=files)

    async def say(self, place: Place, text: str, *, by: Any = None) -> None:
        self.did.add("by:follow-up")
        channel, ts = place
        kind = "im" if channel.startswith("D") else "channel"
        await self.slack.say(text, channel=channel, thread_ts=ts, user=by or self.ana, channel_type=kind)

    async def ask_about(self, text: str) -> Reaction:
        self.did.add("by:menu of a message")
        reaction = SlackReaction(self, self.ana)
        theirs = await self.slack.say(text, channel=self.channel, user=self.ben)
        await self.slack.message_shortcut("ask_about_message", self.channel, theirs, user=self.ana)
        return reaction

    async def welcomed(self) -> Shown:
        self.did.add("by:welcome")
        await self.slack.open_home(self.ana, tab="messages")
        dm, _ = self.slack.workspace.open_dm(self.ana)
        return _shown(*await self.wait(lambda: self.slack.messages(dm.id, by_bot=True)))

    # --- seeing -------------------------------------------------------------------------------------

    def places(self) -> list[Place]:
        own = [m for m in self.slack.messages(self.channel) if not m.thread_ts]
        return [(m.channel, m.ts) for m in own if m.user == BOT_USER or self.shown((m.channel, m.ts))]

    def shown(self, place: Place) -> list[Shown]:
        found = self.slack.thread(*place)
        return [_shown(m) for m in found if m.user == BOT_USER and m.ts != place[1]]

    def told_all(self) -> list[str]:
        return [shown(m) for m in self.slack.messages(by_bot=True) if not m.channel.startswith("D")]

    async def wait(self, condition: Callable[[], T | None], timeout: float = 20) -> T:
        found = await self.slack.wait_for(condition, timeout)
        assert found is not None
        return found


@dataclass
class SlackReaction(Reaction):
    """Counts what the person had been shown before."""

    hand: SlackHand
    user: str
    channel: str = ""

    def __post_init__(self) -> None:
        self._told, self._views = len(self._mine()), len(self.hand.slack.views)

    def _mine(self) -> list[Ephemeral | Message]:
        """What they alone see: in direct messages everything."""
        if self.channel.startswith("D"):
            return list(self.hand.slack.messages(self.channel, by_bot=True))
        return [shown for shown in self.hand.slack.ephemerals if shown.user == self.user]

    async def told(self) -> Shown:
        return _shown(*await self.hand.wait(lambda: self._mine()[self._told :]))

    async def form(self) -> Opened:
        views = self.hand.slack.views
        view = (await self.hand.wait(lambda: [v for v in views[self._views :] if v.user == self.user]))[0]
        said = "\n".join(text for _, text in texts(view.body["blocks"]))
        return Opened(str(carried_by(view.body)["action"]), said, view)


def _shown(*messages: Message | Ephemeral) -> Shown:
    """Messages that belong together, as one; what is tapped is on the last."""
    last = messages[-1]
    files = tuple(f.name for m in messages if isinstance(m, Message) for f in m.files)
    streamed = last.stream.blocks if isinstance(last, Message) and last.stream and last.streaming else []
    elements = _elements([*streamed, *last.blocks])
    buttons = {label: action for label, _, action, _ in elements}
    return Shown("\n".join(shown(m) for m in messages), buttons, files, (last, elements))


def _elements(blocks: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str, str | None]]:
    """Label, id and action of each button, and the value that tells the two of a pair apart."""
    found: list[tuple[str, str, str, str | None]] = []
    for element in (e for block in blocks for e in block.get("elements", ()) if isinstance(e, dict)):
        if element.get("type") == "button":
            found.append((element["text"]["text"].strip(), element["action_id"], element["value"], None))
        elif element.get("type") == "feedback_buttons":
            for pair in ("positive_button", "negative_button"):
                one = element[pair]
                found.append((one["text"]["text"], element["action_id"], one["value"], one["value"]))
    return found
