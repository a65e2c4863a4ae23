"""Models behind any server that speaks the OpenAI protocol: OpenRouter, Ollama, llama.cpp, vLLM and others."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from io import BytesIO
from typing import Any, Final

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from adapters.models.refusals import Refusals
from adapters.models.sse import EventDecoder
from core.catalog import ModelSpec, Provider
from core.errors import ConfigError, ModelError
from core.ports import Completion, Message, Prompt
from core.types import FailureKind, Usage

MAX_REPLY: Final = 2_000_000
"""The longest reply that is taken, in bytes; of a stream: the longest text, and a sixteenth of its events."""

_MAX_REFUSAL: Final = 65_536
_CONNECT_SECONDS: Final = 10.0
_MAX_JSON_TOKENS: Final = 4000  # forced JSON may never end by itself
_DONE: Final = b"[DONE]"
_BROKEN: Final = (aiohttp.ClientError, OSError)  # TimeoutError is an OSError


class Connections:
    """One pool of connections for all models, opened in the running loop by its first use.

    ``limit`` bounds how many are open at once, 0 for no bound. Each needs a file handle of the process.
    """

    def __init__(self, limit: int = 0, keepalive: float = 30) -> None:
        self._limit, self._keepalive = limit, keepalive
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    def session(self) -> aiohttp.ClientSession:
        """The shared session. Raises RuntimeError after :meth:`aclose`."""
        if self._session is None:
            if self._closed:
                raise RuntimeError("the connections are closed")
            connector = aiohttp.TCPConnector(limit=self._limit, keepalive_timeout=self._keepalive, ttl_dns_cache=300)
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self._session

    async def aclose(self) -> None:
        """Close all connections; calls under way fail."""
        self._closed = True
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()


class OpenAIModel:
    """A :class:`core.ports.ChatModel` over HTTP: one attempt a call, streamed or whole."""

    simulated: bool = False

    def __init__(
        self,
        key: str,
        spec: ModelSpec,
        provider: Provider,
        connections: Connections,
        *,
        secret: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.key = key
        self._spec, self._connections = spec, connections
        self._structured = spec.structured
        self._url = _endpoint(spec.provider, provider.base_url)
        self._unusable = _key_trouble(provider.api_key_env, secret)
        self._headers = CIMultiDict({"Content-Type": "application/json", "User-Agent": "consortium"})
        if secret and not self._unusable:
            self._headers["Authorization"] = f"Bearer {secret}"
        if self._url.host == "openrouter.ai" or (self._url.host or "").endswith(".openrouter.ai"):
            self._headers["X-OpenRouter-Title"] = "Consortium"
        self._refusals = Refusals(
            model=key,
            name=spec.name,
            provider=spec.provider,
            where=self._url.host_port_subcomponent or "",
            key_env=provider.api_key_env,
            secret=secret,
            clock=clock,
        )

    async def complete(self, prompt: Prompt, *, timeout: float) -> Completion:
        """See :meth:`core.ports.ChatModel.complete`."""
        response = await self._open(prompt, timeout, streaming=False)
        try:
            body = await _read(response, MAX_REPLY)
        except _BROKEN as error:
            raise self._refusals.of_exception(error, timeout) from error
        finally:
            response.close()
        return self._whole(body)

    async def stream(self, prompt: Prompt, *, timeout: float) -> AsyncIterator[str | Completion]:
        """See :meth:`core.ports.ChatModel.stream`."""
        response = await self._open(prompt, timeout, streaming=True)
        streamed = response.content_type == "text/event-stream"
        reply = _Reply(self._refusals, self._spec)
        try:
            if not streamed:  # a server that cannot
                yield reply.take(await _read(response, MAX_REPLY))
            decoder = EventDecoder()
            while streamed and not reply.done:
                piece = await response.content.readany()
                reply.weigh(len(piece), decoder.pending)
                if text := reply.take_all(decoder.feed(piece) if piece else decoder.flush()):
                    yield text
                if not piece:
                    break
            await _drain(response)
        except _BROKEN as error:
            if not reply.finish:  # else the answer is whole, and only the stream's end was lost
                raise self._refusals.of_exception(error, timeout) from error
        finally:
            response.close()
        yield reply.end(streamed)

    def _whole(self, body: bytes) -> Completion:
        reply = _Reply(self._refusals, self._spec)
        reply.take(body)
        return reply.end(streamed=False)

    async def _open(self, prompt: Prompt, timeout: float, *, streaming: bool) -> aiohttp.ClientResponse:
        """Send the request; returns the response once its status is success.

        A server that refuses ``response_format`` is asked again without it, and from then on never with it.
        """
        if self._unusable:
            raise ModelError(FailureKind.REFUSED, self._unusable)
        deadline = asyncio.get_running_loop().time() + timeout
        wanted = _response_format(prompt, self._structured)
        response = await self._send(prompt, wanted, deadline, timeout, streaming)
        if wanted and response.status in {400, 422}:
            response.close()
            response = await self._send(prompt, None, deadline, timeout, streaming)
            if response.status < 300:  # else it was refused for another reason
                self._structured = "text"
        if response.status >= 300:
            raise await self._refused(response)
        return response

    async def _send(
        self, prompt: Prompt, response_format: dict[str, Any] | None, deadline: float, timeout: float, streaming: bool
    ) -> aiohttp.ClientResponse:
        body = (prompt, response_format, streaming)
        data: bytes | BytesIO
        if any(message.pictures for message in prompt.messages):  # megabytes: neither made nor sent in one go
            data = BytesIO(await asyncio.to_thread(self._body, *body))
        else:
            data = self._body(*body)
        left = deadline - asyncio.get_running_loop().time()
        try:
            if left <= 0:
                raise TimeoutError
            return await self._connections.session().post(
                self._url,
                data=data,
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=left, sock_connect=_CONNECT_SECONDS),
                allow_redirects=False,
            )
        except _BROKEN as error:
            raise self._refusals.of_exception(error, timeout) from error

    async def _refused(self, response: aiohttp.ClientResponse) -> ModelError:
        body = b""
        try:
            with suppress(ModelError, *_BROKEN):  # the status says enough
                body = await _read(response, _MAX_REFUSAL)
        finally:
            response.close()
        return self._refusals.of_status(response.status, body, response.headers.get("Retry-After"))

    def _body(self, prompt: Prompt, response_format: dict[str, Any] | None, streaming: bool) -> bytes:
        spec = self._spec
        body: dict[str, Any] = {
            "model": spec.name,
            "messages": [{"role": message.role, "content": _content(message)} for message in prompt.messages],
        }
        temperature = spec.temperature if prompt.temperature is None else prompt.temperature
        if temperature is not None:
            body["temperature"] = temperature
        if spec.max_tokens is not None:
            body["max_tokens"] = spec.max_tokens
        if prompt.seed is not None:
            body["seed"] = prompt.seed
        if response_format:
            body["response_format"] = response_format
            body.setdefault("max_tokens", _MAX_JSON_TOKENS)
        if streaming:
            body["stream"] = True
            body["stream_options"] = {"include_usage": True}
        return json.dumps(body).encode()


class _Reply:
    """A reply as it comes together, from one document or from the events of a stream."""

    __slots__ = ("_held", "_raw", "_refusals", "_size", "_spec", "_texts", "_usage", "done", "finish")

    def __init__(self, refusals: Refusals, spec: ModelSpec) -> None:
        self._refusals, self._spec = refusals, spec
        self._texts: list[str] = []
        self._raw = self._size = 0
        self._held = ""
        self._usage = Usage()
        self.done = False
        self.finish: str | None = None

    def take_all(self, events: list[bytes]) -> str:
        """Read events; returns the text in them, fit to be passed on. Raises ModelError."""
        text = self._held + "".join(map(self.take, events))
        self._held = ""
        if text and "\ud800" <= text[-1] <= "\udbff":  # half a character: the rest comes with the next piece
            text, self._held = text[:-1], text[-1]
        return _clean(text)

    def take(self, data: bytes) -> str:
        """Read a document or the data of an event; returns the text in it. Raises ModelError."""
        if data == _DONE:
            self.done = True
            return ""
        try:
            document = json.loads(data.decode())
            if error := document.get("error"):
                raise self._refusals.of_body(error, self._usage)
            if usage := document.get("usage"):
                self._usage = self._spec.priced(_usage(usage))
            return "".join(self._choice(choice) for choice in document.get("choices") or () if not choice.get("index"))
        except (ValueError, AttributeError, TypeError, RecursionError) as error:
            raise self._bad("its reply was not the JSON of a chat completion") from error

    def _choice(self, choice: dict[str, Any]) -> str:
        if error := choice.get("error"):
            raise self._refusals.of_body(error, self._usage)
        self.finish = choice.get("finish_reason") or self.finish
        content = (choice.get("delta") or choice.get("message") or {}).get("content")
        if not content:
            return ""
        if not isinstance(content, str):  # a list of parts
            content = "".join(part["text"] for part in content if part.get("type") == "text")
        self._texts.append(content)
        self._size += len(content)
        return content

    def weigh(self, received: int, pending: int) -> None:
        """Hold a stream to the size limits. Raises ModelError."""
        self._raw += received
        if self._size > MAX_REPLY or pending > MAX_REPLY or self._raw > 16 * MAX_REPLY:
            raise self._bad(_TOO_LONG)

    def end(self, streamed: bool) -> Completion:
        """The whole reply, checked. Raises ModelError when it is cut, filtered or empty."""
        text = _clean("".join(self._texts)).strip()
        if self.finish == "content_filter":
            detail = "the provider's content filter stopped the answer; rephrase the question"
            raise ModelError(FailureKind.REFUSED, detail, usage=self._usage)
        if streamed and not self.finish:
            raise self._bad("its answer was cut off before the end")
        truncated = self.finish == "length"
        if not text:
            why = "; raise max_tokens, which ran out before the answer began" if truncated else ""
            raise self._bad(f"its answer was empty{why}")
        return Completion(text=text, usage=self._usage, truncated=truncated)

    def _bad(self, detail: str) -> ModelError:
        return ModelError(FailureKind.BAD_REPLY, detail, usage=self._usage)


_TOO_LONG = f"its reply was longer than {MAX_REPLY // 1_000_000} MB"


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The whole body. Raises ModelError when it is longer than ``limit`` bytes."""
    content = response.content
    pieces = [await content.readany()]
    size = len(pieces[0])
    while not content.at_eof():
        pieces.append(await content.readany())
        size += len(pieces[-1])
        if size > limit:
            raise ModelError(FailureKind.BAD_REPLY, _TOO_LONG)
    return b"".join(pieces)


async def _drain(response: aiohttp.ClientResponse) -> None:
    """After the last event the body ends at once; reading that end lets the connection be used again."""
    if not response.content.at_eof():
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await response.content.readany()


def _endpoint(provider: str, base_url: str) -> URL:
    try:
        url = URL(f"{base_url}/chat/completions")
    except ValueError:
        url = URL()
    if not url.host or url.user:
        raise ConfigError(f"providers.{provider}.base_url: not an address without a user; write e.g. https://host/v1")
    return url


def _key_trouble(variable: str | None, secret: str) -> str | None:
    """Why no request can be made with this key, if so."""
    if variable and not secret:
        return f"there is no key for this model; set {variable}"
    if not (secret.isascii() and secret.isprintable()) or " " in secret:
        return f"the key in {variable} holds characters that no key has; copy it again"
    return None


def _response_format(prompt: Prompt, structured: str) -> dict[str, Any] | None:
    if prompt.json_schema is None or structured == "text":
        return None
    if structured == "json":
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": {"name": "reply", "strict": True, "schema": prompt.json_schema}}


def _content(message: Message) -> str | list[dict[str, Any]]:
    """A message's text; with pictures a list of parts, which not every server knows, so only then."""
    if not message.pictures:
        return message.content
    urls = (f"data:{p.media_type};base64,{base64.b64encode(p.data).decode()}" for p in message.pictures)
    return [
        {"type": "text", "text": message.content},
        *({"type": "image_url", "image_url": {"url": url}} for url in urls),
    ]


def _usage(usage: dict[str, Any]) -> Usage:
    def number(field: str, *types: type) -> Any:
        value: Any = usage.get(field)
        return value if type(value) in types and 0 <= value < math.inf else None  # type() leaves out booleans

    return Usage(
        prompt_tokens=number("prompt_tokens", int),
        completion_tokens=number("completion_tokens", int),
        cost=number("cost", int, float),
    )


def _clean(text: str) -> str:
    """Join surrogates that a stream has torn apart, and drop what no store can keep."""
    if text.isascii():
        return text.replace("\0", "")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "")
