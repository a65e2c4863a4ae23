"""The drawing processes, for commands that need no queue."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from adapters.embeddings import open_embedder
from bot.settings import provider_keys
from core.catalog import Catalog
from core.study.studio import Studio


@asynccontextmanager
async def open_studio(catalog: Catalog, workers: int = 1) -> AsyncIterator[Studio]:
    """A studio with the embeddings that the models file names. Raises ConfigError."""
    async with (
        open_embedder(catalog, provider_keys(catalog)) as remote,
        Studio(workers, embeddings=catalog.embeddings, remote=remote) as studio,
    ):
        yield studio
