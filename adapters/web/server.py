"""The local page and its small API. It has no log-in, so it answers this machine alone (see :mod:`adapters.web.guard`).

A browser is known by a random cookie and has threads of its own. It sends commands, and hears of its runs over one
stream of server-sent events, each of which is a whole run as far as it is: whoever joins late has missed nothing.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Sequence
from importlib import resources
from typing import Any
from urllib.parse import quote

from aiohttp import web

from adapters.web.guard import is_browser_id, is_direct, is_local, is_same_origin
from adapters.web.health import ALIVE, alive
from adapters.web.markdown import html
from adapters.web.reading import MAX_BODY, Sent, read_sent
from adapters.web.render import Json, form_json, panel_json, progress_json, reply_json, run_json
from adapters.web.shelf import Item, Shelf
from adapters.web.suggesting import PREFIX, suggested
from core.asks import Person, Platform, ThreadRef
from core.attachments import MOST_BYTES, MOST_FILES
from core.cards import Form, Redraw, Result
from core.commands.actions import decode, submitted
from core.commands.grammar import parse, parse_message
from core.commands.values import AskCommand, Command, DeleteRun, ForgetMe, ShowCharts, asks
from core.delivery import RunView
from core.errors import BadForm, ConsortiumError, Duplicate, NotFound, RateLimited, Refused, Unavailable, user_text
from core.ports import History
from core.service import Inbound, Service
from core.telemetry import get_logger
from core.types import Chart, Run

log = get_logger(__name__)

COOKIE = "consortium"
MAX_OUTSIDE_BODY = 1024 * 1024
LONGEST_TYPED = 500
"""Characters behind which nothing is suggested."""

RECENT = 20
"""Runs that a page shows when it is opened again."""

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_FILES = (
    *("page.html", "page.css", "icon.svg", "page.js", "actions.js", "runs.js", "dialogs.js", "composer.js"),
    *("server.js", "dom.js"),
)
_KINDS = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
_STATUS = {NotFound: 404, Duplicate: 409, RateLimited: 429, Refused: 400, Unavailable: 503}
_HTTP_TEXT = {
    404: "There is nothing at this address.",
    405: "This address does not take such requests.",
    413: f"That is too long: a message has at most {MAX_BODY // 1024} kB, and {MOST_FILES} files of "
    f"{MOST_BYTES // 2**20} MB each.",
}

_NEWCOMER = web.RequestKey("newcomer", str)

HttpHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class WebSurface:
    """The page. ``outside`` are routes for others than this machine, which see to it themselves who may use them: what
    chat platforms send, signed."""

    def __init__(self, service: Service, history: History, *, outside: Sequence[web.RouteDef] = ()) -> None:
        self._service, self._history = service, history
        self._runner: web.AppRunner | None = None
        self._streams: set[asyncio.Task[Any]] = set()
        folder = resources.files("adapters.web") / "static"
        self._static = {f"/{name}": ((folder / name).read_bytes(), _KINDS[name.partition(".")[2]]) for name in _FILES}
        self._static["/"] = self._static.pop("/page.html")
        self._shelf = Shelf()
        self._app = web.Application(client_max_size=MAX_OUTSIDE_BODY, middlewares=[self._guard])
        self._app.on_shutdown.append(self._end_streams)
        self._app.add_routes(
            [
                *(web.get(path, self._file) for path in self._static),
                web.get(ALIVE, alive),
                web.post("/api/commands", self._command),
                web.get("/api/suggest", self._suggest),
                web.get("/api/threads", self._threads),
                web.get("/api/events", self._follow),
                web.get("/api/runs/{run}/charts/{name}", self._chart),
                web.get("/api/files/{key}", self._lying_here),
            ]
        )
        self._app.add_routes(outside)
        self._outside = {ALIVE, *(route.path for route in outside)}

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

    async def _end_streams(self, _: web.Application) -> None:
        for stream in self._streams:
            stream.cancel()

    # --- who may ------------------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: HttpHandler) -> web.StreamResponse:
        if request.path in self._outside:
            return await handler(request)
        response = await self._answer(request, handler)
        if not response.prepared:
            response.headers.update(_HEADERS)
            response.headers.setdefault("Cache-Control", "no-store")
            if newcomer := request.get(_NEWCOMER):
                response.set_cookie(COOKIE, newcomer, httponly=True, samesite="Strict", max_age=365 * 24 * 3600)
        return response

    async def _answer(self, request: web.Request, handler: HttpHandler) -> web.StreamResponse:
        """The handler's response, or the one that says why there is none."""
        if not (is_direct(request.version) and is_local(request.remote, request.scheme, request.headers)):
            return _problem(403, "This page is only for the machine it runs on.")
        if request.path.startswith("/api/") and not is_same_origin(request.headers):
            return _problem(403, "Other pages may not use this one.")
        try:
            return await handler(request)
        except web.HTTPException as error:
            return _problem(error.status, _HTTP_TEXT.get(error.status, error.reason))
        except ConsortiumError as error:
            status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 503)
            return _problem(status, user_text(error))
        except Exception as error:
            log.exception("request broke", path=request.path)
            return _problem(500, user_text(error))

    def _known(self, request: web.Request) -> Person | None:
        """The browser's person, by its cookie."""
        value = request.cookies.get(COOKIE, "")
        return Person(id=value, name="you") if is_browser_id(value) else None

    def _person(self, request: web.Request) -> Person:
        """The browser's person; a new one gets its cookie with the reply.

        Only for what the page itself sends. A browser that follows a link hither does not show its cookie,
        and a new one would take its threads from it.
        """
        if known := self._known(request):
            return known
        request[_NEWCOMER] = secrets.token_hex(16)
        return Person(id=request[_NEWCOMER], name="you")

    async def _own_run(self, request: web.Request, run_id: str) -> Run:
        person, run = self._known(request), await self._history.run(run_id)
        if person is None or run is None or run.ask.where.platform != Platform.WEB or run.ask.asker.id != person.id:
            raise NotFound("There is no such run.")
        return run

    async def _found(self, request: web.Request, run_id: str) -> Run | None:
        try:
            return await self._own_run(request, run_id)
        except NotFound:
            return None

    # --- what there is ------------------------------------------------------------------------------

    async def _file(self, request: web.Request) -> web.Response:
        body, kind = self._static[request.path]
        return web.Response(body=body, content_type=kind, charset="utf-8")

    async def _command(self, request: web.Request) -> web.Response:
        """A text, a tap or a form that was filled in. What comes of it has a type: run, reply, form or error."""
        sent = await read_sent(request)
        person = self._person(request)
        inbound = _inbound(person, sent)
        try:
            command = _command_of(sent, in_thread=inbound.where.thread is not None)
            result = await self._carry_out(command, sent, inbound)
        except BadForm as error:
            shown: Json = {"type": "form", "form": form_json(error.form), "problems": error.problems}
            return web.json_response(shown, status=400)
        return web.json_response(await self._shown(command, result, person))

    async def _carry_out(self, command: Command | None, sent: Sent, inbound: Inbound) -> Result:
        """A command, or as in any direct message a question; in a thread the question continues it."""
        if command is None:
            found = await self._service.follow_up(sent.text or "", inbound)
            if found is None:
                raise NotFound("There is no such thread, or its first answer is still to come.")
            return found
        if asks(command) and inbound.where.thread is None:
            where = inbound.where.model_copy(update={"thread": secrets.token_hex(6)})
            inbound = inbound.model_copy(update={"where": where})
        return await self._service.handle(command, inbound)

    async def _shown(self, command: Command | None, result: Result, person: Person) -> Json:
        """The result as the page takes it, with the runs that are ``gone`` since."""
        match result:
            case Run():
                return {"type": "run", "run": run_json(result, long=await self._service.long(result))}
            case Redraw():
                return {"type": "run", "run": run_json(result.run, long=result.long)}
            case Form():
                return {"type": "form", "form": form_json(result), "problems": {}}
        gone: list[str] | None = []
        if isinstance(command, DeleteRun) and await self._history.run(command.run) is None:
            gone = [command.run]
        elif isinstance(command, ForgetMe) and command.confirmed:
            gone = None
            self._shelf.forget(person.id)
        on_record = await self._on_record(command)
        pictures = [
            f"/api/runs/{command.run}/charts/{chart.filename}"
            if isinstance(command, ShowCharts) and chart.filename in on_record
            else self._fetched_at(Item(person.id, chart.filename, "image/png", chart.png))
            for chart in result.pictures
        ]
        file = result.download
        download = self._fetched_at(Item(person.id, file.filename, file.media_type, file.data)) if file else None
        return {**reply_json(result, pictures, download), "gone": gone}

    async def _on_record(self, command: Command | None) -> set[str]:
        charts = await self._history.charts(command.run) if isinstance(command, ShowCharts) else ()
        return {chart.filename for chart in charts}

    def _fetched_at(self, item: Item) -> str:
        return f"/api/files/{self._shelf.put(item)}"

    async def _lying_here(self, request: web.Request) -> web.Response:
        """A picture or a file of a reply."""
        person = self._known(request)
        item = self._shelf.get(request.match_info["key"], person.id) if person else None
        if item is None:
            raise NotFound("This file is not kept any more. Please ask for it again.")
        headers = {"Cache-Control": "private, max-age=3600, immutable"}
        if item.media_type != "image/png":
            headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(item.filename)}"}
        return web.Response(body=item.data, content_type=item.media_type, headers=headers)

    async def _suggest(self, request: web.Request) -> web.Response:
        """What may stand at the end of ``text``."""
        person = self._known(request)
        text = request.query.get("text", "")
        if person is None or len(text) > LONGEST_TYPED:
            return web.json_response({"start": 0, "options": []})
        inbound = _inbound(person, Sent(thread=None))
        start, found = await suggested(text, lambda kind, typed: self._service.suggest(kind, typed, inbound))
        options = [
            {"insert": insert, "label": option.label, "about": option.about.replace("`", "")}
            for insert, option in found
        ]
        return web.json_response({"start": start, "options": options})

    async def _threads(self, request: web.Request) -> web.Response:
        """The browser's recent runs, oldest first, and who is on the panel."""
        person = self._person(request)
        rows = await self._history.page(person, _where(person, None), RECENT, 0)
        runs = [run for row in reversed(rows) if (run := await self._history.run(row.id)) and run.ask.where.thread]
        long = bool(runs) and await self._service.long(runs[-1])  # it holds for all that this browser asked
        _, setup = await self._service.setup()
        return web.json_response(
            {
                "runs": [run_json(run, long=long) for run in runs],
                "panel": panel_json(self._service.catalog.panel(setup)),
                "welcome": reply_json(self._service.welcome("opened", PREFIX)),
            }
        )

    async def _follow(self, request: web.Request) -> web.StreamResponse:
        """The runs named in ``runs`` as server-sent events, until the last of them is over.

        One stream for all, because browsers open few connections to one server. Those that are gone, deleted in another
        tab perhaps, are told too: the page would ask for them for ever, and with them for those that go on.
        """
        wanted = request.query.get("runs", "").split(",")[:RECENT]
        found = {run: await self._found(request, run) for run in wanted}
        headers = {**_HEADERS, "Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        await response.write(b"retry: 1000\n\n")
        if gone := [run for run, stored in found.items() if stored is None]:
            await _write(response, {"gone": gone})
        self._streams.add(request.task)
        try:
            async with asyncio.TaskGroup() as group:
                for run in filter(None, found.values()):
                    group.create_task(self._tell(run, response))
        except* (ConnectionError, Unavailable):
            pass  # the page was closed, or will ask again in a second
        finally:
            self._streams.discard(request.task)
        return response

    async def _tell(self, run: Run, response: web.StreamResponse) -> None:
        presenter = PagePresenter(run, response, long=await self._service.long(run))
        await self._service.deliver(run, presenter)
        if stored := await self._history.run(run.id):
            await presenter.end(stored)
        else:
            await _write(response, {"gone": [run.id]})

    async def _chart(self, request: web.Request) -> web.Response:
        run = await self._own_run(request, request.match_info["run"])
        for chart in await self._history.charts(run.id):
            if chart.filename == request.match_info["name"]:
                headers = {"Cache-Control": "private, max-age=3600, immutable"}
                return web.Response(body=chart.png, content_type="image/png", headers=headers)
        raise NotFound("There is no such chart.")


class PagePresenter:
    """Writes a run to a page's stream; see :class:`core.delivery.Presenter`."""

    pace = 0.12
    tick: float | None = None

    def __init__(self, run: Run, response: web.StreamResponse, *, long: bool) -> None:
        self._run, self._response, self._long = run, response, long
        self._note: str | None = None

    async def progress(self, view: RunView) -> None:
        """Write how far the run is."""
        await _write(self._response, progress_json(self._run, view))

    async def answer(self, run: Run) -> None:
        """Write the answer."""
        await _write(self._response, run_json(run, long=self._long))

    async def charts(self, run: Run, charts: tuple[Chart, ...], note: str | None) -> None:
        """Remember why there are none: the charts themselves are a tap away."""
        self._note = note

    async def failed(self, run: Run, text: str) -> None:
        """Nothing yet: what is stored tells more, and follows at once."""

    async def end(self, run: Run) -> None:
        """Write the run as it is stored for good."""
        await _write(self._response, run_json(run, long=self._long, note=self._note))


async def _write(response: web.StreamResponse, told: Json) -> None:
    await response.write(f"data: {json.dumps(told)}\n\n".encode())


def _where(person: Person, thread: str | None) -> ThreadRef:
    return ThreadRef(platform=Platform.WEB, workspace="local", channel=person.id, thread=thread, private=True)


def _inbound(person: Person, sent: Sent) -> Inbound:
    """Whoever sits at this machine runs it, so there is nothing here that they may not do."""
    return Inbound(
        asker=person,
        where=_where(person, sent.thread or None),
        event_ids=(f"web:{person.id}:{sent.id}",) if sent.id else (),
        prefix=PREFIX,
        manages=True,
        moderates=True,
        files=sent.files,
    )


def _command_of(sent: Sent, *, in_thread: bool) -> Command | None:
    """What was sent as a command; None for a message that continues a thread. Raises Refused."""
    if sent.action is not None:
        return decode(sent.action) if sent.filled is None else submitted(sent.action, sent.filled)
    text = sent.text or ""
    first = text.split(maxsplit=1)[0] if text else ""
    if first.lower() == PREFIX:
        return parse(text[len(PREFIX) :])
    if first.startswith("/"):
        raise Refused(f"There is no `{first[:40].replace('`', '')}`. Every command begins with `{PREFIX}`.")
    if in_thread:
        return None
    return AskCommand(text=text) if sent.files else parse_message(text)


def _problem(status: int, text: str) -> web.Response:
    return web.json_response({"type": "error", "html": html(text)}, status=status)
