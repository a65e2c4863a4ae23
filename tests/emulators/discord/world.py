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
    """A role of the guild; the one that everybody has shares the guild's id. `bot` is whose own role it is."""

    id: int
    name: str
    permissions: Permission
    mentionable: bool = False
    bot: int | None = None


@dataclass(frozen=True)
class Overwrite:
    """Permissions that one channel gives to or takes from a role or a member."""

    target: int
    is_member: bool = False
    allow: Permission = NONE
    deny: Permission = NONE


@dataclass(frozen=True)
class File:
    """A file that a person sends."""

    name: str
    data: bytes = field(repr=False)
    description: str | None = None


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
    trigger: Origin | None = None


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
    """A guild channel, or one between `recipients` when it has no guild; the bot is in the latter unless `private`."""

    id: int
    type: int
    name: str
    guild_id: int | None
    overwrites: tuple[Overwrite, ...] = ()
    recipients: tuple[User, ...] = ()
    position: int = 0
    private: bool = False
    messages: dict[int, Message] = field(default_factory=dict, repr=False)

    @property
    def context(self) -> int:
        """Where commands run: 0 in a guild, 1 in the direct channel with the bot, 2 between people."""
        return 0 if self.guild_id is not None else 2 if self.private else 1


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
    """A guild, with the bot in it when it is among the members."""

    id: int
    name: str
    owner: User
    roles: dict[int, Role]
    members: dict[int, tuple[User, tuple[int, ...]]]
    joined_at: float
    system_channel_id: int | None = None


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
        self.guilds: dict[int, Guild] = {}
        self.loose: dict[int, Attachment] = {}
        self.installed: set[int] = set()
        self.unreachable: set[int] = set()
        self.guild = self.add_guild("Test guild")

    def snowflake(self) -> int:
        """Give a new id: milliseconds since Discord's epoch in bits 22 and up, and never one twice."""
        made = (int(self.clock.wall() * 1000) - EPOCH_MS) << 22
        self._last_id = max(made, self._last_id + 1)
        return self._last_id

    def add_guild(self, name: str, *, with_bot: bool = True) -> Guild:
        """Make a guild of one owner, and the bot with the usual permissions unless told otherwise."""
        guild_id = self.snowflake()
        owner = self._new_user("owner")
        everyone = Role(guild_id, "@everyone", EVERYBODY)
        guild = Guild(guild_id, name, owner, {guild_id: everyone}, {owner.id: (owner, ())}, self.clock.wall())
        self.guilds[guild_id] = guild
        if with_bot:
            self.invite_bot(guild)
        return guild

    def invite_bot(self, guild: Guild) -> None:
        """Make the bot a member of `guild`, with the role that its invitation asks for."""
        invited = Role(self.snowflake(), self.bot.name, INVITED)
        guild.roles[invited.id] = invited
        guild.members[self.bot.id] = (self.bot, (invited.id,))
        guild.joined_at = self.clock.wall()

    @property
    def joined(self) -> list[Guild]:
        """The guilds that the bot is a member of."""
        return [guild for guild in self.guilds.values() if self.bot.id in guild.members]

    def guild_of(self, channel: Channel) -> Guild | None:
        """Give the guild of a channel; None for one between people."""
        return None if channel.guild_id is None else self.guilds[channel.guild_id]

    def bot_in(self, channel: Channel) -> bool:
        """Whether the bot is a member where `channel` is, and not only somebody's installed application."""
        guild = self.guild_of(channel)
        return not channel.private if guild is None else self.bot.id in guild.members

    def _new_user(self, name: str) -> User:
        user = User(self.snowflake(), name)
        self.users[user.id] = user
        return user

    def add_user(self, name: str, roles: tuple[int, ...] = ()) -> User:
        """Make a new member of the home guild."""
        user = self._new_user(name)
        self.guild.members[user.id] = (user, roles)
        return user

    def add_role(
        self, name: str, *, permissions: Permission = NONE, mentionable: bool = False, bot: int | None = None
    ) -> Role:
        """Make a new role of the home guild, without permissions unless told otherwise."""
        role = Role(self.snowflake(), name, permissions, mentionable, bot)
        self.guild.roles[role.id] = role
        return role

    def add_channel(
        self, name: str, *, deny_bot: Permission = NONE, type: int = ChannelType.TEXT, guild: Guild | None = None
    ) -> Channel:
        """Make a new guild channel, where the bot lacks the permissions `deny_bot`."""
        guild = guild or self.guild
        overwrites = (Overwrite(self.bot.id, is_member=True, deny=deny_bot),) if deny_bot else ()
        channel = Channel(self.snowflake(), type, name, guild.id, overwrites, position=len(self.channels))
        self.channels[channel.id] = channel
        return channel

    def direct_channel(self, user: User) -> Channel:
        """Give the direct channel between `user` and the bot."""
        for channel in self.channels.values():
            if user in channel.recipients and not channel.private:
                return channel
        channel = Channel(self.snowflake(), ChannelType.DM, user.name, None, recipients=(user,))
        self.channels[channel.id] = channel
        return channel

    def private_channel(self, people: tuple[User, ...]) -> Channel:
        """Make a channel between people, without the bot: a group one for more than two."""
        kind = ChannelType.DM if len(people) < 3 else ChannelType.GROUP_DM
        name = ", ".join(user.name for user in people)
        channel = Channel(self.snowflake(), kind, name, None, recipients=people, private=True)
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
        """Find a message anywhere; raises LookupError."""
        for channel in self.channels.values():
            if message_id in channel.messages:
                return channel.messages[message_id]
        raise LookupError(f"no message {message_id}")

    def permissions(self, user: User, channel: Channel) -> Permission:
        """Work out what `user` may do in `channel`; threads follow their parent."""
        if isinstance(channel, Thread):
            channel = self.channels[channel.parent_id]
        guild = self.guild_of(channel)
        if guild is None:
            there = user in channel.recipients or (user == self.bot and not channel.private)
            return EVERYBODY if there else NONE
        member = guild.members.get(user.id)
        if member is None:
            return NONE
        mine = {guild.id, *member[1]}
        allowed = NONE
        for role_id in mine:
            allowed |= guild.roles[role_id].permissions
        if user == guild.owner or allowed & Permission.ADMINISTRATOR:
            return ~NONE
        return _overwritten(allowed, channel, user.id, mine, guild.id)

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
