"""The models of a consortium in order: who has done best so far."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from core.ports import Standing
from core.types import Member
from core.votes.trust import Experience


class Rank(NamedTuple):
    """A model's standing, and the weight that a vote of it has beside those of the others."""

    standing: Standing
    weight: float


def ranked(standings: Iterable[Standing]) -> list[Rank]:
    """Standings by consortium, as the consortia come, the most reliable first."""
    by_consortium: defaultdict[str, list[Standing]] = defaultdict(list)
    for standing in standings:
        by_consortium[standing.consortium].append(standing)
    rows = []
    for group in by_consortium.values():
        experience = Experience(records={s.model: s.record for s in group})
        weights = experience.weights([Member(id=s.model, model=s.model) for s in group])
        group.sort(key=lambda s: -s.record.reliability)
        rows += [Rank(standing, weights[standing.model]) for standing in group]
    return rows
