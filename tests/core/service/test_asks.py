"""Questions on their way into the queue."""

from __future__ import annotations

import re
from typing import Any

import pytest

from adapters.history import SqlHistory
from adapters.state.state import State
from core.asks import Ask, Platform
from core.catalog import LimitSpec
from core.commands.values import (
    AskCommand,
)
from core.errors import BadInput, Duplicate, NotFound, RateLimited, Unavailable
from core.service.asks import MAX_QUESTION
from core.types import RunStatus, VerdictSource
from tests.core.fakes import START, Step, catalog, make_engine, panel_models
from tests.core.service.conftest import BOB, CHANNEL, Desk

MINE = catalog(members=["b", "k"], strategy="voting").consortia["default"]


async def test_an_ask_is_stored_as_pending_and_queued(desk: Desk) -> None:
    run = await desk.ask(text="  Is it so?  ", domain="LAW", charts=False)
    assert run.status is RunStatus.PENDING
    assert await desk.history.run(run.id) == run
    assert desk.queue.asks == [run.ask]
    assert (run.ask.text, run.ask.consortium, run.ask.domain, run.ask.charts) == ("Is it so?", "default", "law", False)
    assert [m.id for m in run.panel] == ["a 1", "a 2", "b", "c"]


async def test_a_question_has_words_and_an_end(desk: Desk) -> None:
    for text, hint in [(" \n ", "There is no question"), ("x" * (MAX_QUESTION + 1), "at most 12,000 characters")]:
        with pytest.raises(BadInput, match=hint):
            await desk.ask(text=text)
    assert (await desk.ask(text="x" * MAX_QUESTION)).id
    assert len(desk.queue.asks) == 1


async def test_names_that_do_not_exist_are_told_with_the_nearest(desk: Desk) -> None:
    with pytest.raises(NotFound, match=r"There is no consortium `defalt`. Did you mean `default`\?"):
        await desk.ask(consortium="defalt")
    with pytest.raises(NotFound, match=r"There is no domain `zzz`\. There are: education, .*law"):
        await desk.ask(domain="zzz")
    assert desk.queue.asks == []


async def test_the_ask_carries_its_set_up(desk: Desk) -> None:
    ask = (await desk.ask()).ask
    assert ask.setup == desk.service.catalog.consortia["default"]


async def test_a_saved_consortium_is_asked_by_its_name_whatever_its_case(desk: Desk) -> None:
    await desk.history.consortia.save("Mine", MINE, None)
    for name in ("Mine", "mIne", "`mine`"):
        run = await desk.ask(consortium=name)
        assert (run.consortium, run.ask.setup, [m.id for m in run.panel]) == ("Mine", MINE, ["b", "k"])
    with pytest.raises(NotFound, match=r"There is no consortium `min`. Did you mean `Mine`\?"):
        await desk.ask(consortium="min")


async def test_a_saved_consortium_goes_before_one_of_the_file(desk: Desk) -> None:
    await desk.history.consortia.save("default", MINE, None)
    assert (await desk.ask()).ask.setup == MINE


async def test_the_default_is_asked_when_none_is_named(desk: Desk) -> None:
    await desk.history.consortia.save("mine", MINE, None)
    await desk.history.consortia.set_default("mine")
    assert (await desk.ask()).consortium == "mine"
    assert (await desk.ask(consortium="default")).consortium == "default"
    await desk.history.consortia.remove("mine", None)
    assert (await desk.ask()).consortium == "default"
    await desk.history.consortia.set_default("gone")
    run = await desk.ask()
    assert run.consortium == "default"
    assert run.notes == ("gone, the default of all, is not there any more, so default is asked.",)


async def test_what_becomes_of_a_saved_consortium_changes_no_run_that_was_asked(desk: Desk) -> None:
    await desk.history.consortia.save("mine", MINE, None)
    runs = [await desk.ask(consortium="mine") for _ in range(2)]
    await desk.history.consortia.save("mine", desk.service.catalog.consortia["default"], None)
    engine = make_engine(desk.service.catalog, panel_models(b=Step("Final answer: 4"), k=Step("Final answer: 4")))
    first = await engine.run(runs[0], (), lambda _: None)
    await desk.history.consortia.remove("mine", None)
    stored = await desk.history.run(runs[1].id)
    assert stored
    for ended in (first, await engine.run(stored, (), lambda _: None)):
        assert ended.verdict
        assert (ended.verdict.source, [m.id for m in ended.panel]) == (VerdictSource.VOTE, ["b", "k"])


async def test_an_ask_changes_what_it_names_and_nothing_else(desk: Desk) -> None:
    default = desk.service.catalog.consortia["default"]
    run = await desk.ask(strategy="elimination", params={"keep_minimum": 3}, judging="rank", both_orders=True)
    changes = {"strategy": "elimination", "params": {"keep_minimum": 3}, "judging": "rank", "both_orders": True}
    assert (run.consortium, run.ask.setup) == ("default", default.model_copy(update=changes))
    run = await desk.ask(arbiter="K")
    assert (run.consortium, run.ask.setup) == ("default", default.model_copy(update={"arbiter": "k"}))


async def test_a_panel_of_ones_own_is_no_consortium(desk: Desk) -> None:
    run = await desk.ask(models=("c", "j:2"), roles={"C": "rawlsian"}, question_type="number", system="Be brief.")
    assert run.consortium == "custom"
    assert run.ask.setup
    assert run.ask.setup.arbiter == "a", "not the one that now sits on the panel"
    assert [(m.id, m.role) for m in run.panel] == [("c", "Rawlsian"), ("j 1", None), ("j 2", None)]
    assert (run.ask.question_type, run.ask.system) == ("number", "Be brief.")


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"models": ("ghost",)}, "members: no model 'ghost'"),
        ({"models": ("a:13",)}, "a panel has 1 to 12 members, this one has 13"),
        ({"models": ("a b",)}, "'a b' is not a member"),
        ({"arbiter": "ghost"}, "There is no model `ghost`"),
        ({"strategy": "votnig"}, "no strategy 'votnig'; did you mean voting?"),
        ({"params": {"lead": 2}}, "params.lead: strategy 'default' has no such parameter"),
        ({"strategy": "voting", "params": {"lead": "x"}}, "params.lead: input should be a valid integer"),
        ({"roles": {"ghost": "x"}}, "There is no model `ghost`"),
    ],
)
async def test_changes_that_make_no_sense_are_told_and_cost_nothing(
    desk: Desk, fields: dict[str, Any], complaint: str
) -> None:
    with pytest.raises((BadInput, NotFound), match=re.escape(complaint)):
        await desk.ask(**fields)
    assert desk.queue.asks == []


async def test_an_event_that_is_delivered_twice_is_asked_once(desk: Desk) -> None:
    await desk.do(AskCommand(text="So?"), event_ids=("event 1", "message 1"))
    for again in (("event 1",), ("event 2", "message 1")):
        with pytest.raises(Duplicate):
            await desk.do(AskCommand(text="So?"), event_ids=again)
    assert len(desk.queue.asks) == 1


async def test_a_refusal_says_when_to_try_again_and_holds_for_one_person(state: State, history: SqlHistory) -> None:
    desk = Desk(state, history, LimitSpec(user="2/minute"))
    await desk.ask()
    await desk.ask()
    with pytest.raises(RateLimited, match=r"You asked too often just now. Try again in \d+ s.") as refusal:
        await desk.ask()
    assert 1 <= refusal.value.retry_after <= 60
    await desk.ask(BOB)
    assert len(desk.queue.asks) == 3


async def test_what_is_refused_for_its_words_costs_nothing(state: State, history: SqlHistory) -> None:
    desk = Desk(state, history, LimitSpec(user="1/minute"))
    with pytest.raises(NotFound):
        await desk.ask(consortium="nowhere")
    await desk.ask()


PAGE = CHANNEL.model_copy(update={"platform": Platform.WEB})


async def test_a_queue_that_is_away_is_told(desk: Desk) -> None:
    async def away(ask: Ask) -> None:
        raise Unavailable("Redis does not answer.")

    desk.queue.submit = away  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match="Redis does not answer"):
        await desk.ask(where=PAGE)
    stored = await desk.history.run("run0")
    assert stored
    assert (stored.status, stored.error) == (RunStatus.FAILED, "Redis does not answer.")
    assert await desk.history.undelivered(Platform.WEB, START) == [], "a restart has nothing to add"
