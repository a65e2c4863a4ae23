"""The arbiter: one model reads the anonymised answers and decides, by the method that the consortium is set up with.

What the evidence asks for: names removed and the order shuffled anew for each call; where it must be surer, two calls
in opposite orders, heard only if they agree; structured output read tolerantly; an unreadable verdict is the arbiter's
failure (once more, then the next arbiter, then the members' vote, then the most central answer, each labelled).

What is shown to a judge and how its reply is read is :mod:`core.judging`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from core.errors import ConsortiumError
from core.judging import LETTERS, MOST_CANDIDATES, SCHEMAS, Case, Reading, read, show
from core.parsing import FieldStream, Unreadable
from core.ports import Analyst, Message, Models, Prompt
from core.resilience import Caller, Deadline
from core.telemetry import get_logger, texts, traces
from core.telemetry.health import Lately
from core.telemetry.metrics import ARBITER_FAILURES
from core.telemetry.outcomes import told
from core.types import Ballot, Failure, FailureKind, Member, Response, Stance, Usage, Verdict, VerdictSource
from core.votes.voting import LEAST_VOTES, by_vote

__all__ = ["Arbiter", "Case", "Watcher"]

log = get_logger(__name__)

Order = dict[str, Response]
"""The candidates by letter, in the order in which they are shown."""


@dataclass(frozen=True)
class Watcher:
    """Who wants to see the synthesis while it is written. ``started`` voids what was sent before."""

    started: Callable[[Member], None]
    text: Callable[[str], None]


@dataclass
class _Sitting:
    """One decision while it is sought; lives as long as it takes."""

    case: Case
    watcher: Watcher
    deadline: Deadline
    rng: random.Random
    usage: list[Usage] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def cost(self) -> dict[str, Any]:
        """What a verdict says of how it came about."""
        return {
            "failures": tuple(self.failures),
            "usage": tuple(self.usage),
            "note": " ".join(self.notes) or None,
        }


class Arbiter:
    """Finds the verdict of a round. Holds no state of any run; ``lately`` is how the latest judges did."""

    def __init__(
        self,
        caller: Caller,
        models: Models,
        timeouts: Mapping[str, float],
        analyst: Analyst,
        nonce: Callable[[], str],
    ) -> None:
        self._caller, self._models, self._timeouts = caller, models, timeouts
        self._analyst, self._nonce = analyst, nonce
        self.lately = Lately()

    async def decide(self, case: Case, judges: Sequence[Member], deadline: Deadline, watcher: Watcher) -> Verdict:
        """The arbiter's verdict, or a stand-in's, or the members' vote, or the most central answer.

        Needs at least one response. Only an unreadable verdict that came at the first attempt is asked for once more,
        so a judge is called four times at the most, with both orders eight times: more only costs the time of those
        who stand in. The verdict's ``confidence``, ``agreement`` and ``ballot`` are for the caller to fill in.
        """
        if len(case.responses) == 1:
            only = case.responses[0]
            return Verdict(source=VerdictSource.ONLY, judge=only.member, synthesis=only.text)
        started = deadline.clock.monotonic()
        rng = random.Random(f"{case.ask.id}/{case.round}")  # noqa: S311 - an order that can be replayed, no secret
        sitting = _Sitting(case, watcher, deadline, rng)
        if (left := len(case.responses) - MOST_CANDIDATES) > 0:
            sitting.notes.append(
                f"The arbiter was shown the first {MOST_CANDIDATES} answers; {left} more were not judged."
            )
        verdict = await self._by_judges(sitting, judges) or await self._without_judges(sitting)
        return verdict.model_copy(update={"seconds": deadline.clock.monotonic() - started})

    async def _by_judges(self, sitting: _Sitting, judges: Sequence[Member]) -> Verdict | None:
        """The first verdict that a judge gives; None when none does."""
        for index, judge in enumerate(judges):
            # Nobody may use up the time that those who stand in for him need.
            share = Deadline.after(sitting.deadline.remaining / (len(judges) - index), sitting.deadline.clock)
            ask = self._twice if sitting.case.both_orders else self._once
            found = await ask(sitting, judge, share)
            self.lately.note(not isinstance(found, Failure))
            if isinstance(found, _Contradiction):
                return await self._without_judges(sitting, found)
            if isinstance(found, Reading):
                return _verdict(sitting, judge, found, VerdictSource.STAND_IN if index else VerdictSource.ARBITER)
            sitting.failures.append(found)
        return None

    async def _once(self, sitting: _Sitting, judge: Member, deadline: Deadline) -> Reading | Failure:
        orders = [_deal(sitting.case, sitting.rng) for _ in range(2)]
        return await self._hear(sitting, judge, deadline, orders, sitting.watcher)

    async def _twice(self, sitting: _Sitting, judge: Member, deadline: Deadline) -> Reading | Failure | _Contradiction:
        """One verdict out of two, asked for at the same time; only the first is shown while it is written."""
        order = _deal(sitting.case, sitting.rng)
        opposite = _opposite(order)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._hear(sitting, judge, deadline, [order, order], sitting.watcher)),
                group.create_task(self._hear(sitting, judge, deadline, [opposite, opposite], None)),
            ]
        one, other = (task.result() for task in tasks)
        if isinstance(one, Reading) and isinstance(other, Reading):
            return _Contradiction(judge, one, other) if _contradict(one, other) else _joined(one, other)
        heard, failed = (other, one) if isinstance(other, Reading) else (one, other)
        if isinstance(heard, Reading) and isinstance(failed, Failure):
            sitting.notes.append(
                f"{judge.label} was to judge twice, in opposite orders, but gave one verdict only ({failed.detail})."
            )
        return heard

    async def _hear(
        self, sitting: _Sitting, judge: Member, deadline: Deadline, orders: Sequence[Order], watcher: Watcher | None
    ) -> Reading | Failure:
        """Ask one judge for a verdict, with a further order each time that it cannot be read."""
        failure: Failure | None = None
        for order in orders:
            with traces.span("judge", model=judge.model) as span:
                outcome = await self._call(sitting.case, judge, deadline, order, watcher)
                span.set(**told(outcome))
            if isinstance(outcome, Failure):
                sitting.usage.extend(outcome.usage)
                failure = outcome
                break
            sitting.usage.extend((*outcome.failed_usage, outcome.usage))
            try:
                return read(sitting.case, outcome.text, order)
            except Unreadable as error:
                failure = _unreadable(outcome, error)
            if outcome.attempts > 1:
                break
        if failure is None:
            raise ValueError("no order to judge in")
        ARBITER_FAILURES.add(model=judge.model, kind=failure.kind)
        log.warning("arbiter failed", judge=judge.id, kind=failure.kind, **texts(detail=failure.detail))  # it may quote
        return failure

    async def _call(
        self, case: Case, judge: Member, deadline: Deadline, order: Order, watcher: Watcher | None
    ) -> Response | Failure:
        system, shown = show(case, order, self._nonce())
        prompt = Prompt(
            messages=(Message(role="system", content=system), Message(role="user", content=shown)),
            json_schema=SCHEMAS[case.method],
        )
        model, timeout = self._models[judge.model], self._timeouts[judge.model]
        if watcher is None:
            return await self._caller.ask(judge, model, prompt, timeout, deadline)
        stream = FieldStream()
        return await self._caller.stream(
            judge,
            model,
            prompt,
            timeout,
            deadline,
            on_attempt=lambda: _restart(stream, watcher, judge),
            on_text=lambda piece: _pass_on(stream, watcher, piece),
        )

    async def _without_judges(self, sitting: _Sitting, why: _Contradiction | None = None) -> Verdict:
        """The members' vote where there is one, else the most central answer."""
        case = sitting.case
        ballot = _usable(case)
        if why:
            instead = "the members' vote decided" if ballot else "the answer most like the others goes out"
            sitting.notes.append(
                f"{why.judge.label} judged twice, with the answers in opposite orders, and contradicted itself: "
                f"{instead}."
            )
        known = sitting.cost() | {"refine": why.one.refine if why else ()}
        if ballot:
            weights = {m.id: case.weights.get(m.id, 1.0) for camp in ballot.camps for m in camp.members}
            return by_vote(ballot, case.responses, weights, **known)
        central = await self._central(case.responses)
        return Verdict(source=VerdictSource.CENTRAL, judge=central.member, synthesis=central.text, **known)

    async def _central(self, responses: Sequence[Response]) -> Response:
        """The answer most like all others; the first one where even that cannot be told."""
        try:
            return responses[(await self._analyst.study(responses, charts=False)).analysis.central]
        except ConsortiumError as error:
            log.warning("no central answer", error=str(error))
        except Exception:
            log.exception("no central answer")
        return responses[0]


def _restart(stream: FieldStream, watcher: Watcher, judge: Member) -> None:
    stream.reset()
    watcher.started(judge)


def _pass_on(stream: FieldStream, watcher: Watcher, piece: str) -> None:
    if text := stream.feed(piece):
        watcher.text(text)


def _verdict(sitting: _Sitting, judge: Member, found: Reading, source: VerdictSource) -> Verdict:
    return Verdict(
        source=source,
        judge=judge,
        synthesis=found.synthesis,
        stated=found.stated,
        positions=found.positions,
        ranking=found.ranking,
        refine=found.refine,
        common=found.common,
        disputed=found.disputed,
        alone=found.alone,
        **sitting.cost(),
    )


def _unreadable(reply: Response, error: Unreadable) -> Failure:
    return Failure(
        member=reply.member,
        kind=FailureKind.BAD_REPLY,
        detail=f"its verdict could not be read: {error}",
        seconds=reply.seconds,
        attempts=reply.attempts,
    )


def _usable(case: Case) -> Ballot | None:
    """The ballot, if enough voted and the winners' answers are among those that are judged."""
    ballot = case.ballot
    if ballot is None or ballot.votes < LEAST_VOTES:
        return None
    here = {r.member.id for r in case.responses}
    return ballot if all(m.id in here for m in ballot.camps[0].members) else None


# --- orders ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Contradiction:
    """Two verdicts of one judge, in opposite orders, that cannot both be right."""

    judge: Member
    one: Reading
    other: Reading


def _deal(case: Case, rng: random.Random) -> Order:
    shuffled = rng.sample(case.candidates, len(case.candidates))
    return dict(zip(LETTERS, shuffled, strict=False))


def _opposite(order: Order) -> Order:
    """The candidates the other way round, and none with the letter that it had."""
    letters = list(order)
    middle = len(letters) // 2
    if len(letters) % 2:  # the one in the middle stays there
        letters[middle], letters[middle + 1] = letters[middle + 1], letters[middle]
    return dict(zip(letters, reversed(order.values()), strict=True))


def _contradict(one: Reading, other: Reading) -> bool:
    """Whether another one came first, or, where nobody was ranked, somebody agrees here and disagrees there."""
    if one.ranking and other.ranking:
        return one.ranking[0].id != other.ranking[0].id
    stances = {p.member.id: p.stance for p in one.positions}
    opposites = {Stance.AGREES, Stance.DISAGREES}
    return any({stances.get(p.member.id), p.stance} == opposites for p in other.positions)


def _joined(one: Reading, other: Reading) -> Reading:
    """The first verdict, with the mean of both confidences and ranks and with whom only the second had judged."""
    known = {p.member.id for p in one.positions}
    stated = [r.stated for r in (one, other) if r.stated is not None]
    return replace(
        one,
        stated=sum(stated) / len(stated) if stated else None,
        positions=(*one.positions, *(p for p in other.positions if p.member.id not in known)),
        ranking=_mean_ranking(one.ranking, other.ranking),
    )


def _mean_ranking(*rankings: Sequence[Member]) -> tuple[Member, ...]:
    """Members by their mean rank; one that a ranking leaves out is last in it, equals stand as in the first."""
    members = {m.id: m for ranking in rankings for m in ranking}
    ranks = [{m.id: rank for rank, m in enumerate(ranking)} for ranking in rankings]
    return tuple(sorted(members.values(), key=lambda m: sum(r.get(m.id, len(members)) for r in ranks)))
