"""Analysis and drawing in processes of their own, so that neither the event loop nor this process pays for them.

The heavy libraries are imported by one server process (multiprocessing's forkserver) from which the workers are
forked. None of these processes outlives this one, however it ends, and none of them runs the program of this one
again: it needs no ``if __name__ == "__main__"``.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import math
import multiprocessing
import os
import signal
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import spawn
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, TypeVar

from core.catalog import EmbeddingSpec
from core.errors import Unavailable
from core.ports import Embedder
from core.study.analysis import LONGEST, readable, with_words
from core.study.captions import RoundPoint
from core.telemetry import get_logger
from core.types import Analysis, Chart, Grouping, Member, Response, Round, Study, Vectors

if TYPE_CHECKING:
    from core.study.workshop import Source, Stage

log = get_logger(__name__)

R = TypeVar("R")

Answers = list[tuple[Member, str]]

_PR_SET_PDEATHSIG = 1

_spawning = threading.Lock()  # one at a time changes how processes are made and puts it back


class Studio:
    """A :class:`core.ports.Analyst` on a pool of ``workers`` processes, started when first needed.

    ``embeddings`` names what makes the vectors inside of them; with ``remote``, which is its owner's to close, texts
    are embedded by that instead and only the vectors go in. When there are no vectors there is no analysis:
    :class:`core.errors.Unavailable` says why.

    A worker that dies, or that takes longer than ``limit`` seconds for one call and is then ended, takes the whole
    pool with it: the pool is made anew and each call that was lost is tried once more before it raises
    :class:`core.errors.Unavailable`. Use it in one event loop, as a context manager or with :meth:`aclose`.
    """

    def __init__(
        self,
        workers: int = 2,
        *,
        limit: float = 20.0,
        embeddings: EmbeddingSpec = EmbeddingSpec(),  # noqa: B008 (it is frozen)
        remote: Embedder | None = None,
    ) -> None:
        if embeddings.backend == "endpoint" and remote is None:
            raise ValueError('the backend "endpoint" needs a remote embedder')
        self._workers, self._limit = workers, limit
        self._embeddings, self._remote = embeddings, remote
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

    async def study(self, responses: Sequence[Response], panel: Sequence[Member] = (), *, charts: bool) -> Study:
        """Similarity, groups, sentiment and emotions of one or more answers; with ``charts`` two pictures of several.

        Members keep number and colour by their place in ``panel``; without it by their place among the answers. A
        single answer has no similarity, no vectors and no pictures. Raises ValueError when there is no answer,
        Unavailable when there are no vectors or the processes do not do it.
        """
        answers = _answers(responses)
        [source] = await self._sources([text for _, text in answers if len(answers) > 1])
        return await self._run(_study, source, answers, tuple(panel), charts)

    async def group(
        self, responses: Sequence[Response], *, method: str = "dbscan", eps: float | None = None
    ) -> Grouping:
        """Group answers by meaning, by ``dbscan`` or ``hdbscan``; see :func:`core.study.clusters.group`.

        A blank answer is an outlier. Raises ValueError for another method and when fewer than two answers have words,
        else as :meth:`study` does.
        """
        if method not in ("dbscan", "hdbscan"):
            raise ValueError(f"no method {method!r}: there are dbscan and hdbscan")
        texts = [text for _, text in _answers(responses)]
        if len(with_words(texts)) < 2:
            raise ValueError("grouping needs two answers that have words")
        [source] = await self._sources(texts)
        return await self._run(_group, source, texts, method, eps)

    async def draw(self, rounds: Sequence[Round], analysis: Analysis, panel: Sequence[Member]) -> tuple[Chart, ...]:
        """All kinds of charts that make sense of a run with this analysis; raises as :meth:`study` does.

        The similarity of each round's answers is measured anew, by the same embedder for all rounds.
        """
        said = [_compared(round_) for round_ in rounds]
        sources = await self._sources(*said)
        stages = list(zip(map(_point, rounds), said, sources, strict=True))
        return await self._run(_draw, stages, analysis, tuple(panel))

    async def _sources(self, *groups: Sequence[str]) -> list[Source]:
        """Where the vectors of each group of texts come from; a remote is asked once for all of them."""
        if self._remote is None:
            return [self._embeddings] * len(groups)
        self._check_open()
        texts = with_words([readable(text) for group in groups for text in group])
        made = await self._remote.embed(texts) if texts else ()
        rows, name = iter(made), self._remote.name
        if len(made) != len(texts):
            raise Unavailable(f"The answers could not be analysed: {name} gave {len(made)} vectors for {len(texts)}.")
        return [_packed(name, [next(rows) if with_words([text]) else () for text in group]) for group in groups]

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

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("The answers could not be analysed: the program is ending.")

    async def _ready(self) -> tuple[asyncio.Task[ProcessPoolExecutor], ProcessPoolExecutor]:
        self._check_open()
        if self._pool is None:
            # In a thread, for it waits until the libraries are loaded; a task of its own, for whoever waits for
            # it may be cancelled.
            local = None if self._remote else self._embeddings
            self._pool = asyncio.create_task(asyncio.to_thread(_start, self._workers, local))
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


def _compared(round_: Round) -> list[str]:
    """The texts whose similarity is a figure of the round: its answers, if there are two or more."""
    answers = round_.responses if round_.kind == "answers" else ()
    return [readable(response.text) for response in answers] if len(answers) > 1 else []


def _point(round_: Round) -> RoundPoint:
    """What the verdict says of the round; its similarity is measured in the worker."""
    verdict = round_.verdict
    return RoundPoint(
        number=round_.number,
        similarity=None,
        agreement=verdict.agreement.share if verdict and verdict.agreement else None,
        confidence=verdict.confidence if verdict else None,
    )


def _packed(name: str, rows: Sequence[Sequence[float]]) -> Vectors:
    """Rows brought to length 1; an empty one, of a blank text, is like no other. Raises Unavailable for no vectors."""
    dimensions = max(map(len, rows), default=0) or 1
    numbers = array("f")
    for row in rows:
        length = math.hypot(*row)
        if row and (len(row) != dimensions or not 0 < length < math.inf):
            raise Unavailable(f"The answers could not be analysed: {name} gave vectors that are none.")
        numbers.extend(number / length for number in row)
        numbers.extend([0.0] * (dimensions - len(row)))
    if sys.byteorder == "big":
        numbers.byteswap()
    return Vectors(embedder=name, dimensions=dimensions, data=numbers.tobytes())


class _Pool(ProcessPoolExecutor):
    """A pool whose workers leave the program that they work for alone, whenever it starts them."""

    def _spawn_process(self) -> None:
        with _program_left_out():
            super()._spawn_process()  # type: ignore[misc] # the stubs leave it out

    def give_up(self) -> None:
        """End at once, workers too: without a thread of its own, a pool has nobody to tell them."""
        for worker in list((self._processes or {}).values()):
            worker.terminate()
        self.shutdown(wait=False)


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


def _start(workers: int, embeddings: EmbeddingSpec | None) -> ProcessPoolExecutor:
    """A pool whose workers all run, with ``embeddings`` loaded where it is there.

    Raises Unavailable when they cannot be started.
    """
    forks = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if forks else "spawn")
    pool: _Pool | None = None
    try:
        if forks:
            context.set_forkserver_preload(["core.study.workshop"])
        pool = _Pool(workers, mp_context=context, initializer=_open_worker, initargs=(embeddings,))
        # The pool starts a worker for a call that finds none free: these calls overlap.
        for future in [pool.submit(time.sleep, 0.05) for _ in range(workers)]:
            future.result()
    except (RuntimeError, OSError, EOFError) as error:  # a broken pool is a RuntimeError, and so is want of a thread
        if pool:
            pool.give_up()
        raise Unavailable("The processes that analyse answers could not be started.") from error
    return pool


# --- in the worker --------------------------------------------------------------------------------------


def _open_worker(embeddings: EmbeddingSpec | None) -> None:
    """Make this worker end with the process it works for, leave Ctrl-C to that one, and load what is needed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        # Its parent is the fork server, which ends by itself when nobody is connected to it any more.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_end_with_owner, daemon=True).start()
    from core.study import workshop

    if embeddings:
        workshop.prepare(embeddings)


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


def _study(source: Source, answers: Answers, panel: Sequence[Member], drawn: bool) -> Study:
    from core.study import workshop

    return workshop.study(source, answers, panel, drawn)


def _group(source: Source, texts: Sequence[str], method: str, eps: float | None) -> Grouping:
    from core.study import workshop

    return workshop.group(source, texts, method, eps)


def _draw(stages: Sequence[Stage], analysis: Analysis, panel: Sequence[Member]) -> tuple[Chart, ...]:
    from core.study import workshop

    return workshop.draw(stages, analysis, panel)
