"""Vectors of texts from any server that speaks the OpenAI protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from pydantic import SecretStr

from core.catalog import Catalog
from core.ports import Embedder


@asynccontextmanager
async def open_embedder(catalog: Catalog, keys: Mapping[str, SecretStr]) -> AsyncIterator[Embedder | None]:
    """The catalogue's endpoint for embeddings, None where vectors are made on this machine.

    ``keys`` maps names of environment variables to their values.
    """
    spec = catalog.embeddings
    if spec.backend != "endpoint" or spec.provider is None:
        yield None
        return
    from adapters.embeddings.endpoint import Endpoint  # only here: most have no need of an HTTP client

    provider = catalog.providers[spec.provider]
    secret = keys.get(provider.api_key_env or "")
    async with Endpoint(spec, provider, secret=secret.get_secret_value().strip() if secret else "") as endpoint:
        yield endpoint
