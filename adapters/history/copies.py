"""Copies of an SQLite history: made while processes work with it, and put back while none does."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, create_engine

from adapters.history import migrations
from adapters.history.database import parse
from core.errors import BadInput, ConfigError

_BUSY = 0.5
"""Seconds to wait for whoever is about to let go of the file."""


@dataclass(frozen=True)
class Copy:
    """A copy that was made: where, how many runs are in it, its size in bytes."""

    path: Path
    runs: int
    size: int


@dataclass(frozen=True)
class Restored:
    """What is in the database now, the revision that the copy had, and where the database as it was before is kept;
    None where there was none."""

    path: Path
    runs: int
    revision: str
    before: Path | None

    @property
    def updated(self) -> bool:
        """Whether the copy was of an older version."""
        return self.revision != migrations.HEAD


def file_of(url: str, instead: str) -> Path:
    """The file behind a database's address. Raises ConfigError for PostgreSQL, with what to do ``instead``."""
    parsed = parse(url)
    if parsed.get_backend_name() != "sqlite":
        raise ConfigError(f"DATABASE_URL names a PostgreSQL database, which has tools of its own: {instead}.")
    return Path(parsed.database or "")


def back_up(source: Path, target: Path, *, replace: bool = False) -> Copy:
    """Copy a history as it is at one moment; its processes go on meanwhile. The copy is there whole or not at all.

    Raises :class:`core.errors.BadInput` when there is no history, when the target is there already and not to be
    replaced, and when either cannot be used.
    """
    if not source.is_file():
        raise BadInput(f"{source}: there is no database yet, so there is nothing to back up")
    if target.is_dir():
        raise BadInput(f"{target}: is a folder; name a file in it")
    if target.exists() and target.samefile(source):
        raise BadInput(f"{target}: is the database itself; name another file")
    if target.exists() and not replace:
        raise BadInput(f"{target}: is there already; name another file, or add --force to replace it")
    with _told(source), closing(_opened(source)) as database:
        _revision(database, source)
        _copy(database, target)
    with _told(target), closing(_opened(target)) as made:
        return Copy(target, _runs(made), target.stat().st_size)


def restore(source: Path, target: Path) -> Restored:
    """Put a copy in the place of a database, which is kept beside it. Until the end of it, the old one stands.

    Raises :class:`core.errors.BadInput` when the copy is damaged, of a newer version or no history at all, and when
    another process has the database open.
    """
    if not source.is_file():
        raise BadInput(f"{source}: there is no such file")
    if target.exists() and target.samefile(source):
        raise BadInput(f"{source}: is the database itself; name a copy of it")
    with _told(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
    with _told(source), _temporary(target) as checked:
        with closing(_opened(source)) as copy:
            revision = _revision(copy, source)
            _copy(copy, checked)
        _migrate(checked)
        with closing(_opened(checked)) as new:
            runs = _runs(new)
            before = _put(new, target)
    return Restored(target, runs, revision, before)


def _put(new: sqlite3.Connection, target: Path) -> Path | None:
    """Write all pages anew, in one transaction that nobody else gets between; gives where the old ones are."""
    with _told(target):
        try:
            with _alone(target) as old:
                before = _spare(target) if old.execute("SELECT 1 FROM sqlite_master").fetchone() else None
                if before:
                    _copy(old, before, check=False)
                new.backup(old)
                return before
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_NOTADB:
                raise
        before = _spare(target)  # what no SQLite can read nobody works with
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.rename(f"{target}{suffix}", f"{before}{suffix}")
        _put(new, target)
        return before


@contextmanager
def _alone(path: Path) -> Iterator[sqlite3.Connection]:
    """The database while nobody else can open it. Raises BadInput when somebody has."""
    with closing(sqlite3.connect(path, timeout=_BUSY, isolation_level=None)) as database:
        try:
            database.execute("PRAGMA locking_mode = EXCLUSIVE")
            database.execute("PRAGMA journal_mode = DELETE")  # a file in WAL mode can leave it once it is not shared
            database.execute("BEGIN EXCLUSIVE")
            database.execute("COMMIT")  # the lock stays
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            raise BadInput(
                f"{path}: another process works with the database; stop consortium serve and all workers, "
                "then try again"
            ) from None
        yield database


def _copy(database: sqlite3.Connection, target: Path, *, check: bool = True) -> None:
    """Copy to a file that has its name once it is whole and on the disk."""
    with _told(target), _temporary(target) as unfinished:
        with closing(sqlite3.connect(unfinished, isolation_level=None)) as copy:
            database.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, that may lie where nothing can be written
            if check and (found := copy.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
                raise BadInput(f"The database is damaged ({str(found).splitlines()[-1]}); restore an earlier copy")
        _to_disk(unfinished)
        os.replace(unfinished, target)
        _to_disk(target.parent)


@contextmanager
def _temporary(beside: Path) -> Iterator[Path]:
    """A file beside another that only this user may read, gone at the end unless it was renamed."""
    handle, name = tempfile.mkstemp(prefix=f".{beside.name}.", dir=beside.parent)
    os.close(handle)
    try:
        yield Path(name)
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            Path(f"{name}{suffix}").unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _spare(target: Path) -> Path:
    """A name for the database as it was: never that of one that was kept before."""
    name, number = Path(f"{target}.before-restore"), 1
    while name.exists():
        number += 1
        name = Path(f"{target}.before-restore-{number}")
    return name


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, timeout=_BUSY, isolation_level=None)


def _revision(database: sqlite3.Connection, path: Path) -> str:
    """The revision of a history. Raises BadInput for what is none, or of a newer version."""
    try:
        database.execute("SELECT id, question FROM runs LIMIT 1")
        found = database.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_ERROR:
            raise
        found = None
    if not found:
        raise BadInput(f"{path}: is no database of Consortium")
    if (revision := str(found[0])) > migrations.HEAD:
        raise BadInput(f"{path}: a newer version of Consortium has written it; update Consortium first")
    return revision


def _migrate(path: Path) -> None:
    engine = create_engine(URL.create("sqlite", database=str(path)))
    try:
        with engine.begin() as connection:
            migrations.migrate(connection)
    finally:
        engine.dispose()


def _runs(database: sqlite3.Connection) -> int:
    return int(database.execute("SELECT count(*) FROM runs").fetchone()[0])


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What goes wrong with a file as a sentence."""
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_NOTADB:
            raise BadInput(f"{path}: is no database of Consortium") from None
        raise BadInput(f"{path}: cannot be used ({error})") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be used ({error.strerror}); name another path") from None
