"""One run from its ask to its answer: rounds of members and arbiter, until the verdict is sure enough.

Everything of a run lives in local variables of :meth:`Engine.run`; the engine itself holds only what is the
same for all runs, so that fifty asks at once cannot meet.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from core.arbiter import Arbiter, Case, Watcher
from core.catalog import Catalog
from core.events import ArbiterStarted, MemberEnded, RoundEnded, RunEvent, RunStarted, TextDelta
from core.ports import Models
from core.prompts import member_prompt, within_budget
from core.resilience import Caller, Clock, Deadline
from core.setup import ConsortiumSpec
from core.types import (
    Bill,
    Failure,
    FailureKind,
    Member,
    Outcome,
    Response,
    Round,
    Run,
    RunStatus,
    Turn,
    Usage,
    Verdict,
)

Emit = Callable[[RunEvent], None]
"""Takes what happens in a run, in order; never blocks."""

MEMBERS_SHARE = 0.75
"""Of the time that a run has left, how much a round's members may take: the arbiter needs the rest."""

LEAST_PATIENCE = 1.0
"""Seconds that a straggler gets at the least once a quorum has answered."""


@dataclass(frozen=True)
class _Plan:
    """What stays the same over all rounds of one run."""

    run: Run
    spec: ConsortiumSpec
    judges: tuple[Member, ...]
    turns: tuple[Turn, ...]
    deadline: Deadline
    prior: Mapping[int, Round]
    emit: Emit


class Engine:
    """Runs asks. ``now`` gives the wall clock in UTC, ``clock`` monotonic time."""

    def __init__(
        self,
        catalog: Catalog,
        models: Models,
        caller: Caller,
        arbiter: Arbiter,
        clock: Clock,
        now: Callable[[], datetime],
    ) -> None:
        self._catalog, self._models, self._caller = catalog, models, caller
        self._arbiter, self._clock, self._now = arbiter, clock, now

    async def run(
        self,
        run: Run,
        turns: Sequence[Turn],
        emit: Emit,
    ) -> Run:
        """Carry a run to its answer and return it, answered or failed; analysis and charts are not done here.

        ``turns`` is the thread so far, oldest first. Answers and verdicts that ``run`` holds already (from a
        process that died) are used, not asked and paid for again.
        """
        spec = self._catalog.consortia[run.consortium]
        kept = within_budget(turns, spec.context_tokens)
        plan = _Plan(
            run=run,
            spec=spec,
            judges=self._catalog.judges(run.consortium),
            turns=kept,
            deadline=Deadline.after(spec.deadline, self._clock),
            prior={r.number: r for r in run.rounds},
            emit=emit,
        )
        dropped = len(turns) - len(kept)
        notes = (f"Left out of the conversation, to keep it short: the thread's oldest {_questions(dropped)}.",)
        rounds = await self._rounds(plan)
        answered = any(r.verdict for r in rounds)
        return run.model_copy(
            update={
                "status": RunStatus.RUNNING if answered else RunStatus.FAILED,
                "rounds": tuple(rounds),
                "bill": Bill.of(_usages(rounds)),
                "notes": run.notes + notes if dropped else run.notes,
                "error": None if answered else _nobody_answered(rounds),
                "answered_at": self._now() if answered else None,
            }
        )

    async def _rounds(self, plan: _Plan) -> list[Round]:
        """Rounds until the verdict is sure enough, nobody answers any more, or time or iterations are up."""
        rounds: list[Round] = []
        for number in range(1, plan.spec.max_iterations + 1):
            last = rounds[-1] if rounds else None
            refine = last.verdict.refine if last and last.verdict else ()
            plan.emit(
                RunStarted(round=number, max_rounds=plan.spec.max_iterations, panel=plan.run.panel, refine=refine)
            )
            outcomes = await self._members(plan, number, last)
            current = Round(number=number, outcomes=outcomes)
            if current.responses:
                known = plan.prior[number].verdict if number in plan.prior else None
                verdict = known or await self._verdict(plan, current)
                current = current.model_copy(update={"verdict": verdict})
            rounds.append(current)
            if current.verdict is None:
                break
            plan.emit(RoundEnded(round=number, verdict=current.verdict))
            if self._settled(plan, number, current.verdict, rounds):
                break
        return rounds

    def _settled(self, plan: _Plan, number: int, verdict: Verdict, rounds: Sequence[Round]) -> bool:
        """Whether another round is out of place."""
        if number < plan.spec.min_iterations:
            enough = False
        elif verdict.confidence is None:  # nobody judged, so another round has nothing to go by
            enough = True
        else:
            enough = verdict.confidence >= plan.spec.confidence_threshold
        spent = self._clock.monotonic() - (plan.deadline.at - plan.spec.deadline)
        return enough or plan.deadline.remaining < spent / len(rounds)

    async def _verdict(self, plan: _Plan, current: Round) -> Verdict:
        case = Case(
            ask=plan.run.ask,
            turns=plan.turns,
            responses=current.responses,
            round=current.number,
            max_rounds=plan.spec.max_iterations,
        )
        watcher = Watcher(
            started=lambda judge: plan.emit(ArbiterStarted(round=current.number, judge=judge)),
            text=lambda text: plan.emit(TextDelta(text=text)),
        )
        return await self._arbiter.decide(case, plan.judges, plan.deadline, watcher)

    async def _members(self, plan: _Plan, number: int, last: Round | None) -> tuple[Outcome, ...]:
        """Ask all members at once; come back when all have ended or the rest is too far behind."""
        paid_for = {o.member.id: o for o in _kept(plan.prior.get(number))}
        for known in paid_for.values():
            plan.emit(MemberEnded(round=number, outcome=known))
        deadline = Deadline.after(plan.deadline.remaining * MEMBERS_SHARE, self._clock)
        tasks = {
            asyncio.create_task(self._member(plan, member, number, last, deadline), name=f"member {member.id}"): member
            for member in plan.run.panel
            if member.id not in paid_for
        }
        outcomes: dict[str, Outcome] = dict(paid_for)
        started = self._clock.monotonic()
        try:
            await self._collect(plan, number, tasks, outcomes, started)
            for task, member in tasks.items():
                if member.id not in outcomes:
                    outcomes[member.id] = self._left_behind(task, member, outcomes, started)
                    plan.emit(MemberEnded(round=number, outcome=outcomes[member.id]))
        finally:
            await _cancel(tasks)
        return tuple(outcomes[m.id] for m in plan.run.panel)

    async def _collect(
        self,
        plan: _Plan,
        number: int,
        tasks: Mapping[asyncio.Task[Outcome], Member],
        outcomes: dict[str, Outcome],
        started: float,
    ) -> None:
        pending = set(tasks)
        patience: float | None = None  # monotonic time up to which stragglers are waited for
        while pending:
            answers = [o for o in outcomes.values() if isinstance(o, Response)]
            failed = len(outcomes) - len(answers)
            quorum = math.ceil(plan.spec.quorum * (len(plan.run.panel) - failed))
            if patience is None and len(answers) >= max(1, quorum):
                # Answers that were paid for before count with the time that they took then.
                took = max(self._clock.monotonic() - started, *(answer.seconds for answer in answers))
                patience = started + took + max(LEAST_PATIENCE, took * (plan.spec.patience - 1))
            timeout = None if patience is None else max(0.0, patience - self._clock.monotonic())
            done, pending = await asyncio.wait(pending, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                return
            for task in done:
                outcome = task.result()
                outcomes[outcome.member.id] = outcome
                plan.emit(MemberEnded(round=number, outcome=outcome))

    async def _member(
        self, plan: _Plan, member: Member, number: int, last: Round | None, deadline: Deadline
    ) -> Outcome:
        previous = None
        if last and last.verdict:
            own = next((r for r in last.responses if r.member.id == member.id), None)
            previous = (own, last.verdict)
        prompt = member_prompt(plan.run.ask, member, self._catalog, plan.turns, previous=previous, round_=number)
        model = self._models[member.model]
        timeout = self._catalog.models[member.model].timeout
        return await self._caller.ask(member, model, prompt, timeout, deadline)

    def _left_behind(
        self, task: asyncio.Task[Outcome], member: Member, outcomes: Mapping[str, Outcome], started: float
    ) -> Failure:
        task.cancel()
        waited = self._clock.monotonic() - started
        answered = sum(isinstance(o, Response) for o in outcomes.values())
        return Failure(
            member=member,
            kind=FailureKind.CANCELLED,
            detail=f"still silent after {waited:.1f} s, when {answered} others had long answered; not waited for",
            seconds=waited,
            usage=(Usage(),),
        )


async def _cancel(tasks: Mapping[asyncio.Task[Outcome], Member]) -> None:
    """End what still runs and wait until it has, so that no call outlives its run."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _kept(prior: Round | None) -> tuple[Outcome, ...]:
    """What needs not be asked again of a round that was begun before: its answers; all, if it has its verdict."""
    if prior is None:
        return ()
    return prior.outcomes if prior.verdict else prior.responses


def _usages(rounds: Sequence[Round]) -> list[Usage]:
    """What every call of the run used, retries and arbiters included."""
    found: list[Usage] = []
    for round_ in rounds:
        for outcome in round_.outcomes:
            if isinstance(outcome, Response):
                found += [*outcome.failed_usage, outcome.usage]
            else:
                found += outcome.usage
        if round_.verdict:
            found += round_.verdict.usage
    return found


def _nobody_answered(rounds: Sequence[Round]) -> str:
    failures = rounds[-1].failures if rounds else ()
    reasons = "\n".join(f"- {f.member.label}: {f.detail}" for f in failures)
    return f"None of the {len(failures)} members answered, so there is no answer.\n{reasons}"


def _questions(count: int) -> str:
    return "question" if count == 1 else f"{count} questions"
