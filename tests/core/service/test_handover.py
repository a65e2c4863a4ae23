"""What one process leaves to another. Two services on the same stores are two processes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from adapters.history import SqlHistory
from adapters.state.state import connect
from core.asks import Ask, Attachment, Platform
from core.commands.values import AskCommand, StopCommand
from core.delivery import RunView
from core.errors import Duplicate, OverBudget, Unavailable
from core.events import RunEnded
from core.governance import Budget
from core.service.handover import showing
from core.stores import Kept
from core.types import Bill, Chart, Response, Run, RunStatus, Usage
from tests.core.service.conftest import ANN, CHANNEL, Desk, inbound

EVENT = ("slack:event:Ev1", "slack:message:1.2")
FILE = Attachment(name="a.txt", media_type="text/plain", size=1, kind="text")
KEPT = Kept(id="Ev1", platform=Platform.SLACK, kind="event", body="{}")


@pytest.fixture
async def desks(valkey_url: str, history: SqlHistory) -> AsyncIterator[tuple[Desk, Desk, AsyncExitStack]]:
    """Two processes; leaving the stack is the first one's end."""
    prefix = f"test-{secrets.token_hex(6)}"
    async with AsyncExitStack() as first, connect(valkey_url, prefix=prefix) as other:
        state = await first.enter_async_context(connect(valkey_url, prefix=prefix))
        yield Desk(state, history), Desk(other, history), first


async def asked(desk: Desk, *, replayed: bool = False, text: str = "Is it so?") -> Run:
    run = await desk.do(AskCommand(text=text), event_ids=EVENT, replayed=replayed)
    assert isinstance(run, Run)
    return run


# --- events ---------------------------------------------------------------------------------------------


async def test_an_event_that_is_replayed_gives_the_run_that_it_has_begun(desk: Desk) -> None:
    run = await asked(desk)
    with pytest.raises(Duplicate):
        await asked(desk)
    assert await asked(desk, replayed=True) == run
    assert len(desk.queue.asks) == 1
    assert len(await desk.history.search()) == 1


async def test_an_event_that_was_kept_and_not_carried_out_begins_its_run_when_replayed(desk: Desk) -> None:
    assert await desk.office.duplicates.first(*EVENT), "the process died between this and the run"
    run = await asked(desk, replayed=True)
    assert run.ask.text == "Is it so?"
    assert len(desk.queue.asks) == 1


async def test_a_run_whose_files_were_not_stored_is_begun_once_more(desk: Desk) -> None:
    run = await asked(desk)
    with_file = run.ask.model_copy(update={"attachments": (FILE,)})
    await desk.history.delete(run.id)
    await desk.history.open_run(run.model_copy(update={"ask": with_file}))
    desk.queue.asks.clear()
    again = await asked(desk, replayed=True)
    assert again.id == run.id
    assert len(desk.queue.asks) == 1


async def test_an_event_that_two_processes_carry_out_begins_one_run(desks: tuple[Desk, Desk, AsyncExitStack]) -> None:
    one, other, _ = desks
    results = await asyncio.gather(*(asked(d, replayed=True) for d in (one, other)), return_exceptions=True)
    runs = {result.id for result in results if isinstance(result, Run)}
    assert len(runs) == 1
    assert all(isinstance(result, Run | Duplicate) for result in results)
    assert len(await one.history.search()) == 1


async def test_a_run_that_another_process_shows_is_not_given_to_a_replay(
    desks: tuple[Desk, Desk, AsyncExitStack],
) -> None:
    one, other, first = desks
    run = await asked(one)
    with pytest.raises(Duplicate):
        await asked(other, replayed=True)
    assert await asked(one, replayed=True) == run
    await first.aclose()
    assert await asked(other, replayed=True) == run
    assert await other.office.claims.holds(showing(run.id))


async def test_events_of_a_process_that_is_gone_are_carried_out_by_another(
    desks: tuple[Desk, Desk, AsyncExitStack],
) -> None:
    one, other, first = desks
    assert await one.service.keep(KEPT)
    assert not await other.service.keep(KEPT), "the platform sent it again, to another process"
    assert await other.service.orphans(Platform.SLACK) == []
    await first.aclose()
    assert await other.service.orphans(Platform.DISCORD) == []
    assert await other.service.orphans(Platform.SLACK) == [KEPT]
    await other.service.done(KEPT)
    assert not await other.service.keep(KEPT), "it has been dealt with"


# --- runs -----------------------------------------------------------------------------------------------


async def test_runs_are_adopted_from_processes_that_are_gone_alone(desks: tuple[Desk, Desk, AsyncExitStack]) -> None:
    one, other, first = desks
    run = await asked(one)
    assert await other.service.adopt(Platform.SLACK, ()) == [], "its process lives"
    assert await one.service.adopt(Platform.SLACK, {run.id}) == [], "it shows it"
    assert [found.id for found in await one.service.adopt(Platform.SLACK, ())] == [run.id], "it gave it up for a while"
    await first.aclose()
    assert await other.service.adopt(Platform.DISCORD, ()) == []
    assert [found.id for found in await other.service.adopt(Platform.SLACK, ())] == [run.id]
    assert [ask.id for ask in other.queue.asks] == [run.id], "should its queueing not have been reached"


async def test_runs_that_ended_or_are_delivered_are_not_queued_again(desk: Desk) -> None:
    run = await asked(desk)
    desk.queue.asks.clear()
    await desk.history.update_run(run.model_copy(update={"status": RunStatus.DONE}))
    assert [found.id for found in await desk.service.adopt(Platform.SLACK, ())] == [run.id]
    assert desk.queue.asks == []
    await desk.history.mark_delivered(run.id)
    assert await desk.service.adopt(Platform.SLACK, ()) == []


async def test_a_run_that_cannot_be_queued_is_queued_by_whoever_shows_it(desk: Desk) -> None:
    async def away(ask: Ask) -> None:
        raise Unavailable("Redis does not answer.")

    submit = desk.queue.submit
    desk.queue.submit = away  # type: ignore[method-assign]
    run = await asked(desk)
    assert run.status is RunStatus.PENDING
    assert await desk.service.adopt(Platform.SLACK, ()) == []
    desk.queue.submit = submit  # type: ignore[method-assign]
    assert [found.id for found in await desk.service.adopt(Platform.SLACK, ())] == [run.id]
    assert [ask.id for ask in desk.queue.asks] == [run.id]


class Nothing:
    """Shows nothing."""

    pace = 0.0
    tick: float | None = None

    async def progress(self, view: RunView) -> None: ...

    async def answer(self, run: Run) -> None: ...

    async def charts(self, run: Run, charts: tuple[Chart, ...], note: str | None) -> None: ...

    async def failed(self, run: Run, text: str) -> None: ...


async def test_who_shows_a_run_has_it_queued_while_it_is_shown(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.service.handover.PAUSE", 0.01)
    submit, tries = desk.queue.submit, iter([True, True, True])

    async def away(ask: Ask) -> None:
        if next(tries, False):
            raise Unavailable("Redis does not answer.")
        await submit(ask)
        await desk.office.events.publish(ask.id, RunEnded(status=RunStatus.CANCELLED, error="Stopped."))

    monkeypatch.setattr(desk.queue, "submit", away)
    run = await asked(desk)
    async with asyncio.timeout(5):
        await desk.service.deliver(run, Nothing())
    assert [ask.id for ask in desk.queue.asks] == [run.id]


async def test_what_came_to_no_run_is_not_claimed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(run: Run) -> None:
        raise Unavailable("The database does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(desk.history, "open_run", away)
        with pytest.raises(Unavailable):
            await asked(desk)
    assert not await desk.office.claims.holds(showing(inbound(event_ids=EVENT).run_id or ""))


async def test_a_turn_that_cannot_be_given_back_costs_nobody_their_ask(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.governance.set_budget(CHANNEL, Budget(scope="workspace", period="day", tokens=10**6), ANN)

    async def away(name: str) -> None:
        raise Unavailable("Redis does not answer.")

    monkeypatch.setattr(desk.office.claims, "drop", away)
    run = await asked(desk)
    assert await desk.history.run(run.id)


async def test_two_processes_that_take_asks_at_once_find_one_budget(desks: tuple[Desk, Desk, AsyncExitStack]) -> None:
    one, other, _ = desks
    run = await one.ask()
    each = (await one.spent()).tokens
    await one.governance.settle(run.id, Bill())
    await one.governance.set_budget(CHANNEL, Budget(scope="workspace", period="day", tokens=7 * each), ANN)
    other.ids = iter(range(1000, 2000))
    results = await asyncio.gather(*(d.ask() for _ in range(10) for d in (one, other)), return_exceptions=True)
    assert sum(isinstance(result, Run) for result in results) == 7
    assert sum(isinstance(result, OverBudget) for result in results) == 13


async def test_who_shows_a_run_is_one_process(desks: tuple[Desk, Desk, AsyncExitStack]) -> None:
    one, other, _ = desks
    run = await asked(one)
    assert await one.service.claim(showing(run.id))
    assert not await other.service.claim(showing(run.id))
    await one.service.unclaim(showing(run.id))
    assert await other.service.claim(showing(run.id))


# --- stopping what waits --------------------------------------------------------------------------------


async def test_a_run_that_waits_for_its_turn_is_stopped_without_a_worker(desk: Desk) -> None:
    run = await asked(desk)
    desk.queue.waits = True
    reply = await desk.say(StopCommand(run=run.id))
    assert "Stopping" in reply
    ended = await desk.history.run(run.id)
    assert ended is not None
    assert (ended.status, ended.ended_at) == (RunStatus.CANCELLED, desk.now)
    assert ended.error == "Stopped by Ann. Nobody had been asked yet."
    assert (await desk.spent()).tokens == 0
    told = [event async for event in desk.office.events.follow(run.id)]
    assert told == [RunEnded(status=RunStatus.CANCELLED, error=ended.error)]
    assert desk.queue.asks == []


async def test_a_run_that_waits_for_another_worker_is_stopped_with_what_its_last_one_got(desk: Desk) -> None:
    run = await asked(desk)
    first, *rest = run.panel
    heard = Response(
        member=first, text="Yes.", seconds=1.0, usage=Usage(prompt_tokens=10, completion_tokens=5, cost=0.5)
    )
    await desk.history.update_run(run.model_copy(update={"status": RunStatus.RUNNING}))
    await desk.history.record_outcome(run.id, 1, heard)
    desk.queue.waits = True
    await desk.say(StopCommand(run=run.id))
    ended = await desk.history.run(run.id)
    assert ended is not None
    assert ended.error == f"Stopped by Ann. 1 of {len(run.panel)} had answered."
    assert (ended.bill.cost, ended.bill.uncounted) == (0.5, len(rest))
    assert (await desk.spent()).tokens == 15


async def test_a_run_that_was_answered_before_its_stop_is_not_cancelled(desk: Desk) -> None:
    run = await asked(desk)
    withdraw = desk.queue.withdraw

    async def late(run_id: str) -> bool:
        await desk.history.update_run(run.model_copy(update={"status": RunStatus.RUNNING, "answered_at": desk.now}))
        return await withdraw(run_id)

    desk.queue.waits, desk.queue.withdraw = True, late  # type: ignore[method-assign]
    await desk.say(StopCommand(run=run.id))
    found = await desk.history.run(run.id)
    assert found is not None
    assert found.status is RunStatus.RUNNING
    assert [ask.id for ask in desk.queue.asks] == [run.id], "its charts are still to be drawn"


async def test_a_stop_that_is_cut_off_is_made_good_by_the_next(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    run = await asked(desk)
    desk.queue.waits = True

    async def away(run: Run) -> None:
        raise Unavailable("The database does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(desk.history, "update_run", away)
        with pytest.raises(Unavailable):
            await desk.do(StopCommand(run=run.id))
    assert desk.queue.asks == []
    await desk.say(StopCommand(run=run.id))
    assert [ask.id for ask in desk.queue.asks] == [run.id], "a worker gets it, to end it"
    assert await asyncio.wait_for(desk.stops.requested(run.id), timeout=5) == "Stopped by Ann."


def test_ids_of_runs_follow_from_events() -> None:
    assert inbound(event_ids=EVENT).run_id == inbound(event_ids=EVENT[:1]).run_id
    assert inbound(event_ids=EVENT[1:]).run_id != inbound(event_ids=EVENT).run_id
    assert inbound().run_id is None
