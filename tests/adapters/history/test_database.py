"""Addresses, and what is said when the database does not work."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.util import await_only

from adapters.history import SqlHistory
from adapters.history.database import Database, parse
from core.errors import ConfigError, Unavailable
from core.types import RunStatus
from tests.adapters.history.samples import ANN, CHANNEL, new_run

SECRET = "s3cret-pass"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("sqlite:///data/history.db", "sqlite+aiosqlite:///data/history.db"),
        ("sqlite+aiosqlite:////var/history.db", "sqlite+aiosqlite:////var/history.db"),
        ("postgres://u@h/d", "postgresql+asyncpg://u@h/d"),
        ("postgresql://u@h/d?sslmode=require", "postgresql+asyncpg://u@h/d?sslmode=require"),
        ("postgresql+asyncpg://u@h:5433/d", "postgresql+asyncpg://u@h:5433/d"),
    ],
)
def test_addresses(given: str, meant: str) -> None:
    assert str(parse(given)) == meant


@pytest.mark.parametrize(
    "url",
    ["", "history.db", f"mysql://u:{SECRET}@h/d", "sqlite://", "sqlite:///:memory:", f"postgresql://u:{SECRET}@h"],
)
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"DATABASE_URL.* write sqlite:///data/consortium.db or postgresql:") as error:
        SqlHistory(url)
    assert SECRET not in str(error.value)


async def test_a_folder_that_is_missing_is_made(tmp_path: Path) -> None:
    async with SqlHistory(f"sqlite:///{tmp_path}/a/b/history.db") as history:
        await history.open_run(new_run())
    assert (tmp_path / "a" / "b" / "history.db").exists()


async def test_sqlite_is_set_up_for_several_processes(tmp_path: Path) -> None:
    database = Database(parse(f"sqlite:///{tmp_path}/history.db"))
    pragmas = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
    # Who writes waits for others in the event loop, not in SQLite.
    for access, wait in ((database.read, 10_000), (database.write, 0)):
        values = await access(lambda c: [c.exec_driver_sql(f"PRAGMA {p}").scalar() for p in pragmas])
        assert values == ["wal", 1, 1, wait]
    await database.close()


@pytest.mark.parametrize("kind", ["a folder", "no database", "under a file"])
async def test_an_sqlite_file_that_cannot_be_used(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "history.db"
    if kind == "a folder":
        path.mkdir()
    else:
        path.write_bytes(b"This is text, and more of it than a header. " * 50)
    if kind == "under a file":
        path = path / "history.db"
    with pytest.raises(Unavailable, match=r"DATABASE_URL") as error:
        async with SqlHistory(f"sqlite:///{path}"):
            pass
    assert str(path.name) in str(error.value)


async def test_a_server_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unavailable, match=rf"postgresql://127.0.0.1:{port}/d \(DATABASE_URL\) .*[Cc]onnect") as error:
        async with SqlHistory(f"postgresql://ann:{SECRET}@127.0.0.1:{port}/d?application_name={SECRET}"):
            pass
    assert SECRET not in str(error.value)
    assert "ann" not in str(error.value)


async def test_a_database_that_is_not_there(postgres_database: str) -> None:
    url = postgres_database.replace("@", f":{SECRET}@") + "_missing"
    with pytest.raises(Unavailable, match=r"does not exist") as error:
        async with SqlHistory(url):
            pass
    assert SECRET not in str(error.value)


async def test_a_server_that_drops_its_connections_is_used_again(postgres_database: str) -> None:
    async with SqlHistory(postgres_database) as history:
        run = new_run()
        await history.open_run(run)
        await history.run(run.id)
        admin = await asyncpg.connect(postgres_database)
        everyone_else = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        await admin.execute(f"SELECT pg_terminate_backend(pid) {everyone_else}")
        await admin.close()
        await history.update_run(run.model_copy(update={"status": RunStatus.RUNNING}))
        stored = await history.run(run.id)
        assert stored is not None
        assert stored.status is RunStatus.RUNNING


async def test_a_database_that_breaks_while_open(tmp_path: Path) -> None:
    async with SqlHistory(f"sqlite:///{tmp_path}/history.db") as history:
        await history.open_run(new_run())
        with closing(sqlite3.connect(tmp_path / "history.db")) as other:
            other.execute("ALTER TABLE runs RENAME TO gone")
        with pytest.raises(Unavailable, match="DATABASE_URL"):
            await history.page(ANN, CHANNEL, 10, 0)
        results = await asyncio.gather(*(history.open_run(new_run()) for _ in range(3)), return_exceptions=True)
        assert [type(r) for r in results] == [Unavailable] * 3
        with closing(sqlite3.connect(tmp_path / "history.db")) as other:
            other.execute("ALTER TABLE gone RENAME TO runs")
        await history.open_run(new_run())
        assert len(await history.page(ANN, CHANNEL, 10, 0)) == 2


async def test_the_drivers_own_parameters_may_stand_in_the_address(postgres_database: str) -> None:
    url = f"{postgres_database}?sslmode=disable&application_name=panel"
    database = Database(parse(url))
    assert await database.read(lambda c: c.exec_driver_sql("SHOW application_name").scalar()) == "panel"
    await database.close()
    with pytest.raises(Unavailable, match="sslmode"):
        async with SqlHistory(f"{postgres_database}?sslmode=never"):
            pass


async def test_what_is_being_read_as_all_is_closed_is_waited_for(tmp_path: Path) -> None:
    """Its connection would stay open: the pool that it goes back to is no more."""

    def slowly(connection: Connection) -> int:
        await_only(asyncio.sleep(0.1))
        found: int = connection.execute(text("SELECT 1")).scalar_one()
        return found

    database = Database(parse(f"sqlite:///{tmp_path}/h.db"))
    reading = asyncio.create_task(database.read(slowly))
    await asyncio.sleep(0.02)
    await database.close()
    assert reading.done()
    assert reading.result() == 1
    with pytest.raises(Unavailable, match="closed"):
        await database.read(slowly)
