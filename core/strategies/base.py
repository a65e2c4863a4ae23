"""What a strategy is."""

from __future__ import annotations

import random
from abc import abstractmethod
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from core.table import Table
from core.types import Member


class Strategy(BaseModel):
    """A way to bring a panel to one answer. Its fields are its parameters: validated, with defaults, never changed.

    Derive from it, give ``name``, ``summary`` and ``use_when``, describe each field, and write :meth:`deliberate`. A
    package makes its strategy known by the entry point group ``consortium.strategies``. One object may serve many
    runs: everything of a run belongs into local variables of :meth:`deliberate`, or is kept by the table.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    summary: ClassVar[str]
    use_when: ClassVar[str]

    def seat(self, panel: tuple[Member, ...], rng: random.Random) -> tuple[Member, ...]:
        """The panel with the roles that this strategy deals; by default as it is."""
        return panel

    @property
    def passes(self) -> int:
        """How often it asks the members, where no open point brings a further round; estimates go by it."""
        return 1

    @abstractmethod
    async def deliberate(self, table: Table) -> None:
        """Carry a run from its first round to its last, and end each of them.

        May let :class:`core.table.Silence` (nobody gave anything) pass. Raising anything else fails the run.
        """
