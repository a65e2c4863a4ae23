"""The database is copied while it is written, and put back while nobody has it open."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from adapters.history import SqlHistory, migrations
from tests.adapters.history.samples import CHARTS, finished, new_run
from tests.adapters.history.test_store import store
from tests.bot.conftest import Desk

WRITER = (sys.executable, "-m", "tests.adapters.history.process")


@contextmanager
def writing(database: Path, count: int = 100_000) -> Iterator[subprocess.Popen[str]]:
    """Another process that writes runs, and says the id of each once it is stored whole."""
    process = subprocess.Popen(
        [*WRITER, f"sqlite:///{database}", "live", str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdin
    assert process.stdout
    try:
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("go\n")
        process.stdin.flush()
        yield process
    finally:
        process.kill()
        process.communicate()


def fill(desk: Desk, count: int = 2) -> list[str]:
    async def work(history: SqlHistory) -> list[str]:
        runs = [finished(new_run()) for _ in range(count)]
        await asyncio.gather(*(store(history, run) for run in runs))
        return sorted(run.id for run in runs)

    return desk.store(work)


def ids(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as database:
        return [row[0] for row in database.execute("SELECT id FROM runs ORDER BY id")]


def database_of(desk: Desk) -> Path:
    return desk.folder / "data" / "consortium.db"


def test_what_was_backed_up_comes_back_whole(desk: Desk) -> None:
    stored = fill(desk)
    copy = desk.folder / "copy.db"
    said = desk.ok("backup", str(copy))
    assert said.out.startswith(f"{copy}: 2 runs, ")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert [p.name for p in desk.folder.iterdir() if p.name.startswith(("copy", ".copy"))] == ["copy.db"]
    later = fill(desk, 1)
    said = desk.ok("restore", str(copy))
    before = "data/consortium.db.before-restore"
    assert said.out == f"data/consortium.db: 2 runs, as in {copy}.\nWhat was there before is in {before}.\n"
    assert ids(database_of(desk)) == stored
    assert ids(desk.folder / before) == sorted(stored + later)

    async def parts(history: SqlHistory) -> None:
        run = await history.run(stored[0])
        assert run is not None
        assert run.analysis is not None
        assert await history.charts(stored[0]) == CHARTS
        await history.open_run(new_run())

    desk.store(parts)
    assert desk.ok("restore", str(copy), "--json").json == {
        "database": "data/consortium.db",
        "runs": 2,
        "updated": False,
        "before": f"{before}-2",
    }


def test_a_copy_that_is_made_while_a_process_writes_has_all_that_was_acknowledged(desk: Desk) -> None:
    fill(desk)
    copy = desk.folder / "copy.db"
    with writing(database_of(desk)) as process:
        assert process.stdout
        acknowledged = [process.stdout.readline().strip() for _ in range(5)]
        assert desk.ok("backup", str(copy), "--json").json["runs"] == len(ids(copy))
        assert process.stdout.readline(), "it goes on writing"
        assert set(acknowledged) <= set(ids(copy))
        refusal = desk.refused("restore", str(copy))
        assert "another process works with the database; stop consortium serve and all workers" in refusal
        assert process.stdout.readline(), "it goes on writing still"
    assert set(acknowledged) <= set(ids(database_of(desk)))
    with closing(sqlite3.connect(copy)) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        whole = {row[0] for row in database.execute("SELECT run_id FROM analyses JOIN charts USING (run_id)")}
        assert set(acknowledged) <= whole, "with all their parts"
    desk.ok("restore", str(copy))
    assert ids(database_of(desk)) == ids(copy)


def test_a_process_that_has_the_database_open_and_idles_is_in_the_way_too(desk: Desk) -> None:
    fill(desk)
    desk.ok("backup", str(copy := desk.folder / "copy.db"))

    async def meanwhile() -> str:
        async with SqlHistory(f"sqlite:///{database_of(desk)}") as history:
            await history.run("x")
            refusal = await asyncio.to_thread(desk.refused, "restore", str(copy))
            await history.open_run(new_run())
            return refusal

    assert "another process works with the database" in asyncio.run(meanwhile())


def test_where_there_is_no_database_a_copy_makes_one(desk: Desk, tmp_path: Path) -> None:
    stored = fill(desk)
    desk.ok("backup", str(copy := desk.folder / "copy.db"))
    desk.monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/other/new.db")
    assert desk.ok("restore", str(copy)).out == f"{tmp_path}/other/new.db: 2 runs, as in {copy}.\n"
    assert ids(tmp_path / "other" / "new.db") == stored
    assert [p.name for p in (tmp_path / "other").iterdir()] == ["new.db"]


def test_a_copy_of_an_older_version_is_updated_and_stays_as_it_is(desk: Desk) -> None:
    fill(desk)
    copy = desk.folder / "copy.db"
    desk.ok("backup", str(copy))
    _go_back(copy, "0003")
    before = copy.read_bytes()
    assert ", updated." in desk.ok("restore", str(copy)).out
    assert copy.read_bytes() == before
    with closing(sqlite3.connect(database_of(desk))) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchone() == (migrations.HEAD,)
    assert desk.ok("runs", "--search", "CATS", "--json").json, "what is new works on what is old"


def _go_back(path: Path, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with create_engine(f"sqlite:///{path}").begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


def test_a_restore_that_is_killed_leaves_the_old_database_or_the_new_one(desk: Desk) -> None:
    old = fill(desk, 40)
    desk.ok("backup", str(copy := desk.folder / "copy.db"))
    new = sorted([*old, *fill(desk, 1)])
    process = subprocess.Popen(
        [sys.executable, "-c", "from bot.cli import main; main()", "restore", str(copy)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    before = Path(f"{database_of(desk)}.before-restore")
    while not before.exists() and process.poll() is None:
        pass
    process.kill()
    process.wait()
    with closing(sqlite3.connect(database_of(desk))) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert ids(database_of(desk)) in (old, new)
    assert ids(before) == new
    desk.ok("restore", str(before))
    assert ids(database_of(desk)) == new


def test_what_cannot_be_restored_changes_nothing(desk: Desk) -> None:
    stored = fill(desk)
    copy = desk.folder / "copy.db"
    desk.ok("backup", str(copy))
    with closing(sqlite3.connect(copy)) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.commit()
    assert "a newer version of Consortium has written it; update Consortium" in desk.refused("restore", str(copy))
    (text := desk.folder / "text").write_bytes(b"no database at all. " * 500)
    with closing(sqlite3.connect(other := desk.folder / "other.db")) as database:
        database.execute("CREATE TABLE runs (id)")
        database.commit()
    for path in (text, other):
        assert "is no database of Consortium" in desk.refused("restore", str(path))
    assert "no such file" in desk.refused("restore", str(desk.folder / "missing"))
    assert "is the database itself" in desk.refused("restore", str(database_of(desk)))
    assert ids(database_of(desk)) == stored
    assert [p.name for p in database_of(desk).parent.iterdir()] == ["consortium.db"]


def test_a_damaged_copy_is_found_out(desk: Desk) -> None:
    stored = fill(desk, 30)
    copy = desk.folder / "copy.db"
    desk.ok("backup", str(copy))
    data = bytearray(copy.read_bytes())
    data[8192 : len(data) // 2] = os.urandom(len(data) // 2 - 8192)
    copy.write_bytes(data)
    assert "consortium: " in desk.refused("restore", str(copy))
    assert ids(database_of(desk)) == stored


def test_a_database_that_is_rubbish_can_be_replaced(desk: Desk) -> None:
    stored = fill(desk)
    desk.ok("backup", str(copy := desk.folder / "copy.db"))
    database_of(desk).write_bytes(b"overwritten " * 1000)
    assert "is no database of Consortium" in desk.refused("backup", "again.db")
    desk.ok("restore", str(copy))
    assert ids(database_of(desk)) == stored
    assert Path(f"{database_of(desk)}.before-restore").read_bytes().startswith(b"overwritten")


def test_a_copy_replaces_nothing_unasked(desk: Desk) -> None:
    assert "there is no database yet" in desk.refused("backup", "copy.db")
    fill(desk)
    (there := desk.folder / "there.db").write_text("mine")
    assert "is there already; name another file, or add --force" in desk.refused("backup", str(there))
    assert there.read_text() == "mine"
    desk.ok("backup", str(there), "--force")
    assert len(ids(there)) == 2
    assert "is a folder" in desk.refused("backup", str(desk.folder))
    assert "is the database itself" in desk.refused("backup", str(database_of(desk)), "--force")
    assert "cannot be used" in desk.refused("backup", str(desk.folder / "no" / "such" / "folder.db"))


@pytest.mark.parametrize(("command", "tool"), [("backup", "pg_dump"), ("restore", "pg_restore")])
def test_on_postgresql_its_own_tools_are_named(desk: Desk, command: str, tool: str) -> None:
    desk.monkeypatch.setenv("DATABASE_URL", "postgresql://ann:s3cret@db/consortium")
    refusal = desk.refused(command, "copy.db")
    assert tool in refusal
    assert "s3cret" not in refusal
