"""A strict stand-in for a model provider that speaks the OpenAI protocol, with every fault that providers show.

In a test::

    async with ProviderEmulator() as provider:
        provider.model("m1", latency=0.3)
        provider.model("m2", fail=[status(429, retry_after="1"), "hang"])
        ...
        assert not provider.violations

In a process of its own: ``python -m tests.emulators.provider --port 8099 --latency 0.3``; it then serves any
model name, keeps no requests, and takes the same settings as JSON over ``POST /_ctl``.

A model with no fixed text answers by itself: shown candidates it ranks them, or as an arbiter returns a verdict with
the fields that are asked for; else it repeats the markers (``mark-…``) of everything it was shown, so that a word that
strayed from another conversation comes out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Self

from aiohttp import web

from tests.emulators.provider_rules import (
    JSON,
    Refusal,
    check_body,
    check_embedding,
    check_headers,
    pictures_in,
    text_of,
)
from tests.emulators.provider_vectors import vectors_reply
from tests.emulators.serving import shut

FaultKind = Literal[
    "status",  # an error status, with Retry-After where given
    "body_error",  # status 200, the error in the body or as the stream's only event
    "hang",  # nothing is ever sent
    "drop",  # the connection is reset before the reply
    "drop_mid",  # ... in the middle of the reply
    "cut",  # the stream ends in good order but with no finish_reason; a whole reply is cut-off JSON
    "stream_error",  # some text, then an event with an error; a whole reply: as body_error
    "stall",  # some text, then nothing more
    "broken_json",
    "empty",  # finish_reason stop, no content
    "truncated",  # finish_reason length
    "filtered",  # finish_reason content_filter
    "huge",  # more bytes than anybody should read
    "prose",  # status 200 and a page of HTML
    "few",  # of vectors: the last one is missing
    "twice",  # ... two have the same index
    "uneven",  # ... one has a number less
    "not_finite",  # ... one holds NaN
    "zeros",  # ... one is all zero
]


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong with one request. ``message`` may hold ``{key}``, the request's own key."""

    kind: FaultKind
    status: int = 500
    retry_after: str | None = None
    message: str = "Something failed"
    metadata: JSON = field(default_factory=dict)


def status(code: int, retry_after: str | None = None, message: str = "Refused", **metadata: Any) -> Fault:
    """A refusal by HTTP status."""
    return Fault("status", code, retry_after, message, metadata)


@dataclass
class Behaviour:
    """How a model behaves. Times in seconds.

    ``fail`` is used up from its front, one a request; ``always`` comes after that, None for fine. ``confidence``
    is what verdicts state, one a call, the last one for good. ``pause`` lies between the pieces of a stream.
    ``dimensions`` makes it a model for embeddings, whose vectors come last first; other models refuse with 501.
    Without ``vision`` pictures are refused with 404.
    """

    latency: float = 0.0
    text: str | None = None
    fail: list[Fault] = field(default_factory=list)
    always: Fault | None = None
    reply: Literal["auto", "rubbish"] = "auto"
    confidence: Sequence[int] = (90,)
    pieces: int = 8
    pause: float = 0.0
    slice: int | None = None  # bytes to a write, to cut events anywhere
    crlf: bool = False
    structured: bool = True  # False: response_format is refused with 400
    can_stream: bool = True
    usage: bool = True
    cost: float | None = None
    dimensions: int | None = None
    vision: bool = False
    verdicts: int = 0

    def next_fault(self) -> Fault | None:
        return self.fail.pop(0) if self.fail else self.always

    def next_confidence(self) -> int:
        self.verdicts += 1
        return self.confidence[min(self.verdicts, len(self.confidence)) - 1]


@dataclass
class Recorded:
    """One request. Times are of the event loop's clock; ``hung_up``: the client left before the reply was whole."""

    path: str
    headers: dict[str, str]
    body: JSON
    peer: int
    started: float
    ended: float | None = None
    status: int | None = None
    hung_up: bool = False

    @property
    def model(self) -> str:
        return str(self.body.get("model", ""))


@dataclass(frozen=True)
class Violation:
    """Something a correct client never does."""

    kind: str
    detail: str


class ProviderEmulator:
    """The server. ``default`` serves models that were not named; without it they are refused with 404."""

    def __init__(
        self,
        *,
        key: str = "sk-emulated-1234567890",
        default: Behaviour | None = None,
        record: bool = True,
        port: int = 0,
    ) -> None:
        self.key, self.default = key, default
        self.requests: list[Recorded] = []
        self.violations: list[Violation] = []
        self.counts: Counter[str] = Counter()
        self.in_flight = self.peak = 0
        self._models: dict[str, Behaviour] = {}
        self._record, self._port = record, port
        self._runner: web.ServerRunner | None = None
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        server = web.Server(self._handle, request_factory=_request, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, backlog=4096).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._runner:
            await shut(self._runner)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def model(self, name: str, **settings: Any) -> Behaviour:
        """Set how a model behaves; faults may be given by kind alone, or as a mapping."""
        if unknown := set(settings) - {f.name for f in fields(Behaviour)}:
            raise TypeError(f"no such setting: {', '.join(sorted(unknown))}")
        settings["fail"] = [_fault(entry) for entry in settings.get("fail", ())]
        if settings.get("always") is not None:
            settings["always"] = _fault(settings["always"])
        self._models[name] = Behaviour(**settings)
        return self._models[name]

    async def arrived(self, count: int) -> None:
        """Wait until that many requests have come in."""
        while sum(self.counts.values()) < count:
            await self._changed.wait()

    async def idle(self) -> None:
        """Wait until no request is being served."""
        while self.in_flight:
            await self._changed.wait()

    def _change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def violate(self, kind: str, detail: str) -> None:
        self.violations.append(Violation(kind, detail))

    # --- serving ----------------------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        route = (request.method, request.path)
        if route == ("POST", "/v1/chat/completions"):
            return await self._serve(request, check_body, self._answer)
        if route == ("POST", "/v1/embeddings"):
            return await self._serve(request, check_embedding, self._embed)
        if route == ("GET", "/v1/models"):
            return self._list(request)
        if request.path == "/_ctl":
            return await self._control(request)
        self.violate("bad_route", f"{request.method} {request.path}")
        return _error(404, "No such path")

    async def _serve(
        self,
        request: web.BaseRequest,
        check: Callable[[Any], Refusal | None],
        answer: Callable[[web.BaseRequest, JSON], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        raw = await request.read()
        refused = check_headers(request.headers, self.key)
        body: JSON = {}
        if refused is None:
            try:
                body = json.loads(raw)
            except ValueError as error:
                refused = (400, "bad_json", str(error))
            else:
                refused = check(body)
        recorded = self._note(request, body)
        try:
            if refused:
                code, kind, detail = refused
                self.violate(kind, detail)
                response: web.StreamResponse = _error(code, detail)
            else:
                response = await answer(request, body)
            recorded.status = response.status
        except (asyncio.CancelledError, ConnectionError):
            recorded.hung_up = not request.get(_DROPPED)
            raise
        finally:
            self.in_flight -= 1
            recorded.ended = asyncio.get_running_loop().time()
            self._change()
        return response

    def _note(self, request: web.BaseRequest, body: JSON) -> Recorded:
        peer = request.transport.get_extra_info("peername")[1] if request.transport else 0
        recorded = Recorded(request.path, {}, body, peer, asyncio.get_running_loop().time())
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        self.counts[recorded.model] += 1
        if self._record:
            recorded.headers = dict(request.headers)
            self.requests.append(recorded)
        self._change()
        return recorded

    async def _answer(self, request: web.BaseRequest, body: JSON) -> web.StreamResponse:
        behaviour = self._models.get(body["model"], self.default)
        if behaviour is None:
            return _error(404, f"No endpoints found for {body['model']}.")
        if behaviour.latency:
            await asyncio.sleep(behaviour.latency)
        if "response_format" in body and not behaviour.structured:
            return _error(400, "response_format is not supported by this model")
        if pictures_in(body) and not behaviour.vision:
            return _error(404, "No endpoints found that support image input")
        fault = behaviour.next_fault()
        if fault and (early := await self._early(request, fault)):
            return early
        text = self._text(body, behaviour)
        if body.get("stream") and behaviour.can_stream:
            return await self._stream(request, body, behaviour, text, fault)
        return await self._whole(request, body, behaviour, text, fault)

    async def _embed(self, request: web.BaseRequest, body: JSON) -> web.StreamResponse:
        behaviour = self._models.get(body["model"], self.default)
        if behaviour is None:
            return _error(404, f"The model {body['model']} does not exist.")
        if behaviour.latency:
            await asyncio.sleep(behaviour.latency)
        if behaviour.dimensions is None:
            return _error(501, "This server does not support embeddings.")
        fault = behaviour.next_fault()
        if fault and (early := await self._early(request, fault)):
            return early
        kind = fault.kind if fault else None
        return await self._send(request, vectors_reply(body, behaviour.dimensions, kind), kind)

    async def _early(self, request: web.BaseRequest, fault: Fault) -> web.StreamResponse | None:
        """Faults that look the same whether or not the reply is a stream."""
        message = fault.message.replace("{key}", self.key)
        match fault.kind:
            case "status":
                return _error(fault.status, message, fault.retry_after, fault.metadata)
            case "body_error":
                return web.json_response({"error": {"code": fault.status, "message": message}})
            case "hang":
                await asyncio.Event().wait()
            case "drop":
                await _reset(request)
            case "prose":
                return web.Response(text="<html><body>Welcome</body></html>", content_type="text/html")
        return None

    def _text(self, body: JSON, behaviour: Behaviour) -> str:
        if behaviour.text is not None:
            return behaviour.text
        if behaviour.reply == "rubbish":
            return "I would rather talk about the weather, which is fine today."
        shown = "\n".join(map(text_of, body["messages"]))
        marks = " ".join(sorted(set(_MARK.findall(shown))))
        letters = _CANDIDATE.findall(text_of(body["messages"][-1]))
        if letters and not shown.startswith(_JUDGE):
            return f"They are much alike.\nRanking: {' > '.join(letters)}"
        if not letters:
            seen = marks or "the question"
            return f"{body['model']} has read {seen} and thinks so. It has its reasons.\n\nFinal answer: yes"
        stances = [{"letter": letter, "stance": "agree", "point": "It thinks so."} for letter in letters]
        verdict = {
            "pick": letters[0],
            "ranking": stances,
            "synthesis": f"**Yes.** The answers to {marks or 'the question'} agree.",
            "confidence": behaviour.next_confidence(),
            "members": stances,
            "refine": [],
        }
        return json.dumps({key: value for key, value in verdict.items() if f'"{key}":' in shown})

    async def _whole(
        self, request: web.BaseRequest, body: JSON, behaviour: Behaviour, text: str, fault: Fault | None
    ) -> web.StreamResponse:
        kind = fault.kind if fault else None
        if fault and kind == "stream_error":
            return web.json_response({"error": {"code": fault.status, "message": fault.message}})
        if kind == "huge":
            text = "far too much " * 400_000
        message = {"role": "assistant", "content": "" if kind == "empty" else text}
        choice = {"index": 0, "message": message, "finish_reason": _FINISH.get(kind or "", "stop")}
        document: JSON = {"id": "gen-1", "object": "chat.completion", "model": body["model"], "choices": [choice]}
        if behaviour.usage:
            document["usage"] = _usage(body, text, behaviour)
        return await self._send(request, document, kind)

    async def _send(self, request: web.BaseRequest, document: JSON, kind: FaultKind | None) -> web.StreamResponse:
        """A whole reply, unless the fault breaks it."""
        payload = json.dumps(document).encode()
        if kind in {"broken_json", "cut"}:
            payload = payload[: len(payload) // 2]
        if kind in {"drop_mid", "stall"}:
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            response.content_length = len(payload)
            await response.prepare(request)
            await response.write(payload[: len(payload) // 2])
            await _break_off(request, stall=kind == "stall")
        return web.Response(body=payload, content_type="application/json")

    async def _stream(
        self, request: web.BaseRequest, body: JSON, behaviour: Behaviour, text: str, fault: Fault | None
    ) -> web.StreamResponse:
        kind = fault.kind if fault else None
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        events = _events(body, behaviour, "" if kind == "empty" else text, _FINISH.get(kind or "", "stop"))
        middle = 2 + min(behaviour.pieces, len(text)) // 2
        for number, event in enumerate(events):
            if fault and number == middle and kind in _BREAKS:
                if kind == "stream_error":
                    error = {"code": fault.status, "message": fault.message}
                    broken = {"error": error, "choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]}
                    await self._write(response, _data(broken), behaviour)
                    break
                if kind == "broken_json":
                    await self._write(response, 'data: {"choices": [{"delta"\n\n', behaviour)
                elif kind == "huge":
                    await self._write(response, _data(_chunk(body, {"content": "far too much " * 400_000})), behaviour)
                elif kind == "cut":
                    break
                else:
                    await _break_off(request, stall=kind == "stall")
            if behaviour.pause and number:
                await asyncio.sleep(behaviour.pause)
            await self._write(response, event, behaviour)
        await response.write_eof()
        return response

    async def _write(self, response: web.StreamResponse, event: str, behaviour: Behaviour) -> None:
        data = (event.replace("\n", "\r\n") if behaviour.crlf else event).encode()
        size = behaviour.slice or len(data)
        for start in range(0, len(data), size):
            await response.write(data[start : start + size])
            if behaviour.slice:
                await asyncio.sleep(0)

    def _list(self, request: web.BaseRequest) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            self.violate("bad_key", "GET /models without the right key")
            return _error(401, "No auth credentials found")
        price = {"prompt": "0.0000001", "completion": "0.0000004"}
        entries = [
            {
                "id": name,
                "context_length": 8192,
                "pricing": price,
                "supported_parameters": ["temperature", "max_tokens", "seed"]
                + (["response_format", "structured_outputs"] if behaviour.structured else []),
                "architecture": {"input_modalities": ["text", "image"] if behaviour.vision else ["text"]},
            }
            for name, behaviour in self._models.items()
        ]
        return web.json_response({"object": "list", "data": entries})

    async def _control(self, request: web.BaseRequest) -> web.Response:
        """``POST {"models": {name: settings}, "default": settings, "reset": true}``; GET shows the counts."""
        if request.method == "POST":
            wish: JSON = json.loads(await request.read())
            if wish.get("reset"):
                self.requests.clear()
                self.violations.clear()
                self.counts.clear()
                self.peak = self.in_flight
            for name, settings in wish.get("models", {}).items():
                self.model(name, **settings)
            if "default" in wish:
                self.default = replace(self.model("\0", **wish["default"]))
                del self._models["\0"]
        return web.json_response(
            {
                "requests": dict(self.counts),
                "peak": self.peak,
                "violations": [f"{v.kind}: {v.detail}" for v in self.violations],
                "processor_seconds": time.process_time(),
            }
        )


_MOST_BYTES = 20 * 2**20


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    """A request that may hold some pictures."""
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=_MOST_BYTES)


_MARK = re.compile(r"\bmark-[0-9A-Za-z]+")
_JUDGE = "You are the arbiter"
_CANDIDATE = re.compile(r"^<<CANDIDATE ([A-Z]) \w+>>$", re.MULTILINE)
_FINISH = {"truncated": "length", "filtered": "content_filter"}
_DROPPED = web.RequestKey("dropped", bool)
_BREAKS = {"stream_error", "broken_json", "huge", "cut", "drop_mid", "stall"}


def _fault(entry: Fault | str | JSON) -> Fault:
    if isinstance(entry, Fault):
        return entry
    return Fault(**entry) if isinstance(entry, dict) else Fault(entry)  # type: ignore[arg-type]


def _error(code: int, message: str, retry_after: str | None = None, metadata: JSON | None = None) -> web.Response:
    body: JSON = {"error": {"code": code, "message": message}}
    if metadata:
        body["error"]["metadata"] = metadata
    headers = {"Retry-After": retry_after} if retry_after is not None else None
    return web.json_response(body, status=code, headers=headers)


def _usage(body: JSON, text: str, behaviour: Behaviour) -> JSON:
    usage: JSON = {
        "prompt_tokens": sum(len(text_of(message).split()) for message in body["messages"]),
        "completion_tokens": len(text.split()),
    }
    usage["total_tokens"] = sum(usage.values())
    if behaviour.cost is not None:
        usage["cost"] = behaviour.cost
    return usage


def _chunk(body: JSON, delta: JSON, finish: str | None = None) -> JSON:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "gen-1", "object": "chat.completion.chunk", "model": body["model"], "choices": [choice]}


def _data(document: JSON) -> str:
    return f"data: {json.dumps(document)}\n\n"


def _events(body: JSON, behaviour: Behaviour, text: str, finish: str) -> list[str]:
    """A whole stream: a comment, the role, the pieces, the finish, the usage, the end."""
    size = max(1, -(-len(text) // behaviour.pieces))
    events = [": PROCESSING\n\n", _data(_chunk(body, {"role": "assistant", "content": None}))]
    events += [_data(_chunk(body, {"content": text[i : i + size]})) for i in range(0, len(text), size)]
    events.append(_data(_chunk(body, {}, finish)))
    if behaviour.usage and body.get("stream_options", {}).get("include_usage"):
        events.append(_data({**_chunk(body, {}), "choices": [], "usage": _usage(body, text, behaviour)}))
    return [*events, "data: [DONE]\n\n"]


async def _reset(request: web.BaseRequest) -> None:
    """Reset the connection; the server then cancels the handler that waits here."""
    request[_DROPPED] = True
    assert request.transport
    request.transport.abort()
    await asyncio.Event().wait()


async def _break_off(request: web.BaseRequest, *, stall: bool) -> None:
    if stall:
        await asyncio.Event().wait()
    await asyncio.sleep(0.01)  # let what was written leave first
    await _reset(request)


async def _serve(arguments: argparse.Namespace) -> None:
    default = Behaviour(latency=arguments.latency)
    async with ProviderEmulator(key=arguments.key, default=default, record=False, port=arguments.port) as provider:
        sys.stdout.write(f"{provider.base_url}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    """Serve until stopped; the first line of output is the base URL."""
    parser = argparse.ArgumentParser(description="A local stand-in for a model provider.")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each reply")
    parser.add_argument("--key", default="sk-emulated-1234567890")
    try:
        asyncio.run(_serve(parser.parse_args()))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
