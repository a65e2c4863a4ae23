"""What the library is wired with: the models file and the keys of the environment, as the command line takes them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from adapters.embeddings import open_embedder
from adapters.models import ModelPool
from bot.config import load_catalog
from bot.settings import load_settings, provider_keys
from core.library import Wiring
from core.ports import Embedder, Models


def open_models(path: Path | None) -> Wiring:
    """The entry point "configured" of :data:`core.library.GROUP`. Raises ConfigError."""
    settings = load_settings()
    if path is not None:
        settings = settings.model_copy(update={"consortium_config": path})
    catalog = load_catalog(settings)

    @asynccontextmanager
    async def connect() -> AsyncIterator[tuple[Models, Embedder | None]]:
        keys = provider_keys(catalog)
        async with AsyncExitStack() as stack:
            models = await stack.enter_async_context(ModelPool(catalog, keys))
            yield models, await stack.enter_async_context(open_embedder(catalog, keys))

    return Wiring(catalog, connect)
