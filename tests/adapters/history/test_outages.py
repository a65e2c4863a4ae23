"""The database goes away and comes back: what is under way waits, nothing is lost, nothing counts twice."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import Connection, delete, select, text

from adapters.history import SqlHistory
from adapters.history.database import Database, parse
from adapters.history.schema import oauth_states
from core.errors import Unavailable
from core.governance import Estimate, Rule, Subject
from core.types import Bill, Run
from tests.adapters.history.proxy import Cut, Proxy
from tests.adapters.history.samples import ANN, CHANNEL, START, finished, new_run
from tests.adapters.history.test_store import store
from tests.servers import POSTGRES_MISSING, OwnServer, own_postgres

CUTS: list[Cut] = ["before", "after"]
RULE = Rule(right="ask", effect="block", subject=Subject(kind="user", id="U9"))


@pytest.fixture
async def proxy(postgres_database: str) -> AsyncIterator[Proxy]:
    async with SqlHistory(postgres_database) as history:
        await history.delete(*[run.id async for run in history.export()])
    async with Proxy(postgres_database).open() as opened:
        yield opened


@pytest.mark.parametrize("cut", CUTS)
async def test_writes_whose_commit_is_cut_off_count_once(proxy: Proxy, cut: Cut) -> None:
    async with SqlHistory(proxy.url) as history:
        run = finished(new_run())
        await history.open_run(run)
        before = await history.governance.spending(CHANNEL, ANN, START)
        proxy.cuts = [cut, cut]
        await history.governance.reserve(run, Estimate(calls=2, tokens=500, dollars=0.5))
        proxy.cuts += [cut]
        await history.governance.settle(run.id, Bill(prompt_tokens=40, completion_tokens=2, cost=0.25))
        spent = await history.governance.spending(CHANNEL, ANN, START)
        for scope in ("user", "channel", "workspace"):
            was, is_ = before.at(scope, "day"), spent.at(scope, "day")
            assert (is_.runs - was.runs, is_.tokens - was.tokens) == (1, 42)
            assert is_.dollars - was.dollars == pytest.approx(0.25)
        proxy.cuts = [cut] * 3
        await store(history, run)
        await history.record_posting(run.id, "head", "1.1")
        assert await history.run(run.id) == run
        assert await history.postings(run.id) == {"head": "1.1"}
        assert proxy.cuts == []


@pytest.mark.parametrize("cut", CUTS)
async def test_changes_whose_commit_is_cut_off_count_once(proxy: Proxy, cut: Cut) -> None:
    async with SqlHistory(proxy.url) as history:
        before = len(await history.governance.audit(CHANNEL, 100, 0))
        proxy.cuts = [cut, cut]
        number = await history.governance.add_rule(CHANNEL, RULE, ANN)
        proxy.cuts += [cut]
        await history.governance.note(CHANNEL, ANN, "stop", "somebody's run")
        proxy.cuts += [cut]
        lifted = await history.governance.lift_rule(CHANNEL, number, ANN)
        assert lifted is not None
        assert lifted.subject == RULE.subject
        assert len(await history.governance.audit(CHANNEL, 100, 0)) == before + 3
        await history.installations.issue_state(cut, 60)
        proxy.cuts += [cut]
        assert await history.installations.consume_state(cut)
        assert not await history.installations.consume_state(cut)
        proxy.cuts += [cut]
        async with history.locks.locked("T1"):
            pass
        assert proxy.cuts == []


async def test_what_is_read_and_written_while_the_database_is_away_waits_for_it(proxy: Proxy) -> None:
    async with SqlHistory(proxy.url) as history:
        runs = [finished(new_run()) for _ in range(20)]
        await history.open_run(runs[0])
        proxy.away = True
        proxy.cut()
        writing = asyncio.gather(*(store(history, run) for run in runs))
        reading = asyncio.gather(*(history.run(runs[0].id) for _ in range(20)))
        await proxy.missed.wait()
        proxy.missed.clear()
        await proxy.missed.wait()
        proxy.away = False
        await writing
        assert all(await reading)
        assert [await history.run(run.id) for run in runs] == runs


async def test_an_outage_that_lasts_is_told_and_those_who_come_later_do_not_wait(proxy: Proxy) -> None:
    async with SqlHistory(proxy.url, reads=0.2, writes=0.2) as history:
        run = new_run()
        await history.open_run(run)
        proxy.away = True
        proxy.cut()
        begun = time.monotonic()
        first = await asyncio.gather(*(history.open_run(new_run()) for _ in range(600)), return_exceptions=True)
        assert {type(one) for one in first} == {Unavailable}
        with pytest.raises(Unavailable, match="DATABASE_URL"):
            await history.run(run.id)
        waited, tried = time.monotonic() - begun, proxy.turned_away
        assert 0.3 < waited < 5
        for _ in range(3):
            with pytest.raises(Unavailable):
                await history.open_run(run)
        assert proxy.turned_away - tried <= 16, "who comes later attempts it once or twice, with TLS and without"
        proxy.away = False
        await history.open_run(run)
        assert await history.run(run.id) == run


async def test_a_server_that_falls_silent_is_asked_over_another_connection(proxy: Proxy) -> None:
    """As when its host vanishes from the network: nobody says that the connection is no more."""
    database = Database(parse(proxy.url), reads=0.2, writes=0.2, in_time=0.3)

    def write(connection: Connection) -> int:
        return connection.execute(delete(oauth_states).where(oauth_states.c.state == "silent")).rowcount

    await database.write(write)
    assert list(await database.rows(select(oauth_states.c.state).where(oauth_states.c.state == "silent"))) == []
    proxy.freeze()
    async with asyncio.timeout(10):
        assert await database.write(write) == 0
        assert list(await database.rows(select(oauth_states.c.state).where(oauth_states.c.state == "silent"))) == []
    await database.close()


async def test_no_connection_is_left_behind(proxy: Proxy, postgres_database: str) -> None:
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND application_name = 'leaks'"
    )
    watching = await asyncpg.connect(postgres_database)
    async with SqlHistory(f"{proxy.url}?application_name=leaks") as history:
        for _ in range(5):
            proxy.cut()
            await asyncio.gather(
                *(history.open_run(new_run()) for _ in range(5)), *(history.run("x") for _ in range(20))
            )
        assert await watching.fetchval(query) <= 15
    while await watching.fetchval(query):  # servers notice in a moment that a client has gone
        pass
    await watching.close()


# --- a server of one's own -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[OwnServer]:
    own = own_postgres()
    if own is None:
        pytest.skip(POSTGRES_MISSING)
    with own:
        yield own


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
async def test_a_server_that_is_stopped_and_started_delays_and_loses_nothing(
    server: OwnServer, number: signal.Signals
) -> None:
    async with SqlHistory(server.url) as history:
        runs: list[Run] = []
        begun, restarted = asyncio.Event(), asyncio.Event()

        async def work() -> None:
            last = False
            while not last:
                last = restarted.is_set()
                run = finished(new_run())
                runs.append(run)
                await store(history, run)
                assert await history.run(run.id) == run
                begun.set()

        async def restart() -> None:
            await begun.wait()
            await asyncio.to_thread(server.stop, number)
            await asyncio.to_thread(server.start)
            restarted.set()

        async with asyncio.TaskGroup() as tasks:
            for job in (work(), work(), work(), work(), restart()):
                tasks.create_task(job)
        assert [run async for run in history.export() if run.id in {one.id for one in runs}] == sorted(
            runs, key=lambda run: (run.created_at, run.id)
        )


async def test_a_server_that_has_become_a_copy_is_left_for_its_successor(server: OwnServer) -> None:
    """The address leads elsewhere after a failover, which is found out by connecting anew."""
    admin = await asyncpg.connect(server.url)
    async with SqlHistory(server.url) as history:
        await history.open_run(new_run())
        await admin.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        await admin.execute("SELECT pg_reload_conf()")
        writing = asyncio.create_task(history.open_run(run := new_run()))
        seen = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND backend_start > $1"
        begun = await admin.fetchval("SELECT clock_timestamp()")
        while not await admin.fetchval(seen, begun):
            pass
        assert not writing.done()
        await admin.execute("SET default_transaction_read_only = off")
        await admin.execute("ALTER SYSTEM RESET default_transaction_read_only")
        await admin.execute("SELECT pg_reload_conf()")
        await writing
        assert await history.run(run.id) == run
    await admin.close()


# --- SQLite ----------------------------------------------------------------------------------------------


async def test_a_file_that_another_process_has_locked_delays(tmp_path: Path) -> None:
    async with SqlHistory(f"sqlite:///{tmp_path}/history.db") as history:
        with closing(sqlite3.connect(tmp_path / "history.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            writing = asyncio.create_task(history.open_run(run := new_run()))
            assert (await asyncio.wait([writing], timeout=0.1))[0] == set()
            assert await history.run(run.id) is None
            other.execute("COMMIT")
        await writing
        assert await history.run(run.id) == run


async def test_a_full_disk_is_told_at_once_and_what_was_stored_stays(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/history.db"
    async with SqlHistory(url) as history:
        await history.open_run(run := new_run())
        await history._database.write(lambda c: c.execute(text("PRAGMA max_page_count = 1")))  # as many as there are
        with pytest.raises(Unavailable, match="the disk is full; free some space"):
            async with asyncio.timeout(5):
                await history.open_run(new_run(text="x" * 1_000_000))
        assert await history.run(run.id) == run
        await history._database.write(lambda c: c.execute(text("PRAGMA max_page_count = 1000000")))
        await history.open_run(new_run(text="x" * 1_000_000))


async def test_a_file_that_stays_locked_is_told_when_patience_is_over(tmp_path: Path) -> None:
    database = Database(parse(f"sqlite:///{tmp_path}/history.db"), writes=0.1)
    await database.write(lambda c: c.execute(text("CREATE TABLE t (x)")))
    with closing(sqlite3.connect(tmp_path / "history.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            await database.write(lambda c: c.execute(text("INSERT INTO t VALUES (1)")))
    await database.write(lambda c: c.execute(text("INSERT INTO t VALUES (1)")))
    await database.close()
