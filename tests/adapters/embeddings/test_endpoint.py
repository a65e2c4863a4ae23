from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from email.utils import formatdate
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from adapters.embeddings import open_embedder
from adapters.embeddings.endpoint import BATCH, Endpoint
from adapters.embeddings.replies import BadReply, error_in, read_vectors
from core.catalog import Catalog, EmbeddingSpec, Provider
from core.errors import ConfigError, Unavailable
from core.ports import Embedder
from tests.emulators.provider import Fault, ProviderEmulator, status
from tests.emulators.provider_vectors import vectors_of

TEXTS = ["the cat sat on the mat", "a dog", "the cat"]


@pytest.fixture
async def provider() -> AsyncIterator[ProviderEmulator]:
    async with ProviderEmulator() as emulator:
        emulator.model("e1", dimensions=48)
        yield emulator
        assert not emulator.violations


def endpoint(base_url: str, secret: str = "", *, key: bool = True, timeout: float = 5, **more: Any) -> Endpoint:
    spec = EmbeddingSpec(backend="endpoint", provider="here", name="e1", timeout=timeout)
    return Endpoint(spec, Provider(base_url=base_url, api_key_env="HERE_KEY" if key else None), secret=secret, **more)


async def embedded(provider: ProviderEmulator, texts: list[str] = TEXTS, **options: Any) -> list[list[float]]:
    async with endpoint(provider.base_url, provider.key, **options) as opened:
        return await opened.embed(texts)


async def refusal(provider: ProviderEmulator, texts: list[str] = TEXTS, **options: Any) -> str:
    with pytest.raises(Unavailable) as caught:
        await embedded(provider, texts, **options)
    said = str(caught.value)
    assert said.startswith("The answers could not be analysed: no vectors from e1 at here")
    assert provider.key not in said
    return said


async def test_it_is_an_embedder_whose_rows_come_in_the_order_of_the_texts(provider: ProviderEmulator) -> None:
    async with endpoint(provider.base_url, provider.key) as opened:
        embedder: Embedder = opened
        assert embedder.name == "e1 (here)"
        assert await embedder.embed(TEXTS) == vectors_of(TEXTS, 48)
        assert await embedder.embed([]) == []
    [request] = provider.requests
    assert request.body == {"model": "e1", "input": TEXTS, "encoding_format": "float"}


def catalog(base_url: str, **embeddings: Any) -> Catalog:
    return Catalog.model_validate(
        {
            "providers": {"here": {"base_url": base_url, "api_key_env": "HERE_KEY"}},
            "models": {"m": {"provider": "here", "name": "m"}},
            "consortia": {"default": {"members": ["m"], "arbiter": "m"}},
            "embeddings": embeddings,
        }
    )


async def test_a_catalogue_tells_whether_there_is_one(provider: ProviderEmulator) -> None:
    keys = {"HERE_KEY": SecretStr(f" {provider.key}\n")}
    chosen = catalog(provider.base_url, backend="endpoint", provider="here", name="e1")
    async with open_embedder(chosen, keys) as opened:
        assert opened is not None
        assert await opened.embed(TEXTS) == vectors_of(TEXTS, 48)
    async with open_embedder(catalog(provider.base_url), keys) as opened:
        assert opened is None
    async with open_embedder(chosen, {}) as opened:
        assert opened is not None
        with pytest.raises(Unavailable, match="set HERE_KEY"):
            await opened.embed(TEXTS)


async def test_many_texts_go_in_several_requests_over_one_connection(provider: ProviderEmulator) -> None:
    texts = [f"text number {n}" for n in range(2 * BATCH + 1)]
    assert await embedded(provider, texts) == vectors_of(texts, 48)
    assert [len(request.body["input"]) for request in provider.requests] == [BATCH, BATCH, 1]
    assert len({request.peer for request in provider.requests}) == 1


async def test_signs_of_all_kinds_arrive(provider: ProviderEmulator) -> None:
    texts = ['🚀 你好 \x00 \u2028 "quoted" \\ back', "é" * 20_000]
    await embedded(provider, texts)
    assert provider.requests[0].body["input"] == texts


async def test_a_server_without_a_key_gets_none() -> None:
    async with ProviderEmulator() as provider:
        provider.model("e1", dimensions=4)
        async with endpoint(provider.base_url, key=False) as opened:
            with pytest.raises(Unavailable, match=r"\(status 401\).*providers.here.api_key_env"):
                await opened.embed(["a"])
        assert "Authorization" not in provider.requests[0].headers


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (status(401, message="Wrong key {key}"), ["status 401", "HERE_KEY was not accepted", "[key]", "check it"]),
        (status(402), ["no credit left", "add credit"]),
        (status(403), ["declined", "HERE_KEY"]),
        (status(404), ["no such model", "embeddings.name"]),
        (status(400, message="maximum context length is 512 tokens"), ["too long for it", "(maximum context"]),
        (status(500, message="input is too large to process"), ["too long for it", "--ubatch-size"]),
        (status(400, message="Nonsense"), ["did not accept the request (Nonsense)"]),
        (status(501), ["makes no vectors", "--embeddings"]),
        (status(308), ["points to another address", "providers.here.base_url"]),
        (Fault("body_error", 401), ["status 401", "HERE_KEY was not accepted"]),
        (Fault("prose"), ["was not JSON", "embeddings.name"]),
        (Fault("broken_json"), ["was not JSON"]),
        (Fault("few"), ["gave 2 vectors for 3 texts"]),
        (Fault("empty"), ["gave 0 vectors for 3 texts"]),
        (Fault("twice"), ["not numbered as the texts are"]),
        (Fault("uneven"), ["differ in length"]),
        (Fault("not_finite"), ["no finite number"]),
        (Fault("zeros"), ["all zero"]),
        (Fault("huge"), ["longer than 8 MB"]),
    ],
    ids=lambda value: f"{value.kind}-{value.status}" if isinstance(value, Fault) else "",
)
async def test_failures_say_who_why_and_what_to_do(provider: ProviderEmulator, fault: Fault, words: list[str]) -> None:
    provider.model("e1", dimensions=48, always=fault)
    said = await refusal(provider)
    assert [word for word in words if word not in said] == [], said
    assert "\n" not in said
    if fault.status != 500 or fault.kind not in ("status", "body_error"):
        assert len(provider.requests) == 1


@pytest.mark.parametrize(
    "fault", [status(429), status(500), status(503), "drop", "drop_mid", Fault("body_error", 502), status(408)]
)
async def test_one_more_attempt_after_what_may_pass(provider: ProviderEmulator, fault: Fault) -> None:
    provider.model("e1", dimensions=48, fail=[fault])
    assert await embedded(provider) == vectors_of(TEXTS, 48)
    assert len(provider.requests) == 2


@pytest.mark.parametrize(
    ("fault", "word"),
    [(status(429), "rate limit was reached"), (status(503), "could not answer"), ("drop", "broke off")],
)
async def test_but_not_two_more(provider: ProviderEmulator, fault: Fault, word: str) -> None:
    provider.model("e1", dimensions=48, always=fault)
    assert word in await refusal(provider)
    assert len(provider.requests) == 2


async def test_retry_after_is_kept_to(provider: ProviderEmulator) -> None:
    provider.model("e1", dimensions=48, fail=[status(429, retry_after="1")])
    await embedded(provider)
    first, second = provider.requests
    assert second.started - first.started >= 1


async def test_a_retry_after_beyond_the_timeout_fails_at_once(provider: ProviderEmulator) -> None:
    provider.model("e1", dimensions=48, always=status(429, retry_after=formatdate(time.time() + 60, usegmt=True)))
    assert "rate limit" in await refusal(provider)
    assert len(provider.requests) == 1


@pytest.mark.parametrize("fault", ["hang", "stall"])
async def test_the_timeout_bounds_the_whole(provider: ProviderEmulator, fault: str) -> None:
    provider.model("e1", dimensions=48, always=fault)
    assert "no whole reply came within 0.3 s; try again, or raise embeddings.timeout" in await refusal(
        provider, timeout=0.3
    )
    await provider.idle()
    assert [request.hung_up for request in provider.requests] == [True]


async def test_vectors_of_another_length_in_a_later_reply_are_none(provider: ProviderEmulator) -> None:
    behaviour = provider.model("e1", dimensions=48, latency=0.05)

    async def change() -> None:
        await provider.arrived(1)
        behaviour.dimensions = 48
        await provider.arrived(2)
        behaviour.dimensions = 47

    changing = asyncio.create_task(change())
    assert "differ in length from reply to reply" in await refusal(provider, ["a"] * (BATCH + 1))
    await changing


async def test_nobody_there() -> None:
    async with endpoint("http://127.0.0.1:9/v1", "k") as opened:
        with pytest.raises(Unavailable, match=r"nothing answers at 127.0.0.1:9; check providers.here.base_url"):
            await opened.embed(["a"])


@pytest.mark.parametrize(("secret", "word"), [("", "set HERE_KEY"), ("two words", "copy it again"), ("ü", "copy it")])
async def test_a_key_that_is_none_is_not_tried(provider: ProviderEmulator, secret: str, word: str) -> None:
    async with endpoint(provider.base_url, secret) as opened:
        with pytest.raises(Unavailable, match=word):
            await opened.embed(["a"])
    assert not provider.requests


@pytest.mark.parametrize("url", ["http://user:pw@host/v1", "http://host:port/v1", "http:///v1"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ConfigError, match=r"providers.here.base_url"):
        endpoint(url)


async def test_closing_ends_it(provider: ProviderEmulator) -> None:
    opened = endpoint(provider.base_url, provider.key)
    async with opened:
        pass
    await opened.aclose()
    with pytest.raises(RuntimeError, match="not open"):
        await opened.embed(["a"])


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b'{"data": {}}',
        b'{"data": [1]}',
        b'{"data": [{"index": true, "embedding": [1]}]}',
        b'{"data": [{"embedding": [1]}]}',
        b'{"data": [{"index": 1, "embedding": [1]}]}',
        b'{"data": [{"index": 0, "embedding": []}]}',
        b'{"data": [{"index": 0, "embedding": "AACAPw=="}]}',
        b'{"data": [{"index": 0, "embedding": [true]}]}',
        b'{"data": [{"index": 0, "embedding": ["1"]}]}',
        b'{"data": [{"index": 0, "embedding": [1e39]}]}',
        b'{"data": [{"index": 0, "embedding": [Infinity]}]}',
        b'{"data": [{"index": 0, "embedding": [1' + b"0" * 400 + b"]}]}",
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_what_is_no_vector(body: bytes) -> None:
    with pytest.raises(BadReply):
        read_vectors(body, 1)


def test_an_empty_account_is_no_rate_limit() -> None:
    assert error_in(429, b'{"error": {"code": "insufficient_quota", "message": "You exceeded"}}')[0] == 402
    assert error_in(200, b'{"error": "model is loading"}') == (502, "model is loading")
    assert error_in(200, b'{"data": []}') == (200, None)


def test_errors_of_the_library_are_all_ours() -> None:
    """Whatever a request may raise has words."""
    words = endpoint("http://host/v1", "k")._words
    kinds = [kind for kind in vars(httpx).values() if isinstance(kind, type) and issubclass(kind, httpx.RequestError)]
    assert len(kinds) > 10
    for kind in kinds:
        assert "e1 at here" in str(words.of_exception(kind("insides")))
        assert "insides" not in str(words.of_exception(kind("insides")))
