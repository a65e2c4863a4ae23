"""The guild, its channels, people and messages, and who may do what where."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.emulators.discord.errors import Json, known
from tests.emulators.discord.limits import (
    EPOCH_MS,
    EVERYBODY,
    INVITED,
    NONE,
    ChannelType,
    Flag,
    MessageType,
    Permission,
)
from tests.emulators.discord.record import Clock

THREAD_TYPES = frozenset({ChannelType.ANNOUNCEMENT_THREAD, ChannelType.PUBLIC_THREAD, ChannelType.PRIVATE_THREAD})


@dataclass(frozen=True)
class User:
    """A person, or the bot."""

    id: int
    name: str
    bot: bool = False

    @property
    def mention(self) -> str:
        """The text that mentions this user."""
        return f"<@{self.id}>"


@dataclass(frozen=True)
class Role:
    """A role of the guild; the one that everybody has shares the guild's id."""

    id: int
    name: str
    permissions: Permission
    mentionable: bool = False


@dataclass(frozen=True)
class Overwrite:
    """Permissions that one channel gives to or takes from a role or a member."""

    target: int
    is_member: bool = False
    allow: Permission = NONE
    deny: Permission = NONE


@dataclass
class Attachment:
    """An uploaded file; `width` and `height` in pixels are known for PNG images."""

    id: int
    filename: str
    data: bytes = field(repr=False)
    description: str | None = None
    content_type: str | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True)
class Origin:
    """The interaction that a message answers."""

    id: int
    type: int
    user: User
    name: str
    owners: dict[str, str]
    target_message: int | None = None


@dataclass
class Message:
    """A message as it is stored.

    `attachments` are those listed on the message, `media` those shown inside embeds or components;
    `revisions` are the texts it had before its edits; `viewer` is set for an ephemeral message, which only
    that user sees; `readable` says that the bot sees the content without the content intent.
    """

    id: int
    channel_id: int
    author: User
    at: float
    type: int = MessageType.DEFAULT
    content: str = ""
    embeds: list[Json] = field(default_factory=list)
    components: list[Json] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    media: list[Attachment] = field(default_factory=list)
    flags: int = 0
    edited_at: float | None = None
    nonce: str | int | None = None
    tts: bool = False
    mentions: list[User] = field(default_factory=list)
    mention_roles: list[int] = field(default_factory=list)
    mention_everyone: bool = False
    reference: tuple[int, int] | None = None
    origin: Origin | None = None
    viewer: int | None = None
    thread_id: int | None = None
    readable: bool = False
    revisions: list[str] = field(default_factory=list)

    @property
    def ephemeral(self) -> bool:
        """Whether only one person sees it."""
        return self.viewer is not None

    @property
    def loading(self) -> bool:
        """Whether it still reads "... is thinking"."""
        return bool(self.flags & Flag.LOADING)

    @property
    def files(self) -> list[Attachment]:
        """Every file of the message, listed or shown inside embeds or components."""
        return [*self.attachments, *self.media]

    @property
    def parts(self) -> Iterator[Json]:
        """All components, nested ones included, in reading order."""
        return nested(self.components)

    @property
    def text(self) -> str:
        """What a person reads: content, text components, embed titles and descriptions."""
        shown = [self.content, *(part["content"] for part in self.parts if part["type"] == 10)]
        for embed in self.embeds:
            shown += [embed.get("title", ""), embed.get("description", "")]
            shown += [f"{item['name']}\n{item['value']}" for item in embed.get("fields", ())]
        return "\n".join(part for part in shown if part)

    @property
    def custom_ids(self) -> list[str]:
        """The ids of the buttons and menus that can be used."""
        return [part["custom_id"] for part in self.parts if "custom_id" in part and not part.get("disabled")]


def nested(components: list[Json]) -> Iterator[Json]:
    """Walk components with all they contain."""
    for component in components:
        yield component
        yield from nested(component.get("components", []))
        if "accessory" in component:
            yield component["accessory"]


@dataclass
class Channel:
    """A guild channel, or a direct one when it has recipients and no guild."""

    id: int
    type: int
    name: str
    guild_id: int | None
    overwrites: tuple[Overwrite, ...] = ()
    recipients: tuple[User, ...] = ()
    position: int = 0
    messages: dict[int, Message] = field(default_factory=dict, repr=False)


@dataclass
class Thread(Channel):
    """A thread below a channel; `members` are user ids."""

    parent_id: int = 0
    owner_id: int = 0
    auto_archive: int = 1440
    archived: bool = False
    locked: bool = False
    created_at: float = 0.0
    archived_at: float = 0.0
    slowmode: int = 0
    total: int = 0
    members: dict[int, float] = field(default_factory=dict)

    @property
    def message_count(self) -> int:
        """Messages in it, without the one it started from."""
        return sum(message.type != MessageType.THREAD_STARTER for message in self.messages.values())


@dataclass
class Guild:
    """A guild with the bot in it."""

    id: int
    name: str
    owner: User
    roles: dict[int, Role]
    members: dict[int, tuple[User, tuple[int, ...]]]
    joined_at: float


class World:
    """Everything that exists, and the ids of new things."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._last_id = 0
        self.started = clock.wall()
        self.app_id = self.snowflake()
        self.bot = User(self.app_id, "Consortium", bot=True)
        self.users: dict[int, User] = {self.bot.id: self.bot}
        self.channels: dict[int, Channel] = {}
        self.guild = self._new_guild()

    def snowflake(self) -> int:
        """Give a new id: milliseconds since Discord's epoch in bits 22 and up, and never one twice."""
        made = (int(self.clock.wall() * 1000) - EPOCH_MS) << 22
        self._last_id = max(made, self._last_id + 1)
        return self._last_id

    def _new_guild(self) -> Guild:
        guild_id = self.snowflake()
        everyone = Role(guild_id, "@everyone", EVERYBODY)
        invited = Role(self.snowflake(), self.bot.name, INVITED)
        owner = self._new_user("owner")
        members: dict[int, tuple[User, tuple[int, ...]]] = {
            self.bot.id: (self.bot, (invited.id,)),
            owner.id: (owner, ()),
        }
        roles = {role.id: role for role in (everyone, invited)}
        return Guild(guild_id, "Test guild", owner, roles, members, self.clock.wall())

    def _new_user(self, name: str) -> User:
        user = User(self.snowflake(), name)
        self.users[user.id] = user
        return user

    def add_user(self, name: str) -> User:
        """Make a new member of the guild."""
        user = self._new_user(name)
        self.guild.members[user.id] = (user, ())
        return user

    def add_role(self, name: str, *, mentionable: bool = False) -> Role:
        """Make a new role without permissions."""
        role = Role(self.snowflake(), name, NONE, mentionable)
        self.guild.roles[role.id] = role
        return role

    def add_channel(self, name: str, *, deny_bot: Permission = NONE, type: int = ChannelType.TEXT) -> Channel:
        """Make a new guild channel, where the bot lacks the permissions `deny_bot`."""
        overwrites = (Overwrite(self.bot.id, is_member=True, deny=deny_bot),) if deny_bot else ()
        channel = Channel(self.snowflake(), type, name, self.guild.id, overwrites, position=len(self.channels))
        self.channels[channel.id] = channel
        return channel

    def direct_channel(self, user: User) -> Channel:
        """Give the direct channel between `user` and the bot."""
        for channel in self.channels.values():
            if user in channel.recipients:
                return channel
        channel = Channel(self.snowflake(), ChannelType.DM, user.name, None, recipients=(user,))
        self.channels[channel.id] = channel
        return channel

    @property
    def threads(self) -> list[Thread]:
        """All threads, oldest first."""
        return [channel for channel in self.channels.values() if isinstance(channel, Thread)]

    def channel(self, channel_id: int) -> Channel:
        """Find a channel that the bot may see; raises Discord's 10003 or 50001."""
        found = self.channels.get(channel_id)
        if found is None:
            raise known(10003)
        self.need(found, Permission.VIEW_CHANNEL)
        return found

    def message(self, channel: Channel, message_id: int) -> Message:
        """Find a message that is no ephemeral one; raises Discord's 10008."""
        found = channel.messages.get(message_id)
        if found is None or found.ephemeral:
            raise known(10008)
        return found

    def find_message(self, message_id: int) -> Message:
        """Find a message anywhere; raises KeyError."""
        for channel in self.channels.values():
            if message_id in channel.messages:
                return channel.messages[message_id]
        raise KeyError(message_id)

    def permissions(self, user: User, channel: Channel) -> Permission:
        """Work out what `user` may do in `channel`; threads follow their parent."""
        if isinstance(channel, Thread):
            channel = self.channels[channel.parent_id]
        if channel.guild_id is None:
            return EVERYBODY if user == self.bot or user in channel.recipients else NONE
        member = self.guild.members.get(user.id)
        if member is None:
            return NONE
        mine = {self.guild.id, *member[1]}
        allowed = NONE
        for role_id in mine:
            allowed |= self.guild.roles[role_id].permissions
        if user == self.guild.owner or allowed & Permission.ADMINISTRATOR:
            return ~NONE
        return _overwritten(allowed, channel, user.id, mine, self.guild.id)

    def need(self, channel: Channel, wanted: Permission) -> None:
        """Make sure the bot may do `wanted`; raises Discord's 50001 without sight of the channel, else 50013."""
        has = self.permissions(self.bot, channel)
        if not has & Permission.VIEW_CHANNEL:
            raise known(50001)
        if wanted & ~has:
            raise known(50013)

    def mentioned(self, text: str) -> tuple[list[User], list[int], bool]:
        """Give the users and roles `text` mentions outside code, and whether it mentions everyone."""
        text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
        users = [self.users[int(i)] for i in dict.fromkeys(re.findall(r"<@!?(\d+)>", text)) if int(i) in self.users]
        roles = [int(i) for i in dict.fromkeys(re.findall(r"<@&(\d+)>", text)) if int(i) in self.guild.roles]
        return users, roles, re.search(r"@(everyone|here)\b", text) is not None


def _overwritten(allowed: Permission, channel: Channel, user_id: int, mine: set[int], everyone: int) -> Permission:
    """Apply a channel's overwrites in Discord's order: everyone, all roles together, the member."""
    everyones = [o for o in channel.overwrites if o.target == everyone]
    roles = [o for o in channel.overwrites if not o.is_member and o.target in mine - {everyone}]
    own = [o for o in channel.overwrites if o.is_member and o.target == user_id]
    for group in (everyones, roles, own):
        for overwrite in group:
            allowed &= ~overwrite.deny
        for overwrite in group:
            allowed |= overwrite.allow
    return allowed


def iso(at: float) -> str:
    """Write seconds since the epoch as Discord writes times."""
    return datetime.fromtimestamp(at, UTC).isoformat()


def snowflake(value: Any) -> int:
    """Read an id that came as a JSON string or integer."""
    return int(value)
