"""Circuit breakers, those in memory and those on Redis alike, by a clock of the test's own."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.state.breakers import RedisBreakers
from adapters.state.state import State, connect
from core.breaker import BreakerPolicy, LocalBreakers
from core.ports import Breakers
from tests.servers import REDIS_MISSING, redis_url

AnyBreakers = LocalBreakers | RedisBreakers
Make = Callable[..., AnyBreakers]
"""Makes breakers by a policy and, if wanted, a clock."""

POLICY = BreakerPolicy(calls=10, seconds=60, least=5, rate=0.5, streak=3, cooldown=10, longest=40, lease=30)


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["local", "embedded", "redis"])
async def make(request: pytest.FixtureRequest, embedded_url: str) -> AsyncIterator[Make]:
    if request.param == "local":
        yield LocalBreakers
        return
    url = embedded_url if request.param == "embedded" else redis_url() or pytest.skip(REDIS_MISSING)
    prefix = f"test-{secrets.token_hex(6)}"
    async with connect(url, prefix=prefix) as state:
        yield state.breakers
        async for key in state.redis.scan_iter(f"{prefix}:*", count=1000):
            await state.redis.delete(key)


@pytest.fixture
def breakers(make: Make, clock: Clock) -> AnyBreakers:
    return make(POLICY, clock)


async def call(breakers: Breakers, *results: bool | None) -> None:
    for ok in results:
        ticket = await breakers.admit("llama")
        assert ticket, "the breaker is open"
        await breakers.report("llama", ticket, ok)


async def opened(breakers: Breakers) -> None:
    await call(breakers, False, False, False)


async def shown(breakers: Breakers) -> str:
    return (await breakers.state("llama")).state


async def test_failures_in_a_row_open_it(breakers: AnyBreakers) -> None:
    await call(breakers, True, True, True, True, True, True, False, False)
    assert await shown(breakers) == "closed"
    await call(breakers, False)
    state = await breakers.state("llama")
    assert (state.state, state.retry_in, state.calls) == ("open", 10, 9)
    assert state.failure_rate == pytest.approx(3 / 9)
    assert await breakers.admit("llama") is None
    assert await breakers.admit("qwen"), "one model's breaker is not another's"


async def test_a_high_rate_opens_it(breakers: AnyBreakers) -> None:
    await call(breakers, False, True, False, True)
    assert await shown(breakers) == "closed", "too few calls to judge"
    await call(breakers, False)
    assert await shown(breakers) == "open"


async def test_a_low_rate_does_not(breakers: AnyBreakers) -> None:
    await call(breakers, *[True, True, False] * 8)
    assert await shown(breakers) == "closed"
    assert (await breakers.state("llama")).calls == 10, "only the latest count"


async def test_old_failures_are_forgotten(breakers: AnyBreakers, clock: Clock) -> None:
    await call(breakers, False, False)
    clock.now += 61
    await call(breakers, False, False)
    assert await shown(breakers) == "closed"
    assert (await breakers.state("llama")).calls == 2


async def test_cancelled_calls_count_as_nothing(breakers: AnyBreakers) -> None:
    await call(breakers, False, None, False, None, None)
    state = await breakers.state("llama")
    assert (state.state, state.calls) == ("closed", 2)
    await call(breakers, False)
    assert await shown(breakers) == "open", "a cancelled call does not end a streak"


@pytest.mark.parametrize("probes", [1, 3])
async def test_half_open_lets_exactly_n_through(make: Make, clock: Clock, probes: int) -> None:
    breakers = make(BreakerPolicy(probes=probes, cooldown=10), clock)
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


async def test_a_failed_probe_opens_it_for_longer(breakers: AnyBreakers, clock: Clock) -> None:
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


async def test_success_before_a_probe_failed_counts_no_more(make: Make, clock: Clock) -> None:
    breakers = make(BreakerPolicy(probes=2, cooldown=10), clock)
    await opened(breakers)
    clock.now += 10
    await call(breakers, True, False)
    clock.now += 20
    await call(breakers, True)
    assert await shown(breakers) == "half_open"
    await call(breakers, True)
    assert await shown(breakers) == "closed"


async def test_a_cancelled_probe_makes_room(breakers: AnyBreakers, clock: Clock) -> None:
    await opened(breakers)
    clock.now += 10
    await call(breakers, None, None)
    assert await shown(breakers) == "half_open"
    await call(breakers, True)
    assert await shown(breakers) == "closed"


async def test_a_prober_that_is_never_heard_of_again(breakers: AnyBreakers, clock: Clock) -> None:
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


async def test_late_reports_do_not_count(breakers: AnyBreakers, clock: Clock) -> None:
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


async def test_reset(breakers: AnyBreakers) -> None:
    await opened(breakers)
    await breakers.reset("llama")
    state = await breakers.state("llama")
    assert (state.state, state.calls, state.retry_in) == ("closed", 0, None)
    await call(breakers, True)


async def test_their_own_clock(make: Make) -> None:
    """Without a clock of ours: a breaker that opens for a moment probes by itself."""
    breakers = make(BreakerPolicy(cooldown=0.05))
    await opened(breakers)
    async with asyncio.timeout(10):
        while (ticket := await breakers.admit("llama")) is None:
            assert (await breakers.state("llama")).state in ("open", "half_open")
            await asyncio.sleep(0.01)
    await breakers.report("llama", ticket, True)
    assert await shown(breakers) == "closed"


async def test_nothing_is_kept_for_ever(state: State, prefix: str, clock: Clock) -> None:
    breakers = state.breakers(POLICY, clock)
    await call(breakers, True)
    await opened(breakers)
    clock.now += 10
    assert await breakers.admit("llama")
    keys = [key async for key in state.redis.scan_iter(f"{prefix}:breaker:*")]
    assert len(keys) == 3
    for key in keys:
        assert await state.redis.ttl(key) > 0


async def test_a_breaker_in_memory_that_nobody_asks_is_forgotten_as_on_redis(clock: Clock) -> None:
    breakers = LocalBreakers(POLICY, clock)
    await opened(breakers)
    clock.now += 10 + 24 * 3600 - 1
    assert await shown(breakers) == "half_open"
    clock.now += 1
    assert await shown(breakers) == "closed"
    await opened(breakers)
    assert (await breakers.state("llama")).retry_in == 10


async def test_one_that_never_gets_well_opens_for_the_longest_time(make: Make, clock: Clock) -> None:
    breakers = make(BreakerPolicy(streak=1, cooldown=0.001, longest=0.002), clock)
    for _ in range(1100):  # twice as long so many times is more than a number holds
        await call(breakers, False)
        clock.now += 1
    await call(breakers, False)
    assert (await breakers.state("llama")).retry_in == 0.002


# --- the same whatever happens --------------------------------------------------------------------------

Event = tuple[str, float]
RESULTS = {"good": True, "bad": False, "cancelled": None}
EXAMPLES = itertools.count()  # each has a breaker of its own

POLICIES = st.builds(
    BreakerPolicy,
    calls=st.integers(1, 12),
    least=st.integers(1, 6),
    rate=st.sampled_from([0.3, 0.5, 1.0]),
    streak=st.integers(1, 4),
    cooldown=st.sampled_from([0.0005, 5, 9.9996]),
    longest=st.sampled_from([5, 10, 40]),
    probes=st.integers(1, 3),
    lease=st.sampled_from([5, 15]),
)
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.tuples(st.just("call"), st.sampled_from([0.0, 0.0, 1.0])),  # with its result, at once
    st.tuples(st.just("admit"), st.just(0.0)),
    st.tuples(st.sampled_from(list(RESULTS)), st.integers(0, 4).map(float)),  # of a ticket, perhaps late or again
    st.tuples(st.just("wait"), st.sampled_from([0.0004, 1, 4.999, 5, 9.9996, 10, 20, 40, 59.999, 60])),
    st.tuples(st.just("reset"), st.just(0.0)),
)


async def told(breakers: AnyBreakers, key: str, tickets: list[str], event: str, value: float) -> str | None:
    """Let one event happen; gives what the breaker answers."""
    if event in RESULTS and tickets:
        await breakers.report(key, tickets[int(value) % len(tickets)], RESULTS[event])
    if event == "reset":
        await breakers.reset(key)
    if event not in ("admit", "call"):
        return None
    ticket = await breakers.admit(key)
    if ticket and event == "call":
        await breakers.report(key, ticket, bool(value))
    elif ticket:
        tickets.append(ticket)
    return ticket


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(policy=POLICIES, events=st.lists(EVENTS, min_size=10, max_size=40))
async def test_both_kinds_never_differ(state: State, policy: BreakerPolicy, events: list[Event]) -> None:
    clock, key = Clock(), f"model{next(EXAMPLES)}"
    local, shared = LocalBreakers(policy, clock), state.breakers(policy, clock)
    ours: list[str] = []
    theirs: list[str] = []
    for event, value in events:
        clock.now += value if event == "wait" else 0
        assert await told(local, key, ours, event, value) == await told(shared, key, theirs, event, value)
        assert await local.state(key) == await shared.state(key)
