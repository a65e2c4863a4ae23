"""Runs to store."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Literal

from core.asks import Ask, Person, Platform, ThreadRef
from core.types import (
    Agreement,
    Analysis,
    Ballot,
    Bill,
    Camp,
    Chart,
    Failure,
    FailureKind,
    Member,
    MemberMood,
    Position,
    Response,
    Round,
    Run,
    RunStatus,
    Sentiment,
    Stance,
    Usage,
    Verdict,
    VerdictSource,
)

START = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
ANN, BEN = Person(id="U-ann", name="Ann"), Person(id="U-ben", name="Ben")
CHANNEL = ThreadRef(platform=Platform.SLACK, workspace="T1", channel="C1", thread="1.5")
PANEL = (
    Member(id="qwen", model="qwen"),
    Member(id="qwen 2", model="qwen", role="Utilitarian"),
    Member(id="llama", model="llama", simulated=True),
)
CHARTS = (
    Chart(kind="heatmap", png=b"\x89PNG\x00\xff heat", alt="qwen and qwen 2: 0.91", width=800, height=600),
    Chart(kind="emotions", png=bytes(range(256)) * 300, alt="joy: 0.2", width=640, height=480),
)
ANALYSIS = Analysis(
    members=PANEL[:2],
    similarity=((1.0, 0.91), (0.91, 1.0)),
    mean_similarity=0.91,
    central=1,
    embedder="wordllama",
    moods=(MemberMood(member=PANEL[0], sentiment=Sentiment(polarity=0.1, subjectivity=0.5, vader=-0.3), emotions={}),),
    notes=("short",),
)
_numbers = count(1)


def new_run(
    *, asker: Person = ANN, where: ThreadRef = CHANNEL, text: str = "Should cats vote?", at: datetime | None = None
) -> Run:
    """A pending run with an id of its own, a second after the one before."""
    number = next(_numbers)
    created = at or START + timedelta(seconds=number)
    ask = Ask(
        id=f"run-{number}",
        text=text,
        asked_at=created,
        asker=asker,
        where=where,
        consortium="default",
        roles={"qwen": "Rawlsian"},
        event_ids=("Ev1", "1.5"),
    )
    return Run(id=ask.id, ask=ask, consortium="default", panel=PANEL, created_at=created)


def outcomes_of_round(word: str = "yes") -> tuple[Response, Failure, Response]:
    """What the panel gave: two answers around a failure."""
    usage = Usage(prompt_tokens=12, completion_tokens=34, cost=0.1 + 0.2)
    return (
        Response(member=PANEL[0], text=f"{word}, *they* should 🐈 — naïve?", seconds=0.31, attempts=2, usage=usage),
        Failure(
            member=PANEL[1],
            kind=FailureKind.TIMEOUT,
            detail="No answer within 60 s.",
            seconds=60.0,
            attempts=3,
            usage=(Usage(prompt_tokens=12), usage),
        ),
        Response(member=PANEL[2], text="```\nno\n```", seconds=1e-7, truncated=True),
    )


def finished(run: Run) -> Run:
    """The run with two rounds, each with its verdict, and everything else that a run can have."""
    first, second = outcomes_of_round("yes"), outcomes_of_round("still yes")
    verdict = Verdict(
        source=VerdictSource.STAND_IN,
        judge=PANEL[2],
        synthesis="They should.\n\n| a | b |\n|---|---|",
        confidence=0.7,
        positions=(Position(member=PANEL[0], stance=Stance.PARTLY, point="yes, but"),),
        refine=("who counts",),
        failures=(Failure(member=PANEL[0], kind=FailureKind.BAD_REPLY, detail="The reply was not JSON."),),
        usage=(Usage(cost=0.01), Usage()),
        seconds=0.4,
    )
    rounds = (
        Round(number=1, outcomes=first, verdict=verdict),
        Round(number=2, outcomes=second, verdict=verdict.model_copy(update={"confidence": 0.85, "synthesis": "Yes."})),
    )
    return run.model_copy(
        update={
            "status": RunStatus.DONE,
            "rounds": rounds,
            "analysis": ANALYSIS,
            "bill": Bill.of([Usage(cost=0.3, prompt_tokens=1), Usage()]),
            "notes": ("2 of 3 members answered.",),
            "answered_at": run.created_at + timedelta(seconds=2, microseconds=1),
            "ended_at": run.created_at + timedelta(seconds=3),
        }
    )


SEATS = tuple(Member(id=model, model=model) for model in ("gemma", "llama", "qwen"))
"""A panel that votes."""


def voted(
    answers: Mapping[str, str],
    *,
    number: int = 1,
    basis: Literal["final answers", "meaning"] = "final answers",
    source: VerdictSource = VerdictSource.VOTE,
    synthesis: str = "**It is so.**",
    agree: Collection[str] = (),
) -> Round:
    """A round in which members of :data:`SEATS` gave these answers by their ids; the first answer wins.

    ``agree`` are those with whom an arbiter agrees, by their ids.
    """
    by_answer = {answer: tuple(m for m in SEATS if answers.get(m.id) == answer) for answer in answers.values()}
    camps = tuple(Camp(answer=a, normal=a.lower(), members=m, weight=len(m)) for a, m in by_answer.items())
    verdict = Verdict(
        source=source,
        judge=SEATS[0],
        synthesis=synthesis,
        confidence=0.7,
        agreement=Agreement(agree=len(camps[0].members), total=len(answers)),
        ballot=Ballot(basis=basis, camps=camps, abstained=tuple(m for m in SEATS if m.id not in answers)),
        positions=tuple(
            Position(member=m, stance=Stance.AGREES if m.id in agree else Stance.DISAGREES)
            for m in SEATS
            if m.id in answers and agree
        ),
    )
    return Round(number=number, outcomes=(), verdict=verdict)
