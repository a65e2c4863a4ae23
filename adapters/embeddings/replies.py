"""What an ``/embeddings`` replies: vectors, checked strictly, or a refusal, put into words that say what to do."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

import httpx

from core.errors import Unavailable

MAX_REPLY: Final = 8_000_000
"""The longest reply that is taken, in bytes: 16 vectors of 4,096 numbers are some 1.5 million."""

_LARGEST: Final = 3e38  # a number of 32 bits holds no more
_QUOTE: Final = 120  # characters of a provider's own words
_KEY_LIKE = re.compile(r"(?i)\b(?:bearer\s+\S+|(?:sk|pk|rk|gsk|xai|key|api|hf|nvapi|cpk)[-_][\w*.…-]{6,})")
_TOO_LONG = re.compile(
    r"context.{0,12}(?:length|size|window)|too (?:many tokens|long|large)|maximum.{0,10}tokens", re.I
)


class BadReply(Exception):
    """A reply that is not what was asked for. The text says what is wrong with it."""


def error_in(status: int, body: bytes) -> tuple[int, object]:
    """The status that counts, for a refusal may come with status 200, and the error in the body, if any."""
    try:
        document = json.loads(body) if status >= 300 or b'"error"' in body[:200] else None
    except (ValueError, RecursionError):
        document = None
    error = document.get("error") if isinstance(document, dict) else None
    if not error:
        return status, document if status >= 300 else None
    code = error.get("code") if isinstance(error, dict) else None
    if code == "insufficient_quota":  # said with 429, but no waiting helps
        return 402, error
    if status >= 300:
        return status, error
    return code if type(code) is int and 300 <= code < 600 else 502, error


def read_vectors(body: bytes, count: int) -> list[list[float]]:
    """The vectors in the order of the texts. Raises BadReply unless there is exactly one for each, all of the same
    length, of finite numbers that are not all zero."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadReply("its reply was not JSON") from error
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, list):
        raise BadReply("its reply held no list of vectors")
    if len(data) != count:
        raise BadReply(f"it gave {len(data)} vectors for {count} texts")
    placed = dict(map(_entry, data))
    if set(placed) != set(range(count)):
        raise BadReply("its vectors were not numbered as the texts are")
    rows = [placed[index] for index in range(count)]
    if len({len(row) for row in rows}) > 1:
        raise BadReply("its vectors differ in length")
    return rows


def _entry(entry: Any) -> tuple[int, list[float]]:
    index, row = (entry.get("index"), entry.get("embedding")) if isinstance(entry, dict) else (None, None)
    if type(index) is not int:  # not a boolean either
        raise BadReply("its vectors were not numbered as the texts are")
    if not isinstance(row, list) or not row:
        raise BadReply("one of its vectors was not a list of numbers")
    # What is not a number fails every comparison.
    if not all(type(number) in (float, int) and -_LARGEST <= number <= _LARGEST for number in row):
        raise BadReply("one of its vectors held what is no finite number")
    if not any(row):
        raise BadReply("one of its vectors was all zero")
    return index, row


@dataclass(frozen=True)
class Words:
    """Says why there are no vectors. ``where`` is the server's host and port, ``key_env`` holds ``secret``."""

    model: str
    provider: str
    where: str
    key_env: str | None
    secret: str

    def unavailable(self, why: str, fix: str, status: int | None = None) -> Unavailable:
        """One sentence: who, why, what to do."""
        who = f"{self.model} at {self.provider}" + (f" (status {status})" if status else "")
        return Unavailable(f"The answers could not be analysed: no vectors from {who}: {why}; {fix}.")

    def of_bad_reply(self, why: str) -> Unavailable:
        """A reply that came, but is none."""
        return self.unavailable(why, "check that embeddings.name is a model for embeddings")

    def of_silence(self, timeout: float) -> Unavailable:
        """No reply within ``timeout`` seconds."""
        return self.unavailable(f"no whole reply came within {timeout:g} s", "try again, or raise embeddings.timeout")

    def of_exception(self, error: httpx.RequestError) -> Unavailable:
        """A call that broke."""
        check = f"check providers.{self.provider}.base_url"
        if isinstance(error, httpx.ConnectError):
            if "CERTIFICATE" in str(error) or "SSL" in str(error):
                return self.unavailable(f"no secure connection to {self.where} was possible", "check its certificate")
            return self.unavailable(f"nothing answers at {self.where}", f"{check} and that the server is running")
        if isinstance(error, httpx.RemoteProtocolError | httpx.DecodingError):
            why = f"{self.where} broke off, or did not answer in the language of the web"
            return self.unavailable(why, f"try again, or {check}")
        return self.unavailable(f"the connection to {self.where} broke off", "try again")

    def of_status(self, status: int, error: object) -> Unavailable:
        """A refusal."""
        why, fix = self._refusal(status, error)
        return self.unavailable(why + self._quote(error), fix, status)

    def _refusal(self, status: int, error: object) -> tuple[str, str]:
        key = f"the key in {self.key_env}" if self.key_env else "the request without a key"
        if status == 401:
            named = f"name the variable of its key in providers.{self.provider}.api_key_env"
            return f"{key} was not accepted", "check it" if self.key_env else named
        if status == 402:
            return f"the account behind {key} has no credit left", "add credit at the provider"
        if status == 403:
            return "the provider declined", f"check what {key} may use"
        if status == 501:
            return "the server makes no vectors", "start it with embeddings on (llama.cpp: --embeddings)"
        if status == 413 or (status in {400, 422, 500} and _TOO_LONG.search(_message(error))):
            fix = "name a model that takes longer texts, or raise the server's limit (llama.cpp: --ubatch-size)"
            return "an answer is too long for it", fix
        if status == 404:
            return f"there is no such model at {self.where}", "check embeddings.name and the provider's base_url"
        if status == 429:
            return "the provider's rate limit was reached", "try again later"
        if 300 <= status < 400:
            return f"{self.where} points to another address", f"correct providers.{self.provider}.base_url"
        if status >= 500 or status == 408:
            return "the provider could not answer", "try again later"
        return "the provider did not accept the request", "check embeddings.name"

    def _quote(self, error: object) -> str:
        """The provider's own words in brackets: short, on one line, free of keys."""
        said = _message(error)
        if self.secret:  # before anything is cut, so that no part of it is left
            said = said.replace(self.secret, "[key]")
        said = " ".join(_KEY_LIKE.sub("[key]", said).split())
        return f" ({said if len(said) <= _QUOTE else said[: _QUOTE - 1] + '…'})" if said else ""


def _message(error: object) -> str:
    said = error.get("message") if isinstance(error, dict) else error
    return said if isinstance(said, str) else ""
