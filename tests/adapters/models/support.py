"""What the tests of models share: catalogues, prompts, and ways to collect a stream."""

from __future__ import annotations

from typing import Any

from adapters.models import ModelPool
from core.catalog import Catalog
from core.errors import ModelError
from core.ports import ChatModel, Completion, Message, Prompt
from tests.emulators.provider import ProviderEmulator

SCHEMA = {"type": "object", "properties": {"synthesis": {"type": "string"}}}


def catalog(base_url: str = "http://127.0.0.1:9/v1", **models: dict[str, Any]) -> Catalog:
    """A catalogue of one provider ("here", key in HERE_KEY) with the given models, m1 alone by default."""
    entries = {key: {"provider": "here", "name": key, **settings} for key, settings in (models or {"m1": {}}).items()}
    return Catalog.model_validate(
        {
            "providers": {"here": {"base_url": base_url, "api_key_env": "HERE_KEY"}},
            "models": entries,
            "consortia": {"default": {"members": list(entries), "arbiter": next(iter(entries))}},
        }
    )


def pool(provider: ProviderEmulator, **models: dict[str, Any]) -> ModelPool:
    """A pool of models at the emulator."""
    return ModelPool(catalog(provider.base_url, **models), {"HERE_KEY": provider.key})


def ask(text: str = "Is it so? mark-a1", **fields: Any) -> Prompt:
    """A prompt with one user message."""
    return Prompt(messages=(Message(role="user", content=text),), **fields)


async def collect(model: ChatModel, prompt: Prompt, timeout: float = 10) -> tuple[list[str], Completion]:
    """The pieces of a stream and the completion that ends it."""
    items = [item async for item in model.stream(prompt, timeout=timeout)]
    completion = items.pop()
    assert isinstance(completion, Completion)
    pieces = [item for item in items if isinstance(item, str)]
    assert len(pieces) == len(items)
    return pieces, completion


async def answer(model: ChatModel, prompt: Prompt, *, streaming: bool, timeout: float = 10) -> Completion:
    """The whole reply, by either way of asking."""
    if streaming:
        return (await collect(model, prompt, timeout))[1]
    return await model.complete(prompt, timeout=timeout)


async def failure(model: ChatModel, prompt: Prompt, *, streaming: bool, timeout: float = 10) -> ModelError:
    """The error that a call ends with."""
    try:
        await answer(model, prompt, streaming=streaming, timeout=timeout)
    except ModelError as error:
        return error
    raise AssertionError("the call succeeded")
