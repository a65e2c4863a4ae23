"""The local page and its small API. It has no log-in, so it answers this machine alone.

A browser is known by a random cookie; each has threads of its own. Requests with a foreign Host or Origin
are refused, so that no web page elsewhere can use a visitor's browser to reach it.
"""

from __future__ import annotations

import ipaddress
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from importlib import resources
from typing import Any, cast
from urllib.parse import urlsplit

from aiohttp import web

from adapters.web.render import chart_json, event_json, html, run_json
from core.commands import parse
from core.errors import ConsortiumError, NotFound, Refused, user_text
from core.ports import Events, History
from core.service import Inbound, Reply, Service
from core.telemetry import get_logger
from core.types import ChartsDrawn, Person, Platform, Run, RunEvent, ThreadRef

log = get_logger(__name__)

COOKIE = "consortium"
PREFIX = "/consortium"
MAX_BODY = 64 * 1024
RECENT = 20
"""Runs that a page shows when it is opened again."""

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_STATIC = {"": "page.html", "page.js": "page.js", "page.css": "page.css", "icon.svg": "icon.svg"}
_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}

_NEWCOMER = web.RequestKey("newcomer", str)

HttpHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class WebSurface:
    """The page. ``slack`` takes signed Slack requests where Slack talks HTTP."""

    def __init__(self, service: Service, events: Events, history: History, *, slack: HttpHandler | None = None) -> None:
        self._service, self._events, self._history = service, events, history
        self._runner: web.AppRunner | None = None
        self._app = web.Application(client_max_size=MAX_BODY, middlewares=[self._guard])
        self._app.add_routes(
            [
                web.get("/healthz", self._health),
                web.post("/api/commands", self._command),
                web.get("/api/threads", self._threads),
                web.get("/api/runs/{run}/events", self._follow),
                web.get("/api/runs/{run}/charts/{name}", self._chart),
                *(web.get(f"/{path}", self._static) for path in _STATIC),
            ]
        )
        if slack:
            # Slack signs its requests; they come from outside and have a size of their own.
            events_app = web.Application(client_max_size=1024 * 1024)
            events_app.router.add_post("/events", slack)
            self._app.add_subapp("/slack", events_app)

    async def start(self, host: str, port: int) -> str:
        """Listen; returns the page's URL. Raises OSError when the port is taken."""
        self._runner = web.AppRunner(self._app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        bound = self._runner.addresses[0]
        shown = "127.0.0.1" if bound[0] in ("0.0.0.0", "::") else bound[0]  # noqa: S104 - shown, not bound
        return f"http://{f'[{shown}]' if ':' in shown else shown}:{bound[1]}/"

    async def close(self) -> None:
        """Stop listening; streams end."""
        if self._runner:
            await self._runner.cleanup()

    # --- who may ------------------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: HttpHandler) -> web.StreamResponse:
        if request.path.startswith("/slack/") or request.path == "/healthz":
            return await handler(request)
        if not _is_local(request):
            raise web.HTTPForbidden(text="This page is for the machine it runs on.\n")
        try:
            response = await handler(request)
        except ConsortiumError as error:
            response = _problem(error)
        except web.HTTPException:
            raise
        except Exception as error:
            log.exception("request broke", path=request.path)
            response = _problem(error)
        if not response.prepared:
            response.headers.update(_HEADERS)
            if newcomer := request.get(_NEWCOMER):
                response.set_cookie(COOKIE, newcomer, httponly=True, samesite="Strict", max_age=365 * 24 * 3600)
        return response

    def _person(self, request: web.Request) -> Person:
        """The browser's person; a new one gets its cookie with the reply."""
        value = request.cookies.get(COOKIE, "")
        if not (len(value) == 32 and value.isalnum()):
            value = request[_NEWCOMER] = secrets.token_hex(16)
        return Person(id=value, name="you")

    def _where(self, person: Person, thread: str | None) -> ThreadRef:
        return ThreadRef(platform=Platform.WEB, workspace="local", channel=person.id, thread=thread, private=True)

    async def _own_run(self, request: web.Request) -> Run:
        run = await self._history.run(request.match_info["run"])
        if run is None or run.ask.asker.id != self._person(request).id or run.ask.where.platform != Platform.WEB:
            raise NotFound("There is no such run.")
        return run

    # --- what there is ------------------------------------------------------------------------------

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _static(self, request: web.Request) -> web.Response:
        self._person(request)
        name = _STATIC[request.path.lstrip("/")]
        body = (resources.files("adapters.web") / "static" / name).read_bytes()
        return web.Response(body=body, content_type=_TYPES[name.rsplit(".", 1)[1]], charset="utf-8")

    async def _command(self, request: web.Request) -> web.Response:
        text, thread = await _read_command(request)
        person = self._person(request)
        inbound = Inbound(asker=person, where=self._where(person, thread), prefix=PREFIX)
        result = await self._carry_out(text, inbound)
        if isinstance(result, Reply):
            return web.json_response({"type": "reply", "html": html(result.text)})
        return web.json_response({"type": "run", "thread": result.ask.where.thread, "run": run_json(result, ())})

    async def _carry_out(self, text: str, inbound: Inbound) -> Reply | Run:
        if text == PREFIX or text.startswith(f"{PREFIX} "):
            command = parse(text.removeprefix(PREFIX))
        elif inbound.where.thread:
            run = await self._service.follow_up(text, inbound)
            if run is None:
                raise NotFound("There is no such thread.")
            return run
        else:
            raise Refused(f"Write `{PREFIX} ask` and a question, or `{PREFIX} help`.")
        if inbound.where.thread is None:  # a new question opens a thread of its own
            where = inbound.where.model_copy(update={"thread": secrets.token_hex(6)})
            inbound = inbound.model_copy(update={"where": where})
        return await self._service.handle(command, inbound)

    async def _threads(self, request: web.Request) -> web.Response:
        """The browser's recent threads, oldest first, each with its runs."""
        person = self._person(request)
        rows = await self._history.page(person, self._where(person, None), RECENT, 0)
        threads: dict[str, list[dict[str, Any]]] = {}
        for row in reversed(rows):
            run = await self._history.run(row.id)
            if run and run.ask.where.thread:
                charts = await self._history.charts(run.id)
                threads.setdefault(run.ask.where.thread, []).append(run_json(run, charts))
        return web.json_response({"threads": [{"thread": t, "runs": runs} for t, runs in threads.items()]})

    async def _follow(self, request: web.Request) -> web.StreamResponse:
        """A run's events as server-sent events, from its first to its last."""
        run = await self._own_run(request)
        response = web.StreamResponse(headers={**_HEADERS, "Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        async with aclosing(_generator(self._events.follow(run.id))) as events:
            try:
                async for event in events:
                    await response.write(f"data: {json.dumps(await self._payload(run.id, event))}\n\n".encode())
            except ConnectionError:
                pass  # the page was closed
        return response

    async def _payload(self, run_id: str, event: RunEvent) -> dict[str, Any]:
        payload = event_json(event)
        if isinstance(event, ChartsDrawn):
            payload["charts"] = [chart_json(run_id, c) for c in await self._history.charts(run_id)]
        return payload

    async def _chart(self, request: web.Request) -> web.Response:
        run = await self._own_run(request)
        for chart in await self._history.charts(run.id):
            if chart.filename == request.match_info["name"]:
                return web.Response(body=chart.png, content_type="image/png")
        raise NotFound("There is no such chart.")


async def _read_command(request: web.Request) -> tuple[str, str | None]:
    """The text and the thread of a request. Raises Refused."""
    if request.content_type != "application/json":
        raise Refused("Send JSON.")
    try:
        body = await request.json()
        text, thread = body["text"], body.get("thread")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Refused('Send {"text": "/consortium ask …", "thread": null}.') from None
    if not isinstance(text, str) or not isinstance(thread, str | None):
        raise Refused('"text" is a text, "thread" is a text or null.')
    return text.strip(), thread or None


def _is_local(request: web.Request) -> bool:
    """Whether the request comes from this machine, to a name of this machine, and not from a foreign page."""
    origin = request.headers.get("Origin")
    return (
        _is_loopback(request.remote or "")
        and _is_loopback(urlsplit(f"//{request.host}").hostname or "")
        and (origin is None or origin == f"{request.scheme}://{request.host}")
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _problem(error: Exception) -> web.Response:
    status = 404 if isinstance(error, NotFound) else 400 if isinstance(error, Refused) else 503
    return web.json_response({"type": "error", "html": html(user_text(error))}, status=status)


def _generator(events: AsyncIterator[RunEvent]) -> Any:
    """The events as the generator that they are, so that they are closed when the page goes away."""
    return cast("Any", events)
