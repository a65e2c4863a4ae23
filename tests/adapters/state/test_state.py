"""Sessions, rate limits, duplicates, and what is said when Redis is away."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Iterable
from pathlib import Path

import pytest

from adapters.state.redis import address
from adapters.state.state import SESSION_SECONDS, State, connect
from adapters.state.valkey import embedded_valkey
from core.asks import Person, Platform, ThreadRef
from core.catalog import LimitSpec
from core.errors import ConfigError, RateLimited, Unavailable
from core.stores import Session

ANN, BOB = Person(id="U1", name="Ann"), Person(id="U2")
HERE = ThreadRef(platform=Platform.SLACK, workspace="T1", channel="C1")


async def test_a_session_is_its_persons_in_that_channel(state: State) -> None:
    session = Session(roles={"llama": "Rawlsian"}, consortium="big")
    await state.sessions.save(ANN, HERE, session)
    assert await state.sessions.load(ANN, HERE) == session
    assert await state.sessions.load(ANN, HERE.model_copy(update={"thread": "17.1"})) == session
    others = [
        (BOB, HERE),
        (ANN, HERE.model_copy(update={"channel": "C2"})),
        (ANN, HERE.model_copy(update={"workspace": "T2"})),
        (ANN, HERE.model_copy(update={"platform": Platform.DISCORD})),
    ]
    for asker, where in others:
        assert await state.sessions.load(asker, where) == Session()


async def test_names_with_separators_do_not_meet(state: State) -> None:
    one = HERE.model_copy(update={"workspace": "a:b", "channel": "c"})
    other = HERE.model_copy(update={"workspace": "a", "channel": "b:c"})
    await state.sessions.save(ANN, one, Session(domain="policy"))
    assert await state.sessions.load(ANN, other) == Session()


async def test_a_persons_sessions_of_a_workspace_are_forgotten_and_no_others(state: State) -> None:
    elsewhere = HERE.model_copy(update={"channel": "a:U1"})
    kept = [(BOB, HERE), (ANN, HERE.model_copy(update={"workspace": "T2"})), (Person(id="*"), HERE)]
    for asker, where in [(ANN, HERE), (ANN, elsewhere), *kept]:
        await state.sessions.save(asker, where, Session(domain="policy"))
    await state.sessions.forget(ANN, HERE)
    assert [await state.sessions.load(ANN, where) for where in (HERE, elsewhere)] == [Session(), Session()]
    assert [(await state.sessions.load(*of)).domain for of in kept] == ["policy"] * 3
    await state.sessions.forget(Person(id="nobody"), HERE)


async def test_a_session_expires(state: State, prefix: str) -> None:
    await state.sessions.save(ANN, HERE, Session(domain="policy"))
    (key,) = [key async for key in state.redis.scan_iter(f"{prefix}:session:*")]
    assert SESSION_SECONDS - 60 < await state.redis.ttl(key) <= SESSION_SECONDS


async def test_a_session_of_another_version_is_no_error(state: State, prefix: str) -> None:
    await state.sessions.save(ANN, HERE, Session(domain="policy"))
    (key,) = [key async for key in state.redis.scan_iter(f"{prefix}:session:*")]
    await state.redis.set(key, '{"colour": "blue"}')
    assert await state.sessions.load(ANN, HERE) == Session()


async def test_an_event_is_first_once(state: State) -> None:
    assert await state.duplicates.first("event-1", "message-1")
    assert not await state.duplicates.first("event-1", "message-1")
    assert not await state.duplicates.first("event-2", "message-1"), "the same message by another event"
    assert not await state.duplicates.first("event-2"), "a refused event counts as seen too"
    assert await state.duplicates.first("event-3")
    assert await state.duplicates.first()


async def test_of_many_at_once_one_is_first(state: State) -> None:
    assert sum(await asyncio.gather(*(state.duplicates.first("event") for _ in range(100)))) == 1


async def test_what_was_seen_is_forgotten(state: State, prefix: str) -> None:
    await state.duplicates.first("event")
    assert 0 < await state.redis.ttl(f"{prefix}:seen:event") <= 900


async def test_limits_are_exact_under_concurrency(state: State) -> None:
    limits = state.limits(LimitSpec(user="20/minute", workspace="1000/minute"))
    refused = await refusals(limits.spend(ANN, HERE) for _ in range(200))
    assert len(refused) == 180
    assert all(error.scope == "You" and 1 <= error.retry_after <= 60 for error in refused)
    await limits.spend(BOB, HERE)


async def refusals(attempts: Iterable[Awaitable[None]]) -> list[RateLimited]:
    results = await asyncio.gather(*attempts, return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    assert all(isinstance(error, RateLimited) for error in errors), errors
    return [error for error in errors if isinstance(error, RateLimited)]


async def test_a_workspace_has_its_own_limit(state: State) -> None:
    limits = state.limits(LimitSpec(user="3/minute", workspace="4/minute"))
    for asker in (ANN, ANN, BOB, BOB):
        await limits.spend(asker, HERE)
    with pytest.raises(RateLimited, match="This workspace asked too often"):
        await limits.spend(ANN, HERE)
    elsewhere = HERE.model_copy(update={"workspace": "T2"})
    await limits.spend(ANN, elsewhere)


async def test_a_refusal_spends_nothing(state: State) -> None:
    """Refused by the workspace, a person keeps all tokens of both own windows."""
    tight = state.limits(LimitSpec(user="3/minute;5/day", workspace="1/hour"))
    await tight.spend(BOB, HERE)
    assert len(await refusals(tight.spend(ANN, HERE) for _ in range(50))) == 50
    roomy = state.limits(LimitSpec(user="3/minute;5/day", workspace="1000/hour"))
    assert len(await refusals(roomy.spend(ANN, HERE) for _ in range(5))) == 2


async def test_the_wait_is_that_of_the_longest_window(state: State) -> None:
    limits = state.limits(LimitSpec(user="1/minute;1/hour", workspace="1/day"))
    await limits.spend(ANN, HERE)
    with pytest.raises(RateLimited) as refusal:
        await limits.spend(ANN, HERE)
    assert 86000 < refusal.value.retry_after <= 86401


@pytest.mark.parametrize("text", ["", "ten a minute", "10/fortnight", "10"])
async def test_limits_that_cannot_be_read(state: State, text: str) -> None:
    with pytest.raises(ConfigError, match=r"limits\.workspace"):
        state.limits(LimitSpec(workspace=text))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:geheim@host:6379/0?password=geheim", "redis://host:6379/0"),
        ("unix:///run/redis.sock?password=geheim", "unix:///run/redis.sock"),
        ("user:geheim@host", "host"),
    ],
)
def test_an_address_has_no_password(url: str, shown: str) -> None:
    assert address(url) == shown


async def test_an_address_that_is_none() -> None:
    with pytest.raises(ConfigError, match="REDIS_URL") as error:
        async with connect("postgres://user:geheim@localhost/0"):
            pass
    assert "geheim" not in str(error.value)


async def test_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unavailable, match="REDIS_URL") as error:
        async with connect(f"redis://:geheim@127.0.0.1:{port}/0"):
            pass
    assert "geheim" not in str(error.value)


async def test_redis_goes_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = embedded_valkey(tmp_path)
    url = await server.__aenter__()
    async with connect(url) as state:
        limits, breakers = state.limits(LimitSpec()), state.breakers()
        await limits.spend(ANN, HERE)
        await server.__aexit__(None, None, None)
        attempts = [
            state.sessions.load(ANN, HERE),
            state.sessions.save(ANN, HERE, Session()),
            state.duplicates.first("event"),
            breakers.admit("llama"),
            state.ping(),
        ]
        *errors, _, _ = await asyncio.gather(
            *attempts, limits.spend(ANN, HERE), limits.spend(BOB, HERE), return_exceptions=True
        )
        for error in errors:
            assert isinstance(error, Unavailable), error
        assert capsys.readouterr().out.count("without a look at rate limits") == 1, "people may ask; the log says so"
        async with embedded_valkey(tmp_path):
            await state.ping()
            assert await state.duplicates.first("event"), "scripts are there again after a restart"
            assert await breakers.admit("llama") is not None


async def test_a_cancelled_caller_takes_nothing_from_others(state: State) -> None:
    calls = [asyncio.create_task(state.duplicates.first(f"event-{n}")) for n in range(50)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    assert all(await asyncio.gather(*calls[1::2]))
    assert not await state.duplicates.first("event-1")
