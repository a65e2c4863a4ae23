"""Finders of the real servers that tests talk to: Redis and PostgreSQL on loopback.

A server that already answers on its usual port is used as it is, so tests must keep to keys and databases of
their own. Where none answers but its program is installed, one is started for the length of the test process,
with its data in a temporary folder. Where there is neither, the finder gives None and the caller skips.
"""

from __future__ import annotations

import asyncio
import atexit
import glob
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Self

import asyncpg  # type: ignore[import-untyped]
import redis

REDIS_MISSING = "no Redis answers on 127.0.0.1:6379 and no redis-server is on the PATH"
POSTGRES_MISSING = "no PostgreSQL answers on 127.0.0.1:5432 and no postgres program is installed"


@cache
def redis_url() -> str | None:
    """Address of a Redis server, or None. It may be shared: use keys of your own and never flush it."""
    if _redis_answers(6379):
        return "redis://127.0.0.1:6379/0"
    program = shutil.which("redis-server")
    if program is None:
        return None
    port, folder = _free_port(), _folder()
    command = [program, "--bind", "127.0.0.1", "--port", str(port), "--dir", folder, "--save", "", "--appendonly", "no"]
    _start(command)
    return f"redis://127.0.0.1:{port}/0" if _wait(lambda: _redis_answers(port)) else None


@cache
def postgres_url() -> str | None:
    """Address of a PostgreSQL server's `postgres` database, or None. Create a database of your own in it."""
    if url := _postgres_answers(5432):
        return url
    programs = _postgres_programs()
    if programs is None:
        return None
    port, folder = _free_port(), _folder()
    try:
        owner = _make_cluster(programs, folder)
    except OSError:
        return None
    _start(_postgres_command(programs, folder, port), user=owner, cwd=folder)
    return _postgres_answers(port) if _wait(lambda: _postgres_answers(port) is not None) else None


class OwnServer:
    """A server of one's own that may be stopped or killed, and started again on the same port with the same data.

    Use as a context manager, or ``start`` and ``stop``; the calls block until it answers, or is gone.
    """

    def __init__(
        self, url: str, command: Sequence[str], answers: Callable[[], bool], folder: str, user: str | None = None
    ) -> None:
        self.url = url
        self._command, self._answers, self._folder, self._user = command, answers, folder, user
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """Its process, while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it and wait until it answers. Raises TimeoutError."""
        if self._process is None:
            self._process = _start(self._command, user=self._user, cwd=self._folder)
        if not _wait(self._answers, 30):
            raise TimeoutError(f"{self._command[0]} does not answer")

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Stop it at once, in order unless ``number`` is SIGKILL; clients lose their connections."""
        process, self._process = self._process, None
        if process is not None:
            _stop(process, number)

    def forget(self) -> None:
        """While it is stopped: lose all of its data. Not for PostgreSQL, whose files are what it is."""
        for path in Path(self._folder).iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def own_servers() -> bool:
    """Whether there are programs for servers of one's own."""
    return shutil.which("redis-server") is not None and _postgres_programs() is not None


def own_redis(*options: str) -> OwnServer | None:
    """A Redis server whose data lasts over a restart; ``url`` tells where. None where the program is missing."""
    program = shutil.which("redis-server")
    if program is None:
        return None
    port, folder = lasting_port(), _folder()
    command = [
        program,
        "--bind",
        "127.0.0.1",
        "--port",
        str(port),
        "--dir",
        folder,
        "--save",
        "",
        "--appendonly",
        "yes",
    ]
    return OwnServer(f"redis://127.0.0.1:{port}/0", [*command, *options], lambda: _redis_answers(port), folder)


def own_postgres() -> OwnServer | None:
    """A PostgreSQL server; ``url`` is its empty database `postgres`. None where the programs are missing."""
    programs = _postgres_programs()
    if programs is None:
        return None
    port, folder = lasting_port(), _folder()
    try:
        owner = _make_cluster(programs, folder)
    except OSError:
        return None
    url, command = f"postgresql://postgres@127.0.0.1:{port}/postgres", _postgres_command(programs, folder, port)
    return OwnServer(url, command, lambda: _postgres_answers(port) is not None, folder, owner)


def _make_cluster(programs: Path, folder: str) -> str | None:
    """Make PostgreSQL's files in a folder; gives the user that its server has to run as. Raises OSError."""
    owner: str | None = None
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        owner = "postgres"
        try:
            account = pwd.getpwnam(owner)
        except KeyError:
            raise OSError("there is no user postgres") from None
        os.chown(folder, account.pw_uid, account.pw_gid)
    made = subprocess.run(
        [programs / "initdb", "-D", folder, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"],
        user=owner,
        cwd=folder,
        capture_output=True,
        check=False,
    )
    if made.returncode:
        raise OSError(made.stderr.decode(errors="replace"))
    return owner


def _postgres_command(programs: Path, folder: str, port: int) -> list[str]:
    return [str(programs / "postgres"), "-D", folder, "-p", str(port), "-h", "127.0.0.1", "-k", "", "-F"]


def _redis_answers(port: int) -> bool:
    try:
        with redis.Redis(host="127.0.0.1", port=port, socket_timeout=2, socket_connect_timeout=2) as client:
            return bool(client.ping())
    except (redis.RedisError, OSError):
        return False


def _postgres_answers(port: int) -> str | None:
    """The address under which a superuser gets in without a password."""
    if not _listens(port):
        return None
    for user in ("postgres", "root"):
        url = f"postgresql://{user}@127.0.0.1:{port}/postgres"
        if _aside(partial(_connect_once, url)):
            return url
    return None


async def _connects(url: str) -> bool:
    try:
        connection = await asyncpg.connect(url, timeout=5)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    await connection.close()
    return True


def _connect_once(url: str) -> bool:
    return asyncio.run(_connects(url))


def _aside(work: Callable[[], bool]) -> bool:
    """Run in a thread of its own, so that finders also work where an event loop runs already."""
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join()
    return bool(results and results[0])


def _postgres_programs() -> Path | None:
    """The folder that holds both programs; Debian keeps them off the PATH."""
    on_path = shutil.which("postgres")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += [Path(p) for p in sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)]
    return next((f for f in folders if (f / "postgres").exists() and (f / "initdb").exists()), None)


def _start(command: Sequence[str], user: str | None = None, cwd: str | None = None) -> subprocess.Popen[bytes]:
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, user=user, cwd=cwd, stdin=quiet, stdout=quiet, stderr=quiet)
    atexit.register(_stop, process)
    return process


def _stop(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGINT) -> None:
    process.send_signal(number)  # SIGINT: PostgreSQL does not wait for clients
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _folder() -> str:
    folder = tempfile.mkdtemp(prefix="consortium-test-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # exit handlers run last in, first out
    return folder


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def lasting_port() -> int:
    """A free port below those that the system deals to clients, so that it stays free while its server is away."""
    while True:
        port = random.randint(15_000, 30_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True


def _wait(ready: Callable[[], bool], seconds: float = 15) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if ready():
            return True
        time.sleep(0.05)
    return False
