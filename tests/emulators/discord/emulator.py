"""The emulator itself: one loopback server, and the hands of the people who use the bot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from aiohttp import web

from tests.emulators.discord.commands import CHAT_INPUT, MESSAGE, Commands, NotOffered
from tests.emulators.discord.connection import Connection
from tests.emulators.discord.errors import Json
from tests.emulators.discord.faults import Faults
from tests.emulators.discord.gateway import Gateway
from tests.emulators.discord.handlers import Handlers
from tests.emulators.discord.interactions import (
    AUTOCOMPLETE,
    COMMAND,
    COMPONENT,
    MODAL_SUBMIT,
    Interaction,
    Interactions,
    modal_values,
)
from tests.emulators.discord.limits import NONE, Permission
from tests.emulators.discord.payloads import Payloads, signature
from tests.emulators.discord.posting import Poster
from tests.emulators.discord.ratelimits import Buckets, Rate
from tests.emulators.discord.record import Clock, DispatchRecord, Recorder, RequestRecord, Violation
from tests.emulators.discord.rest import Api
from tests.emulators.discord.world import Attachment, Channel, Message, Thread, User, World

T = TypeVar("T")

_NO_WRITING = (
    Permission.SEND_MESSAGES
    | Permission.SEND_MESSAGES_IN_THREADS
    | Permission.CREATE_PUBLIC_THREADS
    | Permission.ATTACH_FILES
    | Permission.EMBED_LINKS
)


class DiscordEmulator:
    """A strict Discord on 127.0.0.1, started by `async with`.

    All times are seconds. `rates` is True for the limits seen of the real service, False for none, or a
    mapping of "METHOD /route/{template}" to (requests, seconds); False also lifts the limit on identifies.
    `message_content` is the switch for that intent in the developer portal. `clock.advance(s)` lets time
    pass at once. Faults of the program under test collect in `violations`.
    """

    def __init__(
        self,
        *,
        ack_deadline: float = 3.0,
        token_ttl: float = 900.0,
        heartbeat_interval: float = 41.25,
        rates: bool | Mapping[str, Rate] = True,
        identify_window: float = 5.0,
        max_concurrency: int = 1,
        nonce_window: float = 300.0,
        message_content: bool = True,
        token: str = "emulated.bot.token",
        port: int = 0,
    ) -> None:
        self.token = token
        self.clock = Clock()
        self.faults = Faults()
        self.world = world = World(self.clock)
        self._port = port
        self._recorder = recorder = Recorder(self.clock)
        self._payloads = payloads = Payloads(world, self.clock)
        self.gateway = Gateway(
            world,
            payloads,
            recorder,
            token=token,
            heartbeat_interval=heartbeat_interval,
            identify_window=0.0 if rates is False else identify_window,
            max_concurrency=max_concurrency,
            message_content=message_content,
        )
        publish = self.gateway.publish
        self._poster = poster = Poster(world, payloads, recorder, publish, nonce_window)
        self.commands = Commands(world)
        self._interactions = Interactions(
            world, payloads, recorder, poster, publish, ack_deadline=ack_deadline, token_ttl=token_ttl
        )
        handlers = Handlers(world, payloads, recorder, poster, self.commands, self._interactions, self.gateway)
        self._api = Api(handlers, Buckets(rates, self.clock), self.faults, recorder, token)
        self._runner: web.AppRunner | None = None
        self.api_url = ""
        self.gateway_url = ""
        self.alice, self.bob = world.add_user("alice"), world.add_user("bob")
        self.channel_id = world.add_channel("general").id
        self.locked_channel_id = world.add_channel("announcements-only", deny_bot=_NO_WRITING).id
        self.hidden_channel_id = world.add_channel("staff", deny_bot=Permission.VIEW_CHANNEL).id
        self.dm_channel_id = world.direct_channel(self.alice).id

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get("/gw/", self._serve_gateway)
        app.router.add_get("/cdn/{channel}/{attachment}/{filename}", self._serve_file)
        app.router.add_route("*", "/{rest:.*}", self._api.handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        port = self._runner.addresses[0][1]
        self._payloads.origin = f"http://127.0.0.1:{port}"
        self.api_url = f"http://127.0.0.1:{port}/api/v10"
        self.gateway_url = self.gateway.url = f"ws://127.0.0.1:{port}/gw/"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._interactions.stop()
        self.gateway.cut()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve_gateway(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(max_msg_size=1024 * 1024)
        await socket.prepare(request)
        await Connection(self.gateway, socket, request).run()
        return socket

    async def _serve_file(self, request: web.Request) -> web.Response:
        expires = request.query.get("ex", "")
        signed = request.query.get("hm") == signature(request.path, expires)
        if not signed or int(expires, 16) < self.clock.wall():
            return web.Response(status=404, text="This content is no longer available.")
        channel = self.world.channels[int(request.match_info["channel"])]
        wanted = int(request.match_info["attachment"])
        for message in channel.messages.values():
            for file in message.files:
                if file.id == wanted:
                    kind = file.content_type or "application/octet-stream"
                    return web.Response(body=file.data, headers={"Content-Type": kind})
        return web.Response(status=404, text="This content is no longer available.")

    @property
    def app_id(self) -> int:
        """The application's id, which is the bot user's too."""
        return self.world.app_id

    @property
    def bot(self) -> User:
        """The bot's user."""
        return self.world.bot

    @property
    def guild_id(self) -> int:
        """The one guild."""
        return self.world.guild.id

    @property
    def requests(self) -> list[RequestRecord]:
        """Every REST request so far."""
        return self._recorder.requests

    @property
    def dispatches(self) -> list[DispatchRecord]:
        """Every gateway event so far."""
        return self._recorder.dispatches

    @property
    def violations(self) -> list[Violation]:
        """Every fault of the program under test so far; compare with [] at the end of a test."""
        return self._recorder.violations

    @property
    def typing(self) -> list[int]:
        """The channels in which the bot showed that it types, in order."""
        return self._recorder.typing

    @property
    def threads(self) -> list[Thread]:
        """All threads, oldest first."""
        return self.world.threads

    def messages(self, channel_id: int, *, ephemeral: bool = False) -> list[Message]:
        """Give the messages of a channel or thread, oldest first; ephemeral ones only when asked for."""
        stored = self.world.channels[channel_id].messages.values()
        return [message for message in stored if ephemeral or not message.ephemeral]

    def files(self, channel_id: int) -> list[Attachment]:
        """Give all files in a channel or thread, with their bytes, oldest first."""
        return [file for message in self.messages(channel_id) for file in message.files]

    async def wait_for(self, predicate: Callable[[], T | None], timeout: float = 5.0) -> T:
        """Give the first truthy value of `predicate`; raises TimeoutError after `timeout` seconds."""
        return await self._recorder.wait_for(predicate, timeout)

    async def wait_connected(self, timeout: float = 10.0) -> None:
        """Wait until a gateway session is up and a command is synced."""
        await self.wait_for(
            lambda: self.gateway.connected and (self.commands.listed(None) or self.commands.listed(self.guild_id)),
            timeout,
        )

    def take_violations(self) -> list[Violation]:
        """Give the violations so far and forget them, for a test that expects some."""
        taken = list(self.violations)
        self.violations.clear()
        return taken

    def revoke_token(self) -> None:
        """Make the bot token worthless: REST says 401, and the gateway closes with 4004."""
        self._api.revoked = True
        self.gateway.token = ""
        self.gateway.kill_sessions()
        self.gateway.close(4004)

    def add_channel(self, name: str, *, deny_bot: Permission = NONE) -> int:
        """Make another text channel and give its id."""
        return self.world.add_channel(name, deny_bot=deny_bot).id

    def archive(self, thread_id: int, *, locked: bool = False) -> None:
        """Archive a thread, as Discord does with quiet ones or a moderator by hand."""
        self._poster.change_thread(self._thread(thread_id), {"archived": True, "locked": locked})

    def _thread(self, thread_id: int) -> Thread:
        thread = self.world.channels[thread_id]
        if not isinstance(thread, Thread):
            raise TypeError(f"{thread_id} is no thread")
        return thread

    async def say(
        self,
        user: User,
        channel_id: int,
        text: str,
        *,
        mention: bool = False,
        reply_to: int | None = None,
        ping: bool = True,
        repeat: int = 1,
    ) -> Message:
        """Let `user` write a message; `mention` puts the bot's mention first.

        `reply_to` is a message id, `ping` whether that reply notifies, `repeat` how often the event arrives.
        """
        channel = self.world.channels[channel_id]
        target = channel.messages[reply_to] if reply_to is not None else None
        full = f"{self.bot.mention} {text}" if mention else text
        message = self._poster.say(channel, user, full, reply_to=target, ping=ping)
        for _ in range(repeat - 1):
            self._poster.announce_again(message)
        return message

    async def edit(self, message_id: int, text: str) -> None:
        """Let the author of a message change it."""
        self._poster.rewrite(self.world.find_message(message_id), text)

    async def delete(self, message_id: int) -> None:
        """Take a message away, by its author or a moderator."""
        self._poster.delete(self.world.find_message(message_id))

    async def dispatch(self, event: str, data: Json, *, times: int = 1) -> None:
        """Send any event to every session, `times` times."""
        for _ in range(times):
            self.gateway.publish(event, data)

    async def command(
        self,
        user: User,
        words: str,
        options: Mapping[str, Any] | None = None,
        /,
        *,
        channel_id: int | None = None,
        user_install: bool = False,
        **values: Any,
    ) -> Interaction:
        """Let `user` run a slash command, such as "consortium ask", with option values by name.

        Raises NotOffered when Discord would not offer or accept it: not synced, wrong options, not allowed.
        """
        channel = self._place(channel_id)
        data = self._invocation(user, words, channel, {**(options or {}), **values})
        return self._interactions.start(COMMAND, user, channel, data, user_install=user_install)

    async def autocomplete(
        self,
        user: User,
        words: str,
        options: Mapping[str, Any] | None = None,
        *,
        focused: str,
        channel_id: int | None = None,
        timeout: float = 5.0,
    ) -> list[Json]:
        """Give the choices offered while `user` types the option `focused`; the other options may be partial.

        Raises NotOffered as `command` does, and TimeoutError without an answer.
        """
        channel = self._place(channel_id)
        data = self._invocation(user, words, channel, options or {}, focused)
        interaction = self._interactions.start(AUTOCOMPLETE, user, channel, data)
        await interaction.wait_acked(timeout)
        return interaction.choices or []

    async def message_command(self, user: User, name: str, message_id: int) -> Interaction:
        """Let `user` choose the command `name` from the menu of a message."""
        message = self.world.find_message(message_id)
        channel = self.world.channels[message.channel_id]
        data = self._invocation(user, name, channel, {}, kind=MESSAGE)
        shown = self._payloads.message(message)
        data = {**data, "target_id": str(message.id), "resolved": {"messages": {str(message.id): shown}}}
        del data["options"]
        return self._interactions.start(COMMAND, user, channel, data, target=message.id)

    async def click(self, user: User, message_id: int, custom_id: str, values: list[str] | None = None) -> Interaction:
        """Let `user` press a button, or choose `values` in a menu.

        Raises LookupError when the message has no such thing, or `user` does not see it.
        """
        message, part = self._interactions.usable(user, message_id, custom_id)
        data: Json = {"component_type": part["type"], "id": part["id"], "custom_id": custom_id}
        if part["type"] != 2:
            data["values"] = values or []
        channel = self.world.channels[message.channel_id]
        return self._interactions.start(COMPONENT, user, channel, data, source=message)

    async def submit(self, interaction: Interaction, values: dict[str, str]) -> Interaction:
        """Let the person fill in and send the modal that `interaction` was answered with."""
        if interaction.modal is None:
            raise LookupError("that interaction opened no modal")
        components = modal_values(interaction.modal, values)
        data = {"custom_id": interaction.modal["custom_id"], "components": components}
        return self._interactions.start(
            MODAL_SUBMIT, interaction.user, interaction.channel, data, source=interaction.source
        )

    def _place(self, channel_id: int | None) -> Channel:
        return self.world.channels[self.channel_id if channel_id is None else channel_id]

    def _invocation(
        self,
        user: User,
        words: str,
        channel: Channel,
        values: Mapping[str, Any],
        focused: str | None = None,
        kind: int = CHAT_INPUT,
    ) -> Json:
        found = self.commands.find(words, kind, 0 if channel.guild_id is not None else 1)
        needed = self.commands.needed_permissions(found.command) if channel.guild_id is not None else 0
        if needed & ~int(self.world.permissions(user, channel)) or not self._interactions.may_use(user, channel):
            raise NotOffered(f"{user.name} may not use {words!r} in #{channel.name}")
        data = found.data(values, focused)
        users = [option["value"] for option in _given(data["options"]) if option["type"] == 6]
        if users:
            data["resolved"] = {"users": {i: self._payloads.user(self.world.users[int(i)]) for i in users}}
        return data


def _given(options: list[Json]) -> list[Json]:
    return [inner for option in options for inner in (_given(option["options"]) if "options" in option else [option])]
