from __future__ import annotations

import asyncio
import random

import pytest

from adapters.state.state import State
from core.breaker import BreakerPolicy
from core.errors import ModelError, Unavailable
from core.resilience import Caller, Deadline, RetryPolicy, SystemClock
from core.types import Failure, FailureKind, Member, Response, Usage
from tests.core.fakes import HANG, FakeBreakers, FakeModel, Step, user_prompt, virtual_time

MEMBER = Member(id="a", model="a")
K = FailureKind


def error(kind: FailureKind, **fields: object) -> ModelError:
    return ModelError(kind, f"it was {kind}.", **fields)  # type: ignore[arg-type]


class Calls:
    """A caller with its breakers, asking one model with a deadline."""

    def __init__(self, *steps: Step, breakers: FakeBreakers | None = None, policy: RetryPolicy | None = None) -> None:
        self.model = FakeModel("a", steps)
        self.breakers = breakers or FakeBreakers()
        self.clock = SystemClock()
        self.started = self.clock.monotonic()
        self.caller = Caller(self.breakers, self.clock, random.Random(1), policy)
        self.texts: list[str] = []

    async def ask(self, timeout: float = 60, deadline: float = 120) -> Response | Failure:
        until = Deadline.after(deadline, self.clock)
        outcome = await self.caller.ask(MEMBER, self.model, user_prompt(), timeout, until)
        assert not self.breakers.out, "every ticket is reported"
        return outcome

    async def stream(self, timeout: float = 60, deadline: float = 120) -> Response | Failure:
        return await self.caller.stream(
            MEMBER,
            self.model,
            user_prompt(),
            timeout,
            Deadline.after(deadline, self.clock),
            on_attempt=self.texts.clear,
            on_text=self.texts.append,
        )

    @property
    def attempts(self) -> int:
        return len(self.model.prompts)

    @property
    def elapsed(self) -> float:
        return self.clock.monotonic() - self.started


@virtual_time
async def test_an_answer_comes_with_its_time_and_usage() -> None:
    calls = Calls(Step("Yes.", after=2.5))
    outcome = await calls.ask()
    assert outcome == Response(
        member=MEMBER,
        text="Yes.",
        seconds=2.5,
        attempts=1,
        usage=Usage(prompt_tokens=10, completion_tokens=5, cost=0.01),
    )
    assert calls.breakers.reports == [("a", True)]


@pytest.mark.parametrize("kind", [K.TIMEOUT, K.RATE_LIMITED, K.UNREACHABLE, K.BAD_REPLY])
def test_what_may_pass_is_tried_again(kind: FailureKind) -> None:
    @virtual_time
    async def test() -> None:
        calls = Calls(Step(error(kind)), Step(error(kind)), Step("Yes."))
        outcome = await calls.ask()
        assert isinstance(outcome, Response)
        assert (outcome.text, outcome.attempts) == ("Yes.", 3)

    test()


@virtual_time
async def test_attempts_are_bounded_and_the_last_reason_is_told() -> None:
    calls = Calls(Step(error(K.UNREACHABLE)), Step(error(K.TIMEOUT)))
    outcome = await calls.ask()
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.attempts, calls.attempts) == (K.TIMEOUT, 3, 3)


@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_refusal_is_never_tried_again(status: int) -> None:
    @virtual_time
    async def test() -> None:
        calls = Calls(Step(error(K.REFUSED, status=status)), Step("Yes."))
        outcome = await calls.ask()
        assert isinstance(outcome, Failure)
        assert (outcome.kind, outcome.attempts, calls.elapsed) == (K.REFUSED, 1, 0)
        assert calls.breakers.reports == [("a", True)], "the server is well"

    test()


@virtual_time
async def test_retry_after_is_waited_for_exactly() -> None:
    calls = Calls(Step(error(K.RATE_LIMITED, retry_after=30)), Step("Yes."))
    outcome = await calls.ask()
    assert isinstance(outcome, Response)
    assert calls.elapsed == outcome.seconds == 30
    assert calls.breakers.reports == [("a", None), ("a", True)], "a rate limit says nothing of the server's health"


@virtual_time
async def test_a_retry_after_beyond_the_deadline_ends_it_at_once() -> None:
    calls = Calls(Step(error(K.RATE_LIMITED, retry_after=30)), Step("Yes."))
    outcome = await calls.ask(deadline=20)
    assert isinstance(outcome, Failure)
    assert (outcome.kind, calls.attempts, calls.elapsed) == (K.RATE_LIMITED, 1, 0)
    assert outcome.detail == "it was rate_limited; it asks to wait 30 s, longer than this run may take"


@virtual_time
async def test_a_pause_of_our_own_is_not_said_to_be_the_providers_wish() -> None:
    calls = Calls(Step(error(K.UNREACHABLE)), policy=RetryPolicy(base=1000, cap=1000))
    outcome = await calls.ask(deadline=0.001)
    assert isinstance(outcome, Failure)
    assert outcome.detail == "it was unreachable."


@virtual_time
async def test_each_attempt_has_the_models_timeout_and_never_more_than_the_deadline() -> None:
    calls = Calls(HANG)
    outcome = await calls.ask(timeout=50, deadline=90)
    assert isinstance(outcome, Failure)
    assert outcome.kind is K.TIMEOUT
    assert calls.model.timeouts[0] == 50
    assert 39 < calls.model.timeouts[1] <= 40
    assert calls.elapsed == pytest.approx(90)


@virtual_time
async def test_no_time_left_is_a_failure_without_a_call() -> None:
    calls = Calls(Step("Yes."))
    outcome = await calls.ask(deadline=0)
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.attempts, calls.attempts) == (K.TIMEOUT, 0, 0)


def test_pauses_grow_and_are_bounded() -> None:
    policy, rng = RetryPolicy(base=1, cap=8), random.Random(1)
    for attempt, most in [(1, 2), (2, 4), (3, 8), (9, 8)]:
        waits = [policy.wait(attempt, None, rng) for _ in range(200)]
        assert min(waits) >= 0
        assert most * 0.8 < max(waits) <= most
    assert policy.wait(1, 25, rng) == 25


# --- the breaker ----------------------------------------------------------------------------------------


@virtual_time
async def test_an_open_breaker_is_a_failure_that_says_when_it_is_tried_again() -> None:
    calls = Calls(Step("Yes."), breakers=FakeBreakers(open={"a"}))
    outcome = await calls.ask()
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.attempts, calls.attempts, outcome.usage) == (K.BREAKER_OPEN, 0, 0, ())
    assert outcome.detail == "it failed too often lately, and is tried again in 12 s"


@virtual_time
async def test_a_breaker_that_opens_between_attempts_leaves_the_models_own_reason() -> None:
    breakers = FakeBreakers()

    def opens(prompt: object) -> str:
        breakers.open.add("a")
        raise error(K.UNREACHABLE)

    calls = Calls(Step(opens), breakers=breakers)
    outcome = await calls.ask()
    assert isinstance(outcome, Failure)
    assert (outcome.kind, calls.attempts) == (K.UNREACHABLE, 1)


@virtual_time
async def test_each_attempt_is_reported() -> None:
    kinds = [K.TIMEOUT, K.UNREACHABLE, K.BAD_REPLY]
    calls = Calls(*(Step(error(kind)) for kind in kinds))
    await calls.ask()
    assert calls.breakers.reports == [("a", False)] * 3


@virtual_time
async def test_a_cancelled_call_counts_as_nothing_and_gives_its_ticket_back() -> None:
    calls = Calls(HANG)
    task = asyncio.create_task(calls.ask())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls.breakers.reports == [("a", None)]
    assert not calls.breakers.out


@virtual_time
async def test_a_ticket_that_comes_after_a_cancellation_goes_back() -> None:
    class Slow(FakeBreakers):
        async def admit(self, key: str) -> str | None:
            await asyncio.sleep(5)
            return await super().admit(key)

    calls = Calls(Step("Yes."), breakers=Slow())
    task = asyncio.create_task(calls.ask())
    await asyncio.sleep(3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(10)
    assert calls.breakers.reports == [("a", None)]
    assert not calls.breakers.out
    assert calls.attempts == 0


@virtual_time
async def test_a_report_that_is_under_way_is_not_lost_to_a_cancellation() -> None:
    class Slow(FakeBreakers):
        async def report(self, key: str, ticket: str, ok: bool | None) -> None:
            await asyncio.sleep(5)
            await super().report(key, ticket, ok)

    calls = Calls(Step("Yes.", after=1), breakers=Slow())
    task = asyncio.create_task(calls.ask())
    await asyncio.sleep(3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(10)
    assert calls.breakers.reports == [("a", True)]


@virtual_time
async def test_breakers_that_do_not_answer_let_calls_through() -> None:
    class Away(FakeBreakers):
        async def admit(self, key: str) -> str | None:
            raise Unavailable("Redis does not answer")

    calls = Calls(Step("Yes."), breakers=Away())
    assert isinstance(await calls.ask(), Response)


async def test_a_cancelled_probe_does_not_keep_a_real_breaker_shut(state: State) -> None:
    time = [1000.0]
    policy = BreakerPolicy(streak=2, cooldown=10, probes=1, lease=90)
    breakers = state.breakers(policy, clock=lambda: time[0])
    clock = SystemClock()
    caller = Caller(breakers, clock, random.Random(1), RetryPolicy(attempts=1))
    down = Step(error(K.UNREACHABLE))
    model = FakeModel("a", [down, down, HANG, Step("Yes.")])

    async def ask() -> Response | Failure:
        return await caller.ask(MEMBER, model, user_prompt(), 60, Deadline.after(60, clock))

    async def kind() -> FailureKind | None:
        outcome = await ask()
        return outcome.kind if isinstance(outcome, Failure) else None

    assert [await kind() for _ in range(3)] == [K.UNREACHABLE, K.UNREACHABLE, K.BREAKER_OPEN]
    time[0] += 11
    outcomes = [asyncio.create_task(ask()) for _ in range(20)]
    done, pending = await asyncio.wait(outcomes, timeout=10, return_when=asyncio.FIRST_COMPLETED)
    while len(pending) > 1:
        more, pending = await asyncio.wait(pending, timeout=10, return_when=asyncio.FIRST_COMPLETED)
        done |= more
    assert {getattr(task.result(), "kind", None) for task in done} == {K.BREAKER_OPEN}
    assert len(model.prompts) == 3, "one probe"
    (probe,) = pending
    probe.cancel()
    await asyncio.wait([probe])
    assert await kind() is None, "its place is free again"
    assert (await breakers.state("a")).state == "closed"


# --- what it cost ---------------------------------------------------------------------------------------


@virtual_time
async def test_failed_attempts_are_on_the_bill_as_far_as_they_are_known() -> None:
    said = Usage(prompt_tokens=7, completion_tokens=0)
    calls = Calls(Step(error(K.BAD_REPLY, usage=said)), Step(error(K.TIMEOUT)), Step("Yes."))
    outcome = await calls.ask()
    assert isinstance(outcome, Response)
    assert outcome.failed_usage == (said, Usage())


@virtual_time
async def test_what_never_reached_a_model_cost_nothing() -> None:
    calls = Calls(Step(error(K.UNREACHABLE)), Step(error(K.RATE_LIMITED)), Step(error(K.REFUSED)))
    outcome = await calls.ask()
    assert isinstance(outcome, Failure)
    assert outcome.usage == ()


@virtual_time
async def test_an_error_nobody_foresaw_is_a_failure_without_its_insides() -> None:
    calls = Calls(Step(RuntimeError("secret insides")))
    outcome = await calls.ask()
    assert isinstance(outcome, Failure)
    assert outcome.attempts == 1
    assert "secret" not in outcome.detail
    assert "operator" in outcome.detail
    assert calls.breakers.reports == [("a", None)], "the fault is ours"


# --- streaming ------------------------------------------------------------------------------------------


@virtual_time
async def test_a_stream_hands_over_text_as_it_comes_and_the_whole_at_its_end() -> None:
    calls = Calls(Step("A text that comes in several pieces."))
    outcome = await calls.stream()
    assert isinstance(outcome, Response)
    assert len(calls.texts) > 3
    assert "".join(calls.texts) == outcome.text


@virtual_time
async def test_a_new_attempt_voids_the_text_before() -> None:
    class Broken(FakeModel):
        async def stream(self, prompt, *, timeout):  # type: ignore[no-untyped-def]
            step = self._next(prompt, timeout)
            yield "half of "
            if isinstance(step.does, BaseException):
                raise step.does
            yield "it all"
            yield await super().complete(prompt, timeout=timeout)

    calls = Calls()
    calls.model = Broken("a", [Step(error(K.UNREACHABLE)), Step("half of it all")])
    assert isinstance(await calls.stream(), Response)
    assert "".join(calls.texts) == "half of it all"


@virtual_time
async def test_a_stream_without_its_end_is_a_bad_reply() -> None:
    class Endless(FakeModel):
        async def stream(self, prompt, *, timeout):  # type: ignore[no-untyped-def]
            self._next(prompt, timeout)
            yield "half"

    calls = Calls()
    calls.model = Endless("a")
    outcome = await calls.stream()
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.attempts) == (K.BAD_REPLY, 3)
