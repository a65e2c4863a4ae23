"""The HTTP side of the Web API: arguments, tokens, scopes, rates, faults; then the method itself."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from . import limits
from .faults import Fault, Faults
from .journal import JSON, ApiError, Call, Journal, Malformed
from .rates import RateLimiter
from .workspace import Workspace

Handler = Callable[[JSON], JSON]

FORMS = {"application/x-www-form-urlencoded", "multipart/form-data"}


@dataclass(frozen=True)
class Arguments:
    """What a request says: its arguments, its token, and whether the token came the wrong way."""

    values: JSON
    token: str | None
    misplaced_token: bool
    basic: str | None = None


async def read_arguments(request: web.Request) -> Arguments:
    """Read query, form or JSON.

    Raises:
        Malformed: invalid_post_type, invalid_json or json_not_object.
    """
    values: JSON = dict(request.query)
    misplaced = values.pop("token", None) is not None
    token: str | None = None
    if request.content_type in FORMS:
        form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        token = form.pop("token", None)
        values |= form
    elif body := await request.read():
        if request.content_type != "application/json":
            raise Malformed("invalid_post_type", f"content type {request.content_type}")
        parsed = _parse_json(body)
        misplaced = misplaced or parsed.pop("token", None) is not None
        values |= parsed
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        token = credentials.strip()
    basic = credentials.strip() if scheme.lower() == "basic" else None
    return Arguments({k: v for k, v in values.items() if v not in (None, "")}, token, misplaced, basic)


def _parse_json(body: bytes) -> JSON:
    try:
        parsed = json.loads(body)
    except ValueError:
        raise Malformed("invalid_json", "the body is not JSON") from None
    if not isinstance(parsed, dict):
        raise Malformed("json_not_object", "the body is no JSON object")
    return parsed


def flag(args: JSON, name: str) -> bool:
    """A boolean argument, which forms carry as text."""
    return str(args.get(name, "")).lower() in {"1", "true"}


@dataclass(frozen=True)
class Home:
    """A workspace with the methods that work on it; `rates` None lets every call pass."""

    space: Workspace
    methods: dict[str, Handler]
    rates: RateLimiter | None


@dataclass
class Grant:
    """What a token is good for. `expires` is when it is good no more."""

    kind: str
    home: Home
    expires: float | None = None
    revoked: bool = False


class WebApi:
    """Serves `/api/<method>`.

    Attributes:
        grants: the tokens there are and were ("xoxb", "xapp"), each with the workspace that it is for.
        access: what exchanges codes and refresh tokens, given Basic credentials; None: the app has no OAuth.
        revoked: told of each workspace whose token the app itself gave back.
    """

    def __init__(self, journal: Journal, home: Home, tokens: dict[str, str]) -> None:
        self.space = home.space
        self.journal = journal
        self.faults = Faults()
        self.grants: dict[str, Grant] = {token: Grant(kind, home) for kind, token in tokens.items()}
        self.access: Callable[[str, JSON], JSON] | None = None
        self.revoked: Callable[[Workspace], None] = lambda space: None

    def opens(self, request: web.Request, space: Workspace) -> bool:
        """Whether a request carries a token of that workspace's, as the header that it belongs into."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        grant = self.grants.get(token)
        return scheme == "Bearer" and grant is not None and grant.home.space is space and self._good(grant) is None

    def _good(self, grant: Grant) -> str | None:
        """Why a token is not good any more, in Slack's words."""
        if grant.revoked:
            return "token_revoked"
        return "token_expired" if grant.expires is not None and self.space.clock() >= grant.expires else None

    async def handle(self, request: web.Request) -> web.Response:
        """One Web API request."""
        call = self._record(request, request.match_info["method"])
        problem: ApiError | None = None
        arguments = Arguments({}, None, False)
        try:
            arguments = await read_arguments(request)
        except ApiError as error:
            problem = error
        call.args = arguments.values

        async def answer() -> web.Response:
            try:
                if problem:
                    raise problem
                return self._reply(self._call(call, arguments))
            except ApiError as error:
                return self._refusal(call, error)

        return await self.guard(request, call, answer)

    def _record(self, request: web.Request, method: str) -> Call:
        call = Call(self.space.clock(), method, request.method)
        self.journal.calls.append(call)
        return call

    async def guard(
        self, request: web.Request, call: Call, answer: Callable[[], Awaitable[web.Response]]
    ) -> web.Response:
        """Answer a recorded call unless a fault is waiting for it."""
        fault = self.faults.take(call.method)
        if fault is None:
            response = await self._safely(call, answer)
        else:
            call.fault = True
            await asyncio.sleep(fault.delay)
            harmless = fault.status is None and fault.error is None and not fault.drop
            response = await self._safely(call, answer) if fault.after or harmless else web.Response()
            if not harmless:
                response = self._injected(request, call, fault)
        call.status = 0 if fault and fault.drop else response.status
        return response

    async def _safely(self, call: Call, answer: Callable[[], Awaitable[web.Response]]) -> web.Response:
        try:
            return await answer()
        except Exception:  # noqa: BLE001 - a defect of the emulator must not pass for a fault of the app
            self.journal.violation("emulator_error", f"{call.method}: {traceback.format_exc()}")
            return web.Response(status=500)

    def _injected(self, request: web.Request, call: Call, fault: Fault) -> web.Response:
        if fault.drop:
            call.error = "connection_dropped"
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        status = fault.status or 200
        call.error = fault.error or ("ratelimited" if status == 429 else "internal_error")
        headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        return web.json_response({"ok": False, "error": call.error}, status=status, headers=headers)

    def _call(self, call: Call, arguments: Arguments) -> JSON:
        rule = limits.METHODS.get(call.method)
        if rule is None:
            raise Malformed("unknown_method", call.method)
        if arguments.misplaced_token:
            self.journal.violation("token_in_query", f"{call.method}: token in the query or a JSON body")
            raise ApiError("invalid_auth")
        if rule.token == "basic":
            return self._exchange(arguments)
        if arguments.token is None:
            raise ApiError("not_authed")
        grant = self.grants.get(arguments.token)
        if grant is None:
            raise ApiError("invalid_auth")
        if refusal := self._good(grant):
            raise ApiError(refusal)
        if grant.kind != rule.token:
            raise ApiError("not_allowed_token_type")
        if call.method == "auth.revoke":
            grant.revoked = True
            self.revoked(grant.home.space)
            return {"revoked": True}
        return self._in_workspace(call, rule, grant.home)

    def _exchange(self, arguments: Arguments) -> JSON:
        if self.access is None or arguments.token is not None:
            raise ApiError("not_allowed_token_type")
        if arguments.basic is None or {"client_id", "client_secret"} & set(arguments.values):
            self.journal.violation("client_secret_in_body", "oauth.v2.access: credentials belong into Basic auth")
            raise ApiError("invalid_client_id")
        return self.access(arguments.basic, dict(arguments.values))

    def _in_workspace(self, call: Call, rule: limits.MethodRule, home: Home) -> JSON:
        if rule.scope:
            home.space.require_scope(rule.scope)
        missing = [name for name in rule.required if name not in call.args]
        if missing:
            raise Malformed("invalid_arguments", *(f"missing required field: {name}" for name in missing))
        wait = home.rates.refuse(call.method, call.args.get("channel")) if home.rates else None
        if wait:
            raise ApiError("ratelimited", retry_after=wait)
        return home.methods[call.method](dict(call.args))

    def _reply(self, body: JSON) -> web.Response:
        return web.json_response({"ok": True, **body}, headers={"x-oauth-scopes": ",".join(self.space.scopes)})

    def _refusal(self, call: Call, error: ApiError) -> web.Response:
        call.error = error.error
        if isinstance(error, Malformed):
            self.journal.violation(error.error, f"{call.method}: {'; '.join(error.details)}")
        extra = dict(error.extra)
        headers = {"x-oauth-scopes": ",".join(self.space.scopes)}
        status = 200
        if error.error == "ratelimited":
            status = 429
            headers["Retry-After"] = str(extra.pop("retry_after"))
        return web.json_response({"ok": False, "error": error.error, **extra}, status=status, headers=headers)
