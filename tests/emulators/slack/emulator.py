"""The emulator itself: one object, one workspace, one loopback port."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from aiohttp import web

from tests.emulators.serving import shut

from . import limits
from .agents import AgentMethods
from .chat import ChatMethods
from .control import control_routes
from .delivery import Dispatcher, Endpoints, HttpTransport
from .faults import Fault, Weather
from .files import FileMethods
from .journal import JSON, Ack, Call, Clock, Delivery, Journal, Violation
from .methods import OtherMethods
from .oauth import OAuthServer
from .people import People
from .rates import RateLimiter
from .response_urls import ResponseUrls
from .sockets import SocketMode
from .streams import StreamMethods
from .views import View, ViewMethods
from .web_api import Handler, Home, WebApi
from .workspace import ALICE, APP, BOB, BOT, BOT_USER, CAROL, TEAM, Ephemeral, Message, Workspace

Found = TypeVar("Found")

POLL = 0.01  # seconds between two looks at a condition
UPLOAD_BYTES = 32 * 2**20


class SlackEmulator(People):
    """A strict Slack workspace on 127.0.0.1, to be used as `async with SlackEmulator() as slack`.

    Every call, acknowledgement, delivery and violation is recorded. A test passes only if `violations` is
    empty, or is what the test expects: see `assert_clean`. What people do in it is told by `People`.

    Args:
        name: what the workspace is called.
        enterprise: the id of the organisation it belongs to.
        oauth: the app is installed by OAuth, see `self.oauth`; `bot_token` is then good for nothing.
        rotation: tokens expire and are refreshed.
        beside: a workspace that was made before, with OAuth: this is another one with the same app. Calls, deliveries
            and violations of both are recorded together, and what is listened to is listened to by the first.
        speed: multiplies the waits between retries (0, 60, 300 s) and the life of a stream.
        ack_deadline: seconds the app has to acknowledge; also the life of a trigger_id.
        socket_mode: deliver through Socket Mode; otherwise through signed HTTP, see `deliver_to`.
        rates: whether calls over the rate limits are refused with 429.
        rate_scale: multiplies the windows of the rate limits.
        max_sockets: Socket Mode connections allowed at once.
        echo: whether the app hears of its own messages, as it does in Slack.
        scopes: what the bot token may do.
        stream_life: seconds a stream lives, instead of 300 times `speed`.
        clock: wall clock in seconds.
        port: 0 takes a free one.
    """

    team_id, app_id, bot_user_id, bot_id = TEAM, APP, BOT_USER, BOT
    user, other_user, admin = ALICE, BOB, CAROL
    outside_channel, hidden_channel = "C0OUTSIDE1", "C0HIDDEN01"
    bot_token = "xoxb-emulated-bot-token"
    app_token = "xapp-1-emulated-app-token"
    signing_secret = "emulated-signing-secret"

    def __init__(
        self,
        *,
        name: str = "Acme",
        enterprise: str | None = None,
        oauth: bool = False,
        rotation: bool = False,
        beside: SlackEmulator | None = None,
        speed: float = 1.0,
        ack_deadline: float = limits.ACK_DEADLINE,
        socket_mode: bool = True,
        rates: bool = True,
        rate_scale: float = 1.0,
        max_sockets: int = limits.MAX_SOCKETS,
        echo: bool = True,
        scopes: tuple[str, ...] = limits.DEFAULT_SCOPES,
        stream_life: float | None = None,
        clock: Clock = time.time,
        port: int = 0,
    ) -> None:
        self._first = beside or self
        self._family: list[SlackEmulator] = [self] if beside is None else beside._family
        journal = Journal(clock) if beside is None else beside.journal
        workspace = Workspace(journal, clock, scopes, 0 if beside is None else len(self._family), name, enterprise)
        if beside is None:
            self.sockets = SocketMode(journal, enabled=socket_mode, ack_deadline=ack_deadline, max_sockets=max_sockets)
            self._http = HttpTransport(journal, self.signing_secret, ack_deadline)
            self._dispatcher = Dispatcher(self.sockets if socket_mode else self._http, journal, speed)
        else:
            self.sockets, self._http, self._dispatcher = beside.sockets, beside._http, beside._dispatcher
            self._family.append(self)
        own = workspace.own
        self.team_id, self.bot_user_id, self.bot_id = workspace.team, workspace.bot_user, workspace.bot
        self.user, self.other_user, self.admin = own(ALICE), own(BOB), own(CAROL)
        self.outside_channel, self.hidden_channel = own(self.outside_channel), own(self.hidden_channel)
        self._files = FileMethods(workspace)
        self._responses = ResponseUrls(workspace)
        self._views = ViewMethods(workspace, ack_deadline)
        self._agents = AgentMethods(workspace)
        super().__init__(journal, workspace, self._dispatcher, self._files, self._responses, self._views)
        streams = StreamMethods(workspace, limits.STREAM_LIFE * speed if stream_life is None else stream_life)
        families = (ChatMethods(workspace), streams, self._files, self._views, self._agents, OtherMethods(workspace))
        methods: dict[str, Handler] = {"apps.connections.open": self.sockets.open}
        for family in families:
            methods |= family.table()
        home = Home(workspace, methods, RateLimiter(clock, rate_scale) if rates else None)
        tokens = {"xapp": self.app_token} | ({} if oauth else {"xoxb": self.bot_token})
        self._api: WebApi = WebApi(journal, home, tokens) if beside is None else beside._api
        self.oauth: OAuthServer = OAuthServer(journal, self._api, rotation=rotation) if beside is None else beside.oauth
        self.oauth.add(home)
        if oauth and beside is None:
            self._api.access, self._api.revoked = self.oauth.access, self._given_back
        if echo:
            workspace.publish = self._echo
        self._port = port
        self._runner: web.AppRunner | None = None
        self.base_url = ""

    async def __aenter__(self) -> Self:
        """Start to listen, or where another one does let that take in what is for this one."""
        if self._first is not self:
            self._listening_at(self._first.base_url)
            return self
        app = web.Application(client_max_size=UPLOAD_BYTES)
        app.router.add_route("*", "/api/{method}", self._api.handle)
        app.router.add_get("/link/", self.sockets.handle)
        app.router.add_post("/upload/v1/{ticket}", self._upload)
        app.router.add_post("/response/{key}", self._respond)
        app.router.add_get("/files-pri/{file}/download/{name}", self._download)
        app.add_routes(control_routes(self))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self.sockets.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self._listening_at(self.sockets.base_url)
        return self

    def _listening_at(self, url: str) -> None:
        self.base_url = self._files.base_url = self._responses.base_url = url

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop every connection; what is under way ends without a violation."""
        if self._first is not self:
            return
        await self._dispatcher.close()
        await self.sockets.close()
        await self._http.close()
        if self._runner is not None:
            await shut(self._runner)

    async def _upload(self, request: web.Request) -> web.Response:
        ticket = request.match_info["ticket"]
        one = next((one for one in self._family if one._files.issued(ticket)), self)
        return await one._files.receive(request, self._api)

    async def _download(self, request: web.Request) -> web.Response:
        team = request.match_info["file"].partition("-")[0]
        one = next((one for one in self._family if one.team_id == team), self)
        return await one._files.download(request, self._api)

    async def _respond(self, request: web.Request) -> web.Response:
        one = next((one for one in self._family if one._responses.issued(request.match_info["key"])), self)
        return await one._responses.receive(request, self._api)

    # What can be looked at.

    @property
    def api_url(self) -> str:
        """Base URL of the Web API, with its slash at the end."""
        return f"{self.base_url}/api/"

    @property
    def calls(self) -> list[Call]:
        """Every call, upload and post to a response URL, oldest first."""
        return self.journal.calls

    @property
    def deliveries(self) -> list[Delivery]:
        """Every event, command and interaction handed to the app; each repeat counts."""
        return self.journal.deliveries

    @property
    def acks(self) -> list[Ack]:
        """Every acknowledgement with its latency in seconds."""
        return self.journal.acks

    @property
    def violations(self) -> list[Violation]:
        """Everything a correct app would not have done."""
        return self.journal.violations

    @property
    def ephemerals(self) -> list[Ephemeral]:
        """Messages shown to one person only, oldest first."""
        return self.workspace.ephemerals

    @property
    def views(self) -> list[View]:
        """Every modal that was opened, oldest first, with what is filled in and the errors shown."""
        return self._views.opened

    def modals(self, user: str = ALICE) -> list[View]:
        """The modals on a person's screen, the topmost last."""
        return list(self._views.stacks.get(self.workspace.own(user), []))

    def home(self, user: str = ALICE) -> View | None:
        """A person's App Home, once the app published one."""
        return self._views.homes.get(self.workspace.own(user))

    @property
    def titles(self) -> dict[tuple[str, str], str]:
        """The title of each session or assistant thread, by (channel, thread_ts)."""
        return self._agents.titles

    @property
    def prompts(self) -> dict[tuple[str, str], list[JSON]]:
        """The suggested prompts of each thread, by (channel, thread_ts or "")."""
        return self._agents.prompts

    def status(self, channel: str, thread_ts: str) -> str:
        """The status people see in a thread now: "" for none or one that has lapsed."""
        return self.workspace.status((channel, thread_ts))

    @property
    def statuses(self) -> dict[tuple[str, str], str]:
        """Agent or assistant status of each thread, by (channel, thread_ts)."""
        return self.workspace.statuses

    def calls_to(self, method: str) -> list[Call]:
        """The calls of one method, refused ones included."""
        return [call for call in self.calls if call.method == method]

    def thread(self, channel: str, ts: str) -> list[Message]:
        """The root and its replies, oldest first, with files and their bytes."""
        return self.workspace.thread(channel, ts)

    def messages(self, channel: str | None = None, *, by_bot: bool = False) -> list[Message]:
        """Messages of one channel or of all, oldest first."""
        found = [m for m in self.workspace.messages.values() if channel in (None, m.channel)]
        return sorted((m for m in found if m.user == self.bot_user_id or not by_bot), key=lambda m: m.ts)

    def assert_clean(self, *expected: str) -> None:
        """Raise AssertionError unless exactly the expected kinds of violation were recorded, in any order."""
        if sorted(v.kind for v in self.violations) != sorted(expected):
            listing = "\n".join(f"{v.kind}: {v.detail}" for v in self.violations) or "none"
            raise AssertionError(f"violations expected: {list(expected)}; recorded:\n{listing}")

    async def wait_for(self, condition: Callable[[], Found], timeout: float = 10.0) -> Found:
        """Wait until the condition is true of something, and return that.

        Raises:
            AssertionError: it was not within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while not (found := condition()):
            if time.monotonic() > deadline:
                last = [(call.method, call.error) for call in self.calls[-10:]]
                raise AssertionError(f"not within {timeout} s; last calls {last}; {self.violations}")
            await asyncio.sleep(POLL)
        return found

    async def connected(self, count: int = 1, timeout: float = 10.0) -> None:
        """Wait for so many open sockets."""
        await self.wait_for(lambda: len(self.sockets.sockets) >= count, timeout)

    async def settled(self, timeout: float = 10.0) -> None:
        """Wait until no delivery is under way or waiting for a retry.

        Raises:
            TimeoutError: one still is after `timeout` seconds.
        """
        async with asyncio.timeout(timeout):
            await self._dispatcher.settle()

    # What people and Slack do.

    async def deliver_to(
        self, events_url: str, *, commands_url: str | None = None, interactive_url: str | None = None
    ) -> None:
        """Deliver over HTTP to these URLs, once the first answered Slack's challenge.

        Raises:
            ConnectionError: it did not.
            ValueError: the emulator is in socket mode.
        """
        if self._dispatcher.transport is not self._http:
            raise ValueError("HTTP delivery is off while Socket Mode is on")
        await self._http.connect(Endpoints(events_url, commands_url or events_url, interactive_url or events_url))

    # How the app comes and goes.

    def approve(self, url: str, *, user: str = ALICE, org_wide: bool = False) -> str:
        """A person opens Slack's question at `url` and says yes; returns where the browser is sent."""
        return self.oauth.approve(url, self.workspace, self.workspace.own(user), org_wide=org_wide)

    async def uninstall(self) -> None:
        """The app is removed from this workspace: its tokens are good no more, and it hears of that in two events."""
        self.oauth.revoke_all(self.workspace)
        await self._told_of_revocation()
        await self.event({"type": "app_uninstalled", "event_ts": self.workspace.next_ts()})

    async def _told_of_revocation(self) -> None:
        tokens = {"oauth": [], "bot": [self.bot_user_id]}
        await self.event({"type": "tokens_revoked", "tokens": tokens, "event_ts": self.workspace.next_ts()})

    def _given_back(self, space: Workspace) -> None:
        one = next(one for one in self._family if one.workspace is space)
        self._telling = asyncio.create_task(one._told_of_revocation())

    # What goes wrong.

    def fault(
        self,
        method: str = "*",
        *,
        times: int = 1,
        status: int | None = None,
        retry_after: int | None = None,
        error: str | None = None,
        delay: float = 0.0,
        drop: bool = False,
        after: bool = False,
    ) -> None:
        """Trouble for the next calls of a method; "*" is any, "upload" and "response_url" go by name.

        With nothing else said it is a 429 with Retry-After 1. See `Fault` for the arguments.
        """
        if status is None and error is None and not drop and not delay:
            status = 429
        if status == 429 and retry_after is None:
            retry_after = 1
        self._api.faults.add(Fault(method, times, status, retry_after, error, delay, drop, after))

    def weather(self, share: float, seed: int = 0) -> None:
        """From now on so many of all calls fail by chance; see `Weather`. `clear_faults` ends it."""
        self._api.faults.weather = Weather(share, seed) if share else None

    def clear_faults(self) -> None:
        """Forget the faults that have not struck."""
        self._api.faults.clear()

    async def disconnect(
        self, reason: str | None = "warning", close_after: float | None = 0.0, count: int | None = None
    ) -> None:
        """Send sockets away, so many or all; see `SocketMode.disconnect`. `reason` None resets the connections."""
        await self.sockets.disconnect(reason, close_after, count)

    def freeze(self) -> None:
        """Turn every socket into a half-open connection."""
        self.sockets.freeze()
