"""Vectors from a server's ``/embeddings``: OpenAI, Chutes, Ollama, llama.cpp and others."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Final, Self

import httpx

from adapters.embeddings.replies import MAX_REPLY, BadReply, Words, error_in, read_vectors
from core.catalog import EmbeddingSpec, Provider
from core.errors import ConfigError, Unavailable
from core.resilience import seconds_until

BATCH: Final = 16
"""How many texts go into one request."""

_PAUSE: Final = 0.5  # seconds before the second attempt where the server wishes for none
_ONCE_MORE: Final = frozenset({408, 429, 500, 502, 503, 504})


class Endpoint:
    """A :class:`core.ports.Embedder` over HTTP. Use it as an async context manager.

    ``spec`` is of the backend "endpoint" and ``provider`` the one it names; ``secret`` is what the provider's
    ``api_key_env`` holds. ``spec.timeout`` bounds each request of up to :data:`BATCH` texts, in seconds, with the one
    further attempt after a broken connection, a rate limit or a server's own fault; Retry-After is kept to, or where
    that is beyond the timeout the request fails at once. ``clock`` gives seconds since 1970, for Retry-After dates.
    Raises :class:`core.errors.ConfigError` when the provider's address is none.
    """

    def __init__(
        self, spec: EmbeddingSpec, provider: Provider, *, secret: str = "", clock: Callable[[], float] = time.time
    ) -> None:
        self._model, self._timeout, self._clock = spec.name or "", spec.timeout, clock
        self.name = f"{self._model} ({spec.provider})"
        self._url = _address(spec.provider or "", provider.base_url)
        self._words = Words(
            model=self._model,
            provider=spec.provider or "",
            where=self._url.netloc.decode(),
            key_env=provider.api_key_env,
            secret=secret,
        )
        self._headers = {"Content-Type": "application/json", "User-Agent": "consortium"}
        self._key_trouble = _key_trouble(provider.api_key_env, secret)
        if secret and not self._key_trouble:
            self._headers["Authorization"] = f"Bearer {secret}"
        self._client: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        # In a thread, for it reads the machine's certificates.
        self._client = await asyncio.to_thread(_open_client, self._timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections; calls under way fail."""
        client, self._client = self._client, None
        if client:
            await client.aclose()

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One row a text, of any length but zero; see :meth:`core.ports.Embedder.embed`. No text may be blank."""
        if self._key_trouble:
            raise self._words.unavailable(*self._key_trouble)
        rows: list[list[float]] = []
        for start in range(0, len(texts), BATCH):
            rows += await self._batch(texts[start : start + BATCH])
        if len({len(row) for row in rows}) > 1:
            raise self._words.of_bad_reply("its vectors differ in length from reply to reply")
        return rows

    async def _batch(self, texts: Sequence[str]) -> list[list[float]]:
        wish = {"model": self._model, "input": list(texts), "encoding_format": "float"}
        try:
            async with asyncio.timeout(self._timeout):
                body = await self._ask(json.dumps(wish).encode())
        except TimeoutError as error:
            raise self._words.of_silence(self._timeout) from error
        try:
            return read_vectors(body, len(texts))
        except BadReply as error:
            raise self._words.of_bad_reply(str(error)) from error

    async def _ask(self, content: bytes) -> bytes:
        """The body of a reply that is no refusal, by the second attempt if need be."""
        ends = asyncio.get_running_loop().time() + self._timeout
        trouble, pause = await self._attempt(content)
        if isinstance(trouble, Unavailable) and pause is not None:
            if asyncio.get_running_loop().time() + pause >= ends:
                raise trouble
            await asyncio.sleep(pause)
            trouble, _ = await self._attempt(content)
        if isinstance(trouble, Unavailable):
            raise trouble
        return trouble

    async def _attempt(self, content: bytes) -> tuple[bytes | Unavailable, float | None]:
        """What came of one request; of a failure also after how many seconds another may help, None for never."""
        try:
            status, body, retry_after = await self._send(content)
        except httpx.TimeoutException:
            return self._words.of_silence(self._timeout), None
        except httpx.RequestError as error:
            return self._words.of_exception(error), _PAUSE
        except BadReply as error:
            return self._words.of_bad_reply(str(error)), None
        status, error_body = error_in(status, body)
        if status < 300:
            return body, None
        wished = seconds_until(retry_after, self._clock())
        again = (_PAUSE if wished is None else wished) if status in _ONCE_MORE else None
        return self._words.of_status(status, error_body), again

    async def _send(self, content: bytes) -> tuple[int, bytes, str | None]:
        """Status, body and Retry-After. Raises BadReply when the body is too long, errors of httpx."""
        if self._client is None:
            raise RuntimeError("the endpoint is not open")
        async with self._client.stream("POST", self._url, content=content, headers=self._headers) as response:
            pieces, size = [], 0
            async for piece in response.aiter_bytes():
                pieces.append(piece)
                size += len(piece)
                if size > MAX_REPLY:
                    raise BadReply(f"its reply was longer than {MAX_REPLY // 1_000_000} MB")
            return response.status_code, b"".join(pieces), response.headers.get("Retry-After")


def _open_client(timeout: float) -> httpx.AsyncClient:
    """A client that takes nothing from the environment. Its caller bounds the whole of a request."""
    return httpx.AsyncClient(verify=ssl.create_default_context(), timeout=timeout, trust_env=False)


def _address(provider: str, base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(f"{base_url}/embeddings")
    except httpx.InvalidURL:
        url = httpx.URL()
    if not url.host or url.userinfo:
        raise ConfigError(f"providers.{provider}.base_url: not an address without a user; write e.g. https://host/v1")
    return url


def _key_trouble(variable: str | None, secret: str) -> tuple[str, str] | None:
    """Why no request can be made with this key, if so, and what to do."""
    if variable and not secret:
        return "there is no key for it", f"set {variable}"
    if not (secret.isascii() and secret.isprintable()) or " " in secret:
        return f"the key in {variable} holds characters that no key has", "copy it again"
    return None
