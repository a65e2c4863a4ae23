"""The table at which one run is decided: what a strategy may know and do.

A strategy is a plain coroutine over a table: it asks members, has them vote, calls the arbiter, and ends rounds. What a
run has paid for already (in a process that died) is given back by the table without being asked for again, so a
strategy that is run anew comes to the same point; for that it must not keep state nor use chance of its own
(:meth:`Table.rng` gives some that can be replayed).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from core.arbiter import Arbiter, Case, Watcher
from core.asking import ask_all
from core.asks import Ask, Turn
from core.attachments import Material
from core.catalog import Catalog
from core.events import ArbiterStarted, MemberEnded, MembersAsked, RoundEnded, RunEvent, RunStarted, TextDelta
from core.ports import Analyst, Models
from core.prompts import Brief, member_prompt, refinement
from core.resilience import Caller, Clock, Deadline
from core.setup import ConsortiumSpec, Judging
from core.telemetry import traces
from core.telemetry.metrics import FAILURES, MEMBERS, STAGES, VERDICTS
from core.telemetry.outcomes import told
from core.types import (
    Agreement,
    Ballot,
    Grouping,
    Member,
    Outcome,
    Response,
    Round,
    RoundKind,
    Run,
    Verdict,
    VerdictSource,
)
from core.votes.trust import Experience
from core.votes.voting import agreement_of, by_vote, cast

Emit = Callable[[RunEvent], None]
"""Takes what happens in a run, in order; never blocks."""

MEMBERS_SHARE = 0.75
"""Of the time that a run has left, how much members may take at a time: the arbiter needs the rest."""


class Silence(Exception):
    """No member of the round gave anything, so there is nothing to decide. Ends the strategy; the engine knows it."""


@dataclass(frozen=True)
class Tools:
    """What is the same for all runs."""

    catalog: Catalog
    models: Models
    caller: Caller
    arbiter: Arbiter
    analyst: Analyst
    clock: Clock
    nonce: Callable[[], str]


@dataclass
class _Open:
    """The round that goes on. ``asked`` keeps the order of the panel."""

    number: int
    kind: RoundKind
    asked: dict[str, Member] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    span: traces.Stretch = field(default_factory=traces.Stretch)


class Table:
    """One run as its strategy sees it. Lives as long as the run is decided."""

    def __init__(
        self,
        run: Run,
        turns: tuple[Turn, ...],
        tools: Tools,
        emit: Emit,
        experience: Experience,
        setup: ConsortiumSpec,
        materials: tuple[Material, ...] = (),
    ) -> None:
        self.ask: Ask = run.ask
        self.panel: tuple[Member, ...] = run.panel
        self.setup = setup
        self.rounds: list[Round] = []
        self.notes: list[str] = []
        self.weights: Mapping[str, float] = experience.weights(run.panel)
        self._turns, self._tools, self._emit, self._materials = turns, tools, emit, materials
        self._calibration = experience.calibration
        self._judges = tools.catalog.judges(setup)
        self._deadline = Deadline.after(setup.deadline, tools.clock)
        self._prior = {r.number: r for r in run.rounds}
        self._open: _Open | None = None

    # --- what a strategy may know -------------------------------------------------------------------

    @property
    def number(self) -> int:
        """The number of the round that goes on, or would be next."""
        return len(self.rounds) + 1

    @property
    def last(self) -> Round | None:
        """The round that ended last."""
        return self.rounds[-1] if self.rounds else None

    @property
    def last_answers(self) -> tuple[Response, ...]:
        """The answers of the last of the rounds before in which somebody gave one."""
        return next((r.responses for r in reversed(self.rounds) if r.kind == "answers" and r.responses), ())

    @property
    def silent(self) -> tuple[Member, ...]:
        """Who was asked in the round that goes on, and gave nothing."""
        outcomes = self._open.outcomes.values() if self._open else ()
        return tuple(o.member for o in outcomes if not isinstance(o, Response))

    @property
    def asked(self) -> frozenset[str]:
        """Whoever has been asked in the round that goes on, by id; before this run changed hands, too."""
        return frozenset(self._open.outcomes) if self._open else frozenset()

    def rng(self, purpose: str) -> random.Random:
        """Chance that comes out the same when the run is replayed, and different for each purpose."""
        return random.Random(f"{self.ask.id}/{purpose}")  # noqa: S311 - guards nothing

    def nonce(self) -> str:
        """A mark for fencing foreign text, that nobody can guess."""
        return self._tools.nonce()

    def settled(self, verdict: Verdict) -> bool:
        """Whether another round after this verdict is out of place: it is sure enough, or rounds or time are up."""
        done, setup = len(self.rounds), self.setup
        if done >= setup.max_iterations or not self.has_time:
            return True
        if done < setup.min_iterations:
            return False
        # Where nobody judged, another round has nothing to go by.
        return verdict.confidence is None or verdict.confidence >= setup.confidence_threshold

    @property
    def has_time(self) -> bool:
        """Whether another round as long as those before would end before the run's deadline."""
        spent = self.setup.deadline - self._deadline.remaining
        return self._deadline.remaining >= spent / max(1, len(self.rounds) + (self._open is not None))

    # --- what a strategy may do ---------------------------------------------------------------------

    def seat(self, panel: tuple[Member, ...]) -> None:
        """Change roles of the panel, before anybody is asked; members stay the same."""
        self.panel = panel

    def note(self, text: str) -> None:
        """A remark that the asker will see with the answer."""
        if text not in self.notes:
            self.notes.append(text)

    async def ask_members(
        self,
        members: Sequence[Member] | None = None,
        brief: Callable[[Member], Brief] | None = None,
        *,
        kind: RoundKind = "answers",
        rounds: int | None = None,
    ) -> tuple[Response, ...]:
        """Ask members (all of the panel when left out) in the round that goes on, or begin one.

        ``brief`` tells each more than the question, ``rounds`` how many there will be at the most (for show). Returns
        everything that the round has so far, in the panel's order. Raises Silence when it has nothing.
        """
        opened = self._begin(self.panel if members is None else members, kind, rounds)
        known = [o for o in opened.outcomes.values() if o.member.id in opened.asked]
        deadline = Deadline.after(self._deadline.remaining * MEMBERS_SHARE, self._tools.clock)
        with STAGES.timed(stage="members"), traces.within(opened.span):
            outcomes = await ask_all(
                [m for m in self.panel if m.id in opened.asked],
                lambda member: self._ask(member, brief(member) if brief else Brief(), deadline),
                lambda outcome: self._ended(opened, outcome),
                self._tools.clock,
                quorum=self.setup.quorum,
                patience=self.setup.patience,
                known=known,
            )
        opened.outcomes = {o.member.id: o for o in outcomes}
        responses = tuple(o for o in outcomes if isinstance(o, Response))
        if not responses:
            raise Silence
        return responses

    def refine(self, member: Member) -> Brief:
        """What a member is told about the last verdict, in a round that goes on from it."""
        if self.last is None or self.last.verdict is None:
            return Brief()
        own = next((r for r in self.last.responses if r.member.id == member.id), None)
        return refinement(own, self.last.verdict, self.nonce(), self.number)

    def vote(self, responses: Sequence[Response], *, prose: bool = False) -> Ballot | None:
        """Count the final answers that the responses state; with ``prose`` also those that only can be read from them.

        None when none states any, of an open question, which has none, and where one member alone was asked.
        """
        if self.ask.question_type == "open" or self.ask.addressed:
            return None
        return cast(responses, self.weights, self.ask.question_type, prose=prose)

    async def group(
        self, responses: Sequence[Response], *, method: str = "dbscan", eps: float | None = None
    ) -> Grouping:
        """Group responses by meaning, in a process of its own. Raises Unavailable."""
        return await self._tools.analyst.group(responses, method=method, eps=eps)

    async def judge(
        self,
        responses: Sequence[Response],
        *,
        method: Judging | None = None,
        reviewed: Sequence[Member] = (),
        ballot: Ballot | None = None,
        total: int | None = None,
    ) -> Verdict:
        """The arbiter's verdict on the responses, by ``method`` or as the consortium is set up.

        ``reviewed`` is the panel's own order of them, best first. ``ballot`` decides where no arbiter can; it is
        counted here when left out. ``total`` is how many the agreement is out of, when that is not all the responses.
        """
        if known := self._known():
            return known
        ballot = ballot or self.vote(responses)
        number = self._open.number if self._open else self.number
        case = Case(
            ask=self.ask,
            turns=self._turns,
            responses=tuple(responses),
            round=number,
            max_rounds=max(number, self.setup.max_iterations),
            method=method or self.setup.judging,
            both_orders=self.setup.both_orders,
            ballot=ballot,
            reviewed=tuple(reviewed),
            weights=self.weights,
        )
        watcher = Watcher(
            started=lambda judge: self._emit(ArbiterStarted(round=number, judge=judge)),
            text=lambda text: self._emit(TextDelta(text=text)),
        )
        above = self._open.span if self._open else traces.Stretch()
        with STAGES.timed(stage="arbiter"), traces.within(above), traces.span("arbiter") as span:
            verdict = await self._tools.arbiter.decide(case, self._judges, self._deadline, watcher)
            span.set(source=verdict.source)
        VERDICTS.add(source=verdict.source)
        return self._sure(verdict, ballot, len(responses) if total is None else total)

    def decide_by_vote(self, ballot: Ballot, responses: Sequence[Response]) -> Verdict:
        """The verdict of the heaviest camp."""
        if known := self._known():
            return known
        VERDICTS.add(source=VerdictSource.VOTE)
        return self._sure(by_vote(ballot, responses, self.weights), ballot, ballot.votes)

    def end_round(self, verdict: Verdict | None) -> None:
        """The round is over; without a verdict another must follow."""
        if self._open is None:
            raise RuntimeError("no round goes on")
        opened, self._open = self._open, None
        self.rounds.append(self._closed(opened, verdict))
        self._emit(RoundEnded(round=opened.number, verdict=verdict, kind=opened.kind))

    def fall_back(self, verdict: Verdict) -> None:
        """The round that goes on came to nothing; the one that gave :attr:`last_answers` gets the verdict on them."""
        place = max(i for i, r in enumerate(self.rounds) if r.kind == "answers" and r.responses)
        decided = self.rounds[place] = self.rounds[place].model_copy(update={"verdict": verdict})
        self.abandon()
        self._emit(RoundEnded(round=decided.number, verdict=verdict, kind=decided.kind))

    def abandon(self) -> None:
        """The round that goes on came to nothing: keep what it has."""
        if self._open is not None:
            opened, self._open = self._open, None
            self.rounds.append(self._closed(opened, None))

    def leave(self) -> None:
        """Nobody sits here any more, whatever was still open."""
        if self._open is not None:
            self._open.span.end()

    # --- inside -------------------------------------------------------------------------------------

    def _begin(self, members: Sequence[Member], kind: RoundKind, rounds: int | None) -> _Open:
        """Open a round with these members, or take them into the one that goes on."""
        if self._open is None:
            self._open = _Open(self.number, kind, span=traces.begin("round", round=self.number, kind=kind))
            known = self._paid_for(self.number)
            self._open.outcomes = {o.member.id: o for o in known}
            self._open.asked = {m.id: m for m in members} | {o.member.id: o.member for o in known}
            self._emit(
                RunStarted(
                    round=self.number,
                    max_rounds=max(self.number, rounds or self.setup.max_iterations),
                    panel=self._seated(self._open.asked),
                    refine=self.last.verdict.refine if self.last and self.last.verdict else (),
                    kind=kind,
                )
            )
            for outcome in known:
                self._emit(MemberEnded(round=self.number, outcome=outcome))
        elif more := [m for m in members if m.id not in self._open.asked]:
            self._open.asked |= {m.id: m for m in more}
            self._emit(MembersAsked(round=self._open.number, members=tuple(more)))
        return self._open

    def _paid_for(self, number: int) -> tuple[Outcome, ...]:
        """What needs not be asked again of a round that was begun before: its answers; all, if it came to its end."""
        prior = self._prior.get(number)
        if prior is None:
            return ()
        return prior.outcomes if prior.verdict or number < max(self._prior) else prior.responses

    def _seated(self, ids: Mapping[str, Member]) -> tuple[Member, ...]:
        return tuple(m for m in self.panel if m.id in ids)

    def _ended(self, opened: _Open, outcome: Outcome) -> None:
        if isinstance(outcome, Response):
            MEMBERS.observe(outcome.seconds, model=outcome.member.model)
        else:
            FAILURES.add(model=outcome.member.model, kind=outcome.kind)
        self._emit(MemberEnded(round=opened.number, outcome=outcome))

    async def _ask(self, member: Member, brief: Brief, deadline: Deadline) -> Outcome:
        tools = self._tools
        prompt = member_prompt(
            *(self.ask, self.setup, member, tools.catalog, self._turns, brief),
            nonce=tools.nonce(),
            materials=self._materials,
        )
        timeout = tools.catalog.models[member.model].timeout
        with traces.span("member", model=member.model) as span:
            outcome = await tools.caller.ask(member, tools.models[member.model], prompt, timeout, deadline)
            span.set(**told(outcome))
        return self._billed(outcome)

    def _billed(self, outcome: Outcome) -> Outcome:
        """The outcome, with what the member's calls in this round used in vain before the run changed hands."""
        prior = self._prior.get(self.number)
        spent = [u for f in (prior.failures if prior else ()) if f.member.id == outcome.member.id for u in f.usage]
        if isinstance(outcome, Response):
            return outcome.model_copy(update={"failed_usage": (*spent, *outcome.failed_usage)})
        return outcome.model_copy(update={"usage": (*spent, *outcome.usage)})

    def _known(self) -> Verdict | None:
        """The verdict of this round, if it was found before the run changed hands."""
        prior = self._prior.get(self._open.number) if self._open else None
        return prior.verdict if prior else None

    def _sure(self, verdict: Verdict, ballot: Ballot | None, total: int) -> Verdict:
        """The verdict with the ballot, and the confidence that the agreement of the panel gives it."""
        verdict = verdict.model_copy(update={"ballot": ballot})
        agreement = verdict.agreement or _agreement(verdict, total)
        confidence = self._calibration.confidence(agreement) if agreement else None
        return verdict.model_copy(update={"agreement": agreement, "confidence": confidence})

    def _closed(self, opened: _Open, verdict: Verdict | None) -> Round:
        opened.span.end()
        outcomes = tuple(opened.outcomes[m.id] for m in self.panel if m.id in opened.outcomes)
        return Round(number=opened.number, outcomes=outcomes, verdict=verdict, kind=opened.kind)


def _agreement(verdict: Verdict, total: int) -> Agreement | None:
    """How many hold the answer: by the arbiter's word on each, else by the votes for it.

    Likeness of texts is no agreement, so a vote by meaning gives none.
    """
    if verdict.source is VerdictSource.ONLY:
        return None
    if verdict.source in (VerdictSource.ARBITER, VerdictSource.STAND_IN):
        return agreement_of(verdict.positions, total)
    camp, votes = verdict.camp, verdict.ballot.votes if verdict.ballot else 0
    return Agreement(agree=len(camp.members), total=votes) if camp and votes > 1 else None
