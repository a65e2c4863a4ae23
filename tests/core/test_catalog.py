from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from core.setup import ConsortiumSpec, parse_seat
from core.catalog import BUILT_IN_DOMAINS, BUILT_IN_ROLES, Catalog, ModelSpec, Provider
from tests.core.fakes import catalog


def spec(**fields: Any) -> ConsortiumSpec:
    return ConsortiumSpec.model_validate({"members": ["a"], "arbiter": "a", **fields})


def test_the_built_in_roles_and_domains() -> None:
    roles = "Utilitarian, Deontologist, Virtue Ethicist, Libertarian, Rawlsian, Precautionary"
    assert ", ".join(BUILT_IN_ROLES) == roles
    assert ", ".join(BUILT_IN_DOMAINS) == "education, healthcare, policy, science, environment"


def test_the_files_own_roles_and_domains_win() -> None:
    cat = catalog().model_copy(update={"roles": {"Rawlsian": "Mine.", "Pirate": "Arr."}, "domains": {"law": "Law."}})
    assert cat.all_roles["Rawlsian"] == "Mine."
    assert list(cat.all_roles)[-1] == "Pirate"
    assert cat.all_domains["law"] == "Law."


def test_a_panel_has_a_seat_for_each_count_and_the_roles_of_its_models() -> None:
    cat = catalog(members=["a:2", "b", "a"])
    panel = cat.panel("default", {"a": "Rawlsian", "k": "waits"})
    assert [(m.id, m.model, m.role) for m in panel] == [
        ("a 1", "a", "Rawlsian"),
        ("a 2", "a", "Rawlsian"),
        ("a 3", "a", "Rawlsian"),
        ("b", "b", None),
    ]
    assert len({m.id for m in panel}) == cat.consortia["default"].size == 4


def test_judges_come_in_order_and_once() -> None:
    cat = catalog(arbiter="j", arbiter_fallbacks=["k", "j", "a", "k"])
    assert [m.id for m in cat.judges("default")] == ["j", "k", "a"]


def test_simulated_members_say_so() -> None:
    cat = Catalog.model_validate(
        {
            "models": {"optimist": {"provider": "simulated", "name": "optimist"}},
            "consortia": {"default": {"members": ["optimist"], "arbiter": "optimist"}},
        }
    )
    assert cat.panel("default")[0].label == "optimist (simulated)"
    assert cat.judges("default")[0].simulated


@pytest.mark.parametrize(
    ("entry", "seat"), [("qwen", ("qwen", 1)), ("qwen:3", ("qwen", 3)), ("a.b-c_1:12", ("a.b-c_1", 12))]
)
def test_seats(entry: str, seat: tuple[str, int]) -> None:
    assert parse_seat(entry) == seat


@pytest.mark.parametrize(
    "entry", ["", ":2", "qwen:", "qwen:0", "qwen:-1", "qwen:1.5", "q wen", "qwen:2:3", "x" * 41, "a\n"]
)
def test_no_seats(entry: str) -> None:
    with pytest.raises(ValueError, match="is not a member"):
        parse_seat(entry)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"members": []}, "at least 1 item"),
        ({"members": ["a:13"]}, "a panel has 1 to 12 members, this one has 13"),
        ({"members": ["a:7", "a:6"]}, "this one has 13"),
        ({"members": ["a b"]}, "is not a member"),
        ({"min_iterations": 4}, r"min_iterations \(4\) must not exceed max_iterations \(3\)"),
        ({"min_iterations": 0}, "greater than or equal to 1"),
        ({"confidence_threshold": 1.1}, "less than or equal to 1"),
        ({"confidence_threshold": "high"}, "valid number"),
        ({"deadline": 0}, "greater than 0"),
        ({"quorum": 0}, "greater than 0"),
        ({"patience": 0.5}, "greater than or equal to 1"),
        ({"arbitre": "a"}, "Extra inputs"),
    ],
)
def test_wrong_consortia(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        spec(**fields)


def test_names_must_exist() -> None:
    with pytest.raises(ValidationError) as refusal:
        catalog(members=["a", "ghost:2"], arbiter="nobody", arbiter_fallbacks=["a", "none"])
    text = str(refusal.value)
    for line in (
        "consortia.default.members: no model 'ghost' (there are: a, b, c, j, k)",
        "consortia.default.arbiter: no model 'nobody'",
        "consortia.default.arbiter_fallbacks: no model 'none'",
    ):
        assert line in text


def test_a_provider_must_exist_and_a_default_too() -> None:
    with pytest.raises(ValidationError) as refusal:
        Catalog.model_validate(
            {
                "models": {"a": {"provider": "nowhere", "name": "x"}},
                "consortia": {"other": {"members": ["a"], "arbiter": "a"}},
            }
        )
    assert "models.a.provider: no provider 'nowhere' (there are: simulated)" in str(refusal.value)
    assert "consortia.default: missing; one consortium must be called default" in str(refusal.value)


def test_providers_have_an_address_and_the_name_of_a_variable() -> None:
    assert Provider(base_url="http://127.0.0.1:11434/v1/").base_url == "http://127.0.0.1:11434/v1"
    for wrong in ({"base_url": "localhost:11434"}, {"base_url": "https://x/v1", "api_key_env": "sk-or-1234"}):
        with pytest.raises(ValidationError):
            Provider.model_validate(wrong)


@pytest.mark.parametrize(
    "wrong", [{"timeout": 0}, {"max_tokens": 0}, {"temperature": 3}, {"structured": "xml"}, {"name": ""}]
)
def test_wrong_models(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ModelSpec.model_validate({"provider": "simulated", "name": "optimist", **wrong})
