"""The values that flow through Consortium: frozen, serialisable, free of behaviour that does I/O.

An :class:`Ask` enters, a :class:`Run` comes out. Between them members give a :class:`Response` or a
:class:`Failure` (never text that passes for the other), an arbiter gives a :class:`Verdict`, and whoever
shows the run follows its :class:`RunEvent` values. All times are UTC, all durations seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class Value(BaseModel):
    """Base of all values: immutable, and strict about unknown fields so that typing errors surface."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# --- who asks, where, what ------------------------------------------------------------------------------


class Platform(StrEnum):
    """Where a person meets the consortium."""

    SLACK = "slack"
    DISCORD = "discord"
    WEB = "web"
    CLI = "cli"


class Person(Value):
    """Someone who asks; ``id`` is the platform's id of the account, ``name`` is for display only."""

    id: str
    name: str = ""


class ThreadRef(Value):
    """A place in a platform. ``thread`` is None until the conversation has a thread of its own.

    ``private`` marks direct messages and the like: runs from there are shown to their asker alone.
    """

    platform: Platform
    workspace: str
    channel: str
    thread: str | None = None
    private: bool = False


class Turn(Value):
    """One earlier question of a thread with the consensus it got."""

    question: str
    answer: str


class Ask(Value):
    """What a person wants. ``id`` is the run's id; ``roles`` maps a model's key to a role name or free text.

    ``event_ids`` are the platform's ids of the event behind it, used to drop duplicates.
    """

    id: str
    text: str
    asked_at: datetime
    asker: Person
    where: ThreadRef
    consortium: str | None = None
    domain: str | None = None
    roles: dict[str, str] = Field(default_factory=dict)
    charts: bool = True
    event_ids: tuple[str, ...] = ()


# --- the panel ------------------------------------------------------------------------------------------


class Member(Value):
    """One seat on the panel. ``id`` is unique in the panel ("qwen", "qwen 2"); ``model`` is its key."""

    id: str
    model: str
    role: str | None = None
    simulated: bool = False

    @property
    def label(self) -> str:
        """The name that people see: always says when the member is simulated."""
        return f"{self.id} (simulated)" if self.simulated else self.id


class Usage(Value):
    """What a call used; None: the provider did not say, which is unknown, never zero. ``cost`` is in dollars."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: float | None = None


class Bill(Value):
    """The sum of a run's usage: what is known, and for how many calls it is not."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    uncounted: int = Field(default=0, description="calls whose tokens are unknown")
    unpriced: int = Field(default=0, description="calls whose cost is unknown")

    @classmethod
    def of(cls, usages: Iterable[Usage]) -> Bill:
        """Add up usages, keeping count of what was not reported."""
        usages = list(usages)
        return cls(
            calls=len(usages),
            prompt_tokens=sum(u.prompt_tokens or 0 for u in usages),
            completion_tokens=sum(u.completion_tokens or 0 for u in usages),
            cost=sum(u.cost or 0.0 for u in usages),
            uncounted=sum(u.prompt_tokens is None or u.completion_tokens is None for u in usages),
            unpriced=sum(u.cost is None for u in usages),
        )


# --- what members give ----------------------------------------------------------------------------------


class FailureKind(StrEnum):
    """Why a member gave nothing."""

    TIMEOUT = "timeout"
    RATE_LIMITED = "rate_limited"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    BAD_REPLY = "bad_reply"
    BREAKER_OPEN = "breaker_open"
    CANCELLED = "cancelled"


class Response(Value):
    """A member's answer. ``truncated`` tells that the model stopped at its token limit.

    ``usage`` is that of the attempt that answered, ``failed_usage`` of those before it.
    """

    type: Literal["response"] = "response"
    member: Member
    text: str
    seconds: float
    attempts: int = 1
    usage: Usage = Usage()
    failed_usage: tuple[Usage, ...] = ()
    truncated: bool = False


class Failure(Value):
    """Why a member gave no answer. ``detail`` is a sentence for people, free of secrets and stack traces."""

    type: Literal["failure"] = "failure"
    member: Member
    kind: FailureKind
    detail: str
    seconds: float = 0.0
    attempts: int = 1
    usage: tuple[Usage, ...] = ()


Outcome = Annotated[Response | Failure, Field(discriminator="type")]


# --- what is made of it ---------------------------------------------------------------------------------


class Stance(StrEnum):
    """How a member's answer stands to the synthesis, as the arbiter judged it."""

    AGREES = "agree"
    PARTLY = "partly"
    DISAGREES = "disagree"


class Position(Value):
    """A member's stance and, in one sentence, its point."""

    member: Member
    stance: Stance
    point: str = ""


class VerdictSource(StrEnum):
    """Who decided: the arbiter, a stand-in, the most central answer, or the only answer there was."""

    ARBITER = "arbiter"
    STAND_IN = "stand_in"
    CENTRAL = "central"
    ONLY = "only"


class Verdict(Value):
    """The decision of a round. ``confidence`` is 0..1, None when nobody could state one.

    ``judge`` is the model that wrote ``synthesis`` (for CENTRAL and ONLY: the member's model);
    ``failures`` are the arbiters that were tried in vain, ``usage`` all calls made for this verdict.
    """

    source: VerdictSource
    judge: Member
    synthesis: str
    confidence: float | None = None
    positions: tuple[Position, ...] = ()
    refine: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    usage: tuple[Usage, ...] = ()
    seconds: float = 0.0

    @property
    def judged(self) -> bool:
        """Whether an arbiter decided, or one that stood in for it."""
        return self.source in (VerdictSource.ARBITER, VerdictSource.STAND_IN)


class Round(Value):
    """One pass: what the members gave and what was decided."""

    number: int
    outcomes: tuple[Outcome, ...]
    verdict: Verdict | None = None

    @property
    def responses(self) -> tuple[Response, ...]:
        """The answers of this round."""
        return tuple(o for o in self.outcomes if isinstance(o, Response))

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The members that gave none."""
        return tuple(o for o in self.outcomes if isinstance(o, Failure))


class Sentiment(Value):
    """Polarity -1..1 and subjectivity 0..1 (TextBlob), and VADER's compound -1..1 averaged over sentences."""

    polarity: float
    subjectivity: float
    vader: float


class MemberMood(Value):
    """Sentiment and emotion profile of one member's text; each emotion is 0..1. All zero: nothing found."""

    member: Member
    sentiment: Sentiment
    emotions: dict[str, float]


class Analysis(Value):
    """How alike the answers are and how they sound.

    ``similarity`` is a symmetric matrix in the order of ``members``, cosine 0..1, None with fewer than two
    answers. It measures shared topic and wording, not agreement. ``central`` is the index of the member
    whose answer is most like all others. ``embedder`` names what made the vectors.
    """

    members: tuple[Member, ...]
    similarity: tuple[tuple[float, ...], ...] | None
    mean_similarity: float | None
    central: int
    embedder: str
    moods: tuple[MemberMood, ...] = ()
    notes: tuple[str, ...] = ()


class Chart(Value):
    """A drawn picture. ``alt`` carries the numbers in words, for those who cannot see it."""

    kind: Literal["heatmap", "emotions"]
    png: bytes
    alt: str
    width: int
    height: int

    @property
    def filename(self) -> str:
        """A file name for uploads."""
        return f"{self.kind}.png"

    @property
    def title(self) -> str:
        """A heading for uploads."""
        return {"heatmap": "How alike the answers are", "emotions": "How the answers sound"}[self.kind]


class RunStatus(StrEnum):
    """Where a run is in its life; the last three are final."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Run(Value):
    """One ask from start to end. ``panel`` is who was asked; ``notes`` are remarks that the asker should see.

    ``answered_at`` is when the answer stood, before analysis and charts. ``error`` is the text for people
    when the run failed.
    """

    id: str
    ask: Ask
    consortium: str
    panel: tuple[Member, ...]
    status: RunStatus = RunStatus.PENDING
    rounds: tuple[Round, ...] = ()
    analysis: Analysis | None = None
    bill: Bill = Bill()
    notes: tuple[str, ...] = ()
    error: str | None = None
    created_at: datetime
    answered_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def deciding_round(self) -> Round | None:
        """The last round that an arbiter decided; where none did, the last with any verdict."""
        decided = [r for r in reversed(self.rounds) if r.verdict]
        return next((r for r in decided if r.verdict and r.verdict.judged), decided[0] if decided else None)

    @property
    def verdict(self) -> Verdict | None:
        """The decision that counts, if any."""
        return self.deciding_round.verdict if self.deciding_round else None

    @property
    def simulated(self) -> bool:
        """Whether a simulated member is on the panel, so that its texts must be labelled."""
        return any(member.simulated for member in self.panel)

    @property
    def seconds(self) -> float | None:
        """From the ask to its answer, None while there is none."""
        return (self.answered_at - self.created_at).total_seconds() if self.answered_at else None


class RunSummary(Value):
    """A line of a person's history."""

    id: str
    question: str
    answer: str | None
    status: RunStatus
    simulated: bool = False
    confidence: float | None
    consortium: str
    where: ThreadRef
    created_at: datetime


# --- what happens in a run ------------------------------------------------------------------------------


class RunStarted(Value):
    """Members are being asked; also sent at the start of each further round."""

    type: Literal["run_started"] = "run_started"
    round: int
    max_rounds: int
    panel: tuple[Member, ...]
    refine: tuple[str, ...] = ()


class MemberEnded(Value):
    """A member answered or failed."""

    type: Literal["member_ended"] = "member_ended"
    round: int
    outcome: Outcome


class ArbiterStarted(Value):
    """An arbiter began to write; text sent before belongs to an attempt that failed and is void."""

    type: Literal["arbiter_started"] = "arbiter_started"
    round: int
    judge: Member


class TextDelta(Value):
    """More of the synthesis, as the arbiter writes it."""

    type: Literal["text_delta"] = "text_delta"
    text: str


class RoundEnded(Value):
    """A verdict stands; another round may follow."""

    type: Literal["round_ended"] = "round_ended"
    round: int
    verdict: Verdict


class Answered(Value):
    """The final answer stands. Charts may follow when ``charts_follow``."""

    type: Literal["answered"] = "answered"
    run: Run
    charts_follow: bool


class ChartsDrawn(Value):
    """Analysis and charts are stored; ``kinds`` tells which charts there are, ``note`` why some are not."""

    type: Literal["charts_drawn"] = "charts_drawn"
    analysis: Analysis | None
    kinds: tuple[str, ...]
    note: str | None = None


class RunEnded(Value):
    """Nothing more will come."""

    type: Literal["run_ended"] = "run_ended"
    status: RunStatus
    error: str | None = None


RunEvent = Annotated[
    RunStarted | MemberEnded | ArbiterStarted | TextDelta | RoundEnded | Answered | ChartsDrawn | RunEnded,
    Field(discriminator="type"),
]

run_event: TypeAdapter[RunEvent] = TypeAdapter(RunEvent)
"""Reads and writes a :data:`RunEvent` as JSON."""

outcome: TypeAdapter[Outcome] = TypeAdapter(Outcome)
"""Reads and writes an :data:`Outcome` as JSON."""


# --- what a person has set ------------------------------------------------------------------------------


class Session(Value):
    """What a person has set in one channel: roles by model key, consortium, domain; and their last thread."""

    roles: dict[str, str] = Field(default_factory=dict)
    consortium: str | None = None
    domain: str | None = None
    active_thread: str | None = None
