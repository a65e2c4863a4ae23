"""What holds for every strategy."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from core.asks import Turn
from core.catalog import Catalog
from core.events import MemberEnded, RoundEnded, RunEvent, RunStarted
from core.ports import Prompt
from core.strategies import BUILT_IN, create
from core.types import Run, RunStatus, VerdictSource
from tests.core.fakes import (
    FakeBreakers,
    FakeModel,
    Ran,
    Step,
    begun,
    candidates,
    make_ask,
    make_engine,
    make_run,
    ranking,
    run_engine,
    verdict,
    virtual_time,
)
from tests.core.strategies.panels import DOWN, last_words, names, panel_of

NAMES = [strategy.name for strategy in BUILT_IN]
PARAMS: dict[str, dict[str, Any]] = {"voting": {"lead": 2}, "debate": {"rounds": 3}}
"""Such that each strategy shows all that it can do."""


def panel(strategy: str, size: int, **fields: Any) -> Catalog:
    return panel_of(size, strategy=strategy, params=PARAMS.get(strategy, {}), **{"max_iterations": 2, **fields})


def judge(prompt: Prompt) -> str:
    """Doubts everything, by whichever method it is asked."""
    reply = ranking(len) if '"ranking"' in prompt.messages[0].content else verdict("Hm.", 40, ["cost"], "partly")
    return reply(prompt)


def member(name: str, after: float = 0) -> Step:
    """Answers, reviews, and never agrees with another."""

    def say(prompt: Prompt) -> str:
        if last_words(prompt).startswith("Review."):
            return "Ranking: " + " > ".join(candidates(prompt))
        return f"So I think, since {name}.\n\nFinal answer: {name}"

    return Step(say, after=after)


def models(size: int, after: float = 0) -> dict[str, FakeModel]:
    steps = {name: member(name, after) for name in names(size)}
    return {key: FakeModel(key, [s]) for key, s in {**steps, "j": Step(judge, after=after), "k": DOWN}.items()}


@pytest.mark.parametrize("size", [1, 2, 3, 12])
@pytest.mark.parametrize("strategy", NAMES)
def test_a_panel_of_any_size_comes_to_an_answer(strategy: str, size: int) -> None:
    @virtual_time
    async def run() -> None:
        ran = await run_engine(panel(strategy, size), models(size))
        assert ran.run.status is RunStatus.RUNNING
        assert ran.run.error is None
        assert ran.run.synthesis
        assert ran.run.answers
        assert (ran.verdict.source is VerdictSource.ONLY) == (size == 1)
        assert ran.run.bill.calls == sum(len(model.prompts) for model in ran.models.values())
        check_events(ran)

    run()


def check_events(ran: Ran) -> None:
    """What was told is what came of it."""
    began = [e for e in ran.events if isinstance(e, RunStarted)]
    assert [(e.round, e.kind) for e in began] == [(r.number, r.kind) for r in ran.run.rounds]
    assert all(e.round <= e.max_rounds for e in began)
    ended = [(e.round, e.outcome.member.id) for e in ran.events if isinstance(e, MemberEnded)]
    assert sorted(ended) == sorted((r.number, o.member.id) for r in ran.run.rounds for o in r.outcomes)
    assert [e.verdict for e in ran.events if isinstance(e, RoundEnded)] == [r.verdict for r in ran.run.rounds]


@pytest.mark.parametrize("strategy", NAMES)
def test_with_nobody_answering_the_run_fails_with_every_reason(strategy: str) -> None:
    @virtual_time
    async def run() -> None:
        all_down = {name: FakeModel(name, [DOWN]) for name in names(3)}
        ran = await run_engine(panel(strategy, 3), {**models(3), **all_down})
        assert ran.run.status is RunStatus.FAILED
        assert (ran.run.error or "").count("no such model") == 3
        assert ran.calls("j") == [0]

    run()


@pytest.mark.parametrize("strategy", NAMES)
def test_silence_in_a_later_round_costs_no_answer(strategy: str) -> None:
    @virtual_time
    async def run() -> None:
        once = models(3)
        for name in names(3):
            once[name].steps = [member(name), DOWN]
        ran = await run_engine(panel(strategy, 3), once)
        assert ran.run.error is None
        assert ran.verdict.source is VerdictSource.ARBITER
        assert len(ran.run.answers) == 3
        assert ran.run.answered_at

    run()


# --- cutting it off -------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", NAMES)
def test_a_run_that_is_cancelled_at_any_point_leaves_no_call_behind(strategy: str) -> None:
    @virtual_time
    async def run() -> None:
        whole = await run_engine(panel(strategy, 4), models(4, after=3))
        took = asyncio.get_running_loop().time() - 1000
        assert took >= 6
        assert whole.run.answered_at
        for second in range(1, int(took), 1):
            cut, breakers = models(4, after=3), FakeBreakers()
            task = asyncio.create_task(run_engine(panel(strategy, 4), cut, breakers=breakers))
            await asyncio.sleep(second + 0.5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert len(asyncio.all_tasks()) == 1
            assert not breakers.out
            assert sum(model.cancelled for model in cut.values()) >= 1

    run()


@pytest.mark.parametrize("strategy", NAMES)
def test_a_run_that_changes_hands_at_any_point_comes_to_the_same_and_pays_for_nothing_twice(strategy: str) -> None:
    @virtual_time
    async def run() -> None:
        cat = panel(strategy, 4)
        whole = (await run_engine(cat, models(4))).run
        events_of_whole = [o for r in whole.rounds for o in r.outcomes]
        for cut in range(len(events_of_whole)):
            kept = events_of_whole[:cut]
            rounds = []
            for round_ in whole.rounds:
                mine = tuple(o for o in round_.outcomes if any(o is k for k in kept))
                done = len(mine) == len(round_.outcomes)
                if mine:
                    rounds.append(round_ if done else round_.model_copy(update={"outcomes": mine, "verdict": None}))
            ran = await run_engine(cat, models(4), run=begun(make_run(cat), *rounds))
            assert [(r.kind, r.outcomes) for r in ran.run.rounds] == [(r.kind, r.outcomes) for r in whole.rounds]
            assert ran.run.synthesis == whole.synthesis
            assert sum(ran.calls(*names(4))) == len(events_of_whole) - cut

    run()


# --- beside each other ----------------------------------------------------------------------------------


def _marks(text: str) -> set[str]:
    return set(re.findall(r"(?:word|role|was)(\d{3})", text))


@pytest.mark.parametrize("strategy", NAMES)
def test_fifty_runs_of_one_strategy_do_not_meet(strategy: str) -> None:
    @virtual_time
    async def run() -> None:
        cat, shared = panel(strategy, 4), models(4, after=1)

        def echo(name: str) -> Step:
            def say(prompt: Prompt) -> str:
                asked = next(m.content for m in prompt.messages if m.content.startswith("word"))
                own = member(name).does
                assert callable(own)
                return f"I read {asked}. {own(prompt)}"

            return Step(say, after=1)

        for name in names(4):
            shared[name].steps = [echo(name)]
        engine = make_engine(cat, shared)

        async def one(n: int) -> tuple[Run, list[RunEvent]]:
            events: list[RunEvent] = []
            ask = make_ask(f"word{n:03}", id=f"r{n}", roles={"m1": f"role{n:03}"})
            return await engine.run(
                make_run(cat, ask), [Turn(question=f"was{n:03}", answer="x")], events.append
            ), events

        together = await asyncio.gather(*(one(n) for n in range(50)))
        for n, (ended, events) in enumerate(together):
            everything = ended.model_dump_json() + "".join(e.model_dump_json() for e in events)
            assert _marks(everything) == {f"{n:03}"}
        for key in (*names(4), "j"):
            assert all(len(_marks(p.model_dump_json())) == 1 for p in shared[key].prompts)
        alone = [await one(n) for n in range(3)]
        for (ended, _), (again, _) in zip(together, alone, strict=False):
            assert ended.bill == again.bill
            assert ended.notes == again.notes
            assert _told(ended) == _told(again)

    run()


def _told(run: Run) -> list[Any]:
    return [(r.kind, [o.member.id for o in r.outcomes], r.verdict and r.verdict.positions) for r in run.rounds]


def test_strategies_hold_nothing_of_a_run() -> None:
    for strategy in BUILT_IN:
        made = create(strategy.name, PARAMS.get(strategy.name))
        assert made.model_config.get("frozen")
        assert set(vars(made)) == set(strategy.model_fields)
