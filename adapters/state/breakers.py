"""Circuit breakers that all processes share: one atomic script on Redis."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

from adapters.state.redis import Argument, Link, Script
from core.breaker import BreakerPolicy
from core.ports import BreakerState


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
        self._policy = _arguments(policy or BreakerPolicy())
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


def _arguments(policy: BreakerPolicy) -> tuple[Argument, ...]:
    """The policy as the script reads it: durations in milliseconds."""
    window = (policy.calls, policy.seconds * 1000, policy.least, policy.rate, policy.streak)
    return (*window, policy.cooldown * 1000, policy.longest * 1000, policy.probes, policy.lease * 1000)
