"""Copies of the database: ``backup``, ``restore``."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from bot.commands.base import Json, settings

_URL = "${DATABASE_URL:?}"
"""For a shell: where the variable stands in .env alone, the tools would take another database."""


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    as_json: Json = False,
) -> None:
    """Copy the database to a file, while everything goes on.

    With all that it holds: runs, charts, attachments, rules, budgets, saved consortia. The copy is of one moment, is
    checked, and is there whole or not at all. For SQLite; a PostgreSQL database is copied with pg_dump.

    Examples:

    \b
      consortium backup consortium-monday.db
      consortium backup /backups/consortium.db --force
    """
    from adapters.history.copies import back_up, file_of
    from bot.tables import print_json

    source = file_of(settings().history_url, f'pg_dump --format=custom --file={quote(str(file))} "{_URL}"')
    made = back_up(source, file, replace=force)
    if as_json:
        print_json({"file": str(made.path), "runs": made.runs, "bytes": made.size})
    else:
        print(f"{made.path}: {_runs(made.runs)}, {made.size / 1e6:.1f} MB.")


def restore(
    file: Annotated[Path, typer.Argument(help="A file that consortium backup has written.")],
    as_json: Json = False,
) -> None:
    """Put a copy in the place of the database.

    Stop serve and all workers first: it is refused while one has the database open. The database as it was is kept
    beside the new one, with .before-restore at the end of its name. A copy of an older version is updated. For SQLite;
    a PostgreSQL database is restored with pg_restore.

    Examples:

    \b
      consortium restore consortium-monday.db
      consortium restore /backups/consortium.db --json
    """
    from adapters.history.copies import file_of
    from adapters.history.copies import restore as put_back
    from bot.tables import print_json

    instead = f'pg_restore --clean --if-exists --single-transaction --dbname="{_URL}" {quote(str(file))}'
    target = file_of(settings().history_url, instead)
    done = put_back(file, target)
    if as_json:
        before = None if done.before is None else str(done.before)
        print_json({"database": str(done.path), "runs": done.runs, "updated": done.updated, "before": before})
        return
    print(f"{done.path}: {_runs(done.runs)}, as in {file}{', updated' if done.updated else ''}.")
    if done.before:
        print(f"What was there before is in {done.before}.")


def _runs(count: int) -> str:
    return f"{count:,} {'run' if count == 1 else 'runs'}"
