"""Analysis and drawing in processes of their own, so that neither the event loop nor this process pays for them.

The heavy libraries are imported by one server process (multiprocessing's forkserver) from which the workers are
forked. None of these processes outlives this one, however it ends, and none of them runs the program of this one
again: it needs no ``if __name__ == "__main__"``.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import spawn
from multiprocessing.connection import wait
from typing import Any, TypeVar

from core.analysis import LONGEST
from core.errors import Unavailable
from core.telemetry import get_logger
from core.types import Analysis, Chart, Member, Response

log = get_logger(__name__)

R = TypeVar("R")

Answers = list[tuple[Member, str]]

_PR_SET_PDEATHSIG = 1

_spawning = threading.Lock()  # one at a time changes how processes are made and puts it back


class Studio:
    """A :class:`core.ports.Analyst` on a pool of ``workers`` processes, started when first needed.

    A worker that dies, or that takes longer than ``limit`` seconds for one call and is then ended, takes the whole
    pool with it: the pool is made anew and each call that was lost is tried once more before it raises
    :class:`core.errors.Unavailable`. Use it in one event loop, as a context manager or with :meth:`aclose`.
    """

    def __init__(self, workers: int = 2, *, limit: float = 20.0) -> None:
        self._workers, self._limit = workers, limit
        self._pool: asyncio.Task[ProcessPoolExecutor] | None = None
        # What is inside the pool when it breaks is lost, so no more goes in than keeps the workers busy.
        self._places = asyncio.Semaphore(workers + 1)
        self._closed = False

    async def __aenter__(self) -> Studio:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def warm(self) -> None:
        """Start the processes now; returns when they are ready, which takes some seconds, or cannot be had for now."""
        try:
            await self._ready()
        except Unavailable as error:
            log.warning("not warm", error=str(error))

    async def aclose(self) -> None:
        """End the processes once the calls inside are done; calls that still wait raise Unavailable."""
        self._closed = True
        starting, self._pool = self._pool, None
        if starting:
            with contextlib.suppress(Unavailable):
                pool = await asyncio.shield(starting)
                await asyncio.to_thread(pool.shutdown)

    async def analyse(self, responses: Sequence[Response]) -> Analysis:
        """Similarity, sentiment and emotions of one or more answers.

        Raises ValueError when there is no answer, Unavailable when the processes do not do it.
        """
        return await self._run(_analyse, _answers(responses))

    async def analyse_and_draw(
        self, responses: Sequence[Response], panel: Sequence[Member] = ()
    ) -> tuple[Analysis, tuple[Chart, ...]]:
        """The analysis and its charts; with a single answer no charts. Raises as :meth:`analyse` does.

        Members keep number and colour by their place in ``panel``; without it by their place among the answers.
        """
        return await self._run(_analyse_and_draw, _answers(responses), tuple(panel))

    async def _run(self, work: Callable[..., R], *args: object) -> R:
        async with self._places:
            for _ in range(2):
                starting, pool = await self._ready()
                try:
                    return await asyncio.wrap_future(pool.submit(_timed, self._limit, work, *args))
                except BrokenProcessPool:
                    # Of the calls that were lost together, the first makes room for a new pool.
                    if self._pool is starting:
                        self._pool = None
                        pool.shutdown(wait=False)
        raise Unavailable("The answers could not be analysed: the process that does it ended twice.")

    async def _ready(self) -> tuple[asyncio.Task[ProcessPoolExecutor], ProcessPoolExecutor]:
        if self._closed:
            raise Unavailable("The answers could not be analysed: the program is ending.")
        if self._pool is None:
            # In a thread, for it waits until the libraries are loaded; a task of its own, for whoever waits for
            # it may be cancelled.
            self._pool = asyncio.create_task(asyncio.to_thread(_start, self._workers))
        starting = self._pool
        try:
            return starting, await asyncio.shield(starting)
        except Unavailable:
            if self._pool is starting:
                self._pool = None
            raise


def _answers(responses: Sequence[Response]) -> Answers:
    if not responses:
        raise ValueError("there is no answer to analyse")
    # One character more than is analysed, so that the analysis can tell that it was cut.
    return [(response.member, response.text[: LONGEST + 1]) for response in responses]


class _Pool(ProcessPoolExecutor):
    """A pool whose workers leave the program that they work for alone, whenever it starts them."""

    def _spawn_process(self) -> None:
        with _program_left_out():
            super()._spawn_process()  # type: ignore[misc] # the stubs leave it out


@contextlib.contextmanager
def _program_left_out() -> Iterator[None]:
    """Whatever process this thread starts meanwhile does not run the main module of this program.

    multiprocessing has a new process run the caller's main module under another name, so that it finds what was
    defined there. A program without a guard would thus be carried out once more in each worker; and nothing
    that workers are sent comes from there. There is no setting for this; what a new process is to do comes out of one
    function, from which the main module is left out here. Other threads that start processes get it whole.
    """
    thread = threading.get_ident()

    def prepare(name: str) -> dict[str, Any]:
        data = whole(name)
        if threading.get_ident() == thread:
            data.pop("init_main_from_name", None)
            data.pop("init_main_from_path", None)
        return data

    with _spawning:
        whole = spawn.get_preparation_data
        spawn.get_preparation_data = prepare
        try:
            yield
        finally:
            spawn.get_preparation_data = whole


def _start(workers: int) -> ProcessPoolExecutor:
    """A pool whose workers all run. Raises Unavailable when they cannot be started."""
    forks = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if forks else "spawn")
    pool: ProcessPoolExecutor | None = None
    try:
        if forks:
            context.set_forkserver_preload(["core.workshop"])
        pool = _Pool(workers, mp_context=context, initializer=_open_worker)
        # The pool starts a worker for a call that finds none free: these calls overlap.
        for future in [pool.submit(time.sleep, 0.05) for _ in range(workers)]:
            future.result()
    except (BrokenProcessPool, OSError, EOFError) as error:
        if pool:
            pool.shutdown(wait=False)
        raise Unavailable("The processes that analyse answers could not be started.") from error
    return pool


# --- in the worker --------------------------------------------------------------------------------------


def _open_worker() -> None:
    """Make this worker end with the process it works for, and leave Ctrl-C to that one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        # Its parent is the fork server, which ends by itself when nobody is connected to it any more.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_end_with_owner, daemon=True).start()
    from core import workshop  # noqa: F401


def _end_with_owner() -> None:
    """A worker waits for work on a pipe that it holds open itself, so it would wait for ever for a dead owner."""
    owner = multiprocessing.parent_process()
    if owner is not None:
        wait([owner.sentinel])
        os._exit(1)


def _timed(limit: float, work: Callable[..., R], *args: object) -> R:
    """Do the work; a worker that needs more than ``limit`` seconds is ended by the system, whatever it does."""
    if not hasattr(signal, "setitimer"):
        return work(*args)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        return work(*args)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _analyse(answers: Answers) -> Analysis:
    from core import workshop

    return workshop.analyse(answers)


def _analyse_and_draw(answers: Answers, panel: Sequence[Member]) -> tuple[Analysis, tuple[Chart, ...]]:
    from core import workshop

    return workshop.analyse_and_draw(answers, panel)
