"""Stop: a run ends within a second wherever it is, with what it has; and every end is settled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from adapters.history import SqlHistory
from adapters.models import ModelPool
from adapters.state.state import State
from core.asks import Ask
from core.catalog import Catalog
from core.engine import usages
from core.errors import ModelError, Unavailable
from core.events import Answered, RunEnded, RunEvent
from core.runner import Runner
from core.types import Bill, FailureKind, Run, RunStatus, Study
from tests.core.fakes import (
    HANG,
    USED,
    FakeAnalyst,
    Step,
    catalog,
    make_ask,
    make_engine,
    make_run,
    office,
    panel_models,
    verdict,
)
from tests.emulators.provider import ProviderEmulator

REASON = "Ann stopped it."


class Settled:
    """The real rules and budgets, and what runs were settled with."""

    def __init__(self, history: SqlHistory, error: Unavailable | None = None) -> None:
        self._governance, self._error = history.governance, error
        self.bills: dict[str, Bill] = {}

    async def settle(self, run_id: str, bill: Bill) -> None:
        if self._error:
            raise self._error
        self.bills[run_id] = bill
        await self._governance.settle(run_id, bill)


class Works:
    """A runner on the real state and history, and one run."""

    def __init__(self, state: State, history: SqlHistory) -> None:
        self.state, self.history, self.settled = state, history, Settled(history)
        self.catalog: Catalog = catalog(quorum=1)
        self.models: Any = panel_models()
        self.parts: dict[str, Any] = {}

    def runner(self) -> Runner:
        engine = make_engine(self.catalog, self.models)
        shared = office(self.catalog, self.state, self.history, **{"governance": self.settled, **self.parts})
        return Runner(engine, shared)

    async def start(self, ask: Ask | None = None) -> asyncio.Task[None]:
        ask = ask or make_ask(charts=False)
        await self.history.open_run(make_run(self.catalog, ask))
        return asyncio.create_task(self.runner().run(ask))

    async def stop(self) -> None:
        await self.state.stops.request("r1", REASON)

    async def stored(self) -> Run:
        run = await self.history.run("r1")
        assert run
        return run

    async def events(self) -> list[RunEvent]:
        async with asyncio.timeout(10):
            return [event async for event in self.state.events.follow("r1")]

    async def until(self, holds: Callable[[RunEvent], bool]) -> None:
        """Wait for an event."""
        async with asyncio.timeout(10):
            async for event in self.state.events.follow("r1"):
                if holds(event):
                    return


@pytest.fixture
def works(state: State, history: SqlHistory) -> Works:
    return Works(state, history)


def ended(kind: str, many: int = 1) -> Callable[[RunEvent], bool]:
    """The many-th event of a kind."""
    seen = 0

    def holds(event: RunEvent) -> bool:
        nonlocal seen
        seen += event.type == kind
        return seen == many

    return holds


async def test_a_stop_while_members_answer_keeps_what_came(works: Works) -> None:
    works.models = panel_models(c=HANG)
    task = await works.start()
    await works.until(ended("member_ended", 2))
    await works.stop()
    async with asyncio.timeout(5):
        await task
    run = await works.stored()
    assert (run.status, run.error) == (RunStatus.CANCELLED, "Ann stopped it. 2 of 3 had answered.")
    assert [r.text for r in run.rounds[0].responses] == ["a says yes.", "b says yes."]
    assert (run.synthesis, run.answered_at) == (None, None)
    assert run.ended_at
    assert works.models["c"].cancelled == 1
    assert run.bill == Bill(
        calls=3,
        prompt_tokens=2 * (USED.prompt_tokens or 0),
        completion_tokens=2 * (USED.completion_tokens or 0),
        cost=0.02,
        uncounted=1,
        unpriced=1,
    )
    assert works.settled.bills == {"r1": run.bill}
    assert (await works.events())[-1] == RunEnded(status=RunStatus.CANCELLED, error=run.error)


async def test_a_stop_before_anybody_took_it(works: Works) -> None:
    works.models = panel_models(a=HANG, b=HANG, c=HANG)
    await works.stop()
    async with asyncio.timeout(5):
        await (await works.start())
    run = await works.stored()
    assert (run.status, run.error) == (RunStatus.CANCELLED, "Ann stopped it. 0 of 3 had answered.")
    assert works.settled.bills == {"r1": run.bill}


async def test_a_stop_while_the_arbiter_writes(works: Works) -> None:
    works.models = panel_models(j=HANG)
    task = await works.start()
    await works.until(ended("arbiter_started"))
    await works.stop()
    async with asyncio.timeout(5):
        await task
    run = await works.stored()
    assert (run.status, run.error) == (RunStatus.CANCELLED, "Ann stopped it. 3 of 3 had answered.")
    assert (run.bill.calls, run.bill.uncounted) == (4, 1)
    assert works.models["j"].cancelled == 1


async def test_a_stop_in_a_later_round_counts_the_rounds_before(works: Works) -> None:
    works.catalog = catalog(quorum=1, max_iterations=2)
    doubted = Step(verdict("Hm.", stances="disagree"))
    works.models = panel_models(a=[Step("a first."), HANG], j=[doubted, HANG])
    task = await works.start()
    await works.until(ended("member_ended", 5))
    await works.stop()
    await task
    run = await works.stored()
    assert [len(r.responses) for r in run.rounds] == [3, 2]
    assert (run.bill.calls, run.bill.uncounted) == (7, 1)
    assert run.error == "Ann stopped it. 3 of 3 had answered."


async def test_a_stop_when_the_answer_stands_changes_nothing(works: Works) -> None:
    drawing = asyncio.Event()

    class Slow(FakeAnalyst):
        async def study(self, *args: Any, **kwargs: Any) -> Study:
            await drawing.wait()
            return await super().study(*args, **kwargs)

    works.parts = {"analyst": Slow()}
    task = await works.start(make_ask())
    await works.until(lambda event: isinstance(event, Answered))
    await works.stop()
    drawing.set()
    await task
    run = await works.stored()
    assert (run.status, run.error, run.synthesis) == (RunStatus.DONE, None, "Yes.")
    assert works.settled.bills == {"r1": run.bill}


async def test_a_stop_after_a_takeover(works: Works) -> None:
    works.models = panel_models(c=HANG)
    task = await works.start()
    await works.until(ended("member_ended", 2))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not works.settled.bills, "it goes on elsewhere"
    taken = asyncio.create_task(works.runner().run(make_ask(charts=False)))
    while len(works.models["c"].prompts) < 2:  # noqa: ASYNC110 - a fake sets no event
        await asyncio.sleep(0.01)
    await works.stop()
    async with asyncio.timeout(5):
        await taken
    run = await works.stored()
    assert (run.status, len(run.rounds[0].responses)) == (RunStatus.CANCELLED, 2)
    assert len(works.models["a"].prompts) == 1
    await works.runner().run(make_ask(charts=False))
    assert len([e for e in await works.events() if isinstance(e, RunEnded)]) == 1


async def test_an_end_that_was_stored_is_told_though_its_worker_died_before_it_said_so(works: Works) -> None:
    ask = make_ask(charts=False)
    stopped = {"status": RunStatus.CANCELLED, "error": REASON}
    await works.history.open_run(make_run(works.catalog, ask).model_copy(update=stopped))
    await works.runner().run(ask)
    assert await works.events() == [RunEnded(status=RunStatus.CANCELLED, error=REASON)]
    assert not works.settled.bills


async def test_who_is_stopped_hangs_up_on_the_provider_within_a_second(works: Works) -> None:
    async with ProviderEmulator() as provider:
        provider.model("m1", latency=0.01)
        provider.model("m2", always="hang")
        provider.model("m3", always="stall")
        works.catalog = Catalog.model_validate(
            {
                "providers": {"here": {"base_url": provider.base_url, "api_key_env": "KEY"}},
                "models": {key: {"provider": "here", "name": key} for key in ("m1", "m2", "m3")},
                "consortia": {"default": {"members": ["m1", "m2", "m3"], "arbiter": "m1", "quorum": 1}},
            }
        )
        async with ModelPool(works.catalog, {"KEY": provider.key}) as works.models:
            task = await works.start()
            await works.until(ended("member_ended"))
            await provider.arrived(3)
            asked = time.monotonic()
            await works.stop()
            await task
            await provider.idle()
            took = time.monotonic() - asked
        assert took < 1
        assert sorted(r.model for r in provider.requests if r.hung_up) == ["m2", "m3"]
    run = await works.stored()
    assert run.error == "Ann stopped it. 1 of 3 had answered."


async def test_when_stops_cannot_be_heard_the_run_goes_on(works: Works) -> None:
    class Deaf:
        async def requested(self, run_id: str) -> str:
            raise Unavailable("The connection to Redis was closed.")

    works.parts = {"stops": Deaf()}
    await (await works.start())
    assert (await works.stored()).status is RunStatus.DONE


# --- what a run has used --------------------------------------------------------------------------------


async def test_a_run_that_nobody_answered_is_settled(works: Works) -> None:
    down = Step(ModelError(FailureKind.BAD_REPLY, "no", retryable=False))
    works.models = panel_models(a=down, b=down, c=down)
    await (await works.start())
    run = await works.stored()
    assert (run.status, run.bill.calls) == (RunStatus.FAILED, 3)
    assert works.settled.bills == {"r1": run.bill}


async def test_a_run_that_breaks_is_settled_with_what_is_known(works: Works) -> None:
    works.models = panel_models(j=HANG)
    task = await works.start()
    await works.until(ended("member_ended", 3))
    task.cancel()
    await asyncio.wait([task])
    works.models.pop("j")
    works.models.pop("k")
    await works.runner().run(make_ask(charts=False))
    run = await works.stored()
    assert (run.status, run.bill.calls, run.bill.unpriced) == (RunStatus.FAILED, 4, 1), "the first arbiter's is lost"
    assert works.settled.bills == {"r1": run.bill}


async def test_calls_that_went_down_with_their_worker_are_on_the_bill_as_unknown(works: Works) -> None:
    works.models = panel_models(c=HANG)
    task = await works.start()
    await works.until(ended("member_ended", 2))
    task.cancel()
    await asyncio.wait([task])
    begun = await works.stored()
    assert begun.status is RunStatus.RUNNING
    works.models = panel_models()
    await works.runner().run(make_ask(charts=False))
    run = await works.stored()
    known = Bill.of(usages(run.rounds))
    assert run.status is RunStatus.DONE
    assert (run.bill.calls, run.bill.unpriced) == (known.calls + 1, known.unpriced + 1)
    assert works.settled.bills == {"r1": run.bill}


async def test_a_run_that_was_deleted_while_it_waited_asks_nobody_and_is_settled(works: Works) -> None:
    ask = make_ask()
    await works.history.open_run(make_run(works.catalog, ask))
    await works.history.delete(ask.id)
    await works.runner().run(ask)
    assert not works.models["a"].prompts
    assert works.settled.bills == {"r1": Bill()}
    ended_so = RunEnded(status=RunStatus.CANCELLED, error="It was deleted before it began.")
    assert await works.events() == [ended_so]


async def test_a_run_that_was_deleted_while_it_went_on_is_settled_with_what_it_used(works: Works) -> None:
    works.models = panel_models(c=HANG)
    task = await works.start()
    await works.until(ended("member_ended", 2))
    await works.stop()
    await works.history.delete("r1")
    await task
    assert works.settled.bills["r1"].calls == 3
    assert (await works.events())[-1].type == "run_ended"
    assert await works.history.run("r1") is None


async def test_a_budget_that_cannot_be_told_costs_no_answer(works: Works) -> None:
    works.settled = Settled(works.history, Unavailable("The database does not answer."))
    await (await works.start())
    assert (await works.stored()).status is RunStatus.DONE
