from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from core.catalog import Catalog
from core.errors import Unavailable
from core.events import MemberEnded, MembersAsked, RoundEnded, RunEvent, RunStarted
from core.prompts import Brief
from core.table import Silence, Table
from core.types import Agreement, Response, Round, VerdictSource
from core.votes.trust import Experience, Record
from tests.core.fakes import (
    FakeAnalyst,
    FakeModel,
    Step,
    begun,
    catalog,
    make_run,
    make_tools,
    panel_models,
    verdict,
    virtual_time,
)
from tests.core.strategies.panels import DOWN


class Laid:
    """A table, laid for members a, b and c."""

    def __init__(
        self, cat: Catalog | None = None, models: dict[str, FakeModel] | None = None, *rounds: Round, **parts: Any
    ) -> None:
        cat, self.models = cat or catalog(), models or panel_models()
        self.events: list[RunEvent] = []
        tools = make_tools(cat, self.models, analyst=FakeAnalyst(**parts))
        trust = Experience(records={"a": Record(agreed=20, compared=20), "b": Record(agreed=5, compared=20)})
        setup = cat.consortia["default"]
        self.table = Table(begun(make_run(cat), *rounds), (), tools, self.events.append, trust, setup)
        self.a, self.b, self.c = self.table.panel


@virtual_time
async def test_a_round_is_begun_by_asking_and_ended_with_a_verdict() -> None:
    laid = Laid()
    table = laid.table
    assert (table.number, table.last, table.last_answers, table.silent, table.asked) == (1, None, (), (), frozenset())
    answers = await table.ask_members()
    assert [r.member.id for r in answers] == ["a", "b", "c"]
    assert table.asked == {"a", "b", "c"}
    table.end_round(await table.judge(answers))
    assert (table.number, table.last) == (2, table.rounds[0])
    assert table.last_answers == answers
    with pytest.raises(RuntimeError, match="no round goes on"):
        table.end_round(None)


@virtual_time
async def test_more_members_join_the_round_that_goes_on_and_nobody_is_asked_twice() -> None:
    laid = Laid()
    assert len(await laid.table.ask_members([laid.c])) == 1
    both = await laid.table.ask_members([laid.a, laid.c])
    assert [r.member.id for r in both] == ["a", "c"], "everything that the round has, in the panel's order"
    assert [len(laid.models[key].prompts) for key in "abc"] == [1, 0, 1]
    kinds = [e.type for e in laid.events]
    assert kinds == ["run_started", "member_ended", "members_asked", "member_ended"]
    started, joined = laid.events[0], laid.events[2]
    assert isinstance(started, RunStarted)
    assert isinstance(joined, MembersAsked)
    assert ([m.id for m in started.panel], [m.id for m in joined.members]) == (["c"], ["a"])


@virtual_time
async def test_silence_ends_the_strategy_only_when_the_round_has_nothing() -> None:
    laid = Laid(models=panel_models(a=DOWN, b=DOWN))
    with pytest.raises(Silence):
        await laid.table.ask_members([laid.a])
    assert list(laid.table.silent) == [laid.a]
    assert len(await laid.table.ask_members([laid.b, laid.c])) == 1
    assert list(laid.table.silent) == [laid.a, laid.b]


@virtual_time
async def test_each_member_is_told_its_own() -> None:
    laid = Laid()
    await laid.table.ask_members(brief=lambda member: Brief(system=f"You are number {member.id}."))
    for key in "abc":
        told = laid.models[key].prompts[0].messages[0].content
        assert f"You are number {key}." in told
        assert told.count("You are number") == 1


@virtual_time
async def test_a_round_that_came_to_nothing_gives_its_place_to_the_one_before() -> None:
    models = panel_models(**{key: [Step(f"{key}."), DOWN] for key in "abc"})
    laid = Laid(models=models)
    first = await laid.table.ask_members()
    laid.table.end_round(None)
    with pytest.raises(Silence):
        await laid.table.ask_members()
    found = await laid.table.judge(laid.table.last_answers)
    laid.table.fall_back(found)
    laid.table.abandon()
    assert [r.verdict for r in laid.table.rounds] == [found, None]
    assert [r.number for r in laid.table.rounds] == [1, 2]
    assert laid.table.last_answers == first
    assert [(e.round, e.verdict) for e in laid.events if isinstance(e, RoundEnded)] == [(1, None), (1, found)]


@virtual_time
async def test_a_verdict_that_is_known_is_not_sought_again() -> None:
    whole = Laid()
    answers = await whole.table.ask_members()
    whole.table.end_round(await whole.table.judge(answers))
    again = Laid(None, None, whole.table.rounds[0])
    answers = await again.table.ask_members()
    assert await again.table.judge(answers) == whole.table.rounds[0].verdict
    assert not any(model.prompts for model in again.models.values())
    assert sum(isinstance(e, MemberEnded) for e in again.events) == 3


@virtual_time
async def test_who_failed_in_a_round_that_ended_is_not_asked_again_and_in_one_that_goes_on_is() -> None:
    laid = Laid(None, panel_models(b=DOWN))
    await laid.table.ask_members()
    laid.table.end_round(None)
    first = laid.table.rounds[0]
    goes_on = Laid(None, None, first)
    await goes_on.table.ask_members()
    assert [len(goes_on.models[key].prompts) for key in "abc"] == [0, 1, 0]
    later = Laid(None, None, first, Round(number=2, outcomes=()))
    await later.table.ask_members()
    assert [len(later.models[key].prompts) for key in "abc"] == [0, 0, 0]


@virtual_time
async def test_votes_weigh_by_experience_and_outliers_count_as_not_agreeing() -> None:
    laid = Laid(models=panel_models(a=Step("Final answer: 4"), b=Step("Final answer: 5"), c=Step("Final answer: 6")))
    answers = await laid.table.ask_members()
    ballot = laid.table.vote(answers)
    assert ballot
    assert [camp.answer for camp in ballot.camps] == ["4", "6", "5"]
    assert laid.table.decide_by_vote(ballot, answers).source is VerdictSource.VOTE
    judged = await laid.table.judge(answers[:2], ballot=ballot, total=3)
    assert judged.agreement == Agreement(agree=2, total=3)
    assert judged.ballot == ballot


@virtual_time
async def test_of_an_open_question_nothing_is_counted() -> None:
    laid = Laid(models=panel_models(**{key: Step("Final answer: 4") for key in "abc"}))
    laid.table.ask = laid.table.ask.model_copy(update={"question_type": "open"})
    answers = await laid.table.ask_members()
    assert laid.table.vote(answers) is None
    assert (await laid.table.judge(answers)).ballot is None


@virtual_time
async def test_what_the_analyst_cannot_do_is_for_the_strategy_to_tell() -> None:
    laid = Laid(error=Unavailable("no process"))
    answers = await laid.table.ask_members()
    with pytest.raises(Unavailable):
        await laid.table.group(answers)


@virtual_time
async def test_settled_goes_by_confidence_rounds_and_time() -> None:
    sure, unsure = ({"confidence": c} for c in (0.9, 0.3))

    async def settled(after: int, update: Mapping[str, float | None], **setup: Any) -> bool:
        laid = Laid(
            catalog(**{"max_iterations": 3, **setup}), panel_models(**{k: Step("Yes.", after=1) for k in "abc"})
        )
        for _ in range(after):
            found = await laid.table.judge(await laid.table.ask_members())
            laid.table.end_round(found)
        return laid.table.settled(found.model_copy(update=update))

    assert await settled(1, sure)
    assert not await settled(1, unsure)
    assert await settled(3, unsure)
    assert not await settled(1, sure, min_iterations=2)
    assert await settled(1, unsure, deadline=1.5)
    assert await settled(1, {"confidence": None})
    assert await settled(1, unsure, confidence_threshold=0.3)


@virtual_time
async def test_chance_comes_out_the_same_for_a_run_and_a_purpose() -> None:
    table = Laid().table
    assert table.rng("x").random() == Laid().table.rng("x").random() != table.rng("y").random()


@virtual_time
async def test_a_remark_is_made_once() -> None:
    table = Laid().table
    for text in ("One.", "Two.", "One."):
        table.note(text)
    assert table.notes == ["One.", "Two."]


@virtual_time
async def test_the_arbiter_is_told_by_which_method_and_what_the_panel_thinks() -> None:
    laid = Laid(models=panel_models(j=Step(verdict())))
    answers = await laid.table.ask_members()
    await laid.table.judge(answers, reviewed=[laid.b, laid.a, laid.c])
    assert "ranked each other's answers" in laid.models["j"].prompts[0].messages[-1].content
    assert all(isinstance(r, Response) for r in answers)
