"""Drafts that wait for their person, and requests to stop a run."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.state import waiting as module
from adapters.state.state import State, connect
from adapters.state.valkey import embedded_valkey
from core.asks import Person
from core.errors import Unavailable
from core.stores import Draft
from tests.adapters.state.conftest import eventually

ANN, BOB = Person(id="U1", name="Ann"), Person(id="U2")


@pytest.fixture
async def other(url: str, prefix: str) -> AsyncIterator[State]:
    """Another process."""
    async with connect(url, prefix=prefix) as state:
        yield state


async def waiting(state: State, prefix: str, run: str, many: int = 1) -> None:
    async def there() -> bool:
        return int((await state.redis.pubsub_numsub(f"{prefix}:stop:{run}"))[0][1]) == many

    await eventually(there)


# --- drafts ---------------------------------------------------------------------------------------------


async def test_a_draft_is_taken_once_by_its_person(state: State, other: State) -> None:
    kept = await state.drafts.keep(Draft(person="U1", body="café ✓"))
    assert kept.isalnum()
    assert len(kept) <= 32
    assert await other.drafts.take(kept, BOB) is None
    assert await other.drafts.take(kept, ANN) == "café ✓"
    assert await state.drafts.take(kept, ANN) is None
    assert await state.drafts.take("nothing", ANN) is None


async def test_a_draft_that_was_taken_can_be_put_back(state: State, other: State) -> None:
    kept = await state.drafts.keep(Draft(person="U1", body="ask"))
    assert await state.drafts.take(kept, ANN) == "ask"
    assert await other.drafts.keep(Draft(person="U1", body="ask"), kept) == kept
    assert await state.drafts.take(kept, ANN) == "ask"
    assert await state.drafts.take(kept, ANN) is None


async def test_a_draft_may_be_looked_at_again_until_it_is_taken(state: State) -> None:
    kept = await state.drafts.keep(Draft(person="U1", body="form"))
    assert await state.drafts.take(kept, BOB, again=True) is None
    assert [await state.drafts.take(kept, ANN, again=True) for _ in range(2)] == ["form", "form"]
    assert await state.drafts.take(kept, ANN) == "form"
    assert await state.drafts.take(kept, ANN, again=True) is None


async def test_of_many_who_take_at_once_one_gets_it(state: State) -> None:
    kept = await state.drafts.keep(Draft(person="U1", body="x"))
    taken = await asyncio.gather(*(state.drafts.take(kept, ANN) for _ in range(50)))
    assert sorted(filter(None, taken)) == ["x"]


async def test_a_take_that_is_sent_again_gets_the_same(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client whose connection broke before the reply sends the same command again."""
    kept = await state.drafts.keep(Draft(person="U1", body="x"))
    monkeypatch.setattr("secrets.token_hex", lambda _: "same")
    assert [await state.drafts.take(kept, ANN) for _ in range(2)] == ["x", "x"]


async def test_drafts_and_stops_expire(state: State, prefix: str) -> None:
    kept = await state.drafts.keep(Draft(person="U1", body="x"))
    await state.drafts.take(kept, ANN)
    assert 0 < await state.redis.ttl(f"{prefix}:draft:{kept}") <= module.DRAFT_SECONDS
    await state.stops.request("r1", "Stopped.")
    assert 0 < await state.redis.ttl(f"{prefix}:stop:r1") <= module.STOP_SECONDS


# --- stops ----------------------------------------------------------------------------------------------


async def test_a_request_wakes_whoever_waits_in_another_process(state: State, other: State, prefix: str) -> None:
    waiters = [asyncio.create_task(other.stops.requested(run)) for run in ("r1", "r1", "r2")]
    await waiting(state, prefix, "r1")
    await waiting(state, prefix, "r2")
    asked = time.monotonic()
    await state.stops.request("r1", "Ann stopped it.")
    assert await asyncio.gather(*waiters[:2]) == ["Ann stopped it."] * 2
    assert time.monotonic() - asked < 1
    assert not waiters[2].done()
    await state.stops.request("r2", "Bob did.")
    assert await waiters[2] == "Bob did."


async def test_a_request_made_before_is_known_at_once(state: State, other: State) -> None:
    await state.stops.request("r1", "Ann stopped it.")
    await state.stops.request("r1", "Bob too.")
    async with asyncio.timeout(1):
        assert await other.stops.requested("r1") == "Ann stopped it."


async def test_requests_at_any_moment_are_seen(state: State, other: State) -> None:
    """Whoever waits begins before, while and after the request is made."""
    waiters = []
    for n in range(50):
        waiters.append(asyncio.create_task(other.stops.requested(f"r{n}")))
        if n % 3 == 0:
            await asyncio.sleep(0)
        requesting = asyncio.create_task(state.stops.request(f"r{n}", f"{n}"))
        if n % 2:
            await requesting
    async with asyncio.timeout(3):
        assert await asyncio.gather(*waiters) == [str(n) for n in range(50)]


async def test_who_is_cancelled_does_not_wait_any_more(state: State, other: State, prefix: str) -> None:
    gone, stays = (asyncio.create_task(other.stops.requested("r1")) for _ in range(2))
    await waiting(state, prefix, "r1")
    gone.cancel()
    assert isinstance((await asyncio.gather(gone, return_exceptions=True))[0], asyncio.CancelledError)
    await state.stops.request("r1", "Stopped.")
    assert await stays == "Stopped."
    await waiting(state, prefix, "r1", many=0)


async def test_one_connection_serves_stops_and_events(state: State, other: State, prefix: str) -> None:
    waiters = [asyncio.create_task(other.stops.requested(f"r{n}")) for n in range(50)]
    watcher = asyncio.ensure_future(anext(other.events.follow("r1")))
    await waiting(state, prefix, "r49")
    ours = [c for c in await state.redis.client_list(_type="pubsub") if c["name"].startswith(prefix)]
    assert len(ours) == 1
    for task in (*waiters, watcher):
        task.cancel()
    await asyncio.wait([*waiters, watcher])


async def test_a_broken_subscription_misses_no_request(state: State, other: State, prefix: str) -> None:
    waiter = asyncio.create_task(other.stops.requested("r1"))
    await waiting(state, prefix, "r1")
    (client,) = [c for c in await state.redis.client_list(_type="pubsub") if c["name"] == f"{prefix}:channels"]
    await state.redis.client_kill_filter(_id=client["id"])
    await state.stops.request("r1", "Stopped.")
    async with asyncio.timeout(3):
        assert await waiter == "Stopped."


async def test_a_restart_of_redis_only_delays(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path) as url, connect(url) as ours, connect(url) as theirs:
        waiter = asyncio.create_task(theirs.stops.requested("r1"))
        await waiting(ours, "consortium", "r1")
        os.kill(int((await ours.redis.info("server"))["process_id"]), signal.SIGKILL)
        await ours.stops.request("r1", "Stopped.")
        async with asyncio.timeout(5):
            assert await waiter == "Stopped."


async def test_a_lost_message_is_made_up_for(
    state: State, other: State, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.1)
    waiter = asyncio.create_task(other.stops.requested("r1"))
    await waiting(state, prefix, "r1")
    await state.redis.set(f"{prefix}:stop:r1", "Stopped.")
    async with asyncio.timeout(3):
        assert await waiter == "Stopped."


async def test_nobody_waits_for_a_closed_connection(url: str, prefix: str) -> None:
    async with connect(url, prefix=prefix) as state:
        waiter = asyncio.create_task(state.stops.requested("r1"))
        await waiting(state, prefix, "r1")
    with pytest.raises(Unavailable, match="closed"):
        await waiter


async def test_whoever_waits_for_a_stop_can_give_up_at_any_moment(state: State) -> None:
    """Also as the subscription goes out, where the library loses a cancellation in Python 3.11."""
    for moment in range(60):
        waiter = asyncio.create_task(state.stops.requested(f"r{moment}"))
        for _ in range(moment):
            await asyncio.sleep(0)
        waiter.cancel()
        done, _ = await asyncio.wait({waiter}, timeout=5)
        assert done, f"given up after {moment} steps, it waits all the same"
        assert waiter.cancelled()
