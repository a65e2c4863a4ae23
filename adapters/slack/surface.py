"""The Slack app as a whole: logging in, listening by Socket Mode or HTTP, and ending."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiohttp
from aiohttp import web
from pydantic import SecretStr
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.response import BoltResponse
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from adapters.slack.api import error_code, retry_handlers, sdk_log, sure, unsure
from adapters.slack.inbound import Identity
from adapters.slack.install import INSTALL_PATH, REDIRECT_PATH, OAuth
from adapters.slack.intake import Intake
from adapters.slack.limits import Timing
from adapters.slack.oauth import Tenancy
from adapters.slack.socketmode import Connections, SocketMode
from adapters.slack.workspaces import Builder, Installed, OneWorkspace, Workspaces
from core.asks import Platform
from core.errors import ConfigError, Unavailable
from core.ports import Events, History
from core.service import Service
from core.telemetry import get_logger

log = get_logger(__name__)

# It warns that SLACK_BOT_TOKEN, which it finds in the environment by itself, is not needed.
bolt_log = logging.getLogger("slack_bolt.consortium")
bolt_log.setLevel(logging.ERROR)

DEFAULT_TIMING = Timing()
EVENTS_PATH = "/slack/events"

_WRITE_BOT = "write the Bot User OAuth Token (xoxb-…) from the app's page OAuth & Permissions"
_WRITE_APP = (
    "write an app-level token (xapp-…) with the scope connections:write from the app's page Basic Information, "
    "and switch Socket Mode on"
)


@dataclass(frozen=True)
class SlackConfig:
    """Tokens and addresses. With ``app_token`` events come by Socket Mode, over so many ``connections``, else by signed
    HTTP requests."""

    bot_token: SecretStr | None = None
    app_token: SecretStr | None = None
    signing_secret: SecretStr | None = None
    api_url: str = "https://slack.com/api/"
    oauth: OAuth | None = None
    connections: int = 2


class SlackSurface:
    """The Slack app: ``start`` it, hand it HTTP events, ``resume`` what an earlier process left, ``close`` it.

    ``service``, ``events`` and ``history`` are the core's.
    """

    def __init__(
        self,
        config: SlackConfig,
        service: Service,
        events: Events,
        history: History,
        timing: Timing = DEFAULT_TIMING,
    ) -> None:
        self._config, self._service, self._events, self._history = config, service, events, history
        self._timing = timing
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None
        self._intake: Intake | None = None
        self._socket: Connections | None = None
        self._app: AsyncApp | None = None
        self._workspaces: Workspaces | None = None
        self._tenancy: Tenancy | None = None
        self._dropped: dict[str, float] = {}  # runs of workspaces without the app, and until when they are left alone
        self._over = asyncio.Event()
        self._refusal: ConfigError | None = None

    async def start(self) -> None:
        """Log in and begin to listen. Raises ConfigError for tokens Slack refuses, Unavailable if it is down."""
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._timing.call))
        try:
            await self._connect(self._session)
        except BaseException:
            await self._disconnect()
            raise

    async def _connect(self, session: aiohttp.ClientSession) -> None:
        config, timing = self._config, self._timing
        core = (self._service, self._events, self._history)
        builder = Builder(core, session, self._client, self._spawn, timing)
        if config.oauth is not None:
            self._workspaces = await self._all_workspaces(config.oauth, builder)
        elif config.bot_token is not None:
            self._workspaces = await self._one_workspace(config.bot_token, builder)
        else:
            raise ConfigError(f"SLACK_BOT_TOKEN: missing; {_WRITE_BOT}")
        self._intake = Intake(self._service, self._workspaces, self._spawn, timing)
        self._app = self._listen()
        if config.app_token:
            client, token = self._client(None), config.app_token.get_secret_value()
            ticket = await self._login(
                "SLACK_APP_TOKEN", _WRITE_APP, lambda: client.apps_connections_open(app_token=token)
            )
            refused = partial(self._refused, "SLACK_APP_TOKEN", _WRITE_APP)
            connection = partial(SocketMode, self._app, client, token, timing.ping, refused)
            self._socket = Connections(connection, config.connections)
            try:
                await self._socket.open(str(ticket["url"]), timing.connect)
            except TimeoutError:
                raise Unavailable(f"Slack's Socket Mode did not connect within {timing.connect:.0f} s.") from None

    async def _all_workspaces(self, oauth: OAuth, builder: Builder) -> Workspaces:
        self._tenancy = Tenancy(oauth, self._config.api_url, self._client, builder, self._timing)
        await self._tenancy.start()
        return self._tenancy.workspaces

    async def _one_workspace(self, token: SecretStr, builder: Builder) -> Workspaces:
        login = await self._login("SLACK_BOT_TOKEN", _WRITE_BOT, self._client(token.get_secret_value()).auth_test)
        team = None if login.get("is_enterprise_install") else str(login["team_id"])
        me = Identity(team, str(login["user_id"]), str(login["bot_id"]), str(login["user"]))
        refused = partial(self._refused, "SLACK_BOT_TOKEN", _WRITE_BOT)
        return OneWorkspace(builder.build(Installed(me, token), refused))

    def _client(self, token: str | None) -> AsyncWebClient:
        return AsyncWebClient(
            token=token,
            base_url=self._config.api_url,
            session=self._session,
            logger=sdk_log,
            retry_handlers=retry_handlers(),
        )

    async def _login(self, setting: str, fix: str, call: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await sure(call, self._timing.repeats)
        except (SlackApiError, aiohttp.ClientError, TimeoutError) as error:
            if unsure(error) or not error_code(error):
                raise Unavailable(
                    f"Slack does not answer at {self._config.api_url} ({type(error).__name__})."
                ) from error
            raise _refusal(setting, fix, error_code(error)) from None

    def _refused(self, setting: str, fix: str, code: str) -> None:
        """A token that was good is not any more."""
        if self._refusal is None:
            self._refusal = _refusal(setting, fix, code)
            log.error("Slack is off", reason=str(self._refusal))
            self._over.set()

    def _listen(self) -> AsyncApp:
        """The Bolt app. It asks Slack nothing before it acknowledges, and leaves it to us whose event it is."""
        secret = self._config.signing_secret.get_secret_value() if self._config.signing_secret else ""

        async def authorize(enterprise_id: str | None, team_id: str | None) -> AuthorizeResult:
            return AuthorizeResult(enterprise_id=enterprise_id, team_id=team_id)

        app = AsyncApp(
            name="consortium",
            client=self._client(None),
            authorize=authorize,
            signing_secret=secret,
            logger=bolt_log,
            ignoring_self_events_enabled=False,  # they are told by the workspace's bot, which Bolt does not know
        )

        async def take(body: dict[str, Any]) -> BoltResponse:
            return await self._take(body)

        app.middleware(take)  # it answers all there is, so Bolt looks for no listeners
        return app

    async def _take(self, body: dict[str, Any]) -> BoltResponse:
        if self._intake is None:
            return BoltResponse(status=503)
        if self._tenancy is not None:
            try:
                await self._tenancy.noticed(body)
            except Unavailable as error:
                log.warning("removal not noticed yet", why=str(error))
                return BoltResponse(status=503)  # Slack tells again
        return await self._intake.take(body)

    def routes(self) -> list[web.RouteDef]:
        """What is reached from outside: by Slack, and by people who install the app."""
        routes = [] if self._config.app_token else [web.post(EVENTS_PATH, self.handle_http)]
        if self._config.oauth is not None:
            routes += [web.get(INSTALL_PATH, self._page), web.get(REDIRECT_PATH, self._page)]
        return routes

    async def _page(self, request: web.Request) -> web.Response:
        if self._tenancy is None:
            return web.Response(text="Not now: this service is starting or ending.\n", status=503)
        pages = self._tenancy.installing
        return await (pages.install(request) if request.path == INSTALL_PATH else pages.redirect(request))

    async def handle_http(self, request: web.Request) -> web.Response:
        """Answer a POST to /slack/events: events, commands and interactions, signed by Slack."""
        app, secret = self._app, self._config.signing_secret
        if app is None or not secret:
            return web.json_response({"error": "HTTP events are off"}, status=503)
        body = await request.read()
        if not _signed(body, request.headers, secret):  # Bolt looks too, once it has made sense of the body
            if b"ssl_check=1" in body.split(b"&"):
                return web.Response()  # Slack looks whether the certificate is good
            return web.json_response({"error": "invalid request"}, status=401)
        return await to_aiohttp_response(await app.async_dispatch(await to_bolt_request(request)))

    async def resume(self) -> None:
        """Show what is shown by nobody and goes on or has ended within the last hour. Troubles are only logged."""
        workspaces, intake = self._workspaces, self._intake
        if workspaces is None or intake is None:
            return
        try:
            await intake.resume()
            now = asyncio.get_running_loop().time()
            self._dropped = {run: until for run, until in self._dropped.items() if until > now}
            shown = intake.beginning.union(self._dropped, *(workspace.showing.shown for workspace in workspaces))
            for run in await self._service.adopt(Platform.SLACK, shown):
                workspace = await workspaces.named(run.ask.where.workspace)
                if workspace is not None:
                    workspace.showing.resume(run)
                else:
                    log.warning("not shown: not installed there", run=run.id, team=run.ask.where.workspace)
                    self._dropped[run.id] = now + self._timing.rest
        except Unavailable as error:
            log.warning("not looked for runs that nobody shows", why=str(error))

    async def ready(self) -> str | None:
        """What keeps people from being served, in a few words; None while all is well."""
        if self._refusal is not None:
            return str(self._refusal)
        if self._app is None:
            return "not logged in"
        if self._socket is not None and not await self._socket.connected():
            return "the socket is not connected"
        return None

    async def wait(self) -> None:
        """Until closed. Raises ConfigError when Slack takes a token no more."""
        await self._over.wait()
        if self._refusal is not None:
            raise self._refusal

    async def idle(self) -> None:
        """Wait until nothing is being carried out or shown."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def close(self, grace: float = 0.0) -> None:
        """Stop listening; let what is being shown end within ``grace`` seconds. ``resume`` finds the rest."""
        if self._socket is not None:
            await self._socket.close()
            self._socket = None
        self._app = None
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self.idle()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._disconnect()

    async def _disconnect(self) -> None:
        if self._socket is not None:
            await self._socket.close()
        if self._tenancy is not None:
            await self._tenancy.close()
            self._tenancy = None
        if self._session is not None:
            await self._session.close()
        self._app = self._socket = self._session = None
        self._over.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _signed(body: bytes, headers: Mapping[str, str], secret: SecretStr) -> bool:
    """Whether Slack has signed this, be it long ago."""
    stamp, signature = (
        headers.get(f"X-Slack-{name}", "").encode(errors="replace") for name in ("Request-Timestamp", "Signature")
    )
    made = hmac.new(secret.get_secret_value().encode(), b"v0:" + stamp + b":" + body, "sha256").hexdigest()
    return hmac.compare_digest(f"v0={made}".encode(), signature)


def _refusal(setting: str, fix: str, code: str) -> ConfigError:
    return ConfigError(f"{setting}: Slack refuses it ({code}); {fix}")
