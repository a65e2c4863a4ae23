"""Reads ``consortium.toml``. What is wrong in it is told with its key path and, where one is near, the right name."""

from __future__ import annotations

import difflib
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from bot.settings import Settings
from core.catalog import Catalog, EmbeddingSpec, GovernanceSpec, LimitSpec, ModelSpec, Provider
from core.convening import problems
from core.errors import ConfigError
from core.setup import ConsortiumSpec

DEFAULT_FILE = Path("consortium.toml")

_SECTIONS: dict[str, type[BaseModel]] = {
    "providers": Provider,
    "models": ModelSpec,
    "consortia": ConsortiumSpec,
    "limits": LimitSpec,
    "embeddings": EmbeddingSpec,
    "governance": GovernanceSpec,
}

_PATTERNS = {
    "[key]": "a name has letters, digits, dots, dashes and underscores only, at most 40",
    "base_url": "is no address; write e.g. https://host/v1",
    "api_key_env": "is no name of a variable; write e.g. OPENROUTER_API_KEY, never the key itself",
}
"""What the patterns of the catalogue ask for, in words."""

_SHAPES = {"model_type": "must be a table", "dict_type": "must be a table", "tuple_type": "must be a list"}


def load_catalog(settings: Settings) -> Catalog:
    """The catalogue in force: CONSORTIUM_CONFIG, else ``consortium.toml`` here, else the built-in defaults.

    The defaults are real models when OPENROUTER_API_KEY is set, else simulated ones. Raises ConfigError.
    """
    path = settings.consortium_config or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
    if path is None:
        name = "openrouter.toml" if settings.openrouter_api_key else "simulated.toml"
        return read_catalog((resources.files("bot") / "defaults" / name).read_text("utf-8"), name)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(
            f"CONSORTIUM_CONFIG: {path} cannot be read ({reason}); write the path of a readable TOML file"
        ) from None
    return read_catalog(text, path.name)


def read_catalog(text: str, name: str) -> Catalog:
    """A catalogue from TOML; ``name`` is what the file is called in errors. Raises ConfigError."""
    try:
        catalog = Catalog.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: not valid TOML: {error}") from None
    except ValidationError as error:
        lines = [line for e in error.errors() for line in _complaints(dict(e))]
        raise ConfigError("\n".join(f"{name}: {line}" for line in lines)) from None
    if lines := [f"consortia.{key}.{p}" for key, setup in catalog.consortia.items() for p in problems(catalog, setup)]:
        raise ConfigError("\n".join(f"{name}: {line}" for line in lines))
    return catalog


def _complaints(error: dict[str, Any]) -> list[str]:
    path = ".".join(str(part) for part in error["loc"] if part != "[key]")
    if error["type"] == "extra_forbidden":
        return [f"{path}: unknown key{_nearest(error['loc'])}"]
    if error["type"] == "missing":
        return [f"{path}: missing"]
    message = str(error["msg"]).removeprefix("Value error, ")
    if not path:  # the whole-file check names its own paths, one a line
        return message.splitlines()
    if error["type"] == "string_pattern_mismatch":
        message = _PATTERNS["[key]" if "[key]" in error["loc"] else str(error["loc"][-1])]
    message = _SHAPES.get(error["type"], message)
    return [f"{path}: {message[0].lower() + message[1:]}"]


def _nearest(loc: tuple[int | str, ...]) -> str:
    """The key that was probably meant."""
    known = list(Catalog.model_fields) if len(loc) == 1 else list(_SECTIONS[str(loc[0])].model_fields)
    near = difflib.get_close_matches(str(loc[-1]), known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
