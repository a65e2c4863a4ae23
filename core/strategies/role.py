"""Members take different roles, so that they do not all think alike."""

from __future__ import annotations

import itertools
import random

from pydantic import Field

from core.catalog import PANEL_ROLES
from core.strategies.default import Default
from core.types import Member

TRAITS = (
    ("bold: propose what others would not dare", "cautious: look for what could go wrong first"),
    ("concrete: argue from cases and numbers", "principled: argue from rules that hold everywhere"),
    ("near-sighted on purpose: what holds this month", "far-sighted: what holds in ten years"),
    ("an insider of the field", "an outsider who asks what insiders no longer see"),
)
"""The axes of the trait matrix; a role takes one end of each."""


class Role(Default):
    """See :attr:`summary`."""

    name = "role"
    summary = "members take roles (given ones, or generator, devil's advocate, fact checker, then mixed traits)"
    use_when = "for decisions where a panel might agree too fast"

    roles: tuple[str, ...] = Field(
        default=(),
        description="roles in the order of the panel: names of roles or free text; then come the built-in ones",
    )

    def seat(self, panel: tuple[Member, ...], rng: random.Random) -> tuple[Member, ...]:
        """Deal roles to the members that have none of the asker's own."""
        taken = {member.role for member in panel} | set(self.roles)
        dealt = iter((*self.roles, *(role for role in PANEL_ROLES if role not in taken), *_traits(rng)))
        return tuple(m if m.role else m.model_copy(update={"role": next(dealt)}) for m in panel)


def _traits(rng: random.Random) -> list[str]:
    """Every mixture of traits, as a role in words, in an order of chance."""
    mixtures = list(itertools.product(*TRAITS))
    rng.shuffle(mixtures)
    return [f"You are {'; '.join(mixture)}." for mixture in mixtures]
