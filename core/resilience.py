"""What stands between a run and a model: deadline, retry, circuit breaker. Every outcome is a value.

A call is tried again after timeouts, rate limits (waiting as long as the provider asks, where the run has the
time), server errors and broken connections; never after a refusal. Each attempt asks the model's breaker first
and tells it how it went. An attempt that is cancelled counts as nothing.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Protocol, cast

from core.errors import ModelError, Unavailable
from core.ports import Breakers, ChatModel, Completion, Prompt
from core.telemetry import get_logger
from core.telemetry.metrics import COST, TOKENS
from core.types import Failure, FailureKind, Member, Response, Usage

log = get_logger(__name__)

_COUNTS_AGAINST_MODEL = {FailureKind.TIMEOUT, FailureKind.UNREACHABLE, FailureKind.BAD_REPLY}
"""Failures that a breaker counts. A refusal or a rate limit comes from a server that is well."""


class Clock(Protocol):
    """Monotonic time and sleep, injected so that tests need not wait."""

    def monotonic(self) -> float:
        """Seconds from some fixed point."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The real time."""

    def monotonic(self) -> float:
        """Seconds of the event loop's clock."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait for real."""
        await asyncio.sleep(seconds)


@dataclass(frozen=True)
class Deadline:
    """A point in monotonic time by which something must be done."""

    at: float
    clock: Clock

    @classmethod
    def after(cls, seconds: float, clock: Clock) -> Deadline:
        """The point ``seconds`` from now."""
        return cls(clock.monotonic() + seconds, clock)

    @property
    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - self.clock.monotonic())


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how patiently a call is tried: full jitter over an exponential wait, in seconds."""

    attempts: int = 3
    base: float = 0.25
    cap: float = 8.0

    def wait(self, attempt: int, retry_after: float | None, rng: random.Random) -> float:
        """Seconds before the attempt after ``attempt`` (from 1); the provider's wish goes first."""
        if retry_after is not None:
            return retry_after
        return rng.uniform(0, min(self.cap, self.base * 2**attempt))


@dataclass
class _Tally:
    """What a call with its retries has come to so far; it lives as long as the call."""

    started: float
    attempts: int = 0
    usage: list[Usage] = field(default_factory=list)
    last: ModelError | None = None


class Caller:
    """Calls models for members through breaker, retry and deadline. Holds no state of any run."""

    def __init__(
        self,
        breakers: Breakers,
        clock: Clock,
        rng: random.Random,
        policy: RetryPolicy | None = None,
    ) -> None:
        self._breakers, self._clock, self._rng = breakers, clock, rng
        self._policy = policy or RetryPolicy()

    async def ask(
        self, member: Member, model: ChatModel, prompt: Prompt, timeout: float, deadline: Deadline
    ) -> Response | Failure:
        """One member's outcome. ``timeout`` bounds one attempt. Raises only CancelledError."""

        async def attempt(seconds: float) -> Completion:
            return await model.complete(prompt, timeout=seconds)

        return await self._persist(member, attempt, timeout, deadline)

    async def stream(
        self,
        member: Member,
        model: ChatModel,
        prompt: Prompt,
        timeout: float,
        deadline: Deadline,
        on_attempt: Callable[[], None],
        on_text: Callable[[str], None],
    ) -> Response | Failure:
        """Like :meth:`ask`, handing over text as it comes; ``on_attempt`` voids what came before."""

        async def attempt(seconds: float) -> Completion:
            on_attempt()
            async with aclosing(_closable(model.stream(prompt, timeout=seconds))) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Completion):
                        return piece
                    on_text(piece)
            raise ModelError(FailureKind.BAD_REPLY, "its reply broke off before the end")

        return await self._persist(member, attempt, timeout, deadline)

    async def _persist(
        self,
        member: Member,
        attempt: Callable[[float], Awaitable[Completion]],
        timeout: float,
        deadline: Deadline,
    ) -> Response | Failure:
        tally = _Tally(started=self._clock.monotonic())
        while True:
            seconds = min(timeout, deadline.remaining)
            if seconds <= 0:
                break
            ticket = await self._admit(member.model)
            if ticket is None:
                tally.last = tally.last or await self._resting(member.model)
                break
            tally.attempts += 1
            try:
                async with self._reporting(member.model, ticket):
                    completion = await attempt(seconds)
            except ModelError as error:
                tally.last = error
                tally.usage += _may_be_billed(error)
                _count(member.model, error.usage)
                if not error.retryable or tally.attempts >= self._policy.attempts:
                    break
                wait = self._policy.wait(tally.attempts, error.retry_after, self._rng)
                if wait >= deadline.remaining:
                    tally.last = error if error.retry_after is None else _no_time(error, wait)
                    break
                await self._clock.sleep(wait)
                continue
            _count(member.model, completion.usage)
            return Response(
                member=member,
                text=completion.text,
                seconds=self._clock.monotonic() - tally.started,
                attempts=tally.attempts,
                usage=completion.usage,
                failed_usage=tuple(tally.usage),
                truncated=completion.truncated,
            )
        return self._failure(member, tally)

    def _failure(self, member: Member, tally: _Tally) -> Failure:
        error = tally.last or ModelError(FailureKind.TIMEOUT, "the run's time was up")
        return Failure(
            member=member,
            kind=error.kind,
            detail=error.detail,
            seconds=self._clock.monotonic() - tally.started,
            attempts=tally.attempts,
            usage=tuple(tally.usage),
        )

    async def _admit(self, key: str) -> str | None:
        """A breaker that cannot be asked (Redis is away) lets the call through: it is there to help, not to harm."""
        asked = asyncio.ensure_future(self._breakers.admit(key))
        try:
            return await asyncio.shield(asked)
        except Unavailable as error:
            log.warning("breaker not asked", model=key, error=str(error))
            return ""
        except asyncio.CancelledError:  # the breaker may say yes all the same, and then the ticket must go back
            await asyncio.shield(self._give_back(key, asked))
            raise

    async def _give_back(self, key: str, asked: asyncio.Future[str | None]) -> None:
        with suppress(Unavailable):
            if ticket := await asked:
                await self._report(key, ticket, None)

    async def _resting(self, key: str) -> ModelError:
        try:
            retry_in = (await self._breakers.state(key)).retry_in
        except Unavailable:
            retry_in = None
        when = f", and is tried again in {retry_in:.0f} s" if retry_in else ""
        return ModelError(FailureKind.BREAKER_OPEN, f"it failed too often lately{when}", retryable=False)

    @asynccontextmanager
    async def _reporting(self, key: str, ticket: str) -> AsyncIterator[None]:
        """Tell the breaker how the attempt in this block went, whatever way it ends."""
        ok: bool | None = None
        try:
            yield
            ok = True
        except ModelError as error:
            ok = None if error.kind is FailureKind.RATE_LIMITED else error.kind not in _COUNTS_AGAINST_MODEL
            raise
        except Exception as error:
            log.exception("call broke", model=key)
            detail = "the call to it broke on our side; the operator finds out why in the log"
            raise ModelError(FailureKind.BAD_REPLY, detail, retryable=False) from error
        finally:
            if ticket:
                await asyncio.shield(self._report(key, ticket, ok))

    async def _report(self, key: str, ticket: str, ok: bool | None) -> None:
        try:
            await self._breakers.report(key, ticket, ok)
        except Unavailable as error:
            log.warning("breaker not told", model=key, error=str(error))


def _may_be_billed(error: ModelError) -> list[Usage]:
    """What a failed attempt used: as reported; unknown where a model worked and nothing was said; else nothing."""
    if error.usage:
        return [error.usage]
    return [Usage()] if error.kind in (FailureKind.TIMEOUT, FailureKind.BAD_REPLY) else []


def _count(model: str, usage: Usage | None) -> None:
    """Add what a provider reported to the figures of this process."""
    if usage is None:
        return
    TOKENS.add(usage.prompt_tokens or 0, model=model, kind="prompt")
    TOKENS.add(usage.completion_tokens or 0, model=model, kind="completion")
    COST.add(max(0.0, usage.cost or 0.0), model=model)


def _no_time(error: ModelError, wait: float) -> ModelError:
    return ModelError(
        error.kind, f"{error.detail.rstrip('.')}; it asks to wait {wait:.0f} s, longer than this run may take"
    )


def _closable(stream: AsyncIterator[str | Completion]) -> AsyncGenerator[str | Completion, None]:
    """The stream as the generator that it is, so that leaving the loop early closes the call upstream."""
    return cast("AsyncGenerator[str | Completion, None]", stream)


def seconds_until(retry_after: str | None, now: float) -> float | None:
    """Read a Retry-After header: seconds or an HTTP date. None when there is none or it makes no sense."""
    if not retry_after:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(retry_after).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
