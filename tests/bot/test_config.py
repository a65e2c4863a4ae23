from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from adapters.history.seeds import Seeds
from adapters.models import ModelPool
from bot.config import load_catalog, read_catalog
from bot.settings import Settings
from core.catalog import Catalog, EmbeddingSpec, GovernanceSpec, LimitSpec, ModelSpec, Provider
from core.errors import ConfigError
from core.setup import ConsortiumSpec

EXAMPLE = Path(__file__).parents[2] / "consortium.example.toml"

GOOD = """
[providers.here]
base_url = "http://127.0.0.1:9/v1"
[models.llama]
provider = "here"
name = "llama-8b"
[consortia.default]
members = ["llama:2"]
arbiter = "llama"
"""


def settings(**fields: Any) -> Settings:
    return Settings(**fields)


@pytest.fixture(autouse=True)
def empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("CONSORTIUM_CONFIG", "OPENROUTER_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def refused(text: str) -> list[str]:
    with pytest.raises(ConfigError) as refusal:
        read_catalog(text, "consortium.toml")
    return str(refusal.value).splitlines()


# --- which file -----------------------------------------------------------------------------------------


def test_without_a_file_and_a_key_the_members_are_simulated() -> None:
    catalog = load_catalog(settings())
    assert {model.provider for model in catalog.models.values()} == {"simulated"}
    assert {"default", "quick"} <= set(catalog.consortia)
    assert len(catalog.panel(catalog.consortia["default"])) >= 4
    ModelPool(catalog, {})


def test_with_a_key_they_are_real() -> None:
    catalog = load_catalog(settings(openrouter_api_key="sk-or-1"))
    assert catalog.providers["openrouter"].api_key_env == "OPENROUTER_API_KEY"
    assert not any(member.simulated for member in catalog.panel(catalog.consortia["default"]))


def test_a_file_in_the_folder_is_taken_and_a_named_one_goes_first(tmp_path: Path) -> None:
    (tmp_path / "consortium.toml").write_text(GOOD)
    assert list(load_catalog(settings()).models) == ["llama"]
    other = tmp_path / "other.toml"
    other.write_text(GOOD.replace("llama", "qwen"))
    assert list(load_catalog(settings(consortium_config=other)).models) == ["qwen"]


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_told_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "other.toml"
    if content:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as refusal:
        load_catalog(settings(consortium_config=path))
    assert re.fullmatch(r"CONSORTIUM_CONFIG: .*other\.toml cannot be read \(.+\); write .+", str(refusal.value))


# --- what is wrong in it --------------------------------------------------------------------------------


def test_a_good_file_is_read() -> None:
    assert read_catalog(GOOD, "x").consortia["default"].size == 2


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        (("[models.llama]", "[models.llama"), [r"not valid TOML: .*line 4.*"]),
        (
            ('name = "llama-8b"', 'nam = "x"'),
            ["models.llama.name: missing", "models.llama.nam: unknown key; did you mean name?"],
        ),
        (("[models.llama]", "[modells.llama]"), ["models: missing", "modells: unknown key; did you mean models?"]),
        (
            ('arbiter = "llama"', 'arbiter = "gemma"'),
            [r"consortia.default.arbiter: no model 'gemma' \(there are: llama\)"],
        ),
        (('"llama:2"', '"qwen"'), ["consortia.default.members: no model 'qwen' .*"]),
        (('"llama:2"', '"llama:two"'), ["consortia.default.members: 'llama:two' is not a member; write .*"]),
        (('"llama:2"', "7"), ["consortia.default.members.0: input should be a valid string"]),
        (('["llama:2"]', '"llama"'), ["consortia.default.members: must be a list"]),
        (
            ('provider = "here"', 'provider = "there"'),
            ["models.llama.provider: no provider 'there' .*simulated, here.*"],
        ),
        (
            ('name = "llama-8b"', 'name = "x"\ntimeout = "long"'),
            ["models.llama.timeout: input should be a valid number.*"],
        ),
        (
            ('name = "llama-8b"', 'name = "x"\ntemperature = 9'),
            ["models.llama.temperature: input should be less than.*"],
        ),
        (
            ("http://127.0.0.1:9/v1", "localhost:9"),
            ["providers.here.base_url: is no address; write e.g. https://host/v1"],
        ),
        (
            ("[models.llama]", 'api_key_env = "sk-or-1"\n[models.llama]'),
            ["providers.here.api_key_env: is no name of a variable; write .*, never the key itself"],
        ),
        (("[models.llama]", "[models]\nqwen = 3\n[models.llama]"), ["models.qwen: must be a table"]),
        (
            ("[consortia.default]", "[consortia.main]"),
            ["consortia.default: missing; one consortium must be called default"],
        ),
        (("[models.llama]", '[models."a b"]'), ["models.a b: a name has letters, digits.*"]),
        (
            ("[consortia.default]", "[consortia.default]\ndeadlin = 3"),
            ["consortia.default.deadlin: .*did you mean deadline?"],
        ),
        (
            ("[consortia.default]", "[consortia.default]\nzzz = 3"),
            ["consortia.default.zzz: unknown key; there are description, members, .*"],
        ),
        (
            ("[consortia.default]", "[consortia.default]\nmin_iterations = 5"),
            [r"consortia.default: min_iterations \(5\) must not exceed max_iterations \(3\)"],
        ),
        (
            ("[providers.here]", "[limits]\nusr = '1/day'\n[providers.here]"),
            ["limits.usr: unknown key; did you mean user?"],
        ),
        (
            ("[providers.here]", "[roles]\nPirate = 7\n[providers.here]"),
            ["roles.Pirate: input should be a valid string"],
        ),
        (
            ("[providers.here]", "[governance]\nbudget = []\n[providers.here]"),
            ["governance.budget: unknown key; did you mean budgets?"],
        ),
        (
            ("[providers.here]", "[governance]\nretention_days = 0\n[providers.here]"),
            ["governance.retention_days: input should be greater than or equal to 1"],
        ),
        (
            ("[providers.here]", '[examples]\nlaw = "Why?"\n[providers.here]'),
            ["examples.law: must be a list"],
        ),
    ],
    ids=lambda value: value[1][:40] if isinstance(value, tuple) else "",
)
def test_what_is_wrong_is_told_with_its_key_path(change: tuple[str, str], lines: list[str]) -> None:
    assert change[0] in GOOD
    told = refused(GOOD.replace(*change))
    patterns = [line.replace("?", r"\?") if line.endswith("?") else line for line in lines]
    for pattern in patterns:
        assert any(re.fullmatch(f"consortium.toml: {pattern}", line) for line in told), told


def test_every_problem_has_its_own_line() -> None:
    told = refused(GOOD.replace('arbiter = "llama"', 'arbiter = "gemma"\narbiter_fallbacks = ["none"]'))
    assert len(told) == 2


# --- the example ----------------------------------------------------------------------------------------


def uncommented() -> str:
    """The example with what is commented out put in force."""
    return re.sub(r"^# (?=\[|[\"\w][\w\"' -]* = [\"\[\d])", "", EXAMPLE.read_text("utf-8"), flags=re.MULTILINE)


def test_the_example_can_be_used_as_it_is() -> None:
    catalog = read_catalog(EXAMPLE.read_text("utf-8"), EXAMPLE.name)
    assert [m.id for m in catalog.panel(catalog.consortia["default"])] == ["llama", "qwen 1", "qwen 2", "mistral"]
    assert catalog.limits == LimitSpec()


def test_what_is_commented_out_can_be_used_too() -> None:
    catalog = read_catalog(uncommented(), EXAMPLE.name)
    assert {"ollama", "llamacpp", "lmstudio"} <= set(catalog.providers)
    assert {"ollama", "llamacpp", "lmstudio", "simulated"} <= {model.provider for model in catalog.models.values()}
    assert "local" in catalog.consortia
    ModelPool(catalog, {})


def test_the_example_shows_every_key() -> None:
    shown = tomllib.loads(uncommented())
    assert set(shown) == set(Catalog.model_fields)
    for section, fields in (
        ("providers", Provider.model_fields),
        ("models", ModelSpec.model_fields),
        ("consortia", ConsortiumSpec.model_fields),
    ):
        assert {key for entry in shown[section].values() for key in entry} == set(fields)
    assert set(shown["limits"]) == set(LimitSpec.model_fields)
    assert set(shown["embeddings"]) == set(EmbeddingSpec.model_fields)
    assert set(shown["governance"]) == set(GovernanceSpec.model_fields)


def test_what_the_example_says_of_rules_and_budgets_can_be_taken_over() -> None:
    named = re.findall(r"^(\w+) = \[\].*e\.g\. (\[[^\]]*\])", EXAMPLE.read_text("utf-8"), re.MULTILINE)
    entries = {name: tomllib.loads(f"x = {value}")["x"] for name, value in named}
    assert entries.keys() == {"admin", "block", "budgets"}
    spec = read_catalog(uncommented(), EXAMPLE.name).governance.model_copy(update=entries)
    assert len(Seeds.of(spec).all) == 7


def test_the_defaults_that_the_example_names_are_the_real_ones() -> None:
    named = re.findall(r"^(\w+) = .*default: (\"[^\"]*\"|[\d.]+)$", EXAMPLE.read_text("utf-8"), re.MULTILINE)
    assert len(named) > 10
    fields = {**ModelSpec.model_fields, **ConsortiumSpec.model_fields, **LimitSpec.model_fields}
    for name, value in named:
        assert tomllib.loads(f"x = {value}")["x"] == fields[name].default, name
