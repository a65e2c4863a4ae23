"""What a process holds: one has it, and another takes over when it is gone, and only then."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from adapters.state import presence as module
from adapters.state.presence import is_dead, new_process_id
from adapters.state.state import State, connect
from adapters.state.valkey import embedded_valkey
from core.asks import Platform
from core.errors import Unavailable
from core.stores import Kept
from tests.adapters.state.conftest import eventually

ALIVE = 0.4


def event(name: str, platform: Platform = Platform.SLACK) -> Kept:
    return Kept(id=name, platform=platform, kind="message", body='{"text": "Wörter und\\n Zeilen"}')


@pytest.fixture
async def first(url: str, prefix: str) -> AsyncIterator[State]:
    async with connect(url, prefix=prefix, alive=ALIVE) as state:
        yield state


@pytest.fixture
async def second(url: str, prefix: str) -> AsyncIterator[State]:
    async with connect(url, prefix=prefix, alive=ALIVE) as state:
        yield state


async def silence(state: State) -> None:
    """The process says nothing any more, as one that is stopped or cut off."""
    await state.presence.aclose()


# --- claims ---------------------------------------------------------------------------------------------


async def test_one_of_many_has_a_claim(first: State, second: State) -> None:
    taken = await asyncio.gather(*(state.claims.take("post:r1") for state in (first, second) for _ in range(10)))
    assert taken.count(True) == 10, "one of the two, as often as it asks"
    assert taken[:10] in ([True] * 10, [False] * 10)
    assert [await state.claims.holds("post:r1") for state in (first, second)] == [taken[0], taken[10]]


async def test_many_claims_are_taken_at_once(first: State, second: State) -> None:
    assert await first.claims.take_all(["a", "b"]) == {"a", "b"}
    assert await second.claims.take_all(["a", "c"]) == {"c"}
    assert await first.claims.take_all(["a", "b", "c"]) == {"a", "b"}
    assert await first.claims.take_all([]) == set()
    assert [await second.claims.holds(name) for name in "abc"] == [False, False, True]


async def test_a_dropped_claim_is_free(first: State, second: State) -> None:
    assert await first.claims.take("a")
    await second.claims.drop("a")
    assert await first.claims.holds("a"), "nobody drops what is not theirs"
    await first.claims.drop("a")
    assert not await first.claims.holds("a")
    assert await second.claims.take("a")


async def test_claims_last_while_their_process_is_there(first: State, second: State) -> None:
    assert await first.claims.take("a")
    await asyncio.sleep(2 * ALIVE)
    assert not await second.claims.take("a")
    assert await first.claims.holds("a")


async def test_the_claims_of_a_silent_process_pass_on(first: State, second: State) -> None:
    assert await first.claims.take("a")
    await silence(first)
    assert not await second.claims.take("a"), "not at once"
    await eventually(lambda: second.claims.take("a"))
    assert not await first.claims.holds("a")
    assert not await first.claims.take("a"), "and it does not come back by itself"


async def test_an_orderly_end_frees_at_once(url: str, prefix: str, second: State) -> None:
    async with connect(url, prefix=prefix) as leaving:
        assert await leaving.claims.take("a")
        assert await leaving.inbox.keep(event("e1"))
    assert await second.claims.take("a")
    assert await second.inbox.orphans(Platform.SLACK) == [event("e1")]


FRONT = """
import asyncio, sys
from adapters.state.state import connect
from core.stores import Kept

async def main():
    async with connect(sys.argv[1], prefix=sys.argv[2]) as state:
        kept = [await state.inbox.keep(Kept.model_validate_json(line)) for line in sys.argv[3:]]
        print(await state.claims.take("a"), all(kept), state.presence.id, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_killed_process_of_this_machine_is_gone_at_once(url: str, prefix: str, second: State) -> None:
    kept = [event(f"e{n}") for n in range(12)]
    command = [sys.executable, "-c", FRONT, url, prefix, *(each.model_dump_json() for each in kept)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: ASYNC220 - quick
        assert process.stdout is not None
        claimed, all_kept, name = (await asyncio.to_thread(process.stdout.readline)).split()
        assert (claimed, all_kept) == ("True", "True")
        assert not is_dead(name)
        assert not await second.claims.take("a")
        assert await second.inbox.orphans(Platform.SLACK) == []
        process.send_signal(signal.SIGKILL)
        process.wait()
    started = time.monotonic()
    assert await second.claims.take("a")
    assert await second.inbox.orphans(Platform.SLACK) == kept
    assert time.monotonic() - started < module.ALIVE_SECONDS / 4


def test_only_the_dead_of_this_machine_are_known_dead() -> None:
    name = new_process_id()
    machine, pid, started, token = name.split("-")
    assert pid == str(os.getpid())
    assert not is_dead(name)
    assert is_dead(f"{machine}-{pid}-{int(started) + 1}-{token}"), "another process had that number before"
    assert not is_dead(f"0{machine[1:]}x-{2**22 + 1}-1-{token}"), "another machine's"
    assert not is_dead("something else")


# --- the inbox ------------------------------------------------------------------------------------------


async def test_an_event_is_kept_once(first: State, second: State) -> None:
    kept = await asyncio.gather(*(state.inbox.keep(event("e1")) for state in (first, second) for _ in range(10)))
    assert kept.count(True) == 1
    holder = first if kept.index(True) < 10 else second
    await holder.inbox.done(event("e1"))
    assert [await state.inbox.keep(event("e1")) for state in (first, second)] == [False, False]
    assert await first.inbox.keep(event("e1", Platform.DISCORD)), "another platform's ids are others"


async def test_orphans_go_to_one_process_oldest_first(url: str, prefix: str, first: State, second: State) -> None:
    kept = [event(name) for name in ("e2", "e1", "e3")]
    for each in kept:
        assert await first.inbox.keep(each)
    assert await second.inbox.keep(event("own"))
    assert await second.inbox.orphans(Platform.SLACK) == []
    await silence(first)
    async with connect(url, prefix=prefix, alive=ALIVE) as third:
        found: list[Kept] = []

        async def all_found() -> bool:
            for part in await asyncio.gather(*(s.inbox.orphans(Platform.SLACK) for s in (second, third))):
                found.extend(part)
            return len(found) >= 3

        await eventually(all_found)
        assert found == kept
        assert not await third.inbox.keep(event("e2"))
        assert not await second.inbox.keep(event("e2"))
        await second.inbox.done(event("e2"))
        await third.inbox.done(event("e1"))
        assert not await first.inbox.keep(event("e1"))


async def test_nothing_stays_of_what_is_done(first: State, prefix: str) -> None:
    assert await first.inbox.keep(event("e1"))
    await first.inbox.done(event("e1"))
    await first.inbox.done(event("e1"))
    keys = {key.decode() async for key in first.redis.scan_iter(f"{prefix}:inbox*", count=1000)}
    assert keys == {f"{prefix}:inbox-known:slack:e1"}
    assert 0 < await first.redis.ttl(f"{prefix}:inbox-known:slack:e1") <= 900


# --- Redis is away --------------------------------------------------------------------------------------


async def test_keep_says_within_two_seconds_that_it_cannot(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The server hangs. What it stored all the same is an orphan of the process that could not know."""
    caplog.set_level(logging.CRITICAL)
    async with embedded_valkey(tmp_path) as url, connect(url, alive=ALIVE) as state:
        server = (await state.redis.info("server"))["process_id"]
        os.kill(server, signal.SIGSTOP)
        started = time.monotonic()
        try:
            with pytest.raises(Unavailable, match="REDIS_URL"):
                await state.inbox.keep(event("e1"))
            assert time.monotonic() - started < 2.5
        finally:
            os.kill(server, signal.SIGCONT)
        again = await state.inbox.keep(event("e1"))
        assert again, "the platform sends it again"
        assert not await state.inbox.keep(event("e1"))
        assert await state.inbox.orphans(Platform.SLACK) == []


async def test_an_event_of_unknown_outcome_that_is_not_sent_again(first: State, second: State) -> None:
    assert await first.inbox.keep(event("e0"))  # Redis knows the script from now on: it goes by its digest, once
    await first.inbox.done(event("e0"))
    keeping = asyncio.create_task(first.inbox.keep(event("e1")))
    await asyncio.sleep(0)  # on its way
    await asyncio.sleep(0)
    keeping.cancel()
    await asyncio.wait([keeping])
    assert keeping.cancelled()
    await first.ping()
    assert not await second.inbox.keep(event("e1")), "it was stored"
    assert await second.inbox.orphans(Platform.SLACK) == []
    assert await first.inbox.orphans(Platform.SLACK) == [event("e1")]
    assert await first.inbox.orphans(Platform.SLACK) == []


async def test_a_claim_of_unknown_outcome_is_given_up(first: State, second: State) -> None:
    taking = asyncio.create_task(first.claims.take("a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    taking.cancel()
    await asyncio.wait([taking])
    assert taking.cancelled()
    await eventually(lambda: second.claims.take("a"))


async def test_silence_in_an_outage_is_no_death(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    server = embedded_valkey(tmp_path)
    url = await server.__aenter__()
    async with connect(url, alive=ALIVE) as first, connect(url, alive=ALIVE) as second:
        assert await first.claims.take("a")
        assert await first.inbox.keep(event("e1"))
        await server.__aexit__(None, None, None)
        await silence(first)
        with pytest.raises(Unavailable, match="REDIS_URL"):
            await second.claims.take("a")
        async with embedded_valkey(tmp_path):
            assert not await second.claims.take("a"), "its holder could not speak, that is all"
            assert await second.inbox.orphans(Platform.SLACK) == []
            await eventually(lambda: second.claims.take("a"))


async def test_what_redis_loses_is_stored_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    server = embedded_valkey(tmp_path)
    url = await server.__aenter__()
    async with connect(url, alive=ALIVE) as first, connect(url, alive=ALIVE) as second:
        assert await first.claims.take("a")
        assert await first.inbox.keep(event("e1"))
        assert await first.inbox.keep(event("e2"))
        await server.__aexit__(None, None, None)
        done = first.inbox.done(event("e2"))
        held, _ = await asyncio.gather(first.claims.holds("a"), done, return_exceptions=True)
        assert isinstance(held, Unavailable)
        shutil.rmtree(tmp_path / "appendonlydir")
        async with embedded_valkey(tmp_path):
            assert await first.claims.holds("a")
            assert not await second.claims.take("a")
            assert not await second.inbox.keep(event("e1"))

            async def known() -> bool:
                return bool(await first.redis.exists("consortium:inbox-known:slack:e2"))

            await eventually(known)
            assert not await second.inbox.keep(event("e2"))


async def test_who_finds_an_empty_server_at_the_start_recovers_what_was_lost(url: str, prefix: str) -> None:
    recovered, known = asyncio.Event(), asyncio.Event()

    async def note(event: asyncio.Event) -> None:
        event.set()

    async with connect(url, prefix=prefix, alive=0.2) as first:
        first.presence.recovered.append(partial(note, recovered))
        await asyncio.wait_for(recovered.wait(), 5)
    async with connect(url, prefix=prefix, alive=0.2) as second:
        beaten = asyncio.Event()
        second.presence.recovered.append(partial(note, known))
        second.presence.beats.append(partial(note, beaten))
        for _ in range(2):
            beaten.clear()
            await asyncio.wait_for(beaten.wait(), 5)
    assert not known.is_set(), "it has its data"
