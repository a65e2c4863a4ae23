"""The adapter against a strict provider: what is sent, and what each kind of reply becomes."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from adapters.models import ModelPool
from adapters.models.openai import Connections, OpenAIModel
from core.ports import Message, Picture, Prompt
from core.types import FailureKind, Usage
from tests.adapters.models.support import SCHEMA, answer, ask, catalog, collect, failure, pool
from tests.emulators.provider import Fault, ProviderEmulator, status

both_ways = pytest.mark.parametrize("streaming", [False, True], ids=["whole", "stream"])


@pytest_asyncio.fixture
async def provider() -> AsyncIterator[ProviderEmulator]:
    async with ProviderEmulator() as emulator:
        yield emulator
        assert not emulator.violations


# --- what is sent ---------------------------------------------------------------------------------------


@both_ways
async def test_request_fields(provider: ProviderEmulator, streaming: bool) -> None:
    provider.model("vendor/m-1")
    messages = (
        Message(role="system", content="Be brief."),
        Message(role="user", content="One?"),
        Message(role="assistant", content="Ünø."),
        Message(role="user", content="Two?"),
    )
    async with pool(provider, m={"name": "vendor/m-1", "temperature": 0.3, "max_tokens": 77}) as models:
        prompt = Prompt(messages=messages, seed=5)
        await answer(models["m"], prompt, streaming=streaming)
    expected: dict[str, Any] = {
        "model": "vendor/m-1",
        "messages": [{"role": m.role, "content": m.content} for m in messages],
        "temperature": 0.3,
        "max_tokens": 77,
        "seed": 5,
    }
    if streaming:
        expected |= {"stream": True, "stream_options": {"include_usage": True}}
    [request] = provider.requests
    assert request.body == expected
    assert request.headers["Authorization"] == f"Bearer {provider.key}"


async def test_what_is_not_set_is_not_sent(provider: ProviderEmulator) -> None:
    provider.model("m1")
    async with pool(provider, m1={"max_tokens": None}) as models:
        await models["m1"].complete(ask(), timeout=5)
    assert set(provider.requests[0].body) == {"model", "messages"}


@pytest.mark.parametrize(
    ("structured", "sent"),
    [
        ("schema", {"type": "json_schema", "json_schema": {"name": "reply", "strict": True, "schema": SCHEMA}}),
        ("json", {"type": "json_object"}),
        ("text", None),
    ],
)
async def test_response_format(provider: ProviderEmulator, structured: str, sent: Any) -> None:
    provider.model("m1")
    async with pool(provider, m1={"structured": structured, "max_tokens": None}) as models:
        await models["m1"].complete(ask(json_schema=SCHEMA), timeout=5)
        await models["m1"].complete(ask(), timeout=5)
    first, second = (request.body for request in provider.requests)
    assert first.get("response_format") == sent
    assert ("max_tokens" in first) is (sent is not None)  # forced JSON may never end by itself
    assert "response_format" not in second


@both_ways
async def test_a_server_without_response_format_is_asked_again_without_and_remembered(
    provider: ProviderEmulator, streaming: bool
) -> None:
    provider.model("m1", structured=False, text="plain")
    provider.model("m2", text="by schema")
    async with pool(provider, m1={}, m2={}) as models:
        for key in ("m1", "m1", "m2"):
            prompt = ask(json_schema=SCHEMA)
            text = (
                (await collect(models[key], prompt))[1] if streaming else await models[key].complete(prompt, timeout=5)
            )
            assert text.text == ("plain" if key == "m1" else "by schema")
    formats = [(request.model, "response_format" in request.body) for request in provider.requests]
    assert formats == [("m1", True), ("m1", False), ("m1", False), ("m2", True)]


async def test_another_400_is_not_taken_for_a_missing_response_format(provider: ProviderEmulator) -> None:
    provider.model("m1", fail=[status(400, message="no such voice")] * 2)
    async with pool(provider) as models:
        error = await failure(models["m1"], ask(json_schema=SCHEMA), streaming=False)
        assert (error.kind, error.retryable) == (FailureKind.REFUSED, False)
        await models["m1"].complete(ask(json_schema=SCHEMA), timeout=5)
    assert ["response_format" in request.body for request in provider.requests] == [True, False, True]


PICTURE = Picture(media_type="image/png", data=b"\x89PNG\r\n\x1a\n" + bytes(1_400_000))


@both_ways
async def test_pictures_go_as_parts_and_all_else_as_plain_text(provider: ProviderEmulator, streaming: bool) -> None:
    provider.model("m1", vision=True)
    messages = (
        Message(role="system", content="Be brief."),
        Message(role="user", content="What is it?", pictures=(PICTURE, PICTURE)),
    )
    async with pool(provider) as models:
        completion = await answer(models["m1"], Prompt(messages=messages), streaming=streaming)
    system, user = provider.requests[0].body["messages"]
    assert system["content"] == "Be brief."
    assert user["content"][0] == {"type": "text", "text": "What is it?"}
    urls = [part["image_url"]["url"] for part in user["content"][1:]]
    assert urls == ["data:image/png;base64," + base64.b64encode(PICTURE.data).decode()] * 2
    assert completion.usage.prompt_tokens == 5


async def test_a_model_that_cannot_see_refuses_pictures(provider: ProviderEmulator) -> None:
    provider.model("m1")
    async with pool(provider) as models:
        prompt = Prompt(messages=(Message(role="user", content="What is it?", pictures=(PICTURE,)),))
        error = await failure(models["m1"], prompt, streaming=False)
    assert (error.kind, error.retryable) == (FailureKind.REFUSED, False)


def test_attribution_goes_to_openrouter_alone() -> None:
    for base_url, named in {
        "https://openrouter.ai/api/v1": True,
        "https://eu.openrouter.ai/api/v1": True,
        "https://openrouter.ai.evil.example/v1": False,
        "https://notopenrouter.ai/v1": False,
        "http://127.0.0.1:11434/v1": False,
    }.items():
        config = catalog(base_url)
        model = OpenAIModel("m1", config.models["m1"], config.providers["here"], Connections())
        assert ("X-OpenRouter-Title" in model._headers) is named


# --- good replies ---------------------------------------------------------------------------------------


async def test_whole_reply(provider: ProviderEmulator) -> None:
    provider.model("m1", text=" Yes.\n", cost=0.0021)
    async with pool(provider) as models:
        completion = await models["m1"].complete(ask("Is it so?"), timeout=5)
    assert completion.text == "Yes."
    assert completion.usage == Usage(prompt_tokens=3, completion_tokens=1, cost=0.0021)
    assert not completion.truncated


@pytest.mark.parametrize("settings", [{}, {"slice": 3}, {"crlf": True}, {"crlf": True, "slice": 7}, {"pieces": 100}])
async def test_streamed_reply(provider: ProviderEmulator, settings: dict[str, Any]) -> None:
    text = "Ja, größtenteils: 🎉 naïve café."
    provider.model("m1", text=text, cost=0.5, **settings)
    async with pool(provider) as models:
        pieces, completion = await collect(models["m1"], ask())
    assert "".join(pieces) == completion.text == text
    assert completion.usage.cost == 0.5
    assert completion.usage.completion_tokens == 5


async def test_characters_torn_apart_by_the_stream_are_joined(provider: ProviderEmulator) -> None:
    provider.model("m1", text="so \ud83c\udf89 \0it is \ud83c", pieces=100, pause=0.005)  # each half by itself
    async with pool(provider) as models:
        pieces, completion = await collect(models["m1"], ask())
    assert completion.text == "so 🎉 it is �"
    assert b"".join(piece.encode() for piece in pieces).decode() == "so 🎉 it is "


async def test_pieces_come_before_the_reply_is_whole(provider: ProviderEmulator) -> None:
    provider.model("m1", text="one two three", pieces=3, always="stall")
    async with pool(provider) as models:
        stream = models["m1"].stream(ask(), timeout=5)
        assert await anext(stream) == "one t"
        await stream.aclose()  # type: ignore[attr-defined]


@both_ways
async def test_unknown_usage_stays_unknown(provider: ProviderEmulator, streaming: bool) -> None:
    provider.model("m1", usage=False)
    async with pool(provider) as models:
        completion = await answer(models["m1"], ask(), streaming=streaming)
    assert completion.usage == Usage()


@both_ways
@pytest.mark.parametrize(
    ("reported", "prices", "cost"),
    [
        (None, {"input_price": 2.0, "output_price": 10.0}, (3 * 2 + 1 * 10) / 1_000_000),
        (0.5, {"input_price": 2.0, "output_price": 10.0}, 0.5),
        (0.0, {"input_price": 2.0, "output_price": 10.0}, 0.0),
        (None, {"input_price": 0.0, "output_price": 0.0}, 0.0),
        (None, {"input_price": 2.0}, None),
        (None, {}, None),
    ],
)
async def test_a_call_costs_what_the_provider_says_else_by_the_prices_if_both_are_known(
    provider: ProviderEmulator, streaming: bool, reported: float | None, prices: dict[str, Any], cost: float | None
) -> None:
    provider.model("m1", text="Yes.", cost=reported)
    async with pool(provider, m1=prices) as models:
        completion = await answer(models["m1"], ask("Is it so?"), streaming=streaming)
    assert completion.usage.cost == cost


async def test_tokens_that_are_unknown_have_no_price(provider: ProviderEmulator) -> None:
    provider.model("m1", usage=False)
    async with pool(provider, m1={"input_price": 2.0, "output_price": 10.0}) as models:
        assert (await models["m1"].complete(ask(), timeout=5)).usage == Usage()


async def test_a_server_that_cannot_stream(provider: ProviderEmulator) -> None:
    provider.model("m1", can_stream=False, text="all at once")
    async with pool(provider) as models:
        pieces, completion = await collect(models["m1"], ask())
    assert pieces == ["all at once"]
    assert completion.text == "all at once"


@both_ways
async def test_token_limit(provider: ProviderEmulator, streaming: bool) -> None:
    provider.model("m1", text="It began and", always="truncated")
    async with pool(provider) as models:
        completion = await answer(models["m1"], ask(), streaming=streaming)
    assert completion.truncated
    assert completion.text == "It began and"


async def test_one_connection_serves_calls_in_turn(provider: ProviderEmulator) -> None:
    provider.model("m1")
    provider.model("m2")
    async with pool(provider, m1={}, m2={}) as models:
        for key in ("m1", "m2", "m1"):
            await models[key].complete(ask(), timeout=5)
            await collect(models[key], ask())
    assert len({request.peer for request in provider.requests}) == 1


async def test_many_calls_at_once_keep_their_words_apart(provider: ProviderEmulator) -> None:
    provider.model("m1", latency=0.01)
    async with pool(provider) as models:
        wholes = [models["m1"].complete(ask(f"mark-w{i}"), timeout=20) for i in range(40)]
        streams = [collect(models["m1"], ask(f"mark-s{i}"), timeout=20) for i in range(40)]
        texts, streamed = await asyncio.gather(*wholes), await asyncio.gather(*streams)
    assert all(f"mark-w{i} " in completion.text for i, completion in enumerate(texts))
    assert all(f"mark-s{i} " in completion.text for i, (_, completion) in enumerate(streamed))
    assert provider.peak > 10


# --- faults ---------------------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("broken_json", FailureKind.BAD_REPLY, "not the JSON"),
        ("empty", FailureKind.BAD_REPLY, "empty"),
        ("cut", FailureKind.BAD_REPLY, ""),
        ("huge", FailureKind.BAD_REPLY, "longer than 2 MB"),
        ("prose", FailureKind.BAD_REPLY, "not the JSON"),
        ("filtered", FailureKind.REFUSED, "filter"),
        ("drop", FailureKind.UNREACHABLE, "broke off"),
        ("drop_mid", FailureKind.UNREACHABLE, "broke off"),
        (Fault("body_error", 429, message="busy"), FailureKind.RATE_LIMITED, "rate limit"),
        (Fault("body_error", 502, message="model is down"), FailureKind.UNREACHABLE, "model is down"),
        (Fault("stream_error", 401), FailureKind.REFUSED, "HERE_KEY"),
        (Fault("stream_error", 500, message="worker died"), FailureKind.UNREACHABLE, "worker died"),
        (status(401), FailureKind.REFUSED, "the key in HERE_KEY was not accepted"),
        (status(429, "7"), FailureKind.RATE_LIMITED, "rate limit"),
        (status(503, "7"), FailureKind.UNREACHABLE, "503"),
        (status(500, message="echo of {key} here"), FailureKind.UNREACHABLE, "[key]"),
    ],
)
async def test_fault(
    provider: ProviderEmulator, streaming: bool, fault: Fault | str, kind: FailureKind, words: str
) -> None:
    provider.model("m1", text="It began and went on for a while", fail=[fault])
    async with pool(provider) as models:
        error = await failure(models["m1"], ask(), streaming=streaming)
        assert error.kind is kind
        assert words in error.detail
        assert provider.key not in error.detail
        assert error.retryable is (kind is not FailureKind.REFUSED)
        if isinstance(fault, Fault) and fault.retry_after:
            assert error.retry_after == 7
        await models["m1"].complete(ask(), timeout=5)  # the next call is fine


@both_ways
async def test_what_a_call_used_whose_connection_broke_is_unknown(provider: ProviderEmulator, streaming: bool) -> None:
    provider.model("m1", always="drop_mid")
    async with pool(provider) as models:
        assert (await failure(models["m1"], ask(), streaming=streaming)).usage == Usage()


async def test_a_cut_stream_says_so(provider: ProviderEmulator) -> None:
    provider.model("m1", text="It began and went on", always="cut")
    async with pool(provider) as models:
        error = await failure(models["m1"], ask(), streaming=True)
    assert error.detail == "its answer was cut off before the end"


@both_ways
@pytest.mark.parametrize("fault", ["hang", "stall"])
async def test_timeout_bounds_the_whole_call_and_hangs_up(
    provider: ProviderEmulator, streaming: bool, fault: str
) -> None:
    provider.model("m1", always=fault)
    async with pool(provider) as models:
        error = await failure(models["m1"], ask(), streaming=streaming, timeout=0.3)
        assert error.kind is FailureKind.TIMEOUT
        assert error.detail == "no whole answer came within 0.3 s"
        await hung_up(provider)


async def hung_up(provider: ProviderEmulator) -> None:
    """The provider notices that its client left."""
    async with asyncio.timeout(5):
        await provider.idle()
    assert provider.requests[-1].hung_up


@both_ways
@pytest.mark.parametrize("fault", ["hang", "stall"])
async def test_cancelling_ends_the_call_upstream(provider: ProviderEmulator, streaming: bool, fault: str) -> None:
    provider.model("m1", always=fault)
    async with pool(provider) as models:
        call = collect(models["m1"], ask()) if streaming else models["m1"].complete(ask(), timeout=30)
        task = asyncio.ensure_future(call)
        await provider.arrived(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await hung_up(provider)


async def test_closing_the_stream_early_ends_the_call_upstream(provider: ProviderEmulator) -> None:
    provider.model("m1", text="one two three four", always="stall")
    async with pool(provider) as models:
        stream = models["m1"].stream(ask(), timeout=30)
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        await hung_up(provider)


@both_ways
async def test_nobody_answers(streaming: bool, unused_tcp_port: int) -> None:
    async with ModelPool(catalog(f"http://127.0.0.1:{unused_tcp_port}/v1"), {"HERE_KEY": "k"}) as models:
        error = await failure(models["m1"], ask(), streaming=streaming)
    assert error.kind is FailureKind.UNREACHABLE
    assert error.detail == f"nothing answers at 127.0.0.1:{unused_tcp_port}; check that the server is running"


async def test_unknown_model(provider: ProviderEmulator) -> None:
    async with pool(provider) as models:
        error = await failure(models["m1"], ask(), streaming=False)
    assert (error.kind, error.status) == (FailureKind.REFUSED, 404)


async def test_the_time_of_both_tries_without_response_format_counts_as_one(provider: ProviderEmulator) -> None:
    provider.model("m1", structured=False, latency=0.3)
    async with pool(provider) as models:
        error = await failure(models["m1"], ask(json_schema=SCHEMA), streaming=False, timeout=0.5)
    assert error.kind is FailureKind.TIMEOUT


async def test_closed_pool_takes_no_calls(provider: ProviderEmulator) -> None:
    provider.model("m1")
    async with pool(provider) as models:
        await models["m1"].complete(ask(), timeout=5)
    with pytest.raises(RuntimeError, match="closed"):
        await models["m1"].complete(ask(), timeout=5)
