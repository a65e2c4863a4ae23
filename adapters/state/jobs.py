"""The queue of runs: a fair queue that holds them, and pydocket's streams that carry to a worker what it has room for.

A run is at work under a lease of the fair queue, which its worker renews; docket's own job only begins it. So a worker
goes on with its runs while Redis is away, and takes new ones as soon as Redis is back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self

from redis.exceptions import RedisError

from adapters.state.fair import FairQueue
from adapters.state.presence import is_dead, new_process_id
from adapters.state.quiet import hush
from adapters.state.redis import link, redis_errors
from core.asks import Ask
from core.errors import Unavailable
from core.ports import QueueDepth
from core.telemetry import get_logger

if TYPE_CHECKING:
    from docket import Docket, Worker

Handler = Callable[[Ask], Awaitable[None]]

log = get_logger(__name__)

_CHECK = timedelta(milliseconds=20)  # how often ended runs make room for others
_REPORT = 0.5  # seconds between reports of a worker at the most
_GATHER = 0.05  # seconds for which ends of runs are gathered where nothing waits for their room
_HANDED_AT_ONCE = 32  # each takes a connection


class DocketJobs:
    """Implements :class:`core.ports.Jobs`. Use it as an async context manager.

    ``at_once`` is how many runs of a workspace are at work at the most, 0: any number. ``lease`` is for how many
    seconds nothing may be heard of a worker before its runs go to another; at once where it ran on this machine and
    has ended. A ``temporary`` queue is forgotten at the end, with what is in it.
    """

    def __init__(
        self, url: str, name: str = "consortium:jobs", *, at_once: int = 0, lease: float = 10.0, temporary: bool = False
    ) -> None:
        self._url, self._name, self._lease, self._temporary = url, name, lease, temporary
        self._at_once = at_once
        self._handing = asyncio.Semaphore(_HANDED_AT_ONCE)
        self._stack = AsyncExitStack()
        self._docket: Docket
        self._fair: FairQueue

    async def __aenter__(self) -> Self:
        Docket = await asyncio.to_thread(_import_docket)
        # Its pool gives an error, not a wait, when it is exhausted.
        url = f"{self._url}{'&' if '?' in self._url else '?'}max_connections=2000"
        docket = Docket(name=self._name, url=url, execution_ttl=timedelta(0))
        docket.register(_queued, names=["run"])
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(link(self._url))
            with redis_errors(self._url):
                self._docket = await stack.enter_async_context(docket)
            self._fair = FairQueue(
                connection, self._name, at_once=self._at_once, lease=self._lease, lasting=not self._temporary
            )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._temporary:
            with suppress(RedisError, Unavailable):
                await self._fair.forget()
                async with self._docket.redis() as redis:  # all its other keys expire
                    await redis.delete(self._docket.stream_key)
        await self._stack.aclose()

    async def submit(self, ask: Ask) -> None:
        """Hand a run to whichever worker is free, in its workspace's turn. Raises Unavailable.

        Submitting the same id again changes nothing, up to ten minutes after the run has ended.
        """
        await self.hand(await self._fair.submit(ask))

    async def place(self, run_id: str) -> int | None:
        """How many others begin before it as things are; None when it does not wait: at work, over, or not known."""
        return await self._fair.place(run_id)

    async def withdraw(self, run_id: str) -> bool:
        """Take a run out that waits. False when it does not wait: its worker has to be told."""
        return await self._fair.withdraw(run_id)

    async def depth(self) -> QueueDepth:
        """How long the queue is."""
        return await self._fair.depth()

    async def hand(self, runs: Sequence[str]) -> None:
        """Pass on to workers what the fair queue hands out. What cannot be passed on is handed out again."""
        if len(runs) == 1:
            await self._hand(runs[0])
        elif runs:
            await asyncio.gather(*map(self._hand, runs))

    async def _hand(self, run_id: str) -> None:
        try:
            async with self._handing:
                await self._docket.add("run", key=run_id)(run_id)
        except RedisError as error:
            log.warning("a run is handed out a little later", run=run_id, error=str(error))

    @asynccontextmanager
    async def worker(
        self, handler: Handler, resume: Handler | None = None, *, concurrency: int = 64, grace: float = 10.0
    ) -> AsyncIterator[None]:
        """Take runs within the block, at most ``concurrency`` at once.

        ``resume`` takes those that another worker had begun, ``handler`` when it is left out. An error of either is
        logged and ends the run. At the end no more are taken, those at work get ``grace`` seconds, and what is left
        then is cancelled and goes to another worker at once.
        """
        from docket import Worker

        worker = Worker(
            self._docket,
            name=new_process_id(),
            concurrency=concurrency,
            redelivery_timeout=timedelta(seconds=self._lease),
            reconnection_delay=timedelta(seconds=1),
            minimum_check_interval=_CHECK,
            schedule_automatic_tasks=False,
        )
        shift = _Shift(self._fair, self.hand, worker, handler, resume or handler, self._lease)
        self._docket.register(shift.begin, names=["run"])
        async with worker:
            await shift.enter()
            tasks = [asyncio.create_task(shift.take(), name="jobs"), asyncio.create_task(shift.report(), name="shift")]
            try:
                yield
            finally:
                try:
                    await shift.drain(grace)
                finally:
                    await shift.cancel()
                    for task in tasks:
                        task.cancel()
                    await asyncio.wait(tasks)
                    await shift.leave()


class _Shift:
    """The runs that one worker has at work, and what the fair queue is told of them."""

    def __init__(
        self,
        fair: FairQueue,
        hand: Callable[[Sequence[str]], Awaitable[None]],
        worker: Worker,
        handler: Handler,
        resume: Handler,
        lease: float,
    ) -> None:
        self._fair, self._hand, self._worker = fair, hand, worker
        self._handler, self._resume = handler, resume
        self._pause = min(_REPORT, lease / 4)
        self._limit, self._over = worker.concurrency, False
        self._running: dict[str, tuple[Ask, asyncio.Task[None]]] = {}
        self._lost: set[str] = set()  # cancelled, for others have them
        self._ended: dict[str, None] = {}  # and the fair queue does not know yet
        self._workers: list[str] = []
        self._waiting = 0  # runs that have no room yet, in all workspaces
        self._news = asyncio.Event()

    async def enter(self) -> None:
        """The worker is there: runs of workers of this machine that have died come back at once. Raises Unavailable."""
        limit, self._limit = self._limit, 0
        await self._tell()  # who else there is
        self._limit = limit
        await self._tell()

    async def begin(self, run_id: str) -> None:
        """Docket's job: over as soon as the run is at work."""
        if self._over or run_id in self._running:
            return
        try:
            begun = await self._fair.begin(run_id, self._worker.name)
        except Unavailable as error:
            log.warning("a run begins a little later", run=run_id, error=str(error))
            return
        if begun is None or self._over or run_id in self._running:
            return
        text, again = begun
        try:
            ask = Ask.model_validate_json(text)
        except ValueError:
            log.exception("a run cannot be read", run=run_id)
            self._end(run_id)
            return
        work = self._carry(ask, self._resume if again else self._handler)
        self._running[run_id] = (ask, asyncio.create_task(work, name=f"run {run_id}"))
        self._fit()

    async def take(self) -> None:
        """Take runs until cancelled."""
        while not self._over:  # docket ends in order when it is cancelled
            try:
                await self._worker.run_forever()
            except Exception:
                log.exception("the queue's worker failed, starting it anew")
                await asyncio.sleep(1)

    async def report(self) -> None:
        """Tell the fair queue how things are, at once when a run has ended, until cancelled."""
        away = False
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause):
                    await self._news.wait()
                    if not self._waiting and self._limit:
                        await asyncio.sleep(_GATHER)
            self._news.clear()
            try:
                await self._tell()
            except Unavailable as error:
                if not away:
                    log.warning("the queue is out of reach; runs at work go on", error=str(error))
                away = True
                await asyncio.sleep(self._pause)
            except Exception:
                log.exception("the queue was not told how things are")
                await asyncio.sleep(self._pause)
            else:
                away = False

    async def drain(self, grace: float) -> None:
        """Take no more, and wait up to ``grace`` seconds for those at work."""
        self._limit = 0
        self._fit()
        self._news.set()
        end = time.monotonic() + grace
        # One that was on its way when the worker was told shows up within its next check.
        await asyncio.sleep(min(grace, 2 * _CHECK.total_seconds()))
        while self._running and (left := end - time.monotonic()) > 0:
            tasks = [task for _, task in self._running.values()]
            await asyncio.wait(tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)

    async def cancel(self) -> None:
        """Cancel what is at work, and begin nothing more."""
        self._over = True
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def leave(self) -> None:
        """What is left goes to others. Without Redis they find out when the leases are over."""
        try:
            await self._hand(await self._fair.leave(self._worker.name, list(self._ended)))
        except Unavailable as error:
            log.warning("the queue was not told that this worker goes", error=str(error))

    async def _tell(self) -> None:
        ended = list(self._ended)
        told = await self._fair.report(
            self._worker.name,
            capacity=self._limit,
            alive=max(1.0, 5 * self._pause),
            dead=[name for name in self._workers if name != self._worker.name and is_dead(name)],
            ended=ended,
            running=list(self._running),
        )
        for run_id in ended:
            self._ended.pop(run_id, None)
        self._workers, self._waiting = told.workers, told.waiting
        for run_id in told.unknown:
            if run_id in self._running:
                log.warning("the queue has lost a run, which goes on", run=run_id)
                await self._fair.restore(self._running[run_id][0], self._worker.name)
        for run_id in told.lost:
            if run_id in self._running:
                log.warning("another worker has taken a run over, as nothing was heard of this one", run=run_id)
                self._lost.add(run_id)
                self._running[run_id][1].cancel()
        await self._hand(told.handed)

    async def _carry(self, ask: Ask, handle: Handler) -> None:
        ended = True
        try:
            await handle(ask)
        except asyncio.CancelledError:
            ended = not self._over and ask.id not in self._lost
        except Exception:
            log.exception("run ended by an error", job=ask.id)
        finally:
            self._running.pop(ask.id, None)
            self._lost.discard(ask.id)
            if ended:
                self._end(ask.id)
            self._fit()

    def _end(self, run_id: str) -> None:
        self._ended[run_id] = None
        self._news.set()

    def _fit(self) -> None:
        """Docket fetches no more than there is room for."""
        self._worker.concurrency = max(0, self._limit - len(self._running))


async def _queued(run_id: str) -> None:
    """Stands for the job where no worker is."""
    raise NotImplementedError


def _import_docket() -> type[Docket]:
    from docket import Docket  # takes up to a second: not before it is needed, and beside the event loop

    hush()
    return Docket
