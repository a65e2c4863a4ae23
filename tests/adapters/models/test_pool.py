"""The pool finds keys, shares connections, and says clearly what is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import SecretStr

from adapters.models import ModelPool
from core.catalog import Catalog
from core.errors import ConfigError
from core.types import FailureKind
from tests.adapters.models.support import ask, catalog, failure, pool
from tests.emulators.provider import ProviderEmulator


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("keys", [{}, {"HERE_KEY": ""}, {"HERE_KEY": SecretStr("  ")}, {"OTHER": "k"}])
async def test_missing_key_is_a_refusal_that_names_the_variable(
    keys: dict[str, SecretStr | str], streaming: bool
) -> None:
    async with ModelPool(catalog(), keys) as models:
        error = await failure(models["m1"], ask(), streaming=streaming)
    assert (error.kind, error.retryable) == (FailureKind.REFUSED, False)
    assert error.detail == "there is no key for this model; set HERE_KEY"


@pytest.mark.parametrize("secret", ["sk-1\nX-Other: 1", "sk-ключ", "two words"])
async def test_a_key_that_cannot_be_one(secret: str) -> None:
    async with ModelPool(catalog(), {"HERE_KEY": secret}) as models:
        error = await failure(models["m1"], ask(), streaming=False)
    assert error.kind is FailureKind.REFUSED
    assert error.detail == "the key in HERE_KEY holds characters that no key has; copy it again"


async def test_secret_keys_are_sent_and_trimmed() -> None:
    async with ProviderEmulator() as provider:
        provider.model("m1")
        keys = {"HERE_KEY": SecretStr(f"{provider.key}\n")}
        async with ModelPool(catalog(provider.base_url), keys) as models:
            await models["m1"].complete(ask(), timeout=5)
        assert not provider.violations


async def test_provider_without_a_key() -> None:
    config = catalog().model_dump()
    async with ProviderEmulator() as provider:
        config["providers"]["here"] = {"base_url": provider.base_url}
        async with ModelPool(Catalog.model_validate(config), {}) as models:
            error = await failure(models["m1"], ask(), streaming=False)
        assert error.status == 401
        assert "api_key_env" in error.detail
        assert "Authorization" not in provider.requests[0].headers


async def test_a_model_is_made_once() -> None:
    async with ProviderEmulator() as provider, pool(provider, m1={}, m2={}) as models:
        assert models["m1"] is models["m1"]
        assert models["m1"] is not models["m2"]
        assert (models["m1"].key, models["m1"].simulated) == ("m1", False)
        with pytest.raises(KeyError):
            models["m3"]


def test_unknown_character_ends_the_start() -> None:
    config = catalog(sim={"provider": "simulated", "name": "clown"})
    with pytest.raises(ConfigError, match=r"models\.sim\.name: no simulated character 'clown' \(there are: pragmatist"):
        ModelPool(config, {})


@pytest.mark.parametrize("base_url", ["http://[", "http://me:secret@127.0.0.1/v1", "https:///v1"])
def test_base_url_that_is_no_address(base_url: str) -> None:
    models = ModelPool(catalog(base_url), {"HERE_KEY": "k"})
    with pytest.raises(ConfigError, match=r"^providers\.here\.base_url: ") as caught:
        models["m1"]
    assert "secret" not in str(caught.value)


def test_a_simulated_panel_needs_no_http_client() -> None:
    program = (
        "import sys; from adapters.models import ModelPool; from core.catalog import Catalog\n"
        "config = {'models': {'a': {'provider': 'simulated', 'name': 'skeptic'}},"
        " 'consortia': {'default': {'members': ['a'], 'arbiter': 'a'}}}\n"
        "assert ModelPool(Catalog.model_validate(config), {})['a'].simulated\n"
        "assert 'aiohttp' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
