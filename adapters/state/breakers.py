"""Circuit breakers that all processes share: one atomic script on Redis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from adapters.state.redis import Argument, Link, Script
from core.ports import BreakerState


@dataclass(frozen=True)
class BreakerPolicy:
    """When a breaker opens and how it closes again. Durations are seconds.

    A failure opens it when it is the ``streak``-th in a row, or when of the last ``calls`` results that are at most
    ``seconds`` old, and at least ``least`` in number, the share ``rate`` has failed. It stays open for ``cooldown``,
    twice as long each time that its probes fail, ``longest`` at the most. Then ``probes`` calls are let through at
    once; as many successes close it, one failure opens it again. A probe of which nothing is heard for
    ``lease`` (longer than any call may take) is given up, and another takes its place.
    """

    calls: int = 20
    seconds: float = 60
    least: int = 5
    rate: float = 0.5
    streak: int = 3
    cooldown: float = 15
    longest: float = 300
    probes: int = 1
    lease: float = 90

    @property
    def _arguments(self) -> tuple[Argument, ...]:
        durations = (self.cooldown * 1000, self.longest * 1000, self.probes, self.lease * 1000)
        return (self.calls, self.seconds * 1000, self.least, self.rate, self.streak, *durations)


class RedisBreakers:
    """Implements :class:`core.ports.Breakers`. Every method is one round trip and raises Unavailable.

    ``clock`` gives the time in seconds; by default it is the server's, the same for all processes.
    """

    def __init__(
        self,
        link: Link,
        prefix: str,
        policy: BreakerPolicy | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._link, self._prefix, self._clock = link, prefix, clock
        self._policy = (policy or BreakerPolicy())._arguments
        self._script = Script(files("adapters.state").joinpath("breaker.lua").read_text())

    async def admit(self, key: str) -> str | None:
        """Ask to call the model. Returns a ticket, or None when the breaker is open."""
        ticket: bytes | None = await self._run("admit", key)
        return None if ticket is None else ticket.decode()

    async def report(self, key: str, ticket: str, ok: bool | None) -> None:
        """Tell how the call went; None (cancelled) counts as nothing and frees a probe."""
        await self._run("report", key, ticket, "" if ok is None else int(ok))

    async def state(self, key: str) -> BreakerState:
        """The breaker's state now."""
        name, calls, failures, wait = await self._run("state", key)
        return BreakerState(
            state=name.decode(),
            failure_rate=failures / calls if calls else 0.0,
            calls=calls,
            retry_in=wait / 1000 if name == b"open" else None,
        )

    async def reset(self, key: str) -> None:
        """Close it and forget what was; calls on their way no longer count."""
        await self._run("reset", key)

    async def _run(self, operation: str, key: str, *args: Argument) -> Any:
        base = f"{self._prefix}:breaker:{key}"
        now: Argument = "" if self._clock is None else round(self._clock() * 1000)
        keys = (base, f"{base}:results", f"{base}:probes")
        return await self._link.script(self._script, keys, (operation, now, *self._policy, *args))
