"""Saving, changing, showing and removing consortia, as a person at a terminal does it."""

from __future__ import annotations

from typing import Any

import pytest

from bot.config import read_catalog
from tests.bot.conftest import Desk

SAVE = ("save", "careful", "--model", "skeptic:2", "--model", "optimist")
EVERYTHING = (
    *("--arbiter", "judge", "--fallback", "scholar", "--fallback", "nomad", "--strategy", "voting"),
    *("--param", "lead=2", "--param", "prose=true", "--judging", "rank", "--both-orders", "--threshold", "0.9"),
    *("--min-iterations", "2", "--max-iterations", "4", "--deadline", "60", "--quorum", "0.5"),
    *("--role", "skeptic=fact checker", "--system", "Be brief.", "--description", "For hard ones"),
)


def setup_of(desk: Desk, name: str = "careful") -> dict[str, Any]:
    setup = desk.ok("show", name, "--json").json["setup"]
    assert isinstance(setup, dict)
    return setup


def test_everything_can_be_set(desk: Desk) -> None:
    assert desk.ok(*SAVE, *EVERYTHING).out == "Saved careful: skeptic:2, optimist; arbiter judge; strategy voting\n"
    setup = setup_of(desk)
    assert setup["members"] == ["skeptic:2", "optimist"]
    assert (setup["arbiter"], setup["arbiter_fallbacks"]) == ("judge", ["scholar", "nomad"])
    assert (setup["strategy"], setup["params"]) == ("voting", {"lead": 2, "prose": True})
    assert (setup["judging"], setup["both_orders"], setup["confidence_threshold"]) == ("rank", True, 0.9)
    assert (setup["min_iterations"], setup["max_iterations"]) == (2, 4)
    assert (setup["deadline"], setup["quorum"]) == (60, 0.5)
    assert setup["roles"] == {"skeptic": "Fact Checker"}, "a known role by its proper name"
    assert (setup["system"], setup["description"]) == ("Be brief.", "For hard ones")


def test_an_arbiter_that_is_no_member_is_found_where_none_is_named(desk: Desk) -> None:
    desk.ok(*SAVE)
    assert setup_of(desk)["arbiter"] == "judge"


def test_a_name_that_is_taken_is_not_lost_by_accident(desk: Desk) -> None:
    desk.ok(*SAVE)
    told = desk.refused("save", "CAREFUL", "--model", "nomad")
    assert told == "consortium: NAME CAREFUL: saved already; add --replace, or change it with update\n"
    assert setup_of(desk)["members"] == ["skeptic:2", "optimist"]
    assert desk.ok("save", "careful", "--model", "nomad", "--replace", "--json").json["replaced"] == ["careful"]
    assert setup_of(desk)["members"] == ["nomad"]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("save",), "NAME: missing; write e.g."),
        (("save", "x"), "--model: missing; write e.g. consortium save x --model"),
        (("save", "a b", "--model", "nomad"), "NAME 'a b': a name has letters, digits"),
        (("save", "custom", "--model", "nomad"), "NAME 'custom': panels that are put together"),
        (("save", "x", "--model", "nomat"), "--model: no model 'nomat' (there are: pragmatist"),
        (("save", "x", "--model", "nomad:many"), "--model: 'nomad:many' is not a member"),
        (("save", "x", "--model", "nomad", "--arbiter", "jugde"), "--arbiter: no model 'jugde'"),
        (("save", "x", "--model", "nomad", "--strategy", "vote"), "--strategy: no strategy 'vote'"),
        (("save", "x", "--model", "nomad", "--strategy", "voting", "--param", "lead=99"), "--param lead: "),
        (("save", "x", "--model", "nomad", "--param", "lead"), "--param lead: has no value; write e.g."),
        (("save", "x", "--model", "nomad", "--threshold", "2"), "--threshold: "),
        (("save", "x", "--model", "nomad", "--role", "nomat=Skeptic"), "--role: no model 'nomat'"),
        (("save", "--from", "none.toml"), "--from none.toml: cannot be read"),
        (("save", "--from", "none.toml", "--model", "nomad"), "--from: takes consortia as they are"),
        (("update", "x"), "update x: nothing is given to change"),
        (("update", "x", "--threshold", "0.5"), "NAME x: no such consortium is saved; none is"),
        (("update", "quick", "--threshold", "0.5"), "NAME quick: stands in the models file and is not saved"),
        (("show", "defalt"), "NAME defalt: there is no such consortium; did you mean default?"),
        (("remove", "quick"), "NAME quick: stands in the models file"),
        (("default", "defalt"), "NAME defalt: there is no such consortium"),
        (("default", "quick", "--clear"), "--clear: takes no name"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_what_cannot_be_is_told_by_the_option(desk: Desk, args: tuple[str, ...], told: str) -> None:
    assert desk.refused(*args).startswith(f"consortium: {told}")


def test_only_what_is_given_changes(desk: Desk) -> None:
    desk.ok(*SAVE, *EVERYTHING)
    before = setup_of(desk)
    desk.ok("update", "Careful", "--threshold", "0.5", "--param", "lead=3", "--param", "prose=", "--role", "skeptic=")
    changed = {"confidence_threshold": 0.5, "params": {"lead": 3}, "roles": {}}
    assert setup_of(desk) == {**before, **changed}
    desk.ok("update", "careful", "--fallback", "", "--system", "", "--one-order", "--description", "")
    emptied: dict[str, Any] = {"arbiter_fallbacks": [], "system": None, "both_orders": False, "description": ""}
    assert setup_of(desk) == {**before, **changed, **emptied}


def test_another_strategy_begins_without_the_parameters_of_the_old_one(desk: Desk) -> None:
    desk.ok(*SAVE, *EVERYTHING)
    desk.ok("update", "careful", "--strategy", "debate", "--param", "rounds=3")
    assert setup_of(desk)["params"] == {"rounds": 3}


def test_what_is_shown_as_toml_can_be_saved_and_put_into_the_models_file(desk: Desk) -> None:
    desk.ok(*SAVE, *EVERYTHING, "--replace")
    before, shown = setup_of(desk), desk.ok("show", "careful", "--toml").out
    (desk.folder / "saved.toml").write_text(shown)
    desk.ok("remove", "careful")
    desk.ok("save", "--from", "saved.toml")
    assert setup_of(desk) == before
    models = "".join(
        f'[models.{n}]\nprovider = "simulated"\nname = "{c}"\n'
        for n, c in (("skeptic", "skeptic"), ("optimist", "optimist"), ("scholar", "scholar"), ("nomad", "nomad"))
    )
    judge = '[models.judge]\nprovider = "simulated"\nname = "arbiter"\n'
    default = '[consortia.default]\nmembers = ["nomad"]\narbiter = "judge"\n'
    catalog = read_catalog(models + judge + default + shown, "consortium.toml")
    assert catalog.consortia["careful"].model_dump(mode="json") == before


def test_a_file_is_taken_whole_or_not_at_all(desk: Desk) -> None:
    good = '[consortia.one]\nmembers = ["nomad"]\narbiter = "judge"\n'
    (desk.folder / "two.toml").write_text(good + good.replace("one", "two").replace("nomad", "nomat"))
    told = desk.refused("save", "--from", "two.toml")
    assert told.startswith("consortium: two.toml: consortia.two.members: no model 'nomat'")
    assert [row["name"] for row in desk.ok("list", "--json").json] == ["default", "quick"]
    desk.ok("save", "one", "--from", "two.toml")
    assert desk.refused("save", "three", "--from", "two.toml").endswith("has no consortium 'three'; it has one, two\n")
    (desk.folder / "none.toml").write_text("[models]\n")
    assert "has no [consortia.NAME] section" in desk.refused("save", "--from", "none.toml")
    (desk.folder / "bad.toml").write_bytes(b"\xff")
    assert "is no TOML" in desk.refused("save", "--from", "bad.toml")


def test_the_list_says_where_each_is_from_and_which_is_the_default(desk: Desk) -> None:
    desk.ok("save", "quick", "--model", "nomad")
    lines = desk.ok("list").out.splitlines()
    assert lines[0].split() == ["consortium", "from", "members", "arbiter", "strategy", "description"]
    assert [line.split("  ")[0] for line in lines[1:]] == ["quick", "default (default)"]
    assert [(r["name"], r["from"], r["default"]) for r in desk.ok("list", "--json").json] == [
        ("quick", "saved", False),
        ("default", "file", True),
    ]


def test_the_default_is_set_shown_and_taken_back(desk: Desk) -> None:
    assert desk.ok("default").out == "default\n"
    desk.ok("default", "QUICK")
    assert desk.ok("default", "--json").json == {"default": "quick"}
    desk.ok(*SAVE, "--default")
    assert desk.ok("default").out == "careful\n"
    assert desk.ok("remove", "careful").out == "Removed careful.\n"
    assert desk.ok("default").out == "default\n"
    desk.ok("default", "quick")
    assert desk.ok("default", "--clear").out == "default\n"
