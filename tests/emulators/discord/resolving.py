"""The `resolved` part of an interaction: what the ids in options, menus and modals stand for."""

from __future__ import annotations

from typing import Any

from tests.emulators.discord import forms, limits
from tests.emulators.discord.errors import Json, NotOffered
from tests.emulators.discord.payloads import Payloads, permission_text
from tests.emulators.discord.rendering import attach
from tests.emulators.discord.world import Channel, File, User, World


class Resolved:
    """Collects what is picked in `channel`; `data` is the finished document."""

    def __init__(self, world: World, payloads: Payloads, channel: Channel) -> None:
        self._world = world
        self._payloads = payloads
        self._channel = channel
        self.data: Json = {}

    def written(self) -> Json:
        """Give {"resolved": ...}, or nothing when no id needs it."""
        return {"resolved": self.data} if self.data else {}

    def option(self, kind: int, value: Any) -> str:
        """Take the value of a command option: 6 user, 7 channel, 8 role, 9 either, 11 file."""
        known = {6: self.user, 7: self.channel, 8: self.role, 9: self.mentionable, 11: self.file}
        return known[kind](value)

    def component(self, kind: int, value: Any) -> str:
        """Take a value picked in a menu or an upload field of a component type."""
        known = {
            forms.USER_SELECT: self.user,
            forms.ROLE_SELECT: self.role,
            forms.MENTIONABLE_SELECT: self.mentionable,
            forms.CHANNEL_SELECT: self.channel,
            forms.FILE_UPLOAD: self.file,
        }
        return known[kind](value)

    def user(self, value: Any) -> str:
        """Take a user, or the id of one."""
        user = self._world.users.get(_id(value))
        if user is None:
            raise NotOffered(f"there is no user {value!r}")
        self._put("users", user.id, self._payloads.user(user))
        guild = self._world.guild_of(self._channel)
        if guild is not None and user.id in guild.members:
            permissions = permission_text(self._world.permissions(user, self._channel))
            member = self._payloads.member(user, guild, with_user=False) | {"permissions": permissions}
            self._put("members", user.id, {k: v for k, v in member.items() if k not in {"deaf", "mute"}})
        return str(user.id)

    def role(self, value: Any) -> str:
        """Take a role of the guild, or the id of one."""
        guild = self._world.guild_of(self._channel)
        role = guild.roles.get(_id(value)) if guild else None
        if role is None:
            raise NotOffered(f"there is no role {value!r} here")
        self._put("roles", role.id, self._payloads.role(role))
        return str(role.id)

    def mentionable(self, value: Any) -> str:
        """Take a user or a role."""
        return self.user(value) if _id(value) in self._world.users else self.role(value)

    def channel(self, value: Any) -> str:
        """Take a channel of the guild, or the id of one."""
        channel = self._world.channels.get(_id(value))
        if channel is None or channel.guild_id != self._channel.guild_id:
            raise NotOffered(f"there is no channel {value!r} here")
        permissions = permission_text(self._world.permissions(self._world.bot, channel))
        self._put("channels", channel.id, self._payloads.channel(channel) | {"permissions": permissions})
        return str(channel.id)

    def file(self, value: Any) -> str:
        """Take a file and store it, as Discord does before the command is sent."""
        if not isinstance(value, File):
            raise NotOffered(f"a file is wanted, not {value!r}")
        if len(value.data) > limits.FILE_BYTES_MAX:
            raise NotOffered(f"{value.name} has {len(value.data)} bytes")
        attached = attach(value.name, value.data, value.description, self._world.snowflake())
        self._world.loose[attached.id] = attached
        written = self._payloads.attachment(attached, self._world.app_id, ephemeral=True)
        self._put("attachments", attached.id, written)
        return str(attached.id)

    def _put(self, kind: str, key: int, document: Json) -> None:
        self.data.setdefault(kind, {})[str(key)] = document


def _id(value: Any) -> int:
    if isinstance(value, User) or hasattr(value, "id"):
        return int(value.id)
    return int(value)
