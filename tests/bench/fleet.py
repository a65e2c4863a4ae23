"""Consortium as it runs on many hosts: fronts and workers as processes of their own on Redis and PostgreSQL servers of
their own, against a Slack full of people and a provider that counts. Whoever is killed is started again."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.bench.crowd import Plan, told
from tests.servers import OwnServer, lasting_port, own_postgres, own_redis

ROOT = Path(__file__).parents[2]
KEY = "sk-emulated-1234567890"
MEMBERS = ("m1", "m2", "m3")
PAUSE = (0.5, 1.0)
"""Seconds between the end of a process and its next start, at the least and at the most."""

READY = 120.0
"""Seconds within which a process is ready after its start."""

TRIES = 5
"""Starts in a row that came to nothing, with nobody killing it, after which it is not started any more."""

Figures = dict[str, Any]
Exchange = Callable[[Figures], Awaitable[Figures]]

MODELS_FILE = """\
[providers.p]
base_url = "{url}"
api_key_env = "OPENROUTER_API_KEY"
{models}
[consortia.default]
members = {members}
arbiter = "judge"
max_iterations = 2
patience = 10.0
[limits]
user = "1000000/minute"
workspace = "1000000/minute"
"""


def write_models(folder: Path, url: str) -> Path:
    """Write what all processes are configured by."""
    models = "".join(f'[models.{key}]\nprovider = "p"\nname = "{key}"\ntimeout = 30\n' for key in (*MEMBERS, "judge"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "consortium.toml"
    path.write_text(MODELS_FILE.format(url=url, models=models, members=json.dumps(MEMBERS)))
    return path


@dataclass
class Life:
    """One process from start to end. ``ended`` is its exit code, None while it runs."""

    pid: int
    began: float
    ready: float | None = None
    ended: int | None = None
    killed: bool = False


@dataclass
class Program:
    """``consortium serve`` or ``consortium worker``, started again whenever it ends; ``port`` is where it serves."""

    name: str
    arguments: Sequence[str]
    env: dict[str, str]
    folder: Path
    port: int
    chance: random.Random
    lives: list[Life] = field(default_factory=list)
    _process: asyncio.subprocess.Process | None = None
    _task: asyncio.Task[None] | None = None
    _ready: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self) -> None:
        """Start it and keep it going."""
        self._task = asyncio.create_task(self._keep())

    async def ready(self) -> None:
        """Wait until it has said that it is ready. Raises TimeoutError, or RuntimeError where it ends by itself."""
        ready = asyncio.create_task(self._ready.wait())
        assert self._task
        await asyncio.wait({ready, self._task}, timeout=READY, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._task.done():
            self._task.result()
        if not self._ready.is_set():
            raise TimeoutError(f"{self.name} is not ready after {READY:.0f} s")

    @property
    def pid(self) -> int | None:
        """The process that runs now."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    @property
    def up(self) -> bool:
        """Whether it runs and is ready."""
        return self.pid is not None and self._ready.is_set()

    @property
    def log(self) -> Path:
        """What all its processes have written."""
        return self.folder / f"{self.name}.log"

    @property
    def given_up(self) -> bool:
        """Whether it is not started any more."""
        return self._task is not None and self._task.done()

    def kill(self) -> bool:
        """End it without a warning; False where it does not run."""
        if self._process is None or self._process.returncode is not None:
            return False
        self.lives[-1].killed = True
        self._process.kill()
        return True

    async def stop(self) -> None:
        """End it and all that it left behind, and do not start it again."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for life in self.lives:
            with suppress(ProcessLookupError):
                os.killpg(life.pid, signal.SIGKILL)
        if self._process is not None:
            await self._process.wait()

    def orphans(self) -> int:
        """How many processes those that are dead have left behind."""
        dead = {life.pid for life in self.lives if life.ended is not None}
        return sum(_group(process) in dead for process in psutil.process_iter())

    async def _keep(self) -> None:
        while True:
            self._ready.clear()
            with self.log.open("ab") as log:
                log.write(f"--- {self.name}\n".encode())
                log.flush()
                said = log.tell()
                self._process = process = await asyncio.create_subprocess_exec(
                    *(str(Path(sys.executable).parent / "consortium"), *self.arguments),
                    cwd=self.folder,
                    env=self.env,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=log,
                    start_new_session=True,
                )
            life = Life(process.pid, time.time())
            self.lives.append(life)
            listening = asyncio.create_task(self._listen(life, said))
            try:
                life.ended = await process.wait()
            finally:
                listening.cancel()
            if sum(not one.ready and not one.killed for one in self.lives[-TRIES:]) == TRIES:
                raise RuntimeError(f"{self.name} does not start: {self.log.read_text()[-500:]}")
            await asyncio.sleep(self.chance.uniform(*PAUSE))

    async def _listen(self, life: Life, said: int) -> None:
        """Wait until its log says that it is ready."""
        with self.log.open("rb") as log:
            log.seek(said)
            while b'"event": "ready"' not in log.read():
                log.seek(said)
                await asyncio.sleep(0.1)
        life.ready = time.time()
        self._ready.set()


def _group(process: psutil.Process) -> int:
    with suppress(ProcessLookupError, psutil.Error):
        if process.status() != psutil.STATUS_ZOMBIE:
            return os.getpgid(process.pid)
    return -1


@dataclass(frozen=True)
class Fleet:
    """Everything that runs. ``crowd`` tells the people something; ``calls`` asks the provider what it counted;
    ``others`` are the processes of both."""

    folder: Path
    redis: OwnServer
    postgres: OwnServer
    fronts: tuple[Program, ...]
    workers: tuple[Program, ...]
    crowd: Exchange
    calls: Exchange
    url: str
    others: dict[str, int]

    @property
    def programs(self) -> tuple[Program, ...]:
        """Fronts, then workers."""
        return (*self.fronts, *self.workers)

    async def ready(self) -> None:
        """Wait until all are ready and the platform reaches them."""
        await asyncio.gather(*(program.ready() for program in self.programs))
        await self.crowd({"do": "connect", "url": self.url})


@dataclass(frozen=True)
class Size:
    """How large a fleet is: fronts, workers, and how long a model takes in seconds. With ``alone`` there is one
    process that does it all. ``env`` is added to the processes' settings."""

    fronts: int = 2
    workers: int = 3
    seconds: float = 1.0
    alone: bool = False
    env: dict[str, str] = field(default_factory=dict)


@asynccontextmanager
async def open_fleet(size: Size, plan: Plan, folder: Path) -> AsyncIterator[Fleet]:
    """Start everything, wait until it is ready, and end it all on leaving.

    Raises:
        RuntimeError: Redis or PostgreSQL is not installed here.
        TimeoutError: something does not start.
    """
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(Other.process("tests.bench.counting", str(size.seconds)))
        crowd = await stack.enter_async_context(Other.process("tests.bench.crowd"))
        redis, postgres = own_redis(), await asyncio.to_thread(own_postgres)
        if redis is None or postgres is None:
            raise RuntimeError("redis-server and postgres must be installed here")
        for server in (redis, postgres):
            stack.callback(server.stop)
            await asyncio.to_thread(server.start)
        slack = await crowd.exchange(told(plan))
        config = write_models(folder, (await provider.exchange(None))["url"])
        env = _env(size, plan, slack, redis.url, postgres.url, config)
        chance = random.Random(plan.seed)

        def program(name: str, *arguments: str) -> Program:
            """As on a host of its own: nothing but the servers is shared."""
            port, home = str(lasting_port()), str(folder / name)
            own = {"PORT": port, "WORKER_PORT": port, "DATA_DIR": home}
            return Program(name, arguments, {**env, **own}, folder, int(port), chance)

        serving = ("serve",) if size.alone else ("serve", "--no-work")
        fronts = [program(f"front{n}", *serving) for n in range(size.fronts)]
        workers = [program(f"worker{n}", "worker") for n in range(0 if size.alone else size.workers)]
        url = ""
        if not plan.socket:
            port = await stack.enter_async_context(balancer([front.port for front in fronts]))
            url = f"http://127.0.0.1:{port}/slack/events"
        for one in (*fronts, *workers):
            one.start()
            stack.push_async_callback(one.stop)

        others = {"people": crowd.pid, "provider": provider.pid}
        fleet = Fleet(folder, redis, postgres, tuple(fronts), tuple(workers), crowd.tell, provider.tell, url, others)
        await fleet.ready()
        yield fleet


def _env(size: Size, plan: Plan, slack: Figures, redis: str, postgres: str, config: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    tokens = {"SLACK_BOT_TOKEN": slack["bot"], "SLACK_API_URL": slack["api"]}
    tokens |= {"SLACK_APP_TOKEN": slack["app"]} if plan.socket else {"SLACK_SIGNING_SECRET": slack["secret"]}
    ours = {
        "PYTHONPATH": str(ROOT),
        "REDIS_URL": redis,
        "DATABASE_URL": postgres,
        "CONSORTIUM_CONFIG": str(config),
        "OPENROUTER_API_KEY": KEY,
        "SHUTDOWN_GRACE": "3",
        "LOG_JSON": "true",
    }
    return {**kept, **ours, **tokens, **size.env}


class Other:
    """A module as a process of its own, that answers each line with one line of JSON."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process, self._turn = process, asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def process(cls, *arguments: str) -> AsyncIterator[Other]:
        """Start it; it is killed on leaving."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", *arguments),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2**26,
        )
        try:
            yield cls(process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    async def exchange(self, line: str | None) -> Figures:
        """Write it a line, where there is one, and read its next."""
        write, read = self._process.stdin, self._process.stdout
        assert write
        assert read
        async with self._turn:
            if line is not None:
                write.write(f"{line}\n".encode())
                await write.drain()
            answer = await asyncio.wait_for(read.readline(), READY)
        if not answer:
            raise RuntimeError("a process of the bench has ended")
        found: Figures = json.loads(answer)
        return found

    async def tell(self, what: Figures) -> Figures:
        """The same with what it is told as JSON."""
        return await self.exchange(json.dumps(what))


@asynccontextmanager
async def balancer(ports: Sequence[int]) -> AsyncIterator[int]:
    """A port whose connections go to these in turn; to the next where one does not take it."""
    turn = 0

    async def splice(read: asyncio.StreamReader, write: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await read.read(2**16):
                write.write(data)
                await write.drain()
        write.close()

    async def connect(read: asyncio.StreamReader, write: asyncio.StreamWriter) -> None:
        nonlocal turn
        for _ in ports:
            turn += 1
            with suppress(OSError):
                back = await asyncio.open_connection("127.0.0.1", ports[turn % len(ports)])
                await asyncio.gather(splice(read, back[1]), splice(back[0], write))
                return
        write.close()

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


@asynccontextmanager
async def working_folder(keep: bool) -> AsyncIterator[Path]:
    """A folder for logs, that goes unless it is to be kept."""
    if keep:
        yield Path(tempfile.mkdtemp(prefix="consortium-fleet-"))
        return
    with tempfile.TemporaryDirectory(prefix="consortium-fleet-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
