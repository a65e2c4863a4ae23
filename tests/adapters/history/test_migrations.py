"""The tables are what the migrations make."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from adapters.history import SqlHistory, migrations
from adapters.history.database import Database, parse
from adapters.history.schema import metadata
from core.errors import ConfigError
from tests.adapters.history.samples import new_run

T = TypeVar("T")
FOLDER = Path(migrations.__file__).parent


async def on(url: str, work: Callable[[Connection], T]) -> T:
    database = Database(parse(url))
    try:
        return await database.write(work)
    finally:
        await database.close()


def test_head_is_the_newest_revision() -> None:
    scripts = ScriptDirectory(str(FOLDER))
    assert scripts.get_heads() == [migrations.HEAD]


async def test_migrations_make_the_tables_of_the_schema(empty_url: str) -> None:
    def differences(connection: Connection) -> list[object]:
        options = {"compare_type": True, "compare_server_default": True}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    assert await on(empty_url, differences) != []
    await on(empty_url, migrations.migrate)
    assert await on(empty_url, differences) == []


async def test_migrations_can_be_undone(empty_url: str) -> None:
    def undo(connection: Connection) -> list[str]:
        config = Config()
        config.set_main_option("script_location", str(FOLDER))
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        return inspect(connection).get_table_names()

    await on(empty_url, migrations.migrate)
    assert await on(empty_url, undo) == ["alembic_version"]


async def test_many_that_start_at_once(empty_url: str) -> None:
    async def start() -> None:
        async with SqlHistory(empty_url) as history:
            await history.open_run(new_run())

    await asyncio.gather(*(start() for _ in range(10)))


async def test_a_database_of_a_newer_version(empty_url: str) -> None:
    async with SqlHistory(empty_url):
        pass
    await on(empty_url, lambda c: c.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(ConfigError, match="newer version"):
        async with SqlHistory(empty_url):
            pass


async def test_alembic_is_not_imported_when_there_is_nothing_to_do(empty_url: str) -> None:
    program = (
        "import asyncio, sys; from adapters.history import SqlHistory\n"
        "async def main():\n"
        "    async with SqlHistory(sys.argv[1]): print('alembic' in sys.modules)\n"
        "asyncio.run(main())"
    )
    await on(empty_url, migrations.migrate)
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program, empty_url], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
