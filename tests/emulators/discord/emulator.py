"""The emulator itself: one loopback server, and what it saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self, TypeVar

from aiohttp import web

from tests.emulators.discord.commands import Commands
from tests.emulators.discord.connection import Connection
from tests.emulators.discord.endpoint import Endpoint
from tests.emulators.discord.errors import Json
from tests.emulators.discord.faults import Faults
from tests.emulators.discord.gateway import Gateway
from tests.emulators.discord.handlers import Handlers
from tests.emulators.discord.interactions import Interactions
from tests.emulators.discord.limits import Permission
from tests.emulators.discord.payloads import Payloads
from tests.emulators.discord.people import People
from tests.emulators.discord.posting import Poster
from tests.emulators.discord.ratelimits import Buckets, Rate
from tests.emulators.discord.record import Clock, DispatchRecord, Recorder, RequestRecord, Violation
from tests.emulators.discord.rest import Api
from tests.emulators.discord.world import Attachment, Message, Thread, User, World
from tests.emulators.serving import shut

T = TypeVar("T")

_NO_WRITING = (
    Permission.SEND_MESSAGES
    | Permission.SEND_MESSAGES_IN_THREADS
    | Permission.CREATE_PUBLIC_THREADS
    | Permission.ATTACH_FILES
    | Permission.EMBED_LINKS
)


class DiscordEmulator(People):
    """A strict Discord on 127.0.0.1, started by `async with`.

    All times are seconds. `rates` is True for the limits seen of the real service, False for none, or a
    mapping of "METHOD /route/{template}" to (requests, seconds); False also lifts the limit on identifies.
    `shards` is how many the bot is told to have.
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
        shards: int = 1,
        nonce_window: float = 300.0,
        message_content: bool = True,
        token: str = "emulated.bot.token",
        port: int = 0,
    ) -> None:
        self.token = token
        self.clock = Clock()
        self.faults = Faults()
        world = World(self.clock)
        self._port = port
        self._recorder = recorder = Recorder(self.clock)
        payloads = Payloads(world, self.clock)
        gateway = Gateway(
            world,
            payloads,
            recorder,
            token=token,
            heartbeat_interval=heartbeat_interval,
            identify_window=0.0 if rates is False else identify_window,
            max_concurrency=max_concurrency,
            message_content=message_content,
        )
        gateway.shards = shards
        publish = gateway.publish
        poster = Poster(world, payloads, recorder, publish, nonce_window)
        commands = Commands(world)
        interactions = Interactions(
            world, payloads, recorder, poster, publish, ack_deadline=ack_deadline, token_ttl=token_ttl
        )
        super().__init__(world, payloads, gateway, poster, commands, interactions)
        handlers = Handlers(world, payloads, recorder, poster, commands, interactions, gateway)
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
        await self.endpoint.aclose()
        self.gateway.cut()
        if self._runner is not None:
            await shut(self._runner)

    async def _serve_gateway(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(max_msg_size=1024 * 1024)
        await socket.prepare(request)
        await Connection(self.gateway, socket, request).run()
        return socket

    async def _serve_file(self, request: web.Request) -> web.Response:
        expires = request.query.get("ex", "")
        holds = self._payloads.link_holds(request.path, expires, request.query.get("hm", ""))
        channel = self.world.channels.get(int(request.match_info["channel"]))
        stored = [file for message in channel.messages.values() for file in message.files] if channel else []
        wanted = int(request.match_info["attachment"])
        for file in [*self.world.loose.values(), *stored] if holds else ():
            if file.id == wanted:
                kind = file.content_type or "application/octet-stream"
                return web.Response(body=file.data, headers={"Content-Type": kind})
        return web.Response(status=404, text="This content is no longer available.")

    @property
    def endpoint(self) -> Endpoint:
        """Where interactions go by HTTP, once a URL is saved."""
        return self._interactions.endpoint

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

    def archive(self, thread_id: int, *, locked: bool = False) -> None:
        """Archive a thread, as Discord does with quiet ones or a moderator by hand."""
        self._poster.change_thread(self._thread(thread_id), {"archived": True, "locked": locked})

    def _thread(self, thread_id: int) -> Thread:
        thread = self.world.channels[thread_id]
        if not isinstance(thread, Thread):
            raise TypeError(f"{thread_id} is no thread")
        return thread

    async def dispatch(self, event: str, data: Json, *, times: int = 1) -> None:
        """Send any event to every session, `times` times."""
        for _ in range(times):
            self.gateway.publish(event, data)
