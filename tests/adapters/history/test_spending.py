"""What was spent, and what of it stays."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone

from adapters.history import SqlHistory
from core.governance import Estimate, Spent
from core.types import Bill
from tests.adapters.history.samples import ANN, BEN, CHANNEL, new_run

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
ESTIMATE = Estimate(calls=3, tokens=1000, dollars=0.5)
BILL = Bill(calls=4, prompt_tokens=70, completion_tokens=30, cost=0.1, unpriced=1, uncounted=2)
USED = Spent(runs=1, tokens=100, dollars=0.1, unpriced=1, uncounted=2)


async def test_an_estimate_counts_until_the_bill_is_there(history: SqlHistory) -> None:
    governance = history.governance
    run = new_run(at=NOON)
    await governance.reserve(run, ESTIMATE)
    spending = await governance.spending(CHANNEL, ANN, NOON)
    expected = Spent(runs=1, tokens=1000, dollars=0.5)
    assert set(spending.of) == {f"{s}/{p}" for s in ("user", "channel", "workspace") for p in ("day", "month")}
    assert all(spent == expected for spent in spending.of.values())
    for _ in range(2):
        await governance.settle(run.id, BILL)
        spending = await governance.spending(CHANNEL, ANN, NOON)
        assert all(spent == USED for spent in spending.of.values())
    await governance.reserve(run, ESTIMATE)
    assert (await governance.spending(CHANNEL, ANN, NOON)).at("user", "day") == USED, "what is known stays"


async def test_a_run_that_is_reserved_twice_counts_once_by_its_latest_estimate(history: SqlHistory) -> None:
    governance = history.governance
    run = new_run(at=NOON)
    twice = (governance.reserve(run, ESTIMATE.model_copy(update={"tokens": tokens})) for tokens in (5, 7))
    await asyncio.gather(*twice)
    assert (await governance.spending(CHANNEL, ANN, NOON)).at("workspace", "day") == Spent(
        runs=1, tokens=7, dollars=0.5
    )


async def test_calls_of_unknown_price_are_counted_as_such(history: SqlHistory) -> None:
    await history.governance.reserve(new_run(at=NOON), Estimate(calls=3, tokens=10))
    spending = await history.governance.spending(CHANNEL, ANN, NOON)
    assert spending.at("user", "day") == Spent(runs=1, tokens=10, unpriced=3)


async def test_each_scope_and_period_has_its_own(history: SqlHistory) -> None:
    governance = history.governance
    other_channel = CHANNEL.model_copy(update={"channel": "C2"})
    elsewhere = CHANNEL.model_copy(update={"workspace": "T2"})
    places = [
        (ANN, CHANNEL, NOON),
        (ANN, other_channel, NOON),
        (BEN, CHANNEL, NOON),
        (ANN, CHANNEL, NOON.replace(hour=0) - timedelta(microseconds=1)),
        (ANN, CHANNEL, NOON.replace(hour=0)),
        (ANN, CHANNEL, NOON.replace(day=1, hour=0)),
        (ANN, CHANNEL, NOON.replace(day=1, hour=0) - timedelta(microseconds=1)),
        (ANN, elsewhere, NOON),
    ]
    for i, (asker, where, at) in enumerate(places):
        await governance.reserve(new_run(asker=asker, where=where, at=at), Estimate(calls=1, tokens=10**i, dollars=0))
    spending = await governance.spending(CHANNEL, ANN, NOON)
    assert {name: spent.tokens for name, spent in spending.of.items()} == {
        "user/day": 10011,
        "user/month": 111011,
        "channel/day": 10101,
        "channel/month": 111101,
        "workspace/day": 10111,
        "workspace/month": 111111,
    }


async def test_days_are_those_of_utc(history: SqlHistory) -> None:
    east = timezone(timedelta(hours=9))
    await history.governance.reserve(new_run(at=datetime(2026, 3, 11, 1, tzinfo=east)), ESTIMATE)  # the 10th in UTC
    assert (await history.governance.spending(CHANNEL, ANN, NOON)).at("user", "day").runs == 1


async def test_to_delete_a_run_gives_no_budget_back(history: SqlHistory) -> None:
    run = new_run(at=NOON)
    await history.open_run(run)
    await history.governance.reserve(run, ESTIMATE)
    await history.delete(run.id)
    assert (await history.governance.spending(CHANNEL, ANN, NOON)).at("user", "month").tokens == 1000
    await history.governance.settle(run.id, BILL)
    assert (await history.governance.spending(CHANNEL, ANN, NOON)).at("user", "month") == USED


async def test_a_run_that_was_never_reserved_is_not_settled(history: SqlHistory) -> None:
    await history.governance.settle("nobody's", BILL)
    assert (await history.governance.spending(CHANNEL, ANN, NOON)).at("workspace", "month") == Spent()


async def test_what_was_never_settled_is_known_and_what_is_old_is_forgotten(history: SqlHistory) -> None:
    governance = history.governance
    old, settled, new = new_run(at=NOON), new_run(at=NOON), new_run(at=NOON + timedelta(days=1))
    for run in (old, settled, new):
        await governance.reserve(run, ESTIMATE)
    await governance.settle(settled.id, BILL)
    assert await governance.unsettled(NOON + timedelta(days=1)) == [old.id]
    await governance.forget_spending(NOON + timedelta(hours=13))
    spent = (await governance.spending(CHANNEL, ANN, NOON + timedelta(days=1))).at("workspace", "month")
    assert spent == Spent(runs=1, tokens=1000, dollars=0.5)
    await governance.settle(old.id, BILL)
    assert await governance.unsettled(NOON + timedelta(days=2)) == [new.id]
    assert (await governance.spending(CHANNEL, ANN, NOON)).at("workspace", "day") == Spent()


async def test_processes_that_settle_at_once_add_nothing_twice(url: str) -> None:
    async with SqlHistory(url) as one, SqlHistory(url) as two:
        runs = [new_run(at=NOON) for _ in range(30)]
        await asyncio.gather(*(h.governance.reserve(run, ESTIMATE) for run in runs for h in (one, two)))
        spending = await one.governance.spending(CHANNEL, ANN, NOON)
        assert spending.at("workspace", "day") == Spent(runs=30, tokens=30_000, dollars=15)
        settling = [one.governance.settle(run.id, BILL) for run in runs]
        settling += [two.governance.settle(run.id, BILL) for run in reversed(runs)]
        await asyncio.gather(*settling)
        spending = await two.governance.spending(CHANNEL, ANN, NOON)
        assert spending.at("workspace", "day") == Spent(runs=30, tokens=3000, dollars=3, unpriced=30, uncounted=60)
