"""Databases that have their tables already: to migrate is for the tests of migrations, not a wait before all others."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import create_engine

from adapters.history import migrations


def new_database(path: Path) -> str:
    """An empty SQLite database of the newest version, if none is there yet; gives its URL."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_migrated())
    return f"sqlite:///{path}"


@cache
def _migrated() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "new.db"
        engine = create_engine(f"sqlite:///{path}")
        with engine.begin() as connection:
            migrations.migrate(connection)
        engine.dispose()
        return path.read_bytes()
