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
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

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
    owner: str | None = None
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        owner = "postgres"
        try:
            account = pwd.getpwnam(owner)
        except KeyError:
            return None
        os.chown(folder, account.pw_uid, account.pw_gid)
    made = subprocess.run(
        [programs / "initdb", "-D", folder, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"],
        user=owner,
        cwd=folder,
        capture_output=True,
        check=False,
    )
    if made.returncode:
        return None
    command = [str(programs / "postgres"), "-D", folder, "-p", str(port), "-h", "127.0.0.1", "-k", "", "-F"]
    _start(command, user=owner, cwd=folder)
    return _postgres_answers(port) if _wait(lambda: _postgres_answers(port) is not None) else None


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


def _start(command: Sequence[str], user: str | None = None, cwd: str | None = None) -> None:
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, user=user, cwd=cwd, stdin=quiet, stdout=quiet, stderr=quiet)
    atexit.register(_stop, process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)  # PostgreSQL: do not wait for clients
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
