"""The queue of runs, on pydocket: streams of Redis with leases, so that a killed worker's run goes to another."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from redis.exceptions import RedisError

from adapters.state.redis import redis_errors
from core.asks import Ask
from core.telemetry import get_logger

if TYPE_CHECKING:
    from docket import Docket, Worker

Handler = Callable[[Ask], Awaitable[None]]

log = get_logger(__name__)

_KNOWN = timedelta(minutes=10)  # how long the record of an ended run is kept
_CHECK = timedelta(milliseconds=20)  # how often ended runs make room for others
_SUBMITS = 32  # each takes a connection


class DocketJobs:
    """Implements :class:`core.ports.Jobs`. Use it as an async context manager.

    ``lease`` is for how many seconds nothing may be heard of a worker before its runs go to another. A
    ``temporary`` queue is forgotten at the end, with what is in it.
    """

    def __init__(
        self, url: str, name: str = "consortium:jobs", *, lease: float = 10.0, temporary: bool = False
    ) -> None:
        self._url, self._name, self._lease, self._temporary = url, name, timedelta(seconds=lease), temporary
        self._submits = asyncio.Semaphore(_SUBMITS)
        self._stack = AsyncExitStack()
        self._docket: Docket

    async def __aenter__(self) -> Self:
        Docket = await asyncio.to_thread(_import_docket)
        # Its pool gives an error, not a wait, when it is exhausted.
        url = f"{self._url}{'&' if '?' in self._url else '?'}max_connections=2000"
        docket = Docket(name=self._name, url=url, execution_ttl=_KNOWN)
        docket.register(_queued, names=["run"])
        with redis_errors(self._url):
            self._docket = await self._stack.enter_async_context(docket)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._temporary:
            with suppress(RedisError):
                async with self._docket.redis() as redis:  # all its other keys expire
                    await redis.delete(self._docket.stream_key)
        await self._stack.aclose()

    async def submit(self, ask: Ask) -> None:
        """Hand a run to whichever worker is free. Raises Unavailable.

        Submitting the same id again changes nothing, up to ten minutes after the run has ended.
        """
        async with self._submits:
            with redis_errors(self._url):
                async with self._docket.redis() as redis:  # the library itself forgets a run when it ends
                    if await redis.exists(self._docket.runs_key(ask.id)):
                        return
                await self._docket.add("run", key=ask.id)(ask.model_dump_json())

    @asynccontextmanager
    async def worker(
        self, handler: Handler, resume: Handler | None = None, *, concurrency: int = 64, grace: float = 10.0
    ) -> AsyncIterator[None]:
        """Take runs within the block, at most ``concurrency`` at once.

        ``resume`` takes those that another worker had begun, ``handler`` when it is left out. An error of either is
        logged and ends the run. At the end no more are taken, those at work get ``grace`` seconds, and what is left
        then is cancelled and goes to another worker once its lease is over.
        """
        from docket import Worker

        worker = Worker(
            self._docket,
            name=f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}",
            concurrency=concurrency,
            redelivery_timeout=self._lease,
            reconnection_delay=timedelta(seconds=1),
            minimum_check_interval=_CHECK,
            schedule_automatic_tasks=False,
        )
        shift = _Shift(handler, resume or handler)
        self._docket.register(shift.run, names=["run"])
        async with worker:
            loop = asyncio.create_task(shift.work(worker), name="jobs")
            try:
                yield
            finally:
                worker.concurrency = 0  # takes no more, and keeps the leases of those at work
                try:
                    await shift.drain(grace)
                finally:
                    shift.end(loop)
                    await asyncio.wait([loop])


class _Shift:
    """The runs that one worker has at work."""

    def __init__(self, handler: Handler, resume: Handler) -> None:
        self._handler, self._resume, self._over = handler, resume, False
        self._running: set[asyncio.Task[Any]] = set()

    async def run(self, ask: str) -> None:
        """The job itself. The library calls it in the task that it acknowledges by, so cancelling that is enough."""
        from docket.dependencies import current_execution

        handle = self._resume if current_execution.get().redelivered else self._handler
        task = asyncio.current_task()
        if task is None or self._over:  # taken just before the end, too late to be seen by it
            raise asyncio.CancelledError
        self._running.add(task)
        try:
            await handle(Ask.model_validate_json(ask))
        except Exception:
            log.exception("run ended by an error", job=task.get_name())
        finally:
            self._running.discard(task)

    async def work(self, worker: Worker) -> None:
        """Take runs until cancelled."""
        while not self._over:
            try:
                await worker.run_forever()
            except Exception:
                log.exception("the queue's worker failed, starting it anew")
                await asyncio.sleep(1)

    async def drain(self, grace: float) -> None:
        """Wait up to ``grace`` seconds for those at work."""
        loop = asyncio.get_running_loop()
        end = loop.time() + grace
        # One that was on its way when the worker was told shows up within its next check.
        await asyncio.sleep(min(grace, 2 * _CHECK.total_seconds()))
        while self._running and loop.time() < end:
            await asyncio.wait(self._running, timeout=end - loop.time(), return_when=asyncio.FIRST_COMPLETED)

    def end(self, loop: asyncio.Task[None]) -> None:
        """Cancel the worker and what it has at work. At once: a run that is cancelled while its worker stops is not
        marked as ended, so its message stays and is delivered again."""
        self._over = True
        loop.cancel()
        for task in self._running:
            task.cancel()


async def _queued(ask: str) -> None:
    """Stands for the job where no worker is."""
    raise NotImplementedError


def _import_docket() -> type[Docket]:
    from docket import Docket  # takes up to a second: not before it is needed, and beside the event loop

    return Docket
