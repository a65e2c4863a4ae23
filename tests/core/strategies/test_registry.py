"""Which strategies there are, what they say of themselves, and those that other packages bring."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from core.errors import BadInput
from core.strategies import BUILT_IN, create, describe, known, problems, voting
from tests.core.fakes import Step, run_engine, virtual_time
from tests.core.strategies.panels import DOWN, names, panel_of, saying

NAMES = ["default", "voting", "elimination", "role", "semantic", "council", "debate"]


def test_the_built_in_ones_come_first_and_say_what_they_are() -> None:
    found = describe()
    assert [d.name for d in found[:7]] == NAMES == [s.name for s in BUILT_IN]
    for description in found:
        assert len(description.summary) > 20
        assert len(description.use_when) > 10
        for parameter in description.parameters:
            assert parameter.meaning, f"{description.name}.{parameter.name}"
            assert parameter.kind != "value"
            assert problems(description.name, {parameter.name: parameter.default}) == []


def test_parameters_are_described_as_they_are_written() -> None:
    kinds = {d.name: {p.name: (p.kind, p.default) for p in d.parameters} for d in describe()}
    assert kinds["default"] == kinds["council"] == {}
    assert kinds["voting"]["lead"] == ("integer, 0 to 6", 0)
    assert kinds["voting"]["arbiter"] == ("true or false", True)
    assert kinds["semantic"]["method"] == ("one of dbscan, hdbscan", "dbscan")
    assert kinds["semantic"]["eps"] == ("number, 0 to 2", None)
    assert kinds["role"]["roles"] == ("list", ())


@pytest.mark.parametrize(
    ("name", "params", "complaint"),
    [
        ("votign", {}, "strategy: no strategy 'votign'; did you mean voting?"),
        ("zzz", {}, f"strategy: no strategy 'zzz' (there are: {', '.join(NAMES)}"),
        ("", {}, "strategy: no strategy ''"),
        ("voting", {"leed": 2}, "params.leed: strategy 'voting' has no such parameter; did you mean lead?"),
        ("default", {"lead": 2}, "params.lead: strategy 'default' has no such parameter (it has none)"),
        ("voting", {"zzz": 2}, "(there are: majority, arbiter, prose, lead, wave)"),
        ("voting", {"lead": 7}, "params.lead: input should be less than or equal to 6, not '7'"),
        ("voting", {"majority": 1}, "params.majority: input should be less than 1, not '1'"),
        ("voting", {"lead": "two"}, "params.lead: input should be a valid integer"),
        ("voting", {"arbiter": "perhaps"}, "params.arbiter: input should be a valid boolean"),
        ("semantic", {"method": "kmeans"}, "params.method: input should be 'dbscan' or 'hdbscan', not 'kmeans'"),
        ("role", {"roles": "nurse"}, "params.roles: input should be a valid tuple, not 'nurse'"),
        ("role", {"roles": [1]}, "params.roles.0: input should be a valid string"),
        ("debate", {"rounds": 1}, "params.rounds: input should be greater than or equal to 2"),
        ("elimination", {"eliminate_fraction": None}, "params.eliminate_fraction: input should be a valid number"),
    ],
)
def test_what_is_wrong_is_told(name: str, params: dict[str, Any], complaint: str) -> None:
    assert complaint in "\n".join(problems(name, params))
    with pytest.raises(BadInput) as refusal:
        create(name, params)
    assert complaint in str(refusal.value)


def test_every_fault_has_a_line() -> None:
    assert len(problems("voting", {"lead": 9, "wave": 0, "x": 1})) == 3


def test_a_strategy_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        create("voting").lead = 3  # type: ignore[attr-defined]


# --- strategies of other packages -----------------------------------------------------------------------

PACKAGE = """
from typing import Any, ClassVar
from pydantic import Field
from core.strategies.base import Strategy
from core.table import Table


class SecondThoughts(Strategy):
    name = "second-thoughts"
    summary = "everybody answers some times in a row, then the arbiter decides"
    use_when = "when first answers are rash"

    times: int = Field(default=2, ge=1, le=5, description="how often members answer")

    async def deliberate(self, table: Table) -> None:
        while table.number < self.times:
            await table.ask_members()
            table.end_round(None)
        answers = await table.ask_members()
        table.end_round(await table.judge(answers))


class Impostor(SecondThoughts):
    summary = "takes the place of a built-in one"


class Unfinished(Strategy):
    name, summary, use_when = "unfinished", "does nothing", "never"


class Nameless(Strategy):
    async def deliberate(self, table: Table) -> None: ...


class Unheard(Exception): ...


class Odd(SecondThoughts):
    what: Unheard | None = Field(default=None, description="has no schema")
    model_config = {"arbitrary_types_allowed": True}


not_a_class = SecondThoughts()
"""

ENTRIES = """[consortium.strategies]
second-thoughts = brought_along:SecondThoughts
voting = brought_along:Impostor
unfinished = brought_along:Unfinished
nameless = brought_along:Nameless
odd = brought_along:Odd
object = brought_along:not_a_class
missing = brought_along:Missing
absent = not_brought_along:Thing
function = json:dumps
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A distribution with strategies, good and broken ones, on the path; gives what was logged at loading."""
    (tmp_path / "brought_along.py").write_text(PACKAGE)
    info = tmp_path / "brought_along-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: brought-along\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    monkeypatch.syspath_prepend(str(tmp_path))
    known.cache_clear()
    with capture_logs() as logs:
        known()
    yield [entry["name"] for entry in logs if entry["event"] == "strategy not loaded"]
    sys.modules.pop("brought_along", None)
    known.cache_clear()


def test_a_package_brings_a_strategy_and_a_broken_one_is_left_out(installed: list[str]) -> None:
    assert list(known())[7:] == ["second-thoughts"]
    assert sorted(installed) == sorted(["unfinished", "nameless", "odd", "object", "missing", "absent", "function"])
    assert known()["voting"] is voting.Voting, "none takes the place of a built-in one"
    brought = describe()[-1]
    assert (brought.name, brought.parameters[0].kind) == ("second-thoughts", "integer, 1 to 5")
    assert "did you mean times?" in problems("second-thoughts", {"time": 1})[0]


def test_a_strategy_that_was_brought_along_runs(installed: list[str]) -> None:
    @virtual_time
    async def run() -> None:
        ran = await run_engine(panel_of(3, strategy="second-thoughts", params={"times": 3}), saying("A.", "B.", "C."))
        assert [bool(r.verdict) for r in ran.run.rounds] == [False, False, True]
        assert ran.run.bill.calls == 10
        models = saying("A.", "B.", "C.")
        for name in names(3):
            models[name].steps = [Step("First."), Step("Second."), DOWN]
        ran = await run_engine(panel_of(3, strategy="second-thoughts", params={"times": 3}), models)
        assert [bool(r.verdict) for r in ran.run.rounds] == [False, True, False], "the last that was said is decided on"
        assert [a.text for a in ran.run.answers] == ["Second."] * 3

    run()
    assert installed
