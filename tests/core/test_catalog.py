from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from core.catalog import BUILT_IN_DOMAINS, BUILT_IN_ROLES, Catalog, ModelSpec, Provider
from core.convening import changed
from core.errors import BadInput
from core.setup import ConsortiumSpec, parse_seat
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
    panel = cat.panel(cat.consortia["default"], {"a": "Rawlsian", "k": "waits"})
    assert [(m.id, m.model, m.role) for m in panel] == [
        ("a 1", "a", "Rawlsian"),
        ("a 2", "a", "Rawlsian"),
        ("a 3", "a", "Rawlsian"),
        ("b", "b", None),
    ]
    assert len({m.id for m in panel}) == cat.consortia["default"].size == 4


@pytest.mark.parametrize(("own", "further"), [(None, 0.7), (0.0, 0.7), (0.3, 0.7), (0.7, 0.8), (1.0, 1.1), (1.95, 2.0)])
def test_seats_of_one_model_differ_by_seed_and_temperature(own: float | None, further: float) -> None:
    cat = catalog(members=["a:3", "b"])
    models = {**cat.models, "a": cat.models["a"].model_copy(update={"temperature": own})}
    panel = cat.model_copy(update={"models": models}).panel(cat.consortia["default"])
    assert [(m.seed, m.temperature) for m in panel] == [(1, None), (2, further), (3, further), (None, None)]


def test_the_set_ups_roles_hold_where_a_person_gave_none() -> None:
    cat = catalog(roles={"a": "Rawlsian", "b": "a nurse"})
    assert [m.role for m in cat.panel(cat.consortia["default"], {"b": "x"})] == ["Rawlsian", "x", None]


@pytest.mark.parametrize(
    ("members", "arbiter"),
    [(["a", "b"], "j"), (["j"], "a"), (["a:2", "b", "c", "j"], "k"), (["a", "b", "c", "j", "k"], "a"), ([], "j")],
)
def test_an_arbiter_is_found_off_the_panel_where_there_is_one(members: list[str], arbiter: str) -> None:
    assert catalog().arbiter_for(members) == arbiter


def test_a_set_up_is_changed_field_by_field() -> None:
    cat = catalog(strategy="voting", params={"lead": 2, "wave": 3})
    setup = cat.consortia["default"]
    assert changed(cat, setup, {"params": {"lead": 3}}).params == {"lead": 3, "wave": 3}
    assert changed(cat, setup, {"strategy": "council"}).params == {}, "parameters go with their strategy"
    assert changed(cat, setup, {"strategy": "debate", "params": {"rounds": 3}}).params == {"rounds": 3}
    assert changed(cat, setup, {"members": ["a", "k"]}).arbiter == "j"
    assert changed(cat, setup, {"members": ["a", "j"]}).arbiter == "b"
    assert changed(cat, setup, {"members": ["a", "j"], "arbiter": "j"}).arbiter == "j", "as it was asked for"
    assert changed(cat, setup, {}) == setup


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"strategy": "elimnation"}, "strategy: no strategy 'elimnation'; did you mean elimination?"),
        ({"strategy": None}, "strategy: input should be a valid string"),
        ({"params": {"led": 2}}, "params.led: strategy 'voting' has no such parameter; did you mean lead?"),
        ({"params": {"lead": "many"}}, "params.lead: input should be a valid integer, .* not 'many'"),
        ({"params": {"lead": 7}}, "params.lead: input should be less than or equal to 6, not '?7"),
        ({"params": 5}, "params: input should be a valid dictionary"),
        ({"members": 5}, "members: input should be a valid tuple"),
        ({"members": "a"}, "members: input should be a valid tuple"),
        ({"members": ["a b"]}, "members: 'a b' is not a member"),
        ({"members": ["ghost"]}, "members: no model 'ghost'"),
        ({"roles": {"ghost": "x"}}, "roles: no model 'ghost'"),
        ({"judging": "dice"}, "judging: input should be 'synthesis', 'rank' or 'pick-one'"),
        ({"arbitre": "a"}, "arbitre: unknown key"),
        ({"quorum": 0, "deadline": 0}, "deadline: .*\nquorum: "),
    ],
)
def test_a_change_that_makes_no_sense_is_told_by_its_field(changes: dict[str, Any], complaint: str) -> None:
    cat = catalog(strategy="voting")
    with pytest.raises(BadInput, match=complaint):
        changed(cat, cat.consortia["default"], changes)


def test_judges_come_in_order_and_once() -> None:
    cat = catalog(arbiter="j", arbiter_fallbacks=["k", "j", "a", "k"])
    assert [m.id for m in cat.judges(cat.consortia["default"])] == ["j", "k", "a"]
    seated = catalog(arbiter="a", arbiter_fallbacks=["b", "k", "c", "j"]).consortia["default"]
    assert [m.id for m in cat.judges(seated)] == ["a", "k", "j", "b", "c"], "whoever sits on the panel judges last"


def test_simulated_members_say_so() -> None:
    cat = Catalog.model_validate(
        {
            "models": {"optimist": {"provider": "simulated", "name": "optimist"}},
            "consortia": {"default": {"members": ["optimist"], "arbiter": "optimist"}},
        }
    )
    assert cat.panel(cat.consortia["default"])[0].label == "optimist (simulated)"
    assert cat.judges(cat.consortia["default"])[0].simulated


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
