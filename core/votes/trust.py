"""How far each member is trusted: its record in earlier runs, turned into the weight of its vote.

A vote weighs the odds p / (1 - p) that its member is right. Where p is known from the member's agreement with the
others alone, which only hints at it, the weight is the square root of the odds; labelled runs bring it to the odds
themselves. On recorded answers (four sets, panels of five, trust learnt on one half and measured on the other) the
root, without labels, was never more than .8 points below the odds, and fell more than .3 points under plain majority
in 0-5 % of panels against 0-10 %; with labels the odds gained up to 2 points over the root. The logarithm of the odds,
which theory asks for where errors are independent, turns votes of members below one half against themselves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from pydantic import Field

from core.asks import Value
from core.types import Ballot, Member
from core.votes.confidence import PRIOR, Calibration

LEAST, MOST = 0.02, 0.98
"""No member counts as less or more reliable than this."""

AGREEMENT_WORTH = 20
"""As how many labelled runs a model's agreement with others counts at the most, once there are labels."""

_Z = 1.959964  # of the normal distribution, for 95 %


class Record(Value):
    """What is known of a model in one consortium: how often it agreed with the others, and how often it was right.

    ``compared`` counts answers that had a plurality of the others to be compared with, ``labelled`` those of runs
    whose right answer is known.
    """

    agreed: int = 0
    compared: int = 0
    correct: int = 0
    labelled: int = 0

    @property
    def known(self) -> bool:
        """Whether there is any history."""
        return self.compared + self.labelled > 0

    @property
    def reliability(self) -> float:
        """The probability that an answer of it is right, .02-.98; .5 without any history.

        Without labels q = (agreed + 1) / (compared + 2), its agreement with the plurality of the others (Laplace).
        With labels (correct + s * q) / (labelled + s), where s is ``compared``, 2 at the least and 20 at the most: the
        agreement counts for as many labelled runs as s, and no more.
        """
        agreement = (self.agreed + 1) / (self.compared + 2)
        share = (self.correct + self._worth * agreement) / (self.labelled + self._worth)
        return min(MOST, max(LEAST, share))

    @property
    def interval(self) -> tuple[float, float]:
        """Where the reliability lies with 95 % (Wilson, Journal of the ASA 22, 1927), by how much is known."""
        p = self.reliability
        n = self.labelled + self._worth if self.labelled else self.compared + 2
        middle = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        reach = _Z / (1 + _Z**2 / n) * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
        return max(0.0, middle - reach), min(1.0, middle + reach)

    @property
    def weight(self) -> float:
        """The odds of its being right to the power (labelled + s / 2) / (labelled + s), with s as in reliability.

        The square root without labels, near the odds with many; 1 without any history.
        """
        odds = self.reliability / (1 - self.reliability)
        return float(odds ** ((self.labelled + self._worth / 2) / (self.labelled + self._worth)))

    @property
    def _worth(self) -> int:
        """As how many labelled runs the agreement counts."""
        return min(max(self.compared, 2), AGREEMENT_WORTH)


class Experience(Value):
    """What earlier runs of a consortium have taught: a record by model, and how sure votes make."""

    records: dict[str, Record] = Field(default_factory=dict)
    calibration: Calibration = PRIOR

    def weights(self, panel: Sequence[Member]) -> dict[str, float]:
        """The weight of each member's vote by its id. Seats of one model share its record.

        Scaled so that the panel's median member with a history weighs 1; so does whoever has none.
        """
        records = {m.model: r for m in panel if (r := self.records.get(m.model)) and r.known}
        known = [records[m.model].weight for m in panel if m.model in records]
        middle = median(known) if known else 1.0
        return {m.id: records[m.model].weight / middle if m.model in records else 1.0 for m in panel}


def agreements(ballot: Ballot) -> dict[str, bool]:
    """By member id, whether its answer is that of most of the others who voted.

    Its own vote does not count, nor that of another seat of its model, nor do weights: else trust would feed itself.
    Left out are those for whom the others are tied or silent, and abstentions.
    """
    found: dict[str, bool] = {}
    for own, camp in enumerate(ballot.camps):
        for member in camp.members:
            others = [sum(m.model != member.model for m in other.members) for other in ballot.camps]
            top = max(others)
            if top and others.count(top) == 1:
                found[member.id] = others[own] == top
    return found
