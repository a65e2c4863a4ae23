from __future__ import annotations

import json
import re
from typing import Any

import pytest

from core.ports import Prompt
from core.types import Round, VerdictSource
from tests.core.fakes import FakeModel, Ran, Step, begun, make_run, ranking, run_engine, virtual_time
from tests.core.strategies.panels import DOWN, names, panel_of, saying


def _number(text: str) -> int:
    return int(re.findall(r"\d+", text)[0])


BY_NUMBER = Step(ranking(_number))
"""Doubts every answer, and puts "Answer 1" before "Answer 2"."""


def asked(ran: Ran) -> list[list[str]]:
    return [[o.member.id for o in r.outcomes] for r in ran.run.rounds]


def answers(count: int, **others: Step) -> dict[str, FakeModel]:
    return saying(*(f"Answer {n}." for n in range(1, count + 1)), **{"j": BY_NUMBER, **others})


@virtual_time
@pytest.mark.parametrize(
    ("params", "sizes"),
    [
        ({}, [5, 4, 3, 2]),
        ({"eliminate_count": 2}, [5, 3, 2, 2]),
        ({"eliminate_count": 0}, [5, 5, 5, 5]),
        ({"eliminate_count": 9, "keep_minimum": 3}, [5, 3, 3, 3]),
        ({"eliminate_fraction": 0.5, "keep_minimum": 2}, [5, 3, 2, 2]),
        ({"eliminate_count": 0, "eliminate_fraction": 0.1}, [5, 5, 5, 5]),
        ({"elimination_delay": 2}, [5, 5, 5, 4]),
        ({"keep_minimum": 12}, [5, 5, 5, 5]),
        ({"eliminate_count": 4, "keep_minimum": 1}, [5]),
    ],
)
async def test_the_worst_ranked_leave_after_each_round(params: dict[str, Any], sizes: list[int]) -> None:
    ran = await run_engine(panel_of(5, strategy="elimination", params=params, max_iterations=4), answers(5))
    assert asked(ran) == [names(size) for size in sizes]
    assert ran.run.bill.calls == sum(sizes) + len(sizes)


@virtual_time
async def test_who_leaves_is_told_and_those_who_stay_go_on_from_the_verdict() -> None:
    ran = await run_engine(panel_of(3, strategy="elimination", max_iterations=2), answers(3))
    assert ran.run.notes == ("Left after round 1: m3.",)
    assert [m.id for m in ran.verdict.ranking] == ["m1", "m2"]
    assert "<<EARLIER answer f00d>>\nYes." in ran.said("m1", 1)
    assert '"ranking"' in ran.said("j")


@virtual_time
async def test_those_who_gave_nothing_leave_first() -> None:
    cat = panel_of(4, strategy="elimination", max_iterations=3)
    models = answers(4)
    models["m1"].steps = [DOWN]
    ran = await run_engine(cat, models)
    assert asked(ran) == [["m1", "m2", "m3", "m4"], ["m2", "m3", "m4"], ["m2", "m3"]]


@virtual_time
async def test_without_a_ranking_only_the_silent_leave() -> None:
    cat = panel_of(4, strategy="elimination", params={"eliminate_count": 2}, min_iterations=2, max_iterations=2)
    models = saying("Final answer: 4", "Final answer: 4", "Final answer: 5", DOWN, j=DOWN, k=DOWN)
    ran = await run_engine(cat, models)
    assert ran.verdict.source is VerdictSource.VOTE
    assert asked(ran) == [names(4), names(3)]


@virtual_time
async def test_whom_the_ranking_leaves_out_stands_behind_those_it_has() -> None:
    def forgetful(prompt: Prompt) -> str:
        """Ranks 1, 3 and 4, and says nothing of 2."""
        reply = json.loads(ranking(_number)(prompt))
        reply["ranking"].pop(1)
        return json.dumps(reply)

    cat = panel_of(4, strategy="elimination", params={"eliminate_count": 2}, max_iterations=2)
    ran = await run_engine(cat, answers(4, j=Step(forgetful)))
    assert asked(ran)[1] == ["m1", "m3"]


@virtual_time
async def test_when_all_that_are_left_fall_silent_the_earlier_verdict_stands() -> None:
    models = answers(3)
    for key in names(3):
        models[key].steps = [Step(f"Answer {key[1]}."), DOWN]
    ran = await run_engine(panel_of(3, strategy="elimination", max_iterations=3), models)
    assert [bool(r.verdict) for r in ran.run.rounds] == [True, False]
    assert ran.run.answered_at
    assert ran.run.answers == ran.run.rounds[0].responses


@virtual_time
async def test_a_run_that_changes_hands_sends_the_same_away() -> None:
    cat = panel_of(3, strategy="elimination", max_iterations=2)
    first = await run_engine(cat, answers(3))
    second = Round(number=2, outcomes=first.run.rounds[1].outcomes[:1])
    again = await run_engine(cat, answers(3), run=begun(make_run(cat), first.run.rounds[0], second))
    assert again.calls(*names(3), "j") == [0, 1, 0, 1]
    assert asked(again) == asked(first)
