"""How a provider's refusals and broken calls become a :class:`ModelError` in one sentence.

::

    400 and other 4xx, 401, 403, 404, 3xx   REFUSED, asking again is no use
    402                                     REFUSED, worth another try only with Retry-After
    408, no answer in time                  TIMEOUT
    429                                     RATE_LIMITED
    5xx, no connection, connection lost     UNREACHABLE
    200 with an error in its body           as the error's code says, else UNREACHABLE
    anything that is not the protocol       BAD_REPLY
"""

from __future__ import annotations

import errno
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from core.errors import ModelError
from core.resilience import seconds_until
from core.types import FailureKind, Usage

_QUOTE = 120
"""How much of a provider's own words is repeated, in characters."""

_KEY_LIKE = re.compile(r"(?i)\b(?:bearer\s+\S+|(?:sk|pk|rk|gsk|xai|key|api|hf|nvapi)[-_][\w*.…-]{6,})")
_TOO_LONG = re.compile(r"context.{0,12}(?:length|size|window)|too many tokens|maximum.{0,10}tokens", re.IGNORECASE)

_NAMED_CODES = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "insufficient_quota": 402,
    "invalid_api_key": 401,
    "authentication_error": 401,
    "model_not_found": 404,
    "not_found_error": 404,
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "overloaded_error": 503,
    "server_error": 500,
    "timeout": 408,
}
"""Names that servers give in place of a number."""


@dataclass(frozen=True)
class Refusals:
    """Puts what one model's server refuses into our words.

    ``where`` is the server's host and port, ``key_env`` the variable that holds ``secret``; ``clock`` gives
    seconds since 1970, for Retry-After dates.
    """

    model: str
    name: str
    provider: str
    where: str
    key_env: str | None
    secret: str = field(repr=False)
    clock: Callable[[], float] = time.time

    def of_status(self, status: int, body: bytes, retry_after: str | None) -> ModelError:
        """A reply whose status is not success."""
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        error = document.get("error", document) if isinstance(document, dict) else None
        if _code(error) == 402:  # some servers say 429 for an empty account
            status = 402
        return self._error(status, error, seconds_until(retry_after, self.clock()))

    def of_body(self, error: object, usage: Usage | None = None) -> ModelError:
        """An error inside a reply or a stream whose status was 200."""
        return self._error(_code(error) or 502, error, None, usage)

    def of_exception(self, error: Exception, timeout: float) -> ModelError:
        """A call that broke without a reply: an error of aiohttp, of the system, or a timeout in seconds."""
        unreachable = FailureKind.UNREACHABLE
        match error:
            case aiohttp.ConnectionTimeoutError():
                return ModelError(unreachable, f"{self.where} did not accept a connection in time")
            case TimeoutError():
                return ModelError(FailureKind.TIMEOUT, f"no whole answer came within {timeout:g} s")
            case aiohttp.ClientConnectorDNSError():
                detail = f"the host of {self.where} was not found; check providers.{self.provider}.base_url"
                return ModelError(unreachable, detail)
            case aiohttp.ClientSSLError() | aiohttp.ServerFingerprintMismatch():
                detail = f"no secure connection to {self.where} was possible; check its certificate"
                return ModelError(unreachable, detail, retryable=False)
            case OSError(errno=errno.EMFILE | errno.ENFILE):
                return ModelError(unreachable, "this process ran out of file handles; raise its limit (ulimit -n)")
            case aiohttp.ClientConnectorError():
                return ModelError(unreachable, f"nothing answers at {self.where}; check that the server is running")
            case aiohttp.InvalidURL():
                detail = f"providers.{self.provider}.base_url is not an address; write e.g. https://host/v1"
                return ModelError(FailureKind.REFUSED, detail)
            case aiohttp.ClientResponseError():
                return ModelError(FailureKind.BAD_REPLY, f"{self.where} did not answer in the language of the web")
        detail = f"the connection to {self.where} broke off before the answer was whole"
        return ModelError(unreachable, detail, usage=Usage())  # the model may have worked: unknown, not nothing

    def _error(self, status: int, error: object, retry_after: float | None, usage: Usage | None = None) -> ModelError:
        kind = _kind(status)
        retryable = retry_after is not None if status == 402 else None
        detail = self._words(status, error)
        return ModelError(kind, detail, status=status, retry_after=retry_after, retryable=retryable, usage=usage)

    def _words(self, status: int, error: object) -> str:
        key = f"the key in {self.key_env}" if self.key_env else "the request without a key"
        said = self._quote(error)
        if status == 401:
            remedy = "check it" if self.key_env else f"name its variable in providers.{self.provider}.api_key_env"
            return f"{key} was not accepted; {remedy}"
        if status == 402:
            if _metadata(error).get("limit_source") == "key":
                return f"{key} has reached its spending limit; raise the limit at the provider"
            return f"the account behind {key} has no credit left; add credit at the provider"
        if status == 403:
            return f"the provider declined{said}; rephrase the question, or check what {key} may use"
        if status == 404:
            return f"there is no model {self.name!r} at {self.where}{said}; check models.{self.model}.name"
        if status == 408:
            return "the provider gave up waiting for the model"
        if status == 413 or (status in {400, 422} and _TOO_LONG.search(_message(error))):
            return "the question with its conversation is too long for this model; shorten it or start a new thread"
        if status == 429:
            return "the provider's rate limit was reached"
        if status >= 500:
            return f"the provider could not get an answer from the model (status {status}){said}"
        if 300 <= status < 400:
            return f"{self.where} points to another address; correct providers.{self.provider}.base_url"
        return f"the provider did not accept the request (status {status}){said}; check models.{self.model}"

    def _quote(self, error: object) -> str:
        """The provider's own words in brackets: short, on one line, free of keys."""
        said = _message(error)
        if self.secret:  # before anything is cut, so that no part of it is left
            said = said.replace(self.secret, "[key]")
        said = " ".join(_KEY_LIKE.sub("[key]", said).split())
        if not said or said.lower() == "error":
            return ""
        return f" ({said if len(said) <= _QUOTE else said[: _QUOTE - 1] + '…'})"


def _kind(status: int) -> FailureKind:
    if status == 408:
        return FailureKind.TIMEOUT
    if status == 429:
        return FailureKind.RATE_LIMITED
    return FailureKind.UNREACHABLE if status >= 500 else FailureKind.REFUSED


def _code(error: object) -> int | None:
    """The status that an error object names, by number or by a known word."""
    if not isinstance(error, dict):
        return None
    for name in ("code", "status", "type"):
        match error.get(name):
            case bool():
                continue
            case int(code) if 300 <= code < 600:
                return code
            case str(word) if word.isascii() and word.isdigit() and 300 <= int(word[:9]) < 600:
                return int(word)
            case str(word) if word in _NAMED_CODES:
                return _NAMED_CODES[word]
    return None


def _message(error: object) -> str:
    said = error.get("message") if isinstance(error, dict) else error
    return said if isinstance(said, str) else ""


def _metadata(error: object) -> dict[str, Any]:
    metadata = error.get("metadata") if isinstance(error, dict) else None
    return metadata if isinstance(metadata, dict) else {}
