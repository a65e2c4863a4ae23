"""How sure an answer is: the share of the panel that holds it, read through a table of how often that was right.

The arbiter's own figure and the likeness of the texts say less than the vote share does (AUROC .54-.71 for
similarity, .74-.91 for the share), so the share decides. The built-in table is a prior measured on recorded answers;
:meth:`Calibration.fitted` replaces it by what labelled runs of this installation show.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from core.asks import Value
from core.types import Agreement

PRIOR_WORTH = 10.0
"""How many labelled runs the prior counts as at each knot when a table is fitted."""

_BINS = 10


class Knot(Value):
    """A point of a curve: at this share, this probability; ``count`` is how many labelled runs stand behind it."""

    share: float
    confidence: float
    count: float = 0.0


class Calibration(Value):
    """From agreement to confidence: for some numbers of votes a curve over the share, its knots in rising order.

    Between knots and between numbers of votes it is linear; beyond the largest number the largest one's curve holds.
    ``cap`` bounds every confidence.
    """

    curves: dict[int, tuple[Knot, ...]]
    cap: float = 0.95

    def confidence(self, agreement: Agreement) -> float | None:
        """The probability that the answer is right, None where nobody could agree or disagree."""
        if agreement.total < 2:
            return None
        return round(min(self.cap, self._at(agreement.share, agreement.total)), 4)

    def _at(self, share: float, votes: int) -> float:
        sizes = sorted(self.curves)
        votes = min(max(votes, sizes[0]), sizes[-1])
        above = bisect_left(sizes, votes)
        high = _read(self.curves[sizes[above]], share)
        if sizes[above] == votes:
            return high
        low = _read(self.curves[sizes[above - 1]], share)
        return low + (high - low) * (votes - sizes[above - 1]) / (sizes[above] - sizes[above - 1])

    @classmethod
    def fitted(
        cls,
        samples: Sequence[tuple[Agreement, bool]],
        *,
        prior: Calibration | None = None,
        worth: float = PRIOR_WORTH,
    ) -> Calibration:
        """Learn from answers that are known to be right or not; without any the prior stays.

        First the whole prior is moved up or down, as the samples are easier or harder than those it was measured on
        (see :meth:`_moved`). Then every number of votes n among the samples gets a curve with knots at k/n. A knot's
        confidence is (right + m * prior) / (count + m) with m = ``worth``; agreement between two knots (a half for
        "partly") counts at both in proportion. A curve that falls anywhere is made level there (pool adjacent
        violators). At most .99.
        """
        prior = prior or PRIOR
        samples = [sample for sample in samples if sample[0].total >= 2]
        if not samples:
            return prior
        moved = prior._moved(samples)
        sizes = {agreement.total for agreement, _ in samples}
        learnt = {
            size: _curve(size, [s for s in samples if s[0].total == size], moved, worth) for size in sorted(sizes)
        }
        return cls(curves={**moved.curves, **learnt}, cap=0.99)

    def _moved(self, samples: Sequence[tuple[Agreement, bool]]) -> Calibration:
        """All log-odds moved by the one step d that fits the samples best, a great step being unlikely beforehand.

        d is where the sum of (right - confidence) over the samples equals 2 d: the most probable one when d is normal
        around 0 with variance 1/2. Found by bisection, within 4 either way.
        """
        told = [(_log_odds(self._at(agreement.share, agreement.total)), right) for agreement, right in samples]
        low, high = -4.0, 4.0
        while high - low > 1e-4:
            step = (low + high) / 2
            more = sum(right - _probability(odds + step) for odds, right in told) > 2 * step
            low, high = (step, high) if more else (low, step)
        return Calibration(
            curves={
                size: tuple(
                    k.model_copy(update={"confidence": _probability(_log_odds(k.confidence) + low)}) for k in curve
                )
                for size, curve in self.curves.items()
            }
        )

    def error(self, samples: Sequence[tuple[Agreement, bool]]) -> float | None:
        """How far its confidence is from the truth, by :func:`expected_error`; None when no sample has a confidence."""
        return expected_error([(c, right) for a, right in samples if (c := self.confidence(a)) is not None])


def expected_error(read: Sequence[tuple[float, bool]]) -> float | None:
    """The expected calibration error, 0..1: the sum over ten bins of n_bin / n * |mean confidence - share right|.

    The bins are equal parts of 0..1. None without samples.
    """
    bins = [0.0] * _BINS
    for confidence, right in read:
        bins[min(int(confidence * _BINS), _BINS - 1)] += confidence - right
    return sum(abs(gap) for gap in bins) / len(read) if read else None


def _log_odds(probability: float) -> float:
    return math.log(probability / (1 - probability))


def _probability(log_odds: float) -> float:
    return 1 / (1 + math.exp(-log_odds))


def _read(curve: Sequence[Knot], share: float) -> float:
    """A curve's height at a share, level beyond its ends."""
    after = bisect_left(curve, share, key=lambda knot: knot.share)
    if after == 0 or after == len(curve):
        return curve[min(after, len(curve) - 1)].confidence
    left, right = curve[after - 1], curve[after]
    return left.confidence + (right.confidence - left.confidence) * (share - left.share) / (right.share - left.share)


def _curve(size: int, samples: Sequence[tuple[Agreement, bool]], prior: Calibration, worth: float) -> tuple[Knot, ...]:
    counts, rights = [0.0] * (size + 1), [0.0] * (size + 1)
    for agreement, right in samples:
        for knot, part in _parts(min(agreement.agree, size)):
            counts[knot] += part
            rights[knot] += part * right
    raw = [
        (r + worth * prior._at(k / size, size)) / (n + worth)
        for k, (n, r) in enumerate(zip(counts, rights, strict=True))
    ]
    level = _rising(raw, [n + worth for n in counts])
    return tuple(Knot(share=k / size, confidence=level[k], count=counts[k]) for k in range(size + 1))


def _parts(agree: float) -> Iterator[tuple[int, float]]:
    """The two whole numbers around ``agree``, or the one, and how much of it falls to each."""
    below, part = math.floor(agree), agree - math.floor(agree)
    yield below, 1 - part
    if part:
        yield below + 1, part


def _rising(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The nearest values (least squares) that never fall: pool adjacent violators."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        count = 1
        while pools and pools[-1][0] >= value:
            other, others_weight, others = pools.pop()
            value = (value * weight + other * others_weight) / (weight + others_weight)
            weight, count = weight + others_weight, count + others
        pools.append((value, weight, count))
    return [value for value, _, count in pools for _ in range(count)]


def _evenly(*confidences: float) -> tuple[Knot, ...]:
    top = len(confidences) - 1
    return tuple(Knot(share=k / top, confidence=c) for k, c in enumerate(confidences))


PRIOR = Calibration(
    curves={
        2: _evenly(0.1, 0.5, 0.85),  # judgement, in line with the two below: not measured
        3: _evenly(0.05, 0.23, 0.72, 0.91),
        5: _evenly(0.05, 0.15, 0.49, 0.72, 0.87, 0.94),
    }
)
"""The built-in table, by 0 of n, 1 of n, …: measured on recorded answers of real models for three and five votes.

That nobody holds the answer that goes out is judgement too; votes cannot come to it, only an arbiter can.
"""


def word(confidence: float) -> str:
    """A confidence in a word."""
    for least, name in ((0.85, "high"), (0.65, "fair"), (0.4, "low")):
        if confidence >= least:
            return name
    return "very low"
