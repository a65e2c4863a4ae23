"""How long a page of history takes when many people have asked a lot: ``python -m tests.bench history``.

10,000 answered runs of 1,000 people, a tenth of them one person's, on SQLite and on PostgreSQL: the query alone, with
and without a text to search for, and the chat command through the service; one after the other, and 10 at once.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import Connection, insert

from adapters.history import SqlHistory
from adapters.history.rows import outcome_row, round_row, run_row
from adapters.history.schema import outcomes, rounds, runs
from adapters.state.state import connect
from core.asks import Person, Platform, ThreadRef
from core.commands.values import HistoryCommand
from core.service import Inbound, Service
from core.stores import Session
from core.types import Run
from tests.adapters.history.samples import START, finished, new_run
from tests.core.fakes import catalog, office
from tests.servers import postgres_url, redis_url

PEOPLE, RUNS, BUSY, LOOKS = 1_000, 10_000, 1_000, 200
"""People, their runs, how many of those are one person's, and how often each thing is measured."""

WANTED = 50.0
"""Milliseconds that a page may take at the 95th percentile."""

_WORDS = ("remote", "work", "default", "tax", "bridge", "vaccine", "garden", "engine", "novel", "river", "orbit")
Look = Callable[[int], Awaitable[object]]


def person(number: int) -> Person:
    """Somebody; number 0 asks more than all others."""
    return Person(id=f"U{number}", name=f"Person {number}")


def channel(number: int) -> ThreadRef:
    """Where that person asks."""
    return ThreadRef(platform=Platform.SLACK, workspace="T1", channel=f"C{number % 40}", thread=f"{number}.1")


def asked(number: int, rng: random.Random) -> Run:
    """A run with all its outcomes and some 2 kB of answer."""
    who = 0 if number < BUSY else number % PEOPLE
    text = f"Question {number}: " + " ".join(rng.choices(_WORDS, k=20))
    run = finished(new_run(asker=person(who), where=channel(who), text=text, at=START + timedelta(minutes=number)))
    verdict = run.verdict
    assert verdict
    longer = verdict.model_copy(update={"synthesis": " ".join(rng.choices(_WORDS, k=300))})
    last = run.rounds[-1].model_copy(update={"verdict": longer})
    return run.model_copy(update={"id": f"{number:012x}", "rounds": (*run.rounds[:-1], last)})


def fill(stored: Sequence[Run], connection: Connection) -> None:
    """Put all rows in at once."""
    connection.execute(insert(runs), [{**run_row(run), "delivered_at": run.ended_at} for run in stored])
    connection.execute(insert(rounds), [round_row(run.id, r, START) for run in stored for r in run.rounds])
    given = [outcome_row(run.id, r.number, o, START) for run in stored for r in run.rounds for o in r.outcomes]
    connection.execute(insert(outcomes), given)


async def timed(look: Look, at_once: int) -> tuple[float, float]:
    """Median and 95th percentile in milliseconds."""
    taken: list[float] = []

    async def one(number: int) -> None:
        begun = time.perf_counter()
        await look(number)
        taken.append((time.perf_counter() - begun) * 1e3)

    for start in range(0, LOOKS, at_once):
        await asyncio.gather(*(one(number) for number in range(start, start + at_once)))
    taken.sort()
    return taken[len(taken) // 2], taken[int(len(taken) * 0.95)]


async def measure(name: str, history: SqlHistory, service: Service) -> bool:
    """Print the figures of one database; whether all are as wanted."""

    async def page(who: int, number: int = 0, search: str = "") -> object:
        return await history.page(person(who), channel(who), 11, number * 10, search)

    async def command(who: int, number: int = 0, search: str = "") -> object:
        inbound = Inbound(asker=person(who), where=channel(who))
        return await service.handle(HistoryCommand(page=number + 1, search=search), inbound)

    looks: dict[str, Look] = {
        "page": lambda n: page(n + 1),
        "page of the busiest, any of its first 50": lambda n: page(0, n % 50),
        "search": lambda n: page(n + 1, search=_WORDS[n % len(_WORDS)]),
        "search of the busiest, nothing found": lambda n: page(0, search=f"no such thing {n}"),
        "command": lambda n: command(n + 1),
        "command of the busiest, searching": lambda n: command(0, search=f"{_WORDS[n % len(_WORDS)]} nothing"),
        "undelivered": lambda n: history.undelivered(Platform.SLACK, START),
    }
    good = True
    for what, look in looks.items():
        await look(0)
        for at_once in (1, 10):
            p50, p95 = await timed(look, at_once)
            late = "" if p95 < WANTED or at_once > 1 else "  LATE"
            good &= not late
            print(f"{name}, {what}, {at_once} at once: p50 {p50:.1f} ms, p95 {p95:.1f} ms{late}", flush=True)
    return good


@asynccontextmanager
async def own_database() -> AsyncIterator[str | None]:
    """The address of an empty PostgreSQL database; None where there is no server."""
    server = postgres_url()
    if server is None:
        yield None
        return
    name = f"consortium_bench_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(server)
    try:
        await admin.execute(f"CREATE DATABASE {name}")
        yield server.removesuffix("postgres") + name
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()


async def history() -> None:
    """Fill each database and measure it."""
    rng = random.Random(1)
    stored = [asked(number, rng) for number in range(RUNS)]
    redis = redis_url()
    assert redis, "a Redis server"
    with tempfile.TemporaryDirectory() as folder:
        async with own_database() as postgres, connect(redis, prefix=f"bench-{secrets.token_hex(6)}") as state:
            for number in range(PEOPLE):
                await state.sessions.save(person(number), channel(number), Session(consortium="default"))
            for name, url in (("SQLite", f"sqlite:///{Path(folder) / 'history.db'}"), ("PostgreSQL", postgres)):
                if url is None:
                    print(f"{name}: there is no server")
                    continue
                async with SqlHistory(url) as opened:
                    for start in range(0, RUNS, 500):
                        await opened._database.write(partial(fill, stored[start : start + 500]))
                    service = Service(office(catalog(), state, opened))
                    good = await measure(name, opened, service)
                print(f"{name}: {'all' if good else 'NOT all'} below {WANTED:g} ms at the 95th percentile")
            for number in range(PEOPLE):
                await state.sessions.forget(person(number), channel(number))
