"""The composition root: the one place where adapters meet the core. Tests build the product with it too."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from adapters.embeddings import open_embedder
from adapters.history.store import SqlHistory
from adapters.models import ModelPool
from adapters.state.jobs import DocketJobs
from adapters.state.state import State, connect
from adapters.state.valkey import embedded_valkey
from bot.records import make_folder, utc_now
from bot.settings import Settings, provider_keys
from core.arbiter import Arbiter
from core.breaker import BreakerPolicy, FallbackBreakers, LocalBreakers
from core.catalog import Catalog
from core.engine import Engine
from core.errors import Unavailable
from core.installed import Installations
from core.ports import Events, History
from core.resilience import Caller, SystemClock
from core.runner import Runner
from core.service import Office, Service
from core.study.studio import Studio
from core.table import Tools
from core.telemetry import get_logger
from core.telemetry.health import Lately

log = get_logger(__name__)
T = TypeVar("T")

AGAIN = 0.5
"""Seconds between two attempts to reach a server that is away."""

QUEUE = "runs"
"""The queue that ``serve`` and ``worker`` share."""


@dataclass(frozen=True)
class Core:
    """The running core, as surfaces need it.

    ``finish`` takes no more runs and gives those at work the grace time; what is left is handed over. Leaving
    :func:`open_core` does the same, if it has not been done.
    """

    settings: Settings
    catalog: Catalog
    office: Office
    service: Service
    events: Events
    history: History
    installations: Installations
    state: State
    studio: Studio
    judged: Lately | None
    finish: Callable[[], Awaitable[None]]


def new_nonce() -> str:
    """A mark that no text from outside can hold but by a chance of one in 2**64."""
    return secrets.token_hex(8)


async def _opened(stack: AsyncExitStack, make: Callable[[], AbstractAsyncContextManager[T]], patience: float) -> T:
    """Enter what ``make`` gives; again for so many seconds while it is away. Raises Unavailable then."""
    end, told = time.monotonic() + patience, False
    while True:
        try:
            return await stack.enter_async_context(make())
        except Unavailable as error:
            if time.monotonic() > end:
                raise
            if not told:
                log.warning("waiting for a server", seconds=patience, error=str(error))
            told = True
        await asyncio.sleep(AGAIN)


@asynccontextmanager
async def open_core(
    settings: Settings,
    catalog: Catalog,
    *,
    queue: str | None = None,
    work: bool = True,
    pace: float = 1.0,
    patience: float = 0.0,
) -> AsyncIterator[Core]:
    """Open state, history and queue, and carry out runs here too when ``work``.

    ``queue`` names one for this process alone, which goes with it; left out, it is the one that all share.
    ``pace`` stretches the delays of simulated models. ``patience`` is for how many seconds servers that are away at the
    start are waited for. On leaving, runs in flight get the grace time to finish;
    what is left is handed over to other workers. Raises ConfigError or Unavailable.
    """
    async with AsyncExitStack() as stack:
        make_folder(settings)
        url = settings.redis_url or await stack.enter_async_context(embedded_valkey(settings.data_dir))
        state = await _opened(stack, lambda: connect(url), patience)
        history = await _opened(stack, lambda: SqlHistory(settings.history_url, clock=utc_now), patience)
        await history.governance.seed(catalog.governance)
        jobs = await stack.enter_async_context(
            DocketJobs(url, f"consortium:{queue or QUEUE}", at_once=catalog.limits.at_once, temporary=bool(queue))
        )
        # A probe must not count as lost while its call may still be under way.
        longest = max(spec.timeout for spec in catalog.models.values())
        policy = BreakerPolicy(lease=longest + 30)
        breakers = FallbackBreakers(state.breakers(policy), LocalBreakers(policy))
        keys = provider_keys(catalog)
        embedder = await stack.enter_async_context(open_embedder(catalog, keys))
        studio = await stack.enter_async_context(Studio(embeddings=catalog.embeddings, remote=embedder))
        office = Office(
            catalog,
            history=history,
            lessons=history.lessons,
            consortia=history.consortia,
            governance=history.governance,
            sessions=state.sessions,
            limits=state.limits(catalog.limits),
            duplicates=state.duplicates,
            drafts=state.drafts,
            stops=state.stops,
            claims=state.claims,
            inbox=state.inbox,
            events=state.events,
            breakers=breakers,
            jobs=jobs,
            analyst=studio,
            clock=utc_now,
            new_id=lambda: secrets.token_hex(6),
            rng=random.Random(),  # noqa: S311 - deals roles, guards nothing
        )
        service = Service(office)
        stack.push_async_callback(service.aclose)
        if not queue:
            state.presence.recovered.append(service.requeue)
        shift, judged = AsyncExitStack(), None
        if work:
            models = await stack.enter_async_context(ModelPool(catalog, keys, pace=pace))
            for key in catalog.models:
                models[key]  # an address that is none ends the start, not the first run
            clock = SystemClock()
            caller = Caller(breakers, clock, random.Random())  # noqa: S311 - jitter
            timeouts = {key: spec.timeout for key, spec in catalog.models.items()}
            arbiter = Arbiter(caller, models, timeouts, studio, new_nonce)
            judged = arbiter.lately
            engine = Engine(Tools(catalog, models, caller, arbiter, studio, clock, new_nonce), utc_now)
            runner = Runner(engine, office)
            working = jobs.worker(runner.run, concurrency=settings.run_concurrency, grace=settings.shutdown_grace)
            await stack.enter_async_context(shift)
            await shift.enter_async_context(working)
        yield Core(
            settings,
            catalog,
            office,
            service,
            state.events,
            history,
            history.installations,
            state,
            studio,
            judged,
            shift.aclose,
        )
