"""Migrations that run by themselves when the history is opened.

``versions/`` is a list that only grows: a revision that was released is never edited. To add one, write
``versions/000N_what.py`` with ``down_revision`` set to the last, and set :data:`HEAD` to it.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from core.errors import ConfigError

HEAD = "0004"
"""The newest revision, here so that a database that has it need not wait for Alembic to be imported."""

_LOCK = 0x434F4E53
"""PostgreSQL's advisory locks go by number; this one is for migrating."""


def migrate(connection: Connection) -> None:
    """Bring the database to :data:`HEAD` within the connection's transaction.

    Processes that start together wait for the one that migrates. Raises :class:`core.errors.ConfigError` when a
    newer version has written the database.
    """
    if connection.dialect.name == "postgresql":  # on SQLite the transaction holds the file's one write lock
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    if _version(connection) != HEAD:
        _upgrade(connection)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: Connection) -> None:
    from alembic import command  # 0.3 s, needed once in the life of a database
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, HEAD)
    except CommandError as error:
        raise ConfigError(
            "DATABASE_URL names a database that a newer version of Consortium has written: "
            "update Consortium, or name another database."
        ) from error
