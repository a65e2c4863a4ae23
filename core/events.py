"""What happens in a run, told to whoever watches it: :class:`core.types.Run` is the sum of these."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from core.asks import Value
from core.types import Analysis, Member, Outcome, RoundKind, Run, RunStatus, Verdict


class RunStarted(Value):
    """Members are being asked; also sent at the start of each further round. ``panel`` is who is asked so far."""

    type: Literal["run_started"] = "run_started"
    round: int
    max_rounds: int
    panel: tuple[Member, ...]
    refine: tuple[str, ...] = ()
    kind: RoundKind = "answers"


class MembersAsked(Value):
    """More members are asked in a round that goes on already."""

    type: Literal["members_asked"] = "members_asked"
    round: int
    members: tuple[Member, ...]


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
    """A round is over, with a verdict where one was sought; another round may follow."""

    type: Literal["round_ended"] = "round_ended"
    round: int
    verdict: Verdict | None
    kind: RoundKind = "answers"


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
    RunStarted
    | MembersAsked
    | MemberEnded
    | ArbiterStarted
    | TextDelta
    | RoundEnded
    | Answered
    | ChartsDrawn
    | RunEnded,
    Field(discriminator="type"),
]

run_event: TypeAdapter[RunEvent] = TypeAdapter(RunEvent)
"""Reads and writes a :data:`RunEvent` as JSON."""
