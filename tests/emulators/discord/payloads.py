"""The JSON documents that Discord shows of users, channels, messages and guilds."""

from __future__ import annotations

import hashlib
import json
import re

from tests.emulators.discord.errors import Json
from tests.emulators.discord.limits import ChannelType, Permission
from tests.emulators.discord.record import Clock
from tests.emulators.discord.world import Attachment, Channel, Guild, Message, Origin, Role, Thread, User, World, iso

LINK_LIFETIME = 86400.0
"""Seconds that an attachment's link stays good."""


class Payloads:
    """Writes the documents of one world; `origin` is the scheme and authority of its CDN links."""

    def __init__(self, world: World, clock: Clock) -> None:
        self._world = world
        self._clock = clock
        self._key = 0
        self.origin = ""

    def user(self, user: User) -> Json:
        """Write a user."""
        return {
            "id": str(user.id),
            "username": user.name,
            "discriminator": "0",
            "global_name": None if user.bot else user.name.title(),
            "avatar": None,
            "bot": user.bot,
            "flags": 0,
            "public_flags": 0,
            "primary_guild": None,
        }

    def member(self, user: User, guild: Guild, *, with_user: bool = True) -> Json:
        """Write a guild member."""
        _, roles = guild.members[user.id]
        member: Json = {
            "roles": [str(role) for role in roles],
            "joined_at": iso(guild.joined_at),
            "nick": None,
            "avatar": None,
            "premium_since": None,
            "pending": False,
            "deaf": False,
            "mute": False,
            "flags": 0,
        }
        return {"user": self.user(user), **member} if with_user else member

    def channel(self, channel: Channel) -> Json:
        """Write a channel or a thread."""
        last = max(channel.messages, default=None)
        common: Json = {
            "id": str(channel.id),
            "type": channel.type,
            "flags": 0,
            "last_message_id": None if last is None else str(last),
        }
        if isinstance(channel, Thread):
            return common | self._thread(channel)
        if channel.guild_id is None:
            common |= {"recipients": [self.user(user) for user in channel.recipients]}
            owner = {"name": None, "icon": None, "owner_id": str(channel.recipients[0].id)}
            return common | owner if channel.type == ChannelType.GROUP_DM else common
        return common | {
            "guild_id": str(channel.guild_id),
            "name": channel.name,
            "position": channel.position,
            "parent_id": None,
            "topic": None,
            "nsfw": False,
            "rate_limit_per_user": 0,
            "permission_overwrites": [
                {"id": str(o.target), "type": int(o.is_member), "allow": str(int(o.allow)), "deny": str(int(o.deny))}
                for o in channel.overwrites
            ],
        }

    def _thread(self, thread: Thread) -> Json:
        written: Json = {
            "guild_id": str(thread.guild_id),
            "name": thread.name,
            "parent_id": str(thread.parent_id),
            "owner_id": str(thread.owner_id),
            "rate_limit_per_user": thread.slowmode,
            "message_count": thread.message_count,
            "member_count": len(thread.members),
            "total_message_sent": thread.total,
            "thread_metadata": {
                "archived": thread.archived,
                "archive_timestamp": iso(thread.archived_at),
                "auto_archive_duration": thread.auto_archive,
                "locked": thread.locked,
                "create_timestamp": iso(thread.created_at),
            },
        }
        if self._world.bot.id in thread.members:
            written["member"] = self.thread_member(thread, self._world.bot)
        return written

    def thread_member(self, thread: Thread, user: User) -> Json:
        """Write a member of a thread."""
        joined = iso(thread.members[user.id])
        return {"id": str(thread.id), "user_id": str(user.id), "join_timestamp": joined, "flags": 0}

    def attachment(self, file: Attachment, place: int, *, ephemeral: bool = False) -> Json:
        """Write an attachment with a fresh link; `place` is its channel, or the application for an option's file."""
        url = self.link(place, file)
        written: Json = {
            "id": str(file.id),
            "filename": file.filename,
            "size": len(file.data),
            "url": url,
            "proxy_url": url,
        }
        optional = {
            "description": file.description,
            "content_type": file.content_type,
            "width": file.width,
            "height": file.height,
            "ephemeral": True if ephemeral else None,
        }
        return written | {key: value for key, value in optional.items() if value is not None}

    def link(self, channel_id: int, file: Attachment) -> str:
        """Sign a CDN link that is good for LINK_LIFETIME seconds, or until `expire_links`."""
        issued = int(self._clock.wall())
        expires = issued + int(LINK_LIFETIME)
        path = f"/cdn/{channel_id}/{file.id}/{file.filename}"
        return f"{self.origin}{path}?ex={expires:x}&is={issued:x}&hm={self._signature(path, f'{expires:x}')}"

    def expire_links(self) -> None:
        """Let every link handed out so far be past its time; what is written from now on has fresh ones."""
        self._key += 1

    def link_holds(self, path: str, expires: str, given: str) -> bool:
        """Whether a CDN link is signed and not past its time."""
        return given == self._signature(path, expires) and int(expires, 16) >= self._clock.wall()

    def _signature(self, path: str, expires: str) -> str:
        return hashlib.sha256(f"{path}?{expires}?{self._key}".encode()).hexdigest()

    def _fresh(self, message: Message, shown: list[Json]) -> list[Json]:
        """Copy embeds or components with fresh links to the files they show."""
        text = json.dumps(shown)
        for file in message.media:
            old = rf"{re.escape(self.origin)}/cdn/\d+/{file.id}/[^\"]*"
            text = re.sub(old, self.link(message.channel_id, file), text)
        fresh: list[Json] = json.loads(text)
        return fresh

    def message(self, message: Message, *, nested: bool = False) -> Json:
        """Write a message; `nested` leaves out the message it replies to."""
        written: Json = {
            "id": str(message.id),
            "channel_id": str(message.channel_id),
            "type": message.type,
            "author": self.user(message.author),
            "content": message.content,
            "embeds": self._fresh(message, message.embeds),
            "components": self._fresh(message, message.components),
            "attachments": [
                self.attachment(file, message.channel_id, ephemeral=message.ephemeral) for file in message.attachments
            ],
            "mentions": [self.user(user) for user in message.mentions],
            "mention_roles": [str(role) for role in message.mention_roles],
            "mention_everyone": message.mention_everyone,
            "timestamp": iso(message.at),
            "edited_timestamp": None if message.edited_at is None else iso(message.edited_at),
            "flags": int(message.flags),
            "pinned": False,
            "tts": message.tts,
        }
        if message.nonce is not None:
            written["nonce"] = message.nonce
        if message.origin is not None:
            written |= self._origin(message.origin)
        if message.reference is not None:
            written |= self._reference(message, nested)
        thread = self._world.channels.get(message.thread_id or 0)
        if thread is not None:
            written["thread"] = self.channel(thread)
        return written

    def _reference(self, message: Message, nested: bool) -> Json:
        assert message.reference is not None
        channel_id, message_id = message.reference
        written: Json = {"message_reference": {"type": 0, "channel_id": str(channel_id), "message_id": str(message_id)}}
        channel = self._world.channels[message.channel_id]
        if channel.guild_id is not None:
            written["message_reference"]["guild_id"] = str(channel.guild_id)
        if not nested:
            target = self._world.channels[channel_id].messages.get(message_id)
            written["referenced_message"] = None if target is None else self.message(target, nested=True)
        return written

    def _metadata(self, origin: Origin) -> Json:
        metadata: Json = {
            "id": str(origin.id),
            "type": origin.type,
            "user": self.user(origin.user),
            "authorizing_integration_owners": origin.owners,
        }
        if origin.target_message is not None and origin.type in {2, 3}:
            key = "interacted_message_id" if origin.type == 3 else "target_message_id"
            metadata[key] = str(origin.target_message)
        if origin.trigger is not None:
            metadata["triggering_interaction_metadata"] = self._metadata(origin.trigger)
        return metadata

    def _origin(self, origin: Origin) -> Json:
        written = {
            "interaction_metadata": self._metadata(origin),
            "application_id": str(self._world.app_id),
            "webhook_id": str(self._world.app_id),
        }
        if origin.type == 2:
            named = {"id": str(origin.id), "type": 2, "name": origin.name, "user": self.user(origin.user)}
            written["interaction"] = named
        return written

    def guild(self, guild: Guild) -> Json:
        """Write the whole guild, as GUILD_CREATE shows it to a bot without the members intent."""
        world = self._world
        places = [channel for channel in world.channels.values() if channel.guild_id == guild.id]
        return {
            "id": str(guild.id),
            "name": guild.name,
            "owner_id": str(guild.owner.id),
            "icon": None,
            "splash": None,
            "discovery_splash": None,
            "banner": None,
            "description": None,
            "features": [],
            "emojis": [],
            "stickers": [],
            "roles": self._roles(guild),
            "verification_level": 0,
            "default_message_notifications": 0,
            "explicit_content_filter": 0,
            "mfa_level": 0,
            "nsfw_level": 0,
            "premium_tier": 0,
            "premium_progress_bar_enabled": False,
            "preferred_locale": "en-US",
            "system_channel_id": None if guild.system_channel_id is None else str(guild.system_channel_id),
            "system_channel_flags": 0,
            "afk_timeout": 300,
            "joined_at": iso(guild.joined_at),
            "large": False,
            "unavailable": False,
            "member_count": len(guild.members),
            "members": [self.member(world.bot, guild)],
            "channels": [self.channel(c) | {"guild_id": str(guild.id)} for c in places if not isinstance(c, Thread)],
            "threads": [self.channel(c) for c in places if isinstance(c, Thread) and not c.archived],
            "voice_states": [],
            "presences": [],
            "stage_instances": [],
            "guild_scheduled_events": [],
            "soundboard_sounds": [],
        }

    def _roles(self, guild: Guild) -> list[Json]:
        return [self.role(role) | {"position": position} for position, role in enumerate(guild.roles.values())]

    def role(self, role: Role) -> Json:
        """Write a role."""
        tags = {} if role.bot is None else {"tags": {"bot_id": str(role.bot)}}
        return tags | {
            "id": str(role.id),
            "name": role.name,
            "color": 0,
            "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
            "hoist": False,
            "position": 0,
            "permissions": str(int(role.permissions)),
            "managed": role.bot is not None,
            "mentionable": role.mentionable,
            "flags": 0,
        }

    def application(self) -> Json:
        """Write the application the bot belongs to."""
        return {
            "id": str(self._world.app_id),
            "name": self._world.bot.name,
            "icon": None,
            "description": "",
            "type": None,
            "bot": self.user(self._world.bot),
            "bot_public": True,
            "bot_require_code_grant": False,
            "verify_key": hashlib.sha256(b"verify").hexdigest(),
            "flags": 0,
            "flags_new": "0",
            "redirect_uris": [],
            "interactions_endpoint_url": None,
            "role_connections_verification_url": None,
            "owner": self.user(self._world.guild.owner),
            "approximate_guild_count": 1,
            "approximate_user_install_count": 0,
            "approximate_user_authorization_count": 0,
            "explicit_content_filter": 0,
            "team": None,
            "eligible_oauth2_scopes": [],
        }


def permission_text(permissions: Permission) -> str:
    """Write permission bits as Discord does, as a decimal string of the unsigned number."""
    return str(int(permissions) & ((1 << 53) - 1))
