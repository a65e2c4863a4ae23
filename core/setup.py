"""How a consortium is set up: who sits on it, who judges, by which strategy, within which limits."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")]
"""A name in the file: letters, digits, dot, dash, underscore; at most 40 characters."""


class Section(BaseModel):
    """Base of all sections: unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Judging = Literal["synthesis", "rank", "pick-one"]
"""What an arbiter is asked for: an answer of its own from all of them, all of them in order, or the best one."""


class ConsortiumSpec(Section):
    """A panel. ``members`` are models or ``model:count``; ``deadline`` bounds one run, in seconds.

    A member that is far behind is not waited for: once ``quorum`` (a share of those that have not failed) has
    answered, the rest get ``patience`` times the time that took (one second more at the least), then the run goes on.
    ``context_tokens`` bounds what a follow-up carries of its thread.

    ``strategy`` and its ``params`` say how the panel comes to its answer (:mod:`core.strategies`). With
    ``both_orders`` the arbiter judges twice, in opposite orders, and is heard only where both verdicts agree.
    ``roles`` (model to role) and ``system`` (instructions for the members) hold where an ask brings none of its own.
    """

    description: str = Field(default="", max_length=200)
    members: tuple[str, ...] = Field(min_length=1)
    arbiter: str
    arbiter_fallbacks: tuple[str, ...] = ()
    strategy: str = "default"
    params: dict[str, Any] = Field(default_factory=dict)
    judging: Judging = "synthesis"
    both_orders: bool = False
    roles: dict[str, str] = Field(default_factory=dict)
    system: str | None = Field(default=None, max_length=8000)
    confidence_threshold: float = Field(default=0.8, ge=0, le=1)
    min_iterations: int = Field(default=1, ge=1, le=10)
    max_iterations: int = Field(default=3, ge=1, le=10)
    deadline: float = Field(default=120, gt=0, le=3600)
    quorum: float = Field(default=0.66, gt=0, le=1)
    patience: float = Field(default=2.0, ge=1, le=100)
    context_tokens: int = Field(default=4000, ge=0)

    @field_validator("members")
    @classmethod
    def _are_seats(cls, members: tuple[str, ...]) -> tuple[str, ...]:
        for entry in members:
            parse_seat(entry)
        return members

    @model_validator(mode="after")
    def _iterations_in_order(self) -> Self:
        if self.min_iterations > self.max_iterations:
            raise ValueError(
                f"min_iterations ({self.min_iterations}) must not exceed max_iterations ({self.max_iterations})"
            )
        if not 1 <= self.size <= 12:
            raise ValueError(f"a panel has 1 to 12 members, this one has {self.size}")
        return self

    @property
    def seats(self) -> tuple[tuple[str, int], ...]:
        """The members as (model key, count), the same model named twice added up."""
        counts: dict[str, int] = {}
        for entry in self.members:
            key, count = parse_seat(entry)
            counts[key] = counts.get(key, 0) + count
        return tuple(counts.items())

    @property
    def size(self) -> int:
        """How many members the panel has."""
        return sum(count for _, count in self.seats)


_SEAT = re.compile(r"(?P<key>[A-Za-z0-9][A-Za-z0-9._-]{0,39})(?::(?P<count>[1-9][0-9]?))?")


def parse_seat(entry: str) -> tuple[str, int]:
    """Read "model" or "model:count". Raises ValueError."""
    match = _SEAT.fullmatch(entry)
    if not match:
        raise ValueError(f'{entry!r} is not a member; write "model" or "model:count", e.g. "qwen:2"')
    return match["key"], int(match["count"] or 1)
