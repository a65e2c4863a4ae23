from __future__ import annotations

import random
from typing import Any

from core.catalog import PANEL_ROLES
from core.strategies import create
from tests.core.fakes import make_ask, make_run, run_engine, virtual_time
from tests.core.strategies.panels import panel_of, saying

BUILT_IN = ["Generator", "Devil's Advocate", "Fact Checker"]


def dealt(size: int, seed: str = "r1", asked: dict[str, str] | None = None, **params: Any) -> list[str | None]:
    cat = panel_of(size)
    panel = cat.panel(cat.consortia["default"], asked)
    seated = create("role", params).seat(panel, random.Random(seed))
    assert [m.id for m in seated] == [m.id for m in panel]
    return [m.role for m in seated]


def test_the_built_in_roles_come_first_and_then_traits_by_chance() -> None:
    assert list(PANEL_ROLES) == BUILT_IN
    assert dealt(2) == BUILT_IN[:2]
    many = dealt(12)
    assert many[:3] == BUILT_IN
    assert len(set(many)) == 12
    assert all((r or "").startswith("You are ") for r in many[3:])
    assert many == dealt(12), "the same when the run is taken over"
    assert many != dealt(12, seed="r2")


def test_given_roles_come_before_all_others() -> None:
    assert dealt(5, roles=["Rawlsian", "a tired nurse"])[:4] == ["Rawlsian", "a tired nurse", *BUILT_IN[:2]]
    assert len(set(dealt(12, roles=["Fact Checker", "x"]))) == 12


def test_the_askers_own_roles_stay_and_are_not_dealt_again() -> None:
    asked = {"m2": "Generator", "m3": "mine"}
    assert dealt(5, asked=asked)[:4] == ["Devil's Advocate", "Generator", "mine", "Fact Checker"]


@virtual_time
async def test_roles_are_seen_in_the_panel_and_in_what_members_are_told() -> None:
    cat = panel_of(4, strategy="role")
    ran = await run_engine(cat, saying(*["Yes."] * 4), run=make_run(cat, make_ask(roles={"m1": "Rawlsian"})))
    roles = [m.role for m in ran.run.panel]
    assert roles[:3] == ["Rawlsian", "Generator", "Devil's Advocate"]
    assert [o.member.role for o in ran.run.rounds[0].outcomes] == roles
    assert "Your role: Devil's Advocate. Argue against" in ran.said("m3")
    assert "Your role: Rawlsian. Judge from behind" in ran.said("m1")
    assert ran.verdict.positions[1].member.role == "Generator"
    assert "Generator" not in ran.said("j")
