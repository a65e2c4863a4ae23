"""Runs that are kept no longer than a workspace wants."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from adapters.history import SqlHistory
from adapters.state.state import connect
from core.asks import ThreadRef
from core.errors import Unavailable
from core.governance import Spent
from core.retention import HOUR, keep_sweeping, sweep
from core.types import Bill, Response, Run, RunStatus, Usage
from tests.core.service.conftest import ANN, CHANNEL, Desk

OTHER = CHANNEL.model_copy(update={"workspace": "T2"})


async def ended(desk: Desk, days_ago: int, where: ThreadRef = CHANNEL) -> Run:
    desk.now -= timedelta(days=days_ago)
    run = await desk.ask(where=where)
    await desk.history.update_run(run.model_copy(update={"status": RunStatus.DONE, "ended_at": desk.now}))
    desk.now += timedelta(days=days_ago)
    return run


async def test_runs_are_deleted_when_their_workspace_keeps_them_no_longer(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.retention.PORTION", 2)
    await desk.governance.set_retention(CHANNEL, ANN, 30)
    old = [await ended(desk, 31) for _ in range(5)]
    kept = [await ended(desk, 29), await desk.ask(), await ended(desk, 31, OTHER)]
    assert await sweep(desk.office) == 5
    assert [await desk.history.run(run.id) for run in old] == [None] * 5
    assert all([await desk.history.run(run.id) for run in kept])
    entry = (await desk.governance.audit(CHANNEL, 1, 0))[0]
    assert (entry.name, entry.action, entry.detail) == ("Consortium", "retention", "5 runs older than 30 days deleted")
    assert await sweep(desk.office) == 0
    assert len(await desk.governance.audit(CHANNEL, 10, 0)) == 2, "that it was set, and what was deleted"
    assert await desk.governance.audit(OTHER, 10, 0) == []


async def test_what_was_set_aside_for_runs_that_never_ended_is_given_back(desk: Desk) -> None:
    desk.now = desk.now.replace(day=2)
    never_stored, lost, broken, _ = [await desk.ask() for _ in range(4)]
    await desk.history.delete(never_stored.id)
    used = Usage(prompt_tokens=10, completion_tokens=5, cost=0.0)
    answer = Response(member=lost.panel[0], text="Yes.", seconds=1, usage=used)
    await desk.history.record_outcome(lost.id, 1, answer)
    ended = {"status": RunStatus.DONE, "ended_at": desk.now, "bill": Bill.of([used, used])}
    await desk.history.update_run(broken.model_copy(update=ended))
    each = (await desk.spent()).tokens // 4
    desk.now += timedelta(days=2)
    today = await desk.ask()
    await sweep(desk.office)
    spending = await desk.governance.spending(CHANNEL, ANN, desk.now)
    assert spending.at("user", "month").tokens == 0 + 15 + 30 + 0 + each, "nothing, one answer, its bill, nothing"
    assert spending.at("user", "day").tokens == each
    assert await desk.governance.unsettled(desk.now + timedelta(days=1)) == [today.id]


async def test_who_used_how_much_is_forgotten_once_the_month_is_over(desk: Desk) -> None:
    desk.now = desk.now.replace(day=1)
    run = await desk.ask()
    await desk.governance.settle(run.id, Bill.of([Usage(prompt_tokens=1, completion_tokens=1)]))
    await sweep(desk.office)
    then = desk.now
    assert (await desk.governance.spending(CHANNEL, ANN, then)).at("user", "month").tokens == 2
    desk.now += timedelta(days=32)
    await sweep(desk.office)
    assert (await desk.governance.spending(CHANNEL, ANN, then)).of["user/month"] == Spent()


@pytest.mark.parametrize("error", [Unavailable("The database does not answer."), ValueError("not as it was written")])
async def test_sweeping_goes_on_every_hour_whatever_fails(desk: Desk, error: Exception) -> None:
    await desk.governance.set_retention(CHANNEL, ANN, 1)
    waits: list[float] = []
    failing = desk.governance.retentions

    async def away() -> list[tuple[str, str, int]]:
        raise error

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        desk.governance.retentions = failing  # type: ignore[method-assign]
        if len(waits) == 3:
            raise asyncio.CancelledError

    old = await ended(desk, 2)
    desk.governance.retentions = away  # type: ignore[method-assign,assignment]
    with pytest.raises(asyncio.CancelledError):
        await keep_sweeping(desk.office, sleep)
    assert waits == [HOUR] * 3
    assert await desk.history.run(old.id) is None


async def test_a_run_at_work_stays_though_it_was_asked_long_ago(desk: Desk) -> None:
    await desk.governance.set_retention(CHANNEL, ANN, 1)
    run = await desk.ask()
    await desk.history.update_run(run.model_copy(update={"status": RunStatus.RUNNING}))
    desk.now += timedelta(days=1, hours=23)
    assert await sweep(desk.office) == 0
    assert await desk.history.run(run.id) is not None
    desk.now += timedelta(hours=2)
    assert await sweep(desk.office) == 1, "after a day nobody works at it any more"


async def sweep_once(desk: Desk) -> None:
    """A process's first sweep, as its schedule has it."""

    async def stop(_: float) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await keep_sweeping(desk.office, stop)


async def test_of_several_processes_one_sweeps_and_another_does_when_it_has_gone(
    valkey_url: str, history: SqlHistory
) -> None:
    prefix = f"test-{secrets.token_hex(6)}"
    async with AsyncExitStack() as first, connect(valkey_url, prefix=prefix) as other:
        one = Desk(await first.enter_async_context(connect(valkey_url, prefix=prefix)), history)
        two = Desk(other, history)
        await one.governance.set_retention(CHANNEL, ANN, 1)
        await sweep_once(one)
        old = await ended(one, 2)
        await sweep_once(two)
        assert await history.run(old.id) is not None, "it is not its turn"
        await sweep_once(one)
        assert await history.run(old.id) is None
        old = await ended(one, 2)
        await first.aclose()
        await sweep_once(two)
        assert await history.run(old.id) is None


async def test_two_sweeps_at_once_do_no_harm(desk: Desk) -> None:
    await desk.governance.set_retention(CHANNEL, ANN, 1)
    old, kept = [await ended(desk, 2) for _ in range(5)], await ended(desk, 0)
    await asyncio.gather(sweep(desk.office), sweep(desk.office))
    assert [await desk.history.run(run.id) for run in old] == [None] * 5
    assert await desk.history.run(kept.id) is not None
