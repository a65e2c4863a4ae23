"""What each REST route does once a request is known to be well-formed. Nothing here waits: a call is atomic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.emulators.discord.commands import Commands
from tests.emulators.discord.errors import FieldError, Json, invalid_form, known
from tests.emulators.discord.gateway import Gateway
from tests.emulators.discord.interactions import Interactions
from tests.emulators.discord.limits import ChannelType, Permission
from tests.emulators.discord.payloads import Payloads
from tests.emulators.discord.posting import Poster
from tests.emulators.discord.record import Recorder
from tests.emulators.discord.validation import Submission, Upload
from tests.emulators.discord.world import Channel, Message, Thread, World, snowflake


@dataclass(frozen=True)
class Call:
    """A request that passed authentication and Discord's description."""

    params: Mapping[str, str]
    query: Mapping[str, str]
    body: Any
    uploads: tuple[Upload, ...] = ()

    def id(self, name: str) -> int:
        """Give an id from the path."""
        return int(self.params[name])

    @property
    def sent(self) -> Submission:
        """The body as the content of a message."""
        return Submission(self.body, self.uploads)


@dataclass(frozen=True)
class Reply:
    """Status and JSON body; no body is sent with 204."""

    status: int
    body: Any = None


NOTHING = Reply(204)


class Handlers:
    """The routes of one emulator."""

    def __init__(
        self,
        world: World,
        payloads: Payloads,
        recorder: Recorder,
        poster: Poster,
        commands: Commands,
        interactions: Interactions,
        gateway: Gateway,
    ) -> None:
        self._world = world
        self._payloads = payloads
        self._recorder = recorder
        self._poster = poster
        self._commands = commands
        self._interactions = interactions
        self._gateway = gateway
        self._table = self._routes()

    def __getitem__(self, route: str) -> Callable[[Call], Reply]:
        return self._table[route]

    def _routes(self) -> dict[str, Callable[[Call], Reply]]:
        webhook = "/webhooks/{webhook_id}/{webhook_token}"
        messages = "/channels/{channel_id}/messages"
        commands = "/applications/{application_id}/commands"
        guild_commands = "/applications/{application_id}/guilds/{guild_id}/commands"
        member = "/channels/{channel_id}/thread-members/@me"
        table = {
            "GET /users/@me": self._me,
            "POST /users/@me/channels": self._open_direct,
            "GET /oauth2/applications/@me": self._application,
            "GET /gateway": lambda _: Reply(200, {"url": self._gateway.url}),
            "GET /gateway/bot": self._gateway_bot,
            f"GET {commands}": self._list_commands,
            f"PUT {commands}": self._put_commands,
            f"GET {guild_commands}": self._list_commands,
            f"PUT {guild_commands}": self._put_commands,
            "POST /interactions/{interaction_id}/{interaction_token}/callback": self._callback,
            f"POST {webhook}": self._follow_up,
            "GET /channels/{channel_id}": self._get_channel,
            "PATCH /channels/{channel_id}": self._patch_channel,
            f"GET {messages}": self._history,
            f"POST {messages}": self._send,
            f"GET {messages}/{{message_id}}": self._get_message,
            f"PATCH {messages}/{{message_id}}": self._edit_message,
            f"DELETE {messages}/{{message_id}}": self._delete_message,
            f"POST {messages}/{{message_id}}/threads": self._thread_from_message,
            "POST /channels/{channel_id}/typing": self._typing,
            "POST /channels/{channel_id}/threads": self._thread,
            "GET /channels/{channel_id}/threads/archived/public": self._archived,
            f"PUT {member}": lambda call: self._membership(call, joined=True),
            f"DELETE {member}": lambda call: self._membership(call, joined=False),
            "GET /guilds/{guild_id}/threads/active": self._active,
            "GET /guilds/{guild_id}/members/{user_id}": self._member,
        }
        for which in ("@original", "{message_id}"):
            table[f"GET {webhook}/messages/{which}"] = self._get_reply
            table[f"PATCH {webhook}/messages/{which}"] = self._edit_reply
            table[f"DELETE {webhook}/messages/{which}"] = self._delete_reply
        return table

    def _me(self, _: Call) -> Reply:
        me = self._payloads.user(self._world.bot)
        return Reply(200, me | {"mfa_enabled": False, "locale": "en-US", "verified": True, "email": None})

    def _application(self, _: Call) -> Reply:
        return Reply(200, self._payloads.application())

    def _gateway_bot(self, _: Call) -> Reply:
        limit = self._gateway.start_limit()
        return Reply(200, {"url": self._gateway.url, "shards": self._gateway.shards, "session_start_limit": limit})

    def _open_direct(self, call: Call) -> Reply:
        user = self._world.users.get(snowflake(call.body.get("recipient_id") or 0))
        if user is None or user.bot:
            raise known(10013)
        return Reply(200, self._payloads.channel(self._world.direct_channel(user)))

    def _own_application(self, call: Call) -> int | None:
        if call.id("application_id") != self._world.app_id:
            raise known(50001)
        return call.id("guild_id") if "guild_id" in call.params else None

    def _list_commands(self, call: Call) -> Reply:
        return Reply(200, self._commands.listed(self._own_application(call)))

    def _put_commands(self, call: Call) -> Reply:
        synced = self._commands.replace(self._own_application(call), call.body or [])
        self._recorder.changed()
        return Reply(200, synced)

    def _callback(self, call: Call) -> Reply:
        token = call.params["interaction_token"]
        interaction = self._interactions.acknowledge(call.id("interaction_id"), token, call.body, call.uploads)
        if call.query.get("with_response", "").lower() in {"1", "true"}:
            return Reply(200, self._interactions.result(interaction))
        return NOTHING

    def _webhook(self, call: Call) -> tuple[int, str, int | None]:
        message_id = call.id("message_id") if "message_id" in call.params else None
        return call.id("webhook_id"), call.params["webhook_token"], message_id

    def _follow_up(self, call: Call) -> Reply:
        webhook_id, token, _ = self._webhook(call)
        return self._shown(self._interactions.follow_up(webhook_id, token, call.sent))

    def _get_reply(self, call: Call) -> Reply:
        return self._shown(self._interactions.find_reply(*self._webhook(call)))

    def _edit_reply(self, call: Call) -> Reply:
        return self._shown(self._interactions.edit_reply(*self._webhook(call), call.sent))

    def _delete_reply(self, call: Call) -> Reply:
        self._interactions.delete_reply(*self._webhook(call))
        return NOTHING

    def _shown(self, message: Message) -> Reply:
        return Reply(200, self._payloads.message(message))

    def _channel(self, call: Call) -> Channel:
        return self._world.channel(call.id("channel_id"))

    def _message(self, call: Call) -> Message:
        channel = self._channel(call)
        message = self._world.message(channel, call.id("message_id"))
        self._world.need(channel, Permission.READ_MESSAGE_HISTORY)
        return message

    def _get_channel(self, call: Call) -> Reply:
        return Reply(200, self._payloads.channel(self._channel(call)))

    def _patch_channel(self, call: Call) -> Reply:
        thread = self._channel(call)
        if not isinstance(thread, Thread):
            raise known(50013)
        changes = {key for key, value in call.body.items() if value is not None}
        own = thread.owner_id == self._world.bot.id and not changes & {"locked", "rate_limit_per_user"}
        if not own:
            self._world.need(thread, Permission.MANAGE_THREADS)
        if thread.archived and thread.locked and call.body.get("archived") is not False:
            raise known(50083)
        self._poster.change_thread(thread, call.body)
        return Reply(200, self._payloads.channel(thread))

    def _history(self, call: Call) -> Reply:
        channel = self._channel(call)
        limit = _number(call.query, "limit", 50)
        if not 1 <= limit <= 100:
            problem = FieldError(("limit",), "NUMBER_TYPE_MAX", "int value should be between 1 and 100.")
            raise invalid_form([problem])
        if not self._world.permissions(self._world.bot, channel) & Permission.READ_MESSAGE_HISTORY:
            return Reply(200, [])
        ids = sorted((i for i, message in channel.messages.items() if not message.ephemeral), reverse=True)
        chosen = _window(ids, call.query, limit)
        return Reply(200, [self._read(channel.messages[i]) for i in chosen])

    def _read(self, message: Message) -> Json:
        written = self._payloads.message(message)
        if message.readable or self._gateway.message_content:
            return written
        return written | {"content": "", "embeds": [], "attachments": [], "components": []}

    def _get_message(self, call: Call) -> Reply:
        return Reply(200, self._read(self._message(call)))

    def _send(self, call: Call) -> Reply:
        return self._shown(self._poster.send(self._channel(call), call.sent))

    def _edit_message(self, call: Call) -> Reply:
        message = self._world.message(self._channel(call), call.id("message_id"))
        return self._shown(self._poster.edit(message, call.sent))

    def _delete_message(self, call: Call) -> Reply:
        channel = self._channel(call)
        message = self._world.message(channel, call.id("message_id"))
        if message.author != self._world.bot:
            self._world.need(channel, Permission.MANAGE_MESSAGES)
        self._poster.delete(message)
        return NOTHING

    def _typing(self, call: Call) -> Reply:
        channel = self._channel(call)
        threaded = isinstance(channel, Thread)
        self._world.need(channel, Permission.SEND_MESSAGES_IN_THREADS if threaded else Permission.SEND_MESSAGES)
        self._recorder.typing.append(channel.id)
        return NOTHING

    def _thread_from_message(self, call: Call) -> Reply:
        parent, start = self._channel(call), self._message(call)
        kind = ChannelType.ANNOUNCEMENT_THREAD if parent.type == ChannelType.ANNOUNCEMENT else ChannelType.PUBLIC_THREAD
        thread = self._poster.open_thread(parent, call.body, start=start, type=kind)
        return Reply(201, self._payloads.channel(thread))

    def _thread(self, call: Call) -> Reply:
        kind = call.body.get("type") or ChannelType.PRIVATE_THREAD
        thread = self._poster.open_thread(self._channel(call), call.body, start=None, type=kind)
        return Reply(201, self._payloads.channel(thread))

    def _membership(self, call: Call, *, joined: bool) -> Reply:
        thread = self._channel(call)
        if not isinstance(thread, Thread):
            raise known(50024)
        if thread.archived:
            raise known(50083)
        self._poster.change_membership(thread, joined=joined)
        return NOTHING

    def _archived(self, call: Call) -> Reply:
        parent = self._channel(call)
        self._world.need(parent, Permission.READ_MESSAGE_HISTORY)
        found = [t for t in self._world.threads if t.parent_id == parent.id and t.archived]
        found = [t for t in found if t.type != ChannelType.PRIVATE_THREAD]
        return self._threads(sorted(found, key=lambda thread: thread.archived_at, reverse=True))

    def _active(self, call: Call) -> Reply:
        world, guild_id = self._world, call.id("guild_id")
        if guild_id not in world.guilds:
            raise known(10004)
        if world.bot.id not in world.guilds[guild_id].members:
            raise known(50001)
        mine = [thread for thread in world.threads if thread.guild_id == guild_id]
        visible = [t for t in mine if world.permissions(world.bot, t) & Permission.VIEW_CHANNEL]
        return self._threads([thread for thread in visible if not thread.archived])

    def _member(self, call: Call) -> Reply:
        guild = self._world.guilds.get(call.id("guild_id"))
        if guild is None or self._world.bot.id not in guild.members:
            raise known(50001)
        if call.id("user_id") not in guild.members:
            raise known(10007)
        user, _ = guild.members[call.id("user_id")]
        return Reply(200, self._payloads.member(user, guild) | {"banner": None, "communication_disabled_until": None})

    def _threads(self, threads: list[Thread]) -> Reply:
        bot = self._world.bot
        members = [self._payloads.thread_member(thread, bot) for thread in threads if bot.id in thread.members]
        written = [self._payloads.channel(thread) for thread in threads]
        return Reply(200, {"threads": written, "members": members, "has_more": False})


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not text.isdecimal():
        raise invalid_form([FieldError((name,), "NUMBER_TYPE_COERCE", f'Value "{text}" is not int.')])
    return int(text)


def _window(ids: list[int], query: Mapping[str, str], limit: int) -> list[int]:
    """Choose at most `limit` of `ids`, which run from new to old, by before, after or around."""
    if "before" in query:
        before = _number(query, "before", 0)
        return [i for i in ids if i < before][:limit]
    if "after" in query:
        after = _number(query, "after", 0)
        return [i for i in ids if i > after][-limit:]
    if "around" in query:
        middle = _number(query, "around", 0)
        newer = [i for i in ids if i > middle][-(limit // 2) :] if limit > 1 else []
        return (newer + [i for i in ids if i <= middle])[:limit]
    return ids[:limit]
