"""Events of runs between processes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from adapters.state import channels
from adapters.state import events as module
from adapters.state.state import State, connect
from adapters.state.valkey import embedded_valkey
from core.errors import Unavailable
from core.events import RunEnded, RunEvent, RunStarted, TextDelta
from core.types import RunStatus
from tests.adapters.state.conftest import eventually

START = RunStarted(round=1, max_rounds=3, panel=())
END = RunEnded(status=RunStatus.DONE)


def text(*pieces: str) -> list[RunEvent]:
    return [TextDelta(text=piece) for piece in pieces]


async def all_of(state: State, run: str) -> list[RunEvent]:
    return [event async for event in state.events.follow(run)]


async def subscribed(state: State, prefix: str, run: str) -> None:
    async def there() -> bool:
        return bool((await state.redis.pubsub_numsub(f"{prefix}:events:{run}"))[0][1])

    await eventually(there)


async def subscriptions(state: State, prefix: str) -> list[Any]:
    return [c for c in await state.redis.client_list(_type="pubsub") if c["name"] == f"{prefix}:channels"]


@pytest.fixture
async def other(url: str, prefix: str) -> AsyncIterator[State]:
    """Another process."""
    async with connect(url, prefix=prefix) as state:
        yield state


async def test_live_events_come_in_order(state: State, other: State, prefix: str) -> None:
    follower = asyncio.create_task(all_of(other, "r1"))
    await subscribed(state, prefix, "r1")
    sent = [START, *text("Re", "mote\nwork", " ✓"), END]
    await state.events.publish("r1", sent[0], sent[1])
    for event in sent[2:]:
        await state.events.publish("r1", event)
    assert await follower == sent


async def test_who_comes_late_gets_everything(state: State, other: State) -> None:
    sent = [START, *text("a", "b"), END]
    await state.events.publish("r1", *sent)
    assert await all_of(other, "r1") == sent
    assert await all_of(other, "r1") == sent


async def test_who_comes_in_the_middle_gets_everything_once(state: State, other: State) -> None:
    """Followers join at every moment of a run; none misses an event or sees one twice."""
    pieces = text(*(str(n) for n in range(300)))
    followers = []
    for n, piece in enumerate(pieces):
        await state.events.publish("r1", piece)
        if n % 10 == 0:
            followers.append(asyncio.create_task(all_of(other, "r1")))
    await state.events.publish("r1", END)
    for events in await asyncio.gather(*followers):
        assert events == [*pieces, END]


async def test_200_followers_of_their_own_runs(state: State, other: State) -> None:
    runs = {f"r{n}": [START, *text(f"{n}a", f"{n}b"), END] for n in range(200)}
    followers = {run: asyncio.create_task(all_of(other, run)) for run in runs}
    for step in range(4):
        await asyncio.gather(*(state.events.publish(run, sent[step]) for run, sent in runs.items()))
    for run, sent in runs.items():
        assert await followers[run] == sent


async def test_200_followers_of_one_run(state: State, other: State) -> None:
    followers = [asyncio.create_task(all_of(other, "r1")) for _ in range(200)]
    sent = [START, *text(*"abcdefgh"), END]
    for event in sent:
        await state.events.publish("r1", event)
    assert all(events == sent for events in await asyncio.gather(*followers))


async def test_one_connection_serves_all_followers(state: State, other: State, prefix: str) -> None:
    followers = [asyncio.create_task(all_of(other, f"r{n}")) for n in range(50)]
    await subscribed(state, prefix, "r49")
    assert len(await subscriptions(state, prefix)) == 1
    for n in range(50):
        await state.events.publish(f"r{n}", END)
    await asyncio.gather(*followers)

    async def left() -> bool:
        counts = await state.redis.pubsub_numsub(*(f"{prefix}:events:r{n}" for n in range(50)))
        return not any(count for _, count in counts)

    await eventually(left)


async def test_a_follower_may_leave_and_come_back(state: State, other: State, prefix: str) -> None:
    await state.events.publish("r1", START)
    for _ in range(3):
        async with aclosing(other.events.follow("r1")) as events:
            assert await anext(events) == START
    follower = asyncio.create_task(all_of(other, "r1"))
    await subscribed(state, prefix, "r1")
    await state.events.publish("r1", END)
    assert await follower == [START, END]


async def test_a_cancelled_follower_leaves(state: State, other: State, prefix: str) -> None:
    one, two = (asyncio.create_task(all_of(other, "r1")) for _ in range(2))
    await subscribed(state, prefix, "r1")
    one.cancel()
    await asyncio.wait([one])
    await state.events.publish("r1", START, END)
    assert await two == [START, END]


async def test_a_slow_follower_loses_nothing(state: State, other: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "QUEUE", 4)
    pieces = text(*(str(n) for n in range(100)))
    quick = asyncio.create_task(all_of(other, "r1"))
    seen = []
    await state.events.publish("r1", START)
    async with aclosing(other.events.follow("r1")) as events:
        seen.append(await anext(events))
        for piece in pieces:
            await state.events.publish("r1", piece)
        await state.events.publish("r1", END)
        assert await quick == [START, *pieces, END]
        seen += [event async for event in events]
    assert seen == [START, *pieces, END]


async def test_a_restart_of_redis_loses_nothing(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path) as url, connect(url) as ours, connect(url) as theirs:
        follower = asyncio.create_task(all_of(theirs, "r1"))
        await subscribed(ours, "consortium", "r1")
        await ours.events.publish("r1", START)
        os.kill(int((await ours.redis.info("server"))["process_id"]), signal.SIGKILL)
        sent = text(*(str(n) for n in range(20)))
        for piece in sent:
            await ours.events.publish("r1", piece)
        await ours.events.publish("r1", END)
        assert await follower == [START, *sent, END]


async def test_an_outage_only_delays_what_is_published(tmp_path: Path) -> None:
    server = embedded_valkey(tmp_path)
    url = await server.__aenter__()
    async with connect(url) as state:
        await server.__aexit__(None, None, None)
        publishing = asyncio.create_task(state.events.publish("r1", END))
        with pytest.raises(Unavailable):  # a command's own attempts are over by then
            await state.ping()
        async with embedded_valkey(tmp_path):
            await publishing
            assert await all_of(state, "r1") == [END]


async def test_a_broken_subscription_loses_nothing(state: State, other: State, prefix: str) -> None:
    follower = asyncio.create_task(all_of(other, "r1"))
    await subscribed(state, prefix, "r1")
    await state.events.publish("r1", START)
    (client,) = await subscriptions(state, prefix)
    await state.redis.client_kill_filter(_id=client["id"])
    sent = text(*(str(n) for n in range(20)))
    for piece in sent:
        await state.events.publish("r1", piece)
    await subscribed(state, prefix, "r1")
    await state.events.publish("r1", END)
    assert await follower == [START, *sent, END]


async def test_a_lost_publication_is_found_in_the_stream(
    state: State, other: State, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.1)
    follower = asyncio.create_task(all_of(other, "r1"))
    await subscribed(state, prefix, "r1")
    await state.redis.xadd(f"{prefix}:events:r1", {"event": END.model_dump_json(), "batch": "x"})
    assert await follower == [END]


async def test_an_event_of_another_version_is_left_out(state: State, other: State, prefix: str) -> None:
    await state.redis.xadd(f"{prefix}:events:r1", {"event": '{"type": "from_the_future"}', "batch": "x"})
    await state.events.publish("r1", END)
    assert await all_of(other, "r1") == [END]


async def test_a_batch_that_is_sent_again_is_known(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client whose connection broke before the reply sends the same command again."""
    monkeypatch.setattr("secrets.token_hex", lambda _: "same")
    await state.events.publish("r1", *text("a", "b"))
    await state.events.publish("r1", *text("a", "b"))
    monkeypatch.undo()
    await state.events.publish("r1", END)
    assert await all_of(state, "r1") == [*text("a", "b"), END]


async def test_events_expire(state: State, prefix: str) -> None:
    await state.events.publish("r1", START)
    assert 0 < await state.redis.ttl(f"{prefix}:events:r1") <= module.KEPT_SECONDS


async def test_nobody_waits_for_a_closed_connection(url: str, prefix: str) -> None:
    async with connect(url, prefix=prefix) as state:
        follower = asyncio.create_task(all_of(state, "r1"))
        await subscribed(state, prefix, "r1")
    with pytest.raises(Unavailable, match="closed"):
        await follower


async def test_redis_stays_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", (0.01,))
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.1)
    server = embedded_valkey(tmp_path)
    url = await server.__aenter__()
    async with connect(url) as state:
        follower = asyncio.create_task(all_of(state, "r1"))
        await subscribed(state, "consortium", "r1")
        await server.__aexit__(None, None, None)
        with pytest.raises(Unavailable, match="REDIS_URL"):
            await follower
        with pytest.raises(Unavailable, match="REDIS_URL"):
            await state.events.publish("r1", END)
