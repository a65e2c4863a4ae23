"""Which processes are there: each one says so every two seconds, and who has not for eight is gone.

All of it is one sorted set, ``{prefix}:alive``: the id of a process, and until when it counts as alive in milliseconds
of the server's clock. It has no expiry, so that a server short of memory never evicts it. ``{prefix}:era`` is a random
word that is there as long as the server keeps its data: with another one, all that was stored before is lost.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path

from adapters.state.redis import Argument, Link, Script
from core.errors import Unavailable
from core.telemetry import get_logger

log = get_logger(__name__)

ALIVE_SECONDS = 8.0
"""After so long without a word a process counts as gone."""

BEAT_SECONDS = 2.0
"""How often a process says that it is there."""

# Who is gone, for scripts: ARGV[1] is the process that asks, ARGV[2] "1" while it cannot tell (Redis was away, and with
# it everybody was silent), ARGV[3] ids of processes that are known to be dead, with a space around each. A process
# that left in order is not in the set.
LIB = """
local alive, me, unsure, dead = KEYS[1], ARGV[1], ARGV[2] == '1', ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function gone(process)
  if process == me then return false end
  if string.find(dead, ' ' .. process .. ' ', 1, true) then return true end
  local till = redis.call('ZSCORE', alive, process)
  return not till or (tonumber(till) < now and not unsure)
end
"""

# Gives the era.
_BEAT = Script(
    LIB
    + """
    redis.call('ZADD', alive, now + tonumber(ARGV[4]), me)
    redis.call('ZREMRANGEBYSCORE', alive, '-inf', now - 86400000)
    redis.call('SET', KEYS[2], ARGV[5], 'NX')
    return redis.call('GET', KEYS[2])
    """
)


class Presence:
    """This process, as the others see it. ``id`` is its own for as long as it runs.

    Call :meth:`start` once and :meth:`aclose` at the end. ``beats`` are called with every beat, ``relive`` as soon as
    it is found that Redis has lost its data, and ``recovered`` a beat later (also where it was empty at the start, for
    all processes may have gone with it), when all processes have had the time to
    store again what they hold; those that raise Unavailable are called again.
    """

    def __init__(
        self, connection: Link, prefix: str, *, alive: float = ALIVE_SECONDS, beat: float = BEAT_SECONDS
    ) -> None:
        self._link, self._alive, self._beat = connection, alive, beat
        self.id = new_process_id()
        self.key = f"{prefix}:alive"
        self.era: bytes | None = None
        self.relive: list[Callable[[], Awaitable[None]]] = []
        self.beats: list[Callable[[], Awaitable[None]]] = []
        self.recovered: list[Callable[[], Awaitable[None]]] = []
        self._lost: float | None = None
        self._era_key = f"{prefix}:era"
        self._unsure_till = 0.0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Be there, and stay. Raises Unavailable when Redis does not answer."""
        with self._link.errors():
            info = await self._link.client.info("server")
        if info.get("uptime_in_seconds", 0) < self._alive:  # it was away just now: others may not have spoken yet
            self._doubt()
        self.era = await self._say()
        self._task = asyncio.create_task(self._beat_forever(), name="presence")

    async def aclose(self) -> None:
        """Be silent; the caller has said that it goes."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def renew(self) -> None:
        """Say that the process is there, and store again what Redis has lost. Raises Unavailable."""
        era = await self._say()
        if era != self.era:
            log.warning("Redis has lost its data: what this process holds is stored again")
            self._doubt()
            for again in self.relive:
                await again()
            self.era, self._lost = era, asyncio.get_running_loop().time()

    async def who_asks(self) -> tuple[Argument, ...]:
        """The first three arguments of scripts that begin with :data:`LIB`. Raises Unavailable."""
        known: list[bytes] = await self._link.command("ZRANGE", self.key, 0, -1)
        dead = [name for name in (known_id.decode() for known_id in known) if name != self.id and is_dead(name)]
        return *self.asking()[:2], f" {' '.join(dead)} "

    def asking(self) -> tuple[Argument, ...]:
        """The same without a look at which processes of this machine have died."""
        return self.id, int(asyncio.get_running_loop().time() < self._unsure_till), " "

    async def _say(self) -> bytes:
        keys, token = (self.key, self._era_key), secrets.token_hex(8)
        era: bytes = await self._link.script(_BEAT, keys, (self.id, 0, " ", round(self._alive * 1000), token))
        if era == token.encode():
            self._lost = asyncio.get_running_loop().time()
        return era

    async def _recover(self) -> None:
        lost = self._lost
        if lost is not None and asyncio.get_running_loop().time() >= lost + self._beat:
            for work in self.recovered:
                await work()
            self._lost = None if self._lost == lost else self._lost

    def _doubt(self) -> None:
        self._unsure_till = asyncio.get_running_loop().time() + self._alive

    async def _beat_forever(self) -> None:
        while True:
            await asyncio.sleep(self._beat)
            try:
                async with asyncio.timeout(self._alive / 2):
                    await self.renew()
                    for work in self.beats:
                        await work()
                await self._recover()
            except (Unavailable, TimeoutError) as error:
                log.warning("not told that this process is there", error=str(error) or "Redis does not answer")
                self._doubt()
            except Exception:
                log.exception("a beat failed")


def new_process_id() -> str:
    """An id by which processes of the same machine can tell whether that one is still there."""
    return f"{_machine()}-{os.getpid()}-{_started(os.getpid())}-{secrets.token_hex(4)}"


def is_dead(process: str) -> bool:
    """Whether it ran on this machine and has ended. False where that cannot be told."""
    machine, _, rest = process.partition("-")
    pid, _, rest = rest.partition("-")
    if machine != _machine() or not pid.isdigit():
        return False
    return _started(int(pid)) != rest.partition("-")[0]


@cache
def _machine() -> str:
    """The machine since it was started, and which processes of it are seen from here: containers may share a name."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return sha256(" ".join(parts).encode()).hexdigest()[:12]


def _started(pid: int) -> str:
    """When the process of that number was started, as far as the system tells; empty when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        stat = ""
    if stat:
        fields = stat.rpartition(")")[2].split()  # the name before may hold anything
        return "" if fields[0] in "ZX" else fields[19]
    if Path("/proc/self/stat").exists():
        return ""
    try:  # no /proc, as on macOS
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "0"
