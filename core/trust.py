"""How far each member is trusted: its record in earlier runs, turned into the weight of its vote."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from core.confidence import PRIOR, Calibration
from core.types import Member, Value


class Record(Value):
    """What is known of a model in one consortium."""

    agreed: int = 0
    compared: int = 0
    correct: int = 0
    labelled: int = 0


class Experience(Value):
    """What earlier runs of a consortium have taught."""

    records: dict[str, Record] = Field(default_factory=dict)
    calibration: Calibration = PRIOR

    def weights(self, panel: Sequence[Member]) -> dict[str, float]:
        """The weight of each member's vote by its id."""
        return {member.id: 1.0 for member in panel}
