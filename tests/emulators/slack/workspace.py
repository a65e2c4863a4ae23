"""The people, channels, messages and files of one emulated workspace."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from . import limits
from .blocks import name_blocks
from .journal import JSON, ApiError, Clock, Journal

TEAM = "T0ACME0001"
APP = "A0ACME0001"
BOT_USER = "U0BOT00001"
BOT = "B0BOT00001"
ALICE = "U0ALICE001"
BOB = "U0BOBBY001"
CAROL = "U0CAROL001"

DEFAULTS = frozenset(
    {TEAM, BOT_USER, BOT, ALICE, BOB, CAROL} | {"C0GENERAL1", "C0OUTSIDE1", "C0PRIVATE1", "C0HIDDEN01", "D0ALICE001"}
)
"""The ids of the first workspace. Those of another one have its figure in the second place."""


def beside(known: str, default: str) -> str:
    """The id that stands in the workspace of `known` for one of the first workspace."""
    return f"{default[0]}{known[1]}{default[2:]}"


CHANNEL_TYPES = {"channel": "channels", "group": "groups", "im": "im", "mpim": "mpim"}


@dataclass
class User:
    id: str
    name: str
    real_name: str
    is_bot: bool = False
    is_admin: bool = False
    is_owner: bool = False
    is_guest: bool = False

    def to_json(self) -> JSON:
        profile = {"real_name": self.real_name, "display_name": self.name}
        flags = {"is_bot": self.is_bot, "deleted": False, "is_restricted": self.is_guest, "is_ultra_restricted": False}
        # Owners are administrators too.
        ranks = {"is_admin": self.is_admin or self.is_owner, "is_owner": self.is_owner, "is_primary_owner": False}
        return {
            "id": self.id,
            "team_id": beside(self.id, TEAM),
            "name": self.name,
            "real_name": self.real_name,
            "tz": "Etc/UTC",
            "profile": profile,
            **flags,
            **ranks,
        }


@dataclass
class Channel:
    """A conversation. `type` is as in message events: channel, group (private) or im."""

    id: str
    name: str
    type: str
    members: set[str]
    archived: bool = False

    @property
    def scope_family(self) -> str:
        return CHANNEL_TYPES[self.type]

    def to_json(self) -> JSON:
        kinds = {"is_channel": self.type == "channel", "is_group": False, "is_im": self.type == "im"}
        common: JSON = {
            "id": self.id,
            **kinds,
            "is_private": self.type != "channel",
            "is_archived": self.archived,
        }
        if self.type == "im":
            return common | {"user": next(iter(self.members - {beside(self.id, BOT_USER)}))}
        return common | {"name": self.name, "is_member": beside(self.id, BOT_USER) in self.members}


@dataclass
class File:
    """A file. `content` is None until its bytes arrive; `shares` maps channel ids to message ts.

    `kind` is the mimetype that a person's client named; without it the bytes and the name tell. `url` is where
    the file can be downloaded from with a token, empty for files that cannot.
    """

    id: str
    name: str
    length: int
    alt_text: str
    ticket: str
    title: str = ""
    content: bytes | None = None
    completed: bool = False
    shares: dict[str, str] = field(default_factory=dict)
    user: str = BOT_USER
    kind: str = ""
    url: str = ""

    @property
    def mimetype(self) -> str:
        if self.kind:
            return self.kind
        head = (self.content or b"")[:8]
        for magic, kind in ((b"\x89PNG", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF8", "gif")):
            if head.startswith(magic):
                return f"image/{kind}"
        return "text/plain" if self.name.endswith((".txt", ".md")) else "application/octet-stream"

    def to_json(self, channels: dict[str, Channel]) -> JSON:
        shares: dict[str, JSON] = {"public": {}, "private": {}}
        for channel, ts in self.shares.items():
            kind = "public" if channels[channel].type == "channel" else "private"
            shares[kind][channel] = [{"ts": ts}]
        urls = {"url_private": self.url, "url_private_download": self.url} if self.url else {}
        return {
            "id": self.id,
            "name": self.name,
            "title": self.title or self.name,
            "alt_txt": self.alt_text,
            "mimetype": self.mimetype,
            "filetype": self.mimetype.rpartition("/")[2],
            "size": self.length,
            "user": self.user,
            "mode": "hosted",
            "is_external": False,
            "file_access": "visible",
            **urls,
            "shares": {kind: where for kind, where in shares.items() if where},
        }


@dataclass
class Task:
    """One task card of a stream. `details` and `output` grow with each update, `sources` too."""

    id: str
    title: str
    status: str
    details: str = ""
    output: str = ""
    sources: list[JSON] = field(default_factory=list)


@dataclass
class Stream:
    """What was streamed into a message besides its text.

    Attributes:
        ends: when the stream dies, whatever is appended.
        recipient: whom a stream in a channel is for.
        display_mode: timeline or plan.
        mode: "markdown_text" or "chunks", by the first call that carried something; no later one may differ.
        tasks: in the order in which they first came.
        blocks: those that came as chunks.
    """

    ends: float
    recipient: str | None = None
    display_mode: str = "timeline"
    mode: str = ""
    plan_title: str = ""
    tasks: dict[str, Task] = field(default_factory=dict)
    blocks: list[JSON] = field(default_factory=list)


@dataclass
class Message:
    """A stored message. `edits` holds the texts it had before, oldest first.

    Of a streamed message `text` is the text so far, `stream` the rest of what was streamed, and `blocks` the
    final blocks that stand below both.
    """

    channel: str
    ts: str
    user: str
    text: str
    bot_id: str | None = None
    thread_ts: str | None = None
    blocks: list[JSON] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    metadata: JSON | None = None
    markdown: bool = False
    streaming: bool = False
    stream: Stream | None = None
    stopped_by_user: bool = False
    edits: list[str] = field(default_factory=list)

    def to_json(self, channels: dict[str, Channel], *, metadata: bool = False) -> JSON:
        body: JSON = {
            "type": "message",
            "user": self.user,
            "text": self.text,
            "ts": self.ts,
            "team": beside(self.channel, TEAM),
        }
        if self.bot_id:
            body |= {"bot_id": self.bot_id, "app_id": APP}
        if self.thread_ts:
            body["thread_ts"] = self.thread_ts
        if self.blocks:
            body["blocks"] = self.blocks
        if self.files:
            body["files"] = [file.to_json(channels) for file in self.files]
        if self.edits:
            body["edited"] = {"user": self.user, "ts": self.ts}
        if metadata and self.metadata:
            body["metadata"] = self.metadata
        return body


@dataclass(frozen=True)
class Ephemeral:
    """A message only one person saw: a postEphemeral, a command's reply or a response URL's."""

    channel: str
    user: str
    text: str
    blocks: list[JSON]
    ts: str
    thread_ts: str | None = None


def default_channels(team: str = TEAM) -> list[Channel]:
    """A public channel with the bot, one without, a private one with, one without, and a DM."""
    alice, bob, carol, bot = (beside(team, one) for one in (ALICE, BOB, CAROL, BOT_USER))
    both = {alice, bob, carol}
    return [
        Channel(beside(team, "C0GENERAL1"), "general", "channel", both | {bot}),
        Channel(beside(team, "C0OUTSIDE1"), "outside", "channel", set(both)),
        Channel(beside(team, "C0PRIVATE1"), "private", "group", both | {bot}),
        Channel(beside(team, "C0HIDDEN01"), "hidden", "group", set(both)),
        Channel(beside(team, "D0ALICE001"), "", "im", {alice, bot}),
    ]


class Workspace:
    """State of the workspace and the rules of who may write where.

    `publish` receives the event that Slack would send for each change the app itself makes. `statuses` holds
    the last status of each thread by (channel, thread_ts), "" once cleared; `status_ends` says when one lapses.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        scopes: tuple[str, ...],
        number: int = 0,
        name: str = "Acme",
        enterprise: str | None = None,
    ) -> None:
        self.team, self.name, self.enterprise = f"{TEAM[0]}{number}{TEAM[2:]}", name, enterprise
        self.bot_user, self.bot = self.own(BOT_USER), self.own(BOT)
        self.org_wide = False
        self.journal = journal
        self.clock = clock
        self.scopes = scopes
        self.users = {
            user.id: user
            for user in (
                User(self.own(ALICE), "alice", "Alice Archer"),
                User(self.own(BOB), "bob", "Bob Baker"),
                User(self.own(CAROL), "carol", "Carol Cook", is_admin=True),
                User(self.bot_user, "consortium", "Consortium", is_bot=True),
            )
        }
        self.channels = {channel.id: channel for channel in default_channels(self.team)}
        self.messages: dict[tuple[str, str], Message] = {}
        self.files: dict[str, File] = {}
        self.ephemerals: list[Ephemeral] = []
        self.statuses: dict[tuple[str, str], str] = {}
        self.status_ends: dict[tuple[str, str], float] = {}
        self.publish: Callable[[JSON], None] = lambda event: None
        self._last_tick = 0

    def own(self, known: str) -> str:
        """An id of the first workspace as it is here; any other stays as it is."""
        return beside(self.team, known) if known in DEFAULTS else known

    def next_ts(self) -> str:
        """A message timestamp later than every one before."""
        self._last_tick = max(int(self.clock() * 1_000_000), self._last_tick + 1)
        seconds, micros = divmod(self._last_tick, 1_000_000)
        return f"{seconds}.{micros:06d}"

    def require_scope(self, scope: str) -> None:
        if scope not in self.scopes:
            raise ApiError("missing_scope", needed=scope, provided=",".join(self.scopes))

    def visible(self, channel_id: str) -> Channel:
        """The channel, unless it is unknown or private and the bot is not in it."""
        channel = self.channels.get(channel_id)
        if channel is None or (channel.type != "channel" and self.bot_user not in channel.members):
            raise ApiError("channel_not_found")
        return channel

    def joined(self, channel_id: str) -> Channel:
        """The channel, if the bot is a member of it."""
        channel = self.visible(channel_id)
        if self.bot_user not in channel.members:
            raise ApiError("not_in_channel")
        return channel

    def writable(self, channel_id: str) -> Channel:
        """The channel the bot may post to. A user's id stands for the DM with that user."""
        if channel_id in self.users:
            return self.open_dm(channel_id)[0]
        channel = self.visible(channel_id)
        if self.bot_user not in channel.members and "chat:write.public" not in self.scopes:
            raise ApiError("not_in_channel")
        if channel.archived:
            raise ApiError("is_archived")
        return channel

    def open_dm(self, user_id: str) -> tuple[Channel, bool]:
        """The DM with a user and whether it was open already."""
        if user_id not in self.users or user_id == self.bot_user:
            raise ApiError("user_not_found")
        for channel in self.channels.values():
            if channel.type == "im" and user_id in channel.members:
                return channel, True
        channel = Channel(f"D{self.team[1]}{uuid.uuid4().hex[:8].upper()}", "", "im", {user_id, self.bot_user})
        self.channels[channel.id] = channel
        return channel, False

    def message(self, channel_id: str, ts: str, missing: str = "message_not_found") -> Message:
        found = self.messages.get((channel_id, ts))
        if found is None:
            raise ApiError(missing)
        return found

    def parent_ts(self, channel: Channel, thread_ts: str | None) -> str | None:
        """Where a reply really lands. Slack forgives a wrong thread_ts silently; the journal does not."""
        if not thread_ts:
            return None
        parent = self.messages.get((channel.id, thread_ts))
        if parent is None:
            self.journal.violation("unknown_thread", f"{channel.id} has no message {thread_ts}")
            return None
        if parent.thread_ts and parent.thread_ts != parent.ts:
            self.journal.violation("thread_ts_of_reply", f"{thread_ts} is a reply in {parent.thread_ts}")
            return parent.thread_ts
        return parent.ts

    def store(self, message: Message, subtype: str | None = None) -> Message:
        """Keep a message; one of the bot's own is published as Slack would publish it."""
        name_blocks(message.blocks)
        self.messages[message.channel, message.ts] = message
        if message.user == self.bot_user:
            self.publish_message(message, subtype)
        return message

    def publish_message(self, message: Message, subtype: str | None = None) -> None:
        self.publish(self.message_event(message) | ({"subtype": subtype} if subtype else {}))

    def publish_change(self, message: Message, before: JSON) -> None:
        changed = {"message": message.to_json(self.channels), "previous_message": before}
        self._publish_hidden(message.channel, {"subtype": "message_changed", **changed})

    def publish_deletion(self, message: Message) -> None:
        before = message.to_json(self.channels)
        deleted = {"subtype": "message_deleted", "deleted_ts": message.ts, "previous_message": before}
        self._publish_hidden(message.channel, deleted)

    def _publish_hidden(self, channel_id: str, body: JSON) -> None:
        ts = self.next_ts()
        kind = self.channels[channel_id].type
        where = {"channel": channel_id, "channel_type": kind, "hidden": True, "ts": ts, "event_ts": ts}
        self.publish({"type": "message", **where, **body})

    def message_event(self, message: Message) -> JSON:
        """The inner event that announces a message."""
        kind = self.channels[message.channel].type
        where = {"channel": message.channel, "channel_type": kind, "event_ts": message.ts}
        return message.to_json(self.channels) | where

    def thread(self, channel_id: str, ts: str) -> list[Message]:
        """The root (where it exists) and its replies, in order."""
        found = [
            message
            for message in self.messages.values()
            if message.channel == channel_id and ts in (message.ts, message.thread_ts)
        ]
        return sorted(found, key=lambda message: message.ts)

    def file_or_error(self, file_id: str) -> File:
        file = self.files.get(file_id)
        if file is None:
            raise ApiError("file_not_found")
        return file

    def set_status(self, thread: tuple[str, str], status: str, life: float | None = None) -> None:
        """Show a status in a thread; `life` is its seconds, else it stays, but for a session in "processing"."""
        self.statuses[thread] = status
        stays = limits.SESSION_STATUS_LIFE if status == "processing" else float("inf")
        self.status_ends[thread] = self.clock() + (stays if life is None else life)

    def status(self, thread: tuple[str, str]) -> str:
        """The status that people see in a thread now; "" for none or one that has lapsed."""
        return self.statuses.get(thread, "") if self.clock() < self.status_ends.get(thread, 0.0) else ""

    def live(self, message: Message) -> bool:
        """Whether a message is being streamed and the stream is not dead."""
        return message.streaming and message.stream is not None and self.clock() < message.stream.ends

    def usable_image(self, file_id: str) -> bool:
        """Whether an image block may show this file: shared already, and an image."""
        file = self.files.get(file_id)
        return file is not None and bool(file.shares) and file.mimetype in limits.IMAGE_TYPES
