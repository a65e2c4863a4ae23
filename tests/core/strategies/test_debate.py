from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import core
from core.events import RoundEnded
from core.types import Agreement, Round, VerdictSource
from tests.core.fakes import HANG, FakeModel, Step, begun, make_ask, make_run, run_engine, virtual_time
from tests.core.strategies.panels import DOWN, names, panel_of, saying, voting_for


def changing(*answers: tuple[str, ...]) -> dict[str, FakeModel]:
    """Models that state these final answers, one a round."""
    models = voting_for(*(said[0] for said in answers))
    for name, said in zip(names(len(answers)), answers, strict=True):
        models[name].steps = [DOWN if s == "" else Step(f"{name} says so.\n\nFinal answer: {s}") for s in said]
    return models


@virtual_time
async def test_members_read_the_others_and_vote_in_the_end() -> None:
    ran = await run_engine(panel_of(3, strategy="debate"), changing(("4", "5"), ("5",), ("6",)))
    assert [bool(r.verdict) for r in ran.run.rounds] == [False, True]
    assert (ran.verdict.source, ran.verdict.agreement) == (VerdictSource.VOTE, Agreement(agree=2, total=3))
    second = ran.said("m1", 1)
    assert "assistant: m1 says so." in second
    assert second.count("<<ANSWER") == 2
    assert "m2 says so" in second
    assert "Final answer: 6" in second
    assert "ANSWER" not in ran.said("m1", 0)
    assert ran.calls("j") == [0]


@virtual_time
async def test_it_ends_as_soon_as_all_agree() -> None:
    ran = await run_engine(panel_of(3, strategy="debate", params={"rounds": 4}), changing(*[("4",)] * 3))
    assert len(ran.run.rounds) == 1
    ran = await run_engine(panel_of(3, strategy="debate", params={"rounds": 4}), changing(("4", "5"), ("5",), ("5",)))
    assert len(ran.run.rounds) == 2
    ran = await run_engine(panel_of(3, strategy="debate", params={"rounds": 4}), changing(("4",), ("5",), ("5",)))
    assert len(ran.run.rounds) == 4


@virtual_time
async def test_a_debate_that_falls_silent_is_decided_on_what_was_said_last() -> None:
    ran = await run_engine(panel_of(3, strategy="debate"), changing(("4", ""), ("4", ""), ("5", "")))
    assert [bool(r.verdict) for r in ran.run.rounds] == [True, False]
    assert (ran.verdict.source, ran.verdict.agreement) == (VerdictSource.VOTE, Agreement(agree=2, total=3))
    assert ran.run.answers == ran.run.rounds[0].responses
    assert [e.round for e in ran.events if isinstance(e, RoundEnded) and e.verdict] == [1]
    assert ran.run.answered_at


@virtual_time
async def test_one_that_is_left_alone_debates_with_nobody() -> None:
    ran = await run_engine(panel_of(3, strategy="debate"), saying("Final answer: 4", DOWN, DOWN))
    assert len(ran.run.rounds) == 1
    assert ran.verdict.source is VerdictSource.ONLY


@virtual_time
async def test_no_round_is_begun_that_the_deadline_would_cut_off() -> None:
    slow = [Step(f"Final answer: {n}", after=30) for n in range(3)]
    ran = await run_engine(panel_of(3, strategy="debate", params={"rounds": 5}, deadline=70), saying(*slow))
    assert len(ran.run.rounds) == 2


@virtual_time
async def test_an_open_question_is_debated_without_final_answers() -> None:
    cat = panel_of(3, strategy="debate")
    ran = await run_engine(cat, saying("Yes.", "Yes.", "No."), run=make_run(cat, make_ask(question_type="open")))
    for call in (0, 1):
        assert "Always end with a line" not in ran.said("m1", call)
    assert ran.has_note("The question is open")


@virtual_time
async def test_a_debate_that_changes_hands_goes_on_in_its_round() -> None:
    cat = panel_of(3, strategy="debate")
    whole = (await run_engine(cat, changing(("4", "5"), ("5",), ("6",)))).run
    cut = (whole.rounds[0], Round(number=2, outcomes=whole.rounds[1].outcomes[:1]))
    ran = await run_engine(cat, changing(("5",), ("5",), ("6",)), run=begun(make_run(cat), *cut))
    assert ran.calls(*names(3)) == [0, 1, 1]
    assert ran.run.rounds == whole.rounds


@virtual_time
async def test_who_is_silent_in_a_later_round_is_missing_from_the_vote() -> None:
    models = changing(("4", "4"), ("5", "5"), ("4", "4"))
    models["m3"].steps = [models["m3"].steps[0], HANG]
    ran = await run_engine(panel_of(3, strategy="debate"), models)
    assert ran.verdict.source is VerdictSource.ARBITER, "one against one"


@pytest.mark.parametrize("folder", ["core", "bot"])
def test_nothing_uses_it_by_default(folder: str) -> None:
    root = Path(core.__file__).parent.parent
    using = [p.name for p in (root / folder).rglob("*.py") if '"debate"' in p.read_text()]
    assert using == (["debate.py"] if folder == "core" else [])
    example = tomllib.loads((root / "consortium.example.toml").read_text())
    assert "debate" not in {c.get("strategy") for c in example["consortia"].values()}
