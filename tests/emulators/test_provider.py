"""The provider emulator itself: strict where a provider is, and controllable from another process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from core.judging import instructions
from core.setup import Judging
from tests.emulators.provider import Fault, ProviderEmulator, status

GOOD: dict[str, Any] = {"model": "m1", "messages": [{"role": "user", "content": "Is it so? mark-z9"}]}


TEXT = {"type": "text", "text": "What is it?"}
GIF = {"type": "image_url", "image_url": {"url": "data:image/gif;base64,R0lGODlh"}}


def shown(*parts: dict[str, Any], role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": list(parts)}, {"role": "user", "content": "So?"}]}


@pytest_asyncio.fixture
async def provider() -> AsyncIterator[ProviderEmulator]:
    async with ProviderEmulator() as emulator:
        emulator.model("m1")
        yield emulator


@pytest_asyncio.fixture
async def client(provider: ProviderEmulator) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {provider.key}"}
    async with httpx.AsyncClient(base_url=provider.base_url, headers=headers, trust_env=False) as http:
        yield http


@pytest.mark.parametrize(
    ("change", "code", "kind"),
    [
        ({"top_k": 4}, 400, "unknown_field"),
        ({"model": None}, 400, "bad_model"),
        ({"messages": []}, 400, "bad_messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, 400, "bad_messages"),
        ({"messages": [{"role": "user", "content": " "}]}, 400, "bad_messages"),
        ({"messages": [{"role": "user", "content": "x", "name": "y"}]}, 400, "bad_messages"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 400, "bad_messages"),
        (shown(TEXT), 400, "bad_messages"),
        (shown(GIF), 400, "bad_messages"),
        (shown(TEXT, GIF, role="system"), 400, "bad_messages"),
        (shown(TEXT, {**GIF, "detail": "low"}), 400, "bad_messages"),
        (shown(TEXT, {"type": "image_url", "image_url": {"url": "https://x.example/a.gif"}}), 400, "bad_messages"),
        (
            shown(TEXT, {"type": "image_url", "image_url": {"url": "data:image/png;base64,R0lGODlh"}}),
            400,
            "bad_messages",
        ),
        (shown(TEXT, {"type": "image_url", "image_url": {"url": "data:image/gif;base64,R0l"}}), 400, "bad_messages"),
        ({"temperature": 2.1}, 400, "bad_temperature"),
        ({"temperature": True}, 400, "bad_temperature"),
        ({"max_tokens": 0}, 400, "bad_max_tokens"),
        ({"seed": 1.5}, 400, "bad_seed"),
        ({"stream": "yes"}, 400, "bad_stream"),
        ({"stream_options": {"include_usage": True}}, 400, "bad_stream_options"),
        ({"response_format": {"type": "json_schema"}, "max_tokens": 5}, 400, "bad_response_format"),
        ({"response_format": {"type": "json_object"}}, 400, "unbounded_json"),
    ],
)
async def test_bad_fields(
    provider: ProviderEmulator, client: httpx.AsyncClient, change: dict[str, Any], code: int, kind: str
) -> None:
    reply = await client.post("/chat/completions", json={**GOOD, **change})
    assert reply.status_code == code
    assert reply.json()["error"]["code"] == code
    assert [violation.kind for violation in provider.violations] == [kind]


async def test_pictures_are_for_models_that_see(provider: ProviderEmulator, client: httpx.AsyncClient) -> None:
    provider.model("m2", vision=True)
    replies = [await client.post("/chat/completions", json={"model": m, **shown(TEXT, GIF)}) for m in ("m1", "m2")]
    assert [reply.status_code for reply in replies] == [404, 200]
    entries = (await client.get("/models")).json()["data"]
    assert [entry["architecture"]["input_modalities"] for entry in entries] == [["text"], ["text", "image"]]
    assert not provider.violations


@pytest.mark.parametrize("missing", ["model", "messages"])
async def test_missing_fields(provider: ProviderEmulator, client: httpx.AsyncClient, missing: str) -> None:
    body = {name: value for name, value in GOOD.items() if name != missing}
    assert (await client.post("/chat/completions", json=body)).status_code == 400
    assert [violation.kind for violation in provider.violations] == ["missing_field"]


@pytest.mark.parametrize(
    ("headers", "code", "kind"),
    [
        ({"Authorization": "Bearer other"}, 401, "bad_key"),
        ({"Content-Type": "text/plain"}, 415, "bad_content_type"),
        ({"X-OpenRouter-Title": "Me"}, 400, "stray_header"),
    ],
)
async def test_bad_headers(
    provider: ProviderEmulator, client: httpx.AsyncClient, headers: dict[str, str], code: int, kind: str
) -> None:
    reply = await client.post("/chat/completions", json=GOOD, headers=headers)
    assert reply.status_code == code
    assert [violation.kind for violation in provider.violations] == [kind]


async def test_not_json_and_no_such_path(provider: ProviderEmulator, client: httpx.AsyncClient) -> None:
    reply = await client.post("/chat/completions", content=b"{", headers={"Content-Type": "application/json"})
    assert reply.status_code == 400
    assert (await client.get("/chat/completions")).status_code == 404
    assert [violation.kind for violation in provider.violations] == ["bad_json", "bad_route"]


async def test_good_request(provider: ProviderEmulator, client: httpx.AsyncClient) -> None:
    reply = (await client.post("/chat/completions", json=GOOD)).json()
    assert "mark-z9" in reply["choices"][0]["message"]["content"]
    assert reply["choices"][0]["finish_reason"] == "stop"
    assert reply["usage"]["prompt_tokens"] == 4
    [request] = provider.requests
    assert (request.model, request.body, request.status, request.hung_up) == ("m1", GOOD, 200, False)
    assert request.ended is not None
    assert request.ended >= request.started
    assert not provider.violations


async def test_unknown_model_is_refused_without_a_violation(
    provider: ProviderEmulator, client: httpx.AsyncClient
) -> None:
    assert (await client.post("/chat/completions", json={**GOOD, "model": "m2"})).status_code == 404
    assert not provider.violations


async def test_faults_come_in_order_and_then_all_is_well(provider: ProviderEmulator, client: httpx.AsyncClient) -> None:
    provider.model("m1", fail=[status(429, "3"), Fault("body_error", 502), {"kind": "status", "status": 503}, "empty"])
    replies = [await client.post("/chat/completions", json=GOOD) for _ in range(5)]
    assert [reply.status_code for reply in replies] == [429, 200, 503, 200, 200]
    assert replies[0].headers["Retry-After"] == "3"
    assert replies[1].json()["error"]["code"] == 502
    assert replies[3].json()["choices"][0]["message"]["content"] == ""
    assert "choices" in replies[4].json()


VECTORS: dict[str, Any] = {"model": "e1", "input": ["one two", "two"], "encoding_format": "float"}


async def test_vectors_come_with_their_index_and_in_no_order(
    provider: ProviderEmulator, client: httpx.AsyncClient
) -> None:
    provider.model("e1", dimensions=8)
    reply = (await client.post("/embeddings", json=VECTORS)).json()
    assert [entry["index"] for entry in reply["data"]] == [1, 0]
    assert [sum(entry["embedding"]) for entry in reply["data"]] == [1, 2]
    assert {len(entry["embedding"]) for entry in reply["data"]} == {8}
    assert reply["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert (await client.post("/embeddings", json={**VECTORS, "model": "m1"})).status_code == 501
    assert (await client.post("/embeddings", json={**VECTORS, "model": "other"})).status_code == 404
    assert not provider.violations


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"input": "one text"}, "bad_input"),
        ({"input": []}, "bad_input"),
        ({"input": ["one", " "]}, "bad_input"),
        ({"input": [[1, 2]]}, "bad_input"),
        ({"input": ["x"] * 2049}, "bad_input"),
        ({"encoding_format": "base64"}, "bad_encoding_format"),
        ({"model": ""}, "bad_model"),
        ({"messages": []}, "unknown_field"),
    ],
)
async def test_bad_requests_for_vectors(
    provider: ProviderEmulator, client: httpx.AsyncClient, change: dict[str, Any], kind: str
) -> None:
    provider.model("e1", dimensions=8)
    assert (await client.post("/embeddings", json={**VECTORS, **change})).status_code == 400
    assert [violation.kind for violation in provider.violations] == [kind]


@pytest.mark.parametrize("missing", list(VECTORS))
async def test_requests_for_vectors_are_whole(
    provider: ProviderEmulator, client: httpx.AsyncClient, missing: str
) -> None:
    body = {name: value for name, value in VECTORS.items() if name != missing}
    assert (await client.post("/embeddings", json=body)).status_code == 400
    assert [violation.kind for violation in provider.violations] == ["missing_field"]


async def test_stream(provider: ProviderEmulator, client: httpx.AsyncClient) -> None:
    provider.model("m1", text="a b c", pieces=5, cost=0.25)
    body = {**GOOD, "stream": True, "stream_options": {"include_usage": True}}
    lines = (await client.post("/chat/completions", json=body)).text.split("\n\n")
    assert lines[0].startswith(":")
    assert lines[-2:] == ["data: [DONE]", ""]
    events = [json.loads(line.removeprefix("data: ")) for line in lines[1:-2]]
    deltas = [event["choices"][0]["delta"].get("content") for event in events if event["choices"]]
    assert deltas == [None, "a", " ", "b", " ", "c", None]
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["cost"] == 0.25


async def test_arbiter(provider: ProviderEmulator, client: httpx.AsyncClient) -> None:
    provider.model("m1", confidence=(60, 90))
    case = "mark-q1\n<<CANDIDATE A 9f>>\nx mark-c1\n<<END A 9f>>\n<<CANDIDATE B 9f>>\ny\n<<END B 9f>>"
    system = {"role": "system", "content": instructions("synthesis")}
    body = {**GOOD, "messages": [system, {"role": "user", "content": case}]}
    replies = [(await client.post("/chat/completions", json=body)).json() for _ in range(3)]
    verdicts = [json.loads(reply["choices"][0]["message"]["content"]) for reply in replies]
    assert [verdict["confidence"] for verdict in verdicts] == [60, 90, 90]
    assert [member["letter"] for member in verdicts[0]["members"]] == ["A", "B"]
    assert "mark-c1 mark-q1" in verdicts[0]["synthesis"]
    asked_for: tuple[tuple[Judging, str], ...] = (("rank", "ranking"), ("pick-one", "pick"))
    for method, first in asked_for:
        body["messages"] = [{"role": "system", "content": instructions(method)}, {"role": "user", "content": case}]
        text = (await client.post("/chat/completions", json=body)).json()["choices"][0]["message"]["content"]
        assert next(iter(json.loads(text))) == first
    body["messages"] = [{"role": "user", "content": case}]
    text = (await client.post("/chat/completions", json=body)).json()["choices"][0]["message"]["content"]
    assert text.endswith("Ranking: A > B")
    provider.model("m1", reply="rubbish")
    text = (await client.post("/chat/completions", json=body)).json()["choices"][0]["message"]["content"]
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(text)


async def test_models(provider: ProviderEmulator, client: httpx.AsyncClient) -> None:
    provider.model("m2", structured=False)
    entries = {entry["id"]: entry for entry in (await client.get("/models")).json()["data"]}
    assert set(entries) == {"m1", "m2"}
    assert "response_format" in entries["m1"]["supported_parameters"]
    assert "response_format" not in entries["m2"]["supported_parameters"]
    assert (await client.get("/models", headers={"Authorization": "Bearer x"})).status_code == 401


def test_unknown_settings_are_errors() -> None:
    with pytest.raises(TypeError, match="latncy"):
        ProviderEmulator().model("m1", latncy=1)


def test_as_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "tests.emulators.provider", "--latency", "0.01", "--key", "k"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            base_url = process.stdout.readline().strip()
            control = base_url.replace("/v1", "/_ctl")
            with httpx.Client(trust_env=False, headers={"Authorization": "Bearer k"}) as client:
                assert client.post(f"{base_url}/chat/completions", json=GOOD).status_code == 200
                failing = {"models": {"m1": {"always": {"kind": "status", "status": 503}}}}
                client.post(control, json=failing).raise_for_status()
                assert client.post(f"{base_url}/chat/completions", json=GOOD).status_code == 503
                client.post(control, json={"default": {"text": "fixed"}}).raise_for_status()
                reply = client.post(f"{base_url}/chat/completions", json={**GOOD, "model": "any"}).json()
                assert reply["choices"][0]["message"]["content"] == "fixed"
                counts = client.get(control).json()
                assert counts["requests"] == {"m1": 2, "any": 1}
                assert counts["violations"] == []
                assert client.post(control, json={"reset": True}).json()["requests"] == {}
        finally:
            process.terminate()
