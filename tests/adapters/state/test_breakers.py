"""Circuit breakers, by a clock of the test's own."""

from __future__ import annotations

import asyncio

import pytest

from adapters.state.breakers import BreakerPolicy, RedisBreakers
from adapters.state.state import State, connect

POLICY = BreakerPolicy(calls=10, seconds=60, least=5, rate=0.5, streak=3, cooldown=10, longest=40, lease=30)


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breakers(state: State, clock: Clock) -> RedisBreakers:
    return state.breakers(POLICY, clock)


async def call(breakers: RedisBreakers, *results: bool | None) -> None:
    for ok in results:
        ticket = await breakers.admit("llama")
        assert ticket, "the breaker is open"
        await breakers.report("llama", ticket, ok)


async def opened(breakers: RedisBreakers) -> None:
    await call(breakers, False, False, False)


async def shown(breakers: RedisBreakers) -> str:
    return (await breakers.state("llama")).state


async def test_failures_in_a_row_open_it(breakers: RedisBreakers) -> None:
    await call(breakers, True, True, True, True, True, True, False, False)
    assert await shown(breakers) == "closed"
    await call(breakers, False)
    state = await breakers.state("llama")
    assert (state.state, state.retry_in, state.calls) == ("open", 10, 9)
    assert state.failure_rate == pytest.approx(3 / 9)
    assert await breakers.admit("llama") is None
    assert await breakers.admit("qwen"), "one model's breaker is not another's"


async def test_a_high_rate_opens_it(breakers: RedisBreakers) -> None:
    await call(breakers, False, True, False, True)
    assert await shown(breakers) == "closed", "too few calls to judge"
    await call(breakers, False)
    assert await shown(breakers) == "open"


async def test_a_low_rate_does_not(breakers: RedisBreakers) -> None:
    await call(breakers, *[True, True, False] * 8)
    assert await shown(breakers) == "closed"
    assert (await breakers.state("llama")).calls == 10, "only the latest count"


async def test_old_failures_are_forgotten(breakers: RedisBreakers, clock: Clock) -> None:
    await call(breakers, False, False)
    clock.now += 61
    await call(breakers, False, False)
    assert await shown(breakers) == "closed"
    assert (await breakers.state("llama")).calls == 2


async def test_cancelled_calls_count_as_nothing(breakers: RedisBreakers) -> None:
    await call(breakers, False, None, False, None, None)
    state = await breakers.state("llama")
    assert (state.state, state.calls) == ("closed", 2)
    await call(breakers, False)
    assert await shown(breakers) == "open", "a cancelled call does not end a streak"


@pytest.mark.parametrize("probes", [1, 3])
async def test_half_open_lets_exactly_n_through(state: State, clock: Clock, probes: int) -> None:
    policy = BreakerPolicy(probes=probes, cooldown=10)
    breakers = state.breakers(policy, clock)
    await opened(breakers)
    clock.now += 10
    assert await shown(breakers) == "half_open"
    tickets = [t for t in await asyncio.gather(*(breakers.admit("llama") for _ in range(50))) if t]
    assert len(tickets) == probes
    for ticket in tickets:
        assert await shown(breakers) == "half_open"
        await breakers.report("llama", ticket, True)
    state_now = await breakers.state("llama")
    assert (state_now.state, state_now.calls) == ("closed", 0), "closed, and what was is forgotten"


async def test_processes_share_it(url: str, prefix: str, clock: Clock) -> None:
    async with connect(url, prefix=prefix) as one, connect(url, prefix=prefix) as other:
        ours, theirs = one.breakers(POLICY, clock), other.breakers(POLICY, clock)
        await opened(ours)
        assert await theirs.admit("llama") is None
        clock.now += 10
        attempts = [b.admit("llama") for b in (ours, theirs) for _ in range(25)]
        assert sum(ticket is not None for ticket in await asyncio.gather(*attempts)) == 1


async def test_a_failed_probe_opens_it_for_longer(breakers: RedisBreakers, clock: Clock) -> None:
    await opened(breakers)
    for wait in (10, 20, 40, 40):
        clock.now += wait - 1
        assert await breakers.admit("llama") is None, f"{wait} s are not over"
        clock.now += 1
        await call(breakers, False)
    clock.now += 40
    await call(breakers, True)
    await opened(breakers)
    assert (await breakers.state("llama")).retry_in == 10, "after it was well it starts from the beginning"


async def test_a_cancelled_probe_makes_room(breakers: RedisBreakers, clock: Clock) -> None:
    await opened(breakers)
    clock.now += 10
    await call(breakers, None, None)
    assert await shown(breakers) == "half_open"
    await call(breakers, True)
    assert await shown(breakers) == "closed"


async def test_a_prober_that_is_never_heard_of_again(breakers: RedisBreakers, clock: Clock) -> None:
    await opened(breakers)
    clock.now += 10
    lost = await breakers.admit("llama")
    assert lost
    clock.now += 29
    assert await breakers.admit("llama") is None
    clock.now += 1
    await call(breakers, True)
    assert await shown(breakers) == "closed"
    await breakers.report("llama", lost, False)
    assert (await breakers.state("llama")).calls == 0, "its word comes too late to count"


async def test_late_reports_do_not_count(breakers: RedisBreakers, clock: Clock) -> None:
    """Calls that began before it opened neither close it, nor prolong it, nor count after it closed."""
    early = [await breakers.admit("llama") for _ in range(4)]
    await opened(breakers)
    await breakers.report("llama", str(early[0]), True)
    await breakers.report("llama", str(early[1]), False)
    assert (await breakers.state("llama")).retry_in == 10
    clock.now += 10
    await breakers.report("llama", str(early[2]), True)
    assert await shown(breakers) == "half_open"
    await call(breakers, True)
    await breakers.report("llama", str(early[3]), False)
    assert (await breakers.state("llama")).calls == 0


async def test_reset(breakers: RedisBreakers) -> None:
    await opened(breakers)
    await breakers.reset("llama")
    state = await breakers.state("llama")
    assert (state.state, state.calls, state.retry_in) == ("closed", 0, None)
    await call(breakers, True)


async def test_the_servers_clock(state: State) -> None:
    """Without a clock of our own: a breaker that opens for a moment probes by itself."""
    breakers = state.breakers(BreakerPolicy(cooldown=0.05))
    await opened(breakers)
    async with asyncio.timeout(10):
        while (ticket := await breakers.admit("llama")) is None:
            assert (await breakers.state("llama")).state in ("open", "half_open")
            await asyncio.sleep(0.01)
    await breakers.report("llama", ticket, True)
    assert await shown(breakers) == "closed"


async def test_nothing_is_kept_for_ever(breakers: RedisBreakers, state: State, prefix: str, clock: Clock) -> None:
    await call(breakers, True)
    await opened(breakers)
    clock.now += 10
    assert await breakers.admit("llama")
    keys = [key async for key in state.redis.scan_iter(f"{prefix}:*")]
    assert len(keys) == 3
    for key in keys:
        assert await state.redis.ttl(key) > 0
