"""Every refusal and every error of the HTTP client becomes one sentence of ours, with no secret in it."""

from __future__ import annotations

import json
import re
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.models.refusals import Refusals
from core.resilience import seconds_until
from core.types import FailureKind, Usage

KEY = "sk-or-v1-0123456789abcdef"
NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


def refusals(key_env: str | None = "OPENROUTER_API_KEY") -> Refusals:
    return Refusals(
        model="llama",
        name="meta/llama",
        provider="openrouter",
        where="openrouter.ai",
        key_env=key_env,
        secret=KEY,
        clock=lambda: NOW,
    )


def body(message: str, code: Any = None, **more: Any) -> bytes:
    return json.dumps({"error": {"message": message, "code": code, **more}}).encode()


KINDS = [
    (301, FailureKind.REFUSED, False),
    (400, FailureKind.REFUSED, False),
    (401, FailureKind.REFUSED, False),
    (402, FailureKind.REFUSED, False),
    (403, FailureKind.REFUSED, False),
    (404, FailureKind.REFUSED, False),
    (408, FailureKind.TIMEOUT, True),
    (413, FailureKind.REFUSED, False),
    (418, FailureKind.REFUSED, False),
    (422, FailureKind.REFUSED, False),
    (429, FailureKind.RATE_LIMITED, True),
    (500, FailureKind.UNREACHABLE, True),
    (502, FailureKind.UNREACHABLE, True),
    (503, FailureKind.UNREACHABLE, True),
    (529, FailureKind.UNREACHABLE, True),
]


@pytest.mark.parametrize(("status", "kind", "retryable"), KINDS)
def test_status(status: int, kind: FailureKind, retryable: bool) -> None:
    error = refusals().of_status(status, b"", None)
    assert (error.kind, error.retryable, error.status, error.retry_after) == (kind, retryable, status, None)


@pytest.mark.parametrize(("status", "kind", "retryable"), [k for k in KINDS if k[0] != 418])
def test_same_code_inside_a_reply(status: int, kind: FailureKind, retryable: bool) -> None:
    usage = Usage(prompt_tokens=3)
    for code in (status, str(status)):
        error = refusals().of_body({"code": code, "message": "x"}, usage)
        assert (error.kind, error.retryable, error.usage) == (kind, retryable, usage)


@pytest.mark.parametrize("error", [{"message": "went wrong"}, {"code": None}, {"code": True}, "went wrong", ["?"], 7])
def test_an_error_of_no_known_code_is_the_servers_fault(error: object) -> None:
    assert refusals().of_body(error).kind is FailureKind.UNREACHABLE


@pytest.mark.parametrize(
    ("status", "sent", "words"),
    [
        (401, body("nope"), "the key in OPENROUTER_API_KEY was not accepted; check it"),
        (402, body("Insufficient credits"), "the account behind the key in OPENROUTER_API_KEY has no credit left"),
        (402, body("limit", metadata={"limit_source": "key"}), "OPENROUTER_API_KEY has reached its spending limit"),
        (403, body("input was flagged"), "the provider declined (input was flagged)"),
        (404, body("No endpoints found"), "there is no model 'meta/llama' at openrouter.ai (No endpoints found)"),
        (400, body("maximum context length is 8192 tokens"), "too long for this model"),
        (400, body("request exceeds the available context size"), "too long for this model"),
        (400, body("n must be 1"), "(n must be 1); check models.llama"),
        (429, body("slow down"), "the provider's rate limit was reached"),
        (503, body("no provider fits"), "(status 503) (no provider fits)"),
        (500, b"<html>oops</html>", "(status 500)"),
        (400, b'{"error": "model is loading"}', "(model is loading)"),
        (422, b'{"message": "unknown field"}', "(unknown field)"),
        (307, b"", "points to another address"),
    ],
)
def test_words_name_cause_and_fix(status: int, sent: bytes, words: str) -> None:
    assert words in refusals().of_status(status, sent, None).detail


def test_no_key_at_all() -> None:
    detail = refusals(None).of_status(401, b"", None).detail
    assert detail == "the request without a key was not accepted; name its variable in providers.openrouter.api_key_env"


def test_an_empty_account_that_is_told_as_a_rate_limit() -> None:
    error = refusals().of_status(429, body("You exceeded your quota", "insufficient_quota"), "1")
    assert error.kind is FailureKind.REFUSED
    assert "no credit left" in error.detail


def test_out_of_credit_is_worth_another_try_only_when_the_provider_says_when() -> None:
    error = refusals().of_status(402, body("wait"), "30")
    assert (error.kind, error.retryable, error.retry_after) == (FailureKind.REFUSED, True, 30)


@pytest.mark.parametrize(("status", "kind", "_"), KINDS)
@pytest.mark.parametrize(
    "echo", [KEY, f"Bearer {KEY}", "sk-or-v1-0123*******cdef", f"key={KEY},", "x" * 110 + KEY, f"{KEY}{KEY}"]
)
def test_the_key_is_never_repeated(status: int, kind: FailureKind, _: bool, echo: str) -> None:
    for error in (
        refusals().of_status(status, body(f"bad key {echo} given"), None),
        refusals().of_body({"code": status, "message": echo}),
    ):
        assert error.kind is kind
        assert "0123" not in error.detail
        assert "sk-or" not in error.detail


@settings(max_examples=50)
@given(st.binary(max_size=300) | st.text(max_size=300).map(body), st.integers(300, 599))
def test_any_body_gives_one_short_line(sent: bytes, status: int) -> None:
    detail = refusals().of_status(status, sent, None).detail
    assert len(detail) < 300
    assert not re.search(r"[\n\r\t]", detail)


def test_deeply_nested_body() -> None:
    assert refusals().of_status(500, b"[" * 60_000, None).kind is FailureKind.UNREACHABLE


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tue, 14 Nov 2023 22:13:00 GMT", 0.0),
        ("Tue, 99 Nov 2023 22:13:00 GMT", None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert seconds_until(header, NOW) == seconds


def client_errors() -> list[type[aiohttp.ClientError]]:
    found, todo = set(), [aiohttp.ClientError]
    while todo:
        error = todo.pop()
        found.add(error)
        todo += error.__subclasses__()
    return sorted((e for e in found if e.__module__.startswith("aiohttp")), key=lambda e: e.__name__)


def make(error: type[aiohttp.ClientError]) -> aiohttp.ClientError:
    """An instance as the client would raise it; attributes are set by hand because signatures differ."""
    instance = error.__new__(error)
    instance.args = (KEY,)
    return instance


@pytest.mark.parametrize("error", client_errors())
def test_every_error_of_the_client_is_mapped(error: type[aiohttp.ClientError]) -> None:
    mapped = refusals().of_exception(make(error), 5)
    assert mapped.kind in {
        FailureKind.UNREACHABLE,
        FailureKind.TIMEOUT,
        FailureKind.REFUSED,
        FailureKind.BAD_REPLY,
    }
    assert KEY not in mapped.detail
    expected = {
        aiohttp.ConnectionTimeoutError: FailureKind.UNREACHABLE,
        aiohttp.SocketTimeoutError: FailureKind.TIMEOUT,
        aiohttp.ClientConnectorDNSError: FailureKind.UNREACHABLE,
        aiohttp.ServerDisconnectedError: FailureKind.UNREACHABLE,
        aiohttp.ClientPayloadError: FailureKind.UNREACHABLE,
        aiohttp.InvalidURL: FailureKind.REFUSED,
        aiohttp.ClientResponseError: FailureKind.BAD_REPLY,
    }
    assert mapped.kind is expected.get(error, mapped.kind)


def test_running_out_of_file_handles_is_not_blamed_on_the_server() -> None:
    assert "file handles" in refusals().of_exception(OSError(24, "Too many open files"), 5).detail
    assert FailureKind.TIMEOUT is refusals().of_exception(TimeoutError(), 5).kind
