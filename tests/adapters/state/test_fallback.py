"""Breakers while Redis is away: the process's own decide, knowing its latest calls; then the shared ones again."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.state.state import State, connect
from adapters.state.valkey import embedded_valkey
from core.breaker import BreakerPolicy, FallbackBreakers, LocalBreakers
from core.ports import Breakers
from tests.adapters.state.conftest import eventually

POLICY = BreakerPolicy(streak=3, cooldown=0.8, lease=60)


def of(state: State, policy: BreakerPolicy = POLICY, patience: float = 0.1) -> FallbackBreakers:
    return FallbackBreakers(state.breakers(policy), LocalBreakers(policy), patience=patience, pause=0.1)


async def call(breakers: Breakers, *results: bool | None) -> None:
    for ok in results:
        ticket = await breakers.admit("llama")
        assert ticket, "the breaker is open"
        await breakers.report("llama", ticket, ok)


@pytest.fixture
async def two(url: str, prefix: str) -> AsyncIterator[tuple[FallbackBreakers, FallbackBreakers]]:
    """Those of two processes."""
    policy = BreakerPolicy(streak=3, cooldown=60)
    async with connect(url, prefix=prefix) as first, connect(url, prefix=prefix) as second:
        yield of(first, policy), of(second, policy)


async def test_what_one_process_finds_out_spares_the_others(two: tuple[FallbackBreakers, FallbackBreakers]) -> None:
    first, second = two
    await call(first, False, False)
    await call(second, False)
    assert [await breakers.admit("llama") for breakers in two] == [None, None]
    assert (await second.state("llama")).state == "open"
    assert await second.admit("qwen"), "another model"
    await second.reset("llama")
    assert await first.admit("llama")


async def test_the_own_breakers_decide_while_redis_is_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = embedded_valkey(tmp_path)
    url = await server.__aenter__()
    async with connect(url) as state:
        breakers = of(state)
        await call(breakers, False, False)
        under_way = await breakers.admit("llama")
        assert under_way
        await server.__aexit__(None, None, None)
        await breakers.report("llama", under_way, False)
        assert (await breakers.state("llama")).state == "open", "the two failures before count"
        assert await breakers.admit("llama") is None
        started = time.monotonic()
        for _ in range(100):
            assert await breakers.admit("qwen")
        assert time.monotonic() - started < 2, "nobody waits for Redis with every call"
        assert capsys.readouterr().out.count("shared breakers are out of reach") == 1
        async with embedded_valkey(tmp_path):
            shared = state.breakers(POLICY)

            async def told() -> bool:
                await breakers.admit("llama")
                return (await shared.state("llama")).calls == 3

            await eventually(told)

            async def closes() -> bool:
                if ticket := await breakers.admit("llama"):
                    await breakers.report("llama", ticket, True)
                return (await shared.state("llama")).state == "closed"

            await eventually(closes)
            await eventually(lambda: _is_closed(breakers))


async def _is_closed(breakers: Breakers) -> bool:
    return (await breakers.state("llama")).state == "closed"


async def test_a_ticket_that_comes_too_late_is_given_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Redis hangs as a probe is asked for: were its ticket lost, nobody could probe for a minute."""
    caplog.set_level(logging.CRITICAL)
    async with embedded_valkey(tmp_path) as url, connect(url) as state:
        breakers = of(state)
        await call(breakers, False, False, False)
        await asyncio.sleep(POLICY.cooldown)
        server = (await state.redis.info("server"))["process_id"]
        os.kill(server, signal.SIGSTOP)
        try:
            assert await breakers.admit("llama"), "the own one probes"
        finally:
            os.kill(server, signal.SIGCONT)

        async def probes() -> bool:
            ticket = await breakers.admit("llama")
            return bool(ticket and not ticket.startswith("|"))

        await eventually(probes, seconds=5)
