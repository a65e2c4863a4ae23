"""Language models: any OpenAI-compatible server, and simulated ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

from pydantic import SecretStr

from adapters.models.simulated import SimulatedModel
from core.catalog import Catalog
from core.ports import ChatModel

if TYPE_CHECKING:
    from adapters.models.openai import Connections


class ModelPool:
    """All models of a catalogue, by key, on one pool of connections. Use it as an async context manager.

    ``keys`` maps names of environment variables to their values. A key that is missing comes out at the call,
    as a refusal that names the variable. ``pace`` stretches the delays of simulated models (0: none).
    ``connections`` bounds how many are open at once, 0 for no bound; each takes a file handle of the process.
    Raises :class:`core.errors.ConfigError` for a simulated model whose name is no character.
    """

    def __init__(
        self, catalog: Catalog, keys: Mapping[str, SecretStr | str], *, pace: float = 1.0, connections: int = 0
    ) -> None:
        self._catalog, self._keys, self._limit = catalog, keys, connections
        self._connections: Connections | None = None
        self._models: dict[str, ChatModel] = {
            key: SimulatedModel(key, spec, pace=pace)
            for key, spec in catalog.models.items()
            if spec.provider == "simulated"
        }

    def __getitem__(self, key: str) -> ChatModel:
        """The model of that key. Raises KeyError; ConfigError when its provider's address is none."""
        if key not in self._models:
            self._models[key] = self._connect(key)
        return self._models[key]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections; calls under way fail."""
        if self._connections is not None:
            await self._connections.aclose()

    def _connect(self, key: str) -> ChatModel:
        from adapters.models.openai import Connections, OpenAIModel  # only here: simulated panels need no HTTP client

        spec = self._catalog.models[key]
        provider = self._catalog.providers[spec.provider]
        if self._connections is None:
            self._connections = Connections(self._limit)
        value = self._keys.get(provider.api_key_env or "", "")
        secret = value.get_secret_value() if isinstance(value, SecretStr) else value
        return OpenAIModel(key, spec, provider, self._connections, secret=secret.strip())
