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

from pydantic import Field, TypeAdapter

from core.asks import Ask, Value

# --- the panel ------------------------------------------------------------------------------------------


class Member(Value):
    """One seat on the panel. ``id`` is unique in the panel ("qwen", "qwen 2"); ``model`` is its key.

    Where one model has several seats, ``seed`` and ``temperature`` set them apart; None: as the model is configured.
    """

    id: str
    model: str
    role: str | None = None
    simulated: bool = False
    seed: int | None = None
    temperature: float | None = None

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


class Remark(Value):
    """Something that one member alone said."""

    member: Member
    point: str


class Grouping(Value):
    """Answers grouped by meaning. ``labels`` has each answer's cluster in the order given, -1 for an outlier.

    ``eps`` is DBSCAN's radius in cosine distance. ``densest`` is the label of the densest cluster, -1 when there is
    none; ``density`` each cluster's mean inner similarity; ``confidence`` is geometric, 0..1, see
    :mod:`core.study.clusters`.
    """

    method: Literal["dbscan", "hdbscan"]
    eps: float | None
    labels: tuple[int, ...]
    densest: int
    confidence: float
    density: tuple[float, ...]


class Camp(Value):
    """Members who hold the same answer. ``answer`` is how one of them put it, ``normal`` what makes them equal.

    ``weight`` is the sum of their weights; without any history each weighs 1.
    """

    answer: str
    normal: str
    members: tuple[Member, ...]
    weight: float


class Ballot(Value):
    """How the members voted: camps from the heaviest to the lightest. An abstention is no vote.

    ``basis`` tells what made two answers the same: the final answers that they state, or their meaning (vectors).
    """

    basis: Literal["final answers", "meaning"]
    camps: tuple[Camp, ...]
    abstained: tuple[Member, ...] = ()

    @property
    def votes(self) -> int:
        """How many voted."""
        return sum(len(camp.members) for camp in self.camps)

    @property
    def lead(self) -> int:
        """By how many votes the heaviest camp leads the largest of the others; negative where weight beat number."""
        others = [len(camp.members) for camp in self.camps[1:]]
        return len(self.camps[0].members) - max(others, default=0) if self.camps else 0

    @property
    def share(self) -> float:
        """The heaviest camp's share of all weight, 0..1; 0 when nobody voted."""
        total = sum(camp.weight for camp in self.camps)
        return self.camps[0].weight / total if total else 0.0


class Agreement(Value):
    """How many hold the answer that goes out. ``agree`` counts a member that agrees in part as half."""

    agree: float
    total: int

    @property
    def share(self) -> float:
        """0..1."""
        return self.agree / self.total if self.total else 0.0


class VerdictSource(StrEnum):
    """Who decided: the arbiter, a stand-in, the vote, the most central answer, or the only answer there was."""

    ARBITER = "arbiter"
    STAND_IN = "stand_in"
    VOTE = "vote"
    CENTRAL = "central"
    ONLY = "only"


class Verdict(Value):
    """The decision of a round. ``confidence`` is 0..1 by the calibration table, None when nothing speaks for one.

    ``stated`` is the arbiter's own figure, kept beside it. ``agreement`` is what the confidence was read from,
    ``ballot`` how the members voted, where they did, ``grouping`` how the round's responses lie to each other, where
    that was asked. ``judge`` is the model that wrote ``synthesis`` (for VOTE,
    CENTRAL and ONLY: the member whose text it is). ``ranking`` has the members, best first, where they were ranked.
    ``common`` is what all say, ``disputed`` what they differ about, ``alone`` what one member alone said: as the
    arbiter found it, in a sentence each.
    ``note`` is a remark on how it came about that the asker should see.
    ``failures`` are the arbiters that were tried in vain, ``usage`` all calls made for this verdict.
    """

    source: VerdictSource
    judge: Member
    synthesis: str
    confidence: float | None = None
    stated: float | None = None
    agreement: Agreement | None = None
    ballot: Ballot | None = None
    grouping: Grouping | None = None
    positions: tuple[Position, ...] = ()
    ranking: tuple[Member, ...] = ()
    common: tuple[str, ...] = ()
    disputed: tuple[str, ...] = ()
    alone: tuple[Remark, ...] = ()
    refine: tuple[str, ...] = ()
    note: str | None = None
    failures: tuple[Failure, ...] = ()
    usage: tuple[Usage, ...] = ()
    seconds: float = 0.0

    @property
    def judged(self) -> bool:
        """Whether somebody decided: the arbiter, one that stood in for it, or the members by their votes."""
        return self.source in (VerdictSource.ARBITER, VerdictSource.STAND_IN, VerdictSource.VOTE)

    @property
    def camp(self) -> Camp | None:
        """Who voted for the answer that goes out: the camp of the member whose text it is, or the one camp whose
        members the arbiter agrees with. None where that cannot be told, and where votes were made of likeness."""
        if self.ballot is None or self.ballot.basis == "meaning":
            return None
        if self.source in (VerdictSource.ARBITER, VerdictSource.STAND_IN):
            holders = {position.member.id for position in self.positions if position.stance is Stance.AGREES}
        else:
            holders = {self.judge.id}
        backed = [camp for camp in self.ballot.camps if not holders.isdisjoint(m.id for m in camp.members)]
        return backed[0] if len(backed) == 1 else None


RoundKind = Literal["answers", "reviews"]
"""What members gave in a round: answers to the question, or rankings of each other's answers."""


class Round(Value):
    """One pass: what the members gave and what was decided."""

    number: int
    outcomes: tuple[Outcome, ...]
    verdict: Verdict | None = None
    kind: RoundKind = "answers"

    @property
    def responses(self) -> tuple[Response, ...]:
        """What members gave in this round."""
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


class Vectors(Value):
    """The vectors of some texts, a row each: ``dimensions`` numbers of 32 bits, little-endian, one after the other."""

    embedder: str
    dimensions: int
    data: bytes


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
    grouping: Grouping | None = None
    moods: tuple[MemberMood, ...] = ()
    notes: tuple[str, ...] = ()


ChartKind = Literal["heatmap", "emotions", "polarity", "radar", "drift"]

TITLES: dict[ChartKind, str] = {
    "heatmap": "How alike the answers are",
    "emotions": "How the answers sound",
    "polarity": "How positive and how personal the answers are",
    "radar": "The answers' emotions compared",
    "drift": "The panel, round by round",
}


class Chart(Value):
    """A drawn picture. ``alt`` carries the numbers in words, for those who cannot see it."""

    kind: ChartKind
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
        return TITLES[self.kind]


class Study(Value):
    """What the analysis of a run's answers came to. ``vectors`` has a row an answer, None where there was no need."""

    analysis: Analysis
    charts: tuple[Chart, ...] = ()
    vectors: Vectors | None = None


class RunStatus(StrEnum):
    """Where a run is in its life; the last three are final."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        """Whether it is final."""
        return self not in (RunStatus.PENDING, RunStatus.RUNNING)


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
    def synthesis(self) -> str | None:
        """The answer that goes out, None while there is none."""
        return self.verdict.synthesis if self.verdict else None

    @property
    def answers(self) -> tuple[Response, ...]:
        """The answers that the decision was about: of the deciding round, or of the one that it reviewed."""
        decided = self.deciding_round
        upto = [r for r in self.rounds if r.kind == "answers" and (decided is None or r.number <= decided.number)]
        return upto[-1].responses if upto else ()

    @property
    def simulated(self) -> bool:
        """Whether anybody simulated had a part in it, on the panel or as its judge, so that its texts must be
        labelled."""
        return any(m.simulated for m in self.panel) or bool(self.verdict and self.verdict.judge.simulated)

    @property
    def seconds(self) -> float | None:
        """From the ask to its answer, None while there is none."""
        return (self.answered_at - self.created_at).total_seconds() if self.answered_at else None


outcome: TypeAdapter[Outcome] = TypeAdapter(Outcome)
"""Reads and writes an :data:`Outcome` as JSON."""
