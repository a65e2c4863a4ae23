"""The HTTP side: every request is logged, checked against Discord's description, rate limited, then handled."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

from aiohttp import BodyPartReader, web

from tests.emulators.discord.errors import ApiError, FieldError, invalid_form, known, plain
from tests.emulators.discord.faults import Fault, Faults
from tests.emulators.discord.handlers import Call, Handlers, Reply
from tests.emulators.discord.ratelimits import Buckets, refusal
from tests.emulators.discord.record import Recorder, RequestRecord
from tests.emulators.discord.routes import Match, match
from tests.emulators.discord.schema import contract
from tests.emulators.discord.validation import Upload

PREFIX = "/api/v10"
_WRONG = frozenset({40005, 40333, 50006, 50035, 50109})
"""Refusals that only a faulty request gets; others, such as missing permissions, can befall any bot."""

_HTML = frozenset({502, 504, 524})


class _Ended(Exception):
    """The request ends with this response instead of its own; None cuts the connection."""

    def __init__(self, response: web.Response | None) -> None:
        super().__init__()
        self.response = response


class Api:
    """Answers REST requests; `token` is the bot's, and `revoked` makes it worthless."""

    def __init__(self, handlers: Handlers, buckets: Buckets, faults: Faults, recorder: Recorder, token: str) -> None:
        self._handlers = handlers
        self._buckets = buckets
        self._faults = faults
        self._recorder = recorder
        self._token = token
        self._contract = contract()
        self.revoked = False

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request and log it."""
        recorder = self._recorder
        path = request.path.removeprefix(PREFIX)
        headers = {key.title(): value for key, value in request.headers.items()}
        record = RequestRecord(recorder.clock.wall(), request.method, path, dict(request.query), headers)
        recorder.requests.append(record)
        try:
            await self._disturb(record, "before")
            response = await self._answer(request, record)
            await self._disturb(record, "after")
        except _Ended as ended:
            if ended.response is None:
                record.status = 0
                recorder.changed()
                if request.transport is not None:
                    request.transport.abort()
                return web.Response(status=500)
            response = ended.response
        record.status = response.status
        recorder.changed()
        return response

    async def _disturb(self, record: RequestRecord, when: Any) -> None:
        for fault in self._faults.due(record.method, record.path, when):
            record.fault = str(fault)
            if fault.kind == "delay":
                await asyncio.sleep(fault.seconds)
            else:
                raise _Ended(None if fault.kind == "drop" else _failure(fault))

    async def _answer(self, request: web.Request, record: RequestRecord) -> web.Response:
        found = match(request.method, record.path) if request.path.startswith(f"{PREFIX}/") else None
        if found is None:
            self._recorder.violation("route", "unknown route", f"{request.method} {request.path}")
            return _json(404, plain(404, "Not Found").body())
        record.route = found.route
        grant = self._buckets.take(found.route, found.major)
        if not grant.allowed:
            body, more = refusal(grant.reset_after, "user")
            return _json(429, body, grant.headers | more)
        try:
            self._authenticate(request, found)
            reply = await self._call(request, found, record)
        except ApiError as error:
            self._note(error, record)
            record.reply = error.body()
            return _json(error.status, error.body(), grant.headers)
        record.reply = reply.body
        problem = self._contract.reply_problem(found.route, reply.status, reply.body)
        if problem is not None:
            self._recorder.violation("emulator", f"reply differs from Discord's description: {problem}", found.route)
        return _json(reply.status, reply.body, grant.headers)

    def _authenticate(self, request: web.Request, found: Match) -> None:
        if found.by_token:
            return
        if not request.headers.get("User-Agent", "").startswith("DiscordBot ("):
            raise known(40333)
        if self.revoked or request.headers.get("Authorization") != f"Bot {self._token}":
            raise plain(401, "Unauthorized")

    def _note(self, error: ApiError, record: RequestRecord) -> None:
        unauthorized = error.status == 401 and error.code == 0 and not self.revoked
        if error.code in _WRONG or error.status == 500 or unauthorized:
            detail = json.dumps(error.body(), ensure_ascii=False)
            self._recorder.violation("request", detail, f"{record.method} {record.path}")

    async def _call(self, request: web.Request, found: Match, record: RequestRecord) -> Reply:
        body: Any = None
        uploads: tuple[Upload, ...] = ()
        if self._contract.takes_body(found.route):
            body, uploads = await self._read(request)
            record.body, record.files = body, tuple(upload.filename for upload in uploads)
            problems = self._contract.request_errors(found.route, body)
            if problems:
                raise invalid_form(problems)
            for name in self._contract.unknown_fields(found.route, body):
                self._recorder.violation("request", f"unknown field {name}", f"{record.method} {record.path}")
        return self._handlers[found.route](Call(found.params, request.query, body, uploads))

    async def _read(self, request: web.Request) -> tuple[Any, tuple[Upload, ...]]:
        if request.content_type == "application/json":
            return _parsed(await request.text()), ()
        if request.content_type != "multipart/form-data":
            text = 'Expected "Content-Type" header to be one of {"application/json", "multipart/form-data"}.'
            raise invalid_form([FieldError((), "CONTENT_TYPE_INVALID", text)])
        body: Any = {}
        uploads = []
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                continue
            number = re.fullmatch(r"files\[(\d+)\]", part.name or "")
            if part.name == "payload_json":
                body = _parsed(await part.text())
            elif number:
                data = bytes(await part.read())
                uploads.append(Upload(int(number[1]), part.filename or "file", data))
            else:
                self._recorder.violation("request", f"unknown form part {part.name!r}", request.path)
        return body, tuple(uploads)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise known(50109) from None


def _failure(fault: Fault) -> web.Response:
    if fault.kind == "rate_limit":
        body, headers = refusal(fault.seconds, fault.scope)
        return _json(429, body, headers)
    if fault.status in _HTML:
        text = f"<html><body><h1>{fault.status}</h1></body></html>"
        return web.Response(status=fault.status, text=text, content_type="text/html")
    return _json(fault.status, {"message": f"{fault.status}: ordered failure", "code": 0})


def _json(status: int, body: Any, headers: Mapping[str, str] | None = None) -> web.Response:
    """Make a reply whose content type is exactly application/json: discord.py compares for equality."""
    if body is None:
        return web.Response(status=status, headers=headers)
    data = json.dumps(body, separators=(",", ":")).encode()
    return web.Response(status=status, body=data, headers={**(headers or {}), "Content-Type": "application/json"})
