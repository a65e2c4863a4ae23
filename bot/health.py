"""What a process tells of itself: which parts it needs, and the figures that are looked at when they are asked for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from aiohttp import web

from adapters.web.health import routes
from bot.app import Core
from bot.settings import Settings
from core.errors import Unavailable
from core.telemetry import get_logger, metrics
from core.telemetry.health import KEPT, PATIENCE, Check, Health

log = get_logger(__name__)

STATES = ("closed", "open", "half_open")


def probes(
    core: Core, platforms: Mapping[str, Check] | None = None, *, patience: float = PATIENCE
) -> list[web.RouteDef]:
    """The routes by which a process is watched. ``platforms`` tell what is wrong with their sessions; ``patience`` is
    for how many seconds a part may be silent."""
    metrics.switch_on()
    checks: dict[str, Check] = {"database": lambda: _database(core), "redis": lambda: _redis(core)}
    checks |= platforms or {}
    health = Health(checks, {"arbiter": core.judged} if core.judged else {}, patience=patience)
    return routes(health, Looks(core, health).refresh)


@asynccontextmanager
async def traced(settings: Settings, process: str) -> AsyncIterator[None]:
    """Send traces within the block, where a collector is named."""
    sending: AbstractAsyncContextManager[None] = nullcontext()
    if settings.otel_exporter_otlp_endpoint:
        from adapters.tracing import tracing  # 0.3 s of imports

        headers = settings.otel_exporter_otlp_headers
        given = headers.get_secret_value() if headers else ""
        sending = tracing(settings.otel_exporter_otlp_endpoint, given, process)
    async with sending:
        yield


class Looks:
    """Figures of what others hold: the queue, the breakers, the parts. Looked at once a second at the most."""

    def __init__(self, core: Core, health: Health) -> None:
        self._core, self._health = core, health
        self._lock, self._seen = asyncio.Lock(), float("-inf")

    async def refresh(self) -> None:
        """Bring them up to date; what cannot be had in time is left out rather than shown as it was."""
        async with self._lock:
            if time.monotonic() - self._seen < KEPT:
                return
            metrics.TASKS.set(len(asyncio.all_tasks()))
            await asyncio.gather(self._parts(), _in_time(self._queue), _in_time(self._breakers))
            self._seen = time.monotonic()

    async def _parts(self) -> None:
        for part in (await self._health.report()).parts:
            metrics.READY.set(part.ok, part=part.name)

    async def _queue(self) -> None:
        metrics.QUEUE.clear()
        metrics.QUEUE_OLDEST.set(float("nan"))
        depth = await self._core.office.jobs.depth()
        metrics.QUEUE.set(depth.waiting, state="waiting")
        metrics.QUEUE.set(depth.running, state="running")
        metrics.QUEUE_OLDEST.set(depth.oldest or 0.0)

    async def _breakers(self) -> None:
        metrics.BREAKERS.clear()
        models = list(self._core.catalog.models)
        found = await asyncio.gather(*(self._core.office.breakers.state(model) for model in models))
        for model, breaker in zip(models, found, strict=True):
            for state in STATES:
                metrics.BREAKERS.set(breaker.state == state, model=model, state=state)


async def _in_time(look: Callable[[], Awaitable[None]]) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            await look()
    except (TimeoutError, Unavailable) as error:
        log.debug("a figure could not be had", error=str(error))
    except Exception:
        log.exception("a figure could not be had")  # the others are still worth having


async def _database(core: Core) -> None:
    await core.history.run("ready")  # there is none: the cheapest question there is


async def _redis(core: Core) -> None:
    await core.state.ping()
