from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.types import Agreement
from core.votes.confidence import PRIOR, Calibration, word


def agreed(agree: float, total: int) -> Agreement:
    return Agreement(agree=agree, total=total)


agreements = st.integers(2, 12).flatmap(
    lambda total: st.integers(0, 2 * total).map(lambda halves: agreed(halves / 2, total))
)
samples = st.lists(st.tuples(agreements, st.booleans()), max_size=60)


# --- the built-in table -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("agree", "total", "confidence"),
    [
        *((5, 5, 0.94), (4, 5, 0.87), (3, 5, 0.72), (2, 5, 0.49), (1, 5, 0.15)),
        *((3, 3, 0.91), (2, 3, 0.72), (1, 3, 0.23)),
        *((2, 2, 0.85), (1, 2, 0.5)),
    ],
)
def test_the_prior_is_as_measured(agree: int, total: int, confidence: float) -> None:
    assert PRIOR.confidence(agreed(agree, total)) == confidence


def test_between_shares_and_between_numbers_of_votes_it_is_linear() -> None:
    assert PRIOR.confidence(agreed(4.5, 5)) == pytest.approx((0.94 + 0.87) / 2), "partly counts half"
    assert PRIOR.confidence(agreed(4, 4)) == pytest.approx((0.91 + 0.94) / 2)
    assert PRIOR.confidence(agreed(2, 4)) == pytest.approx(((0.23 + 0.72) / 2 + (0.49 + 0.72) / 2) / 2)


@pytest.mark.parametrize("total", [6, 9, 12])
def test_more_than_five_votes_count_like_five(total: int) -> None:
    assert PRIOR.confidence(agreed(total, total)) == 0.94
    assert PRIOR.confidence(agreed(total / 2, total)) == PRIOR.confidence(agreed(2.5, 5))


@pytest.mark.parametrize("alone", [agreed(0, 0), agreed(1, 1), agreed(0, 1)])
def test_there_is_no_confidence_where_nobody_could_disagree(alone: Agreement) -> None:
    assert PRIOR.confidence(alone) is None
    assert PRIOR.error([(alone, True)]) is None


# --- learning ---------------------------------------------------------------------------------------------


def drawn(truth: Callable[[float], float], runs: int, seed: int = 1) -> list[tuple[Agreement, bool]]:
    rng = random.Random(seed)
    shares = [agreed(rng.randint(1, 5), 5) for _ in range(runs)]
    return [(a, rng.random() < truth(a.share)) for a in shares]


def test_without_samples_the_prior_stays() -> None:
    assert Calibration.fitted([]) == PRIOR
    assert Calibration.fitted([(agreed(1, 1), True)]) == PRIOR


def test_a_knot_moves_from_the_prior_to_what_was_seen() -> None:
    seen = [(agreed(3, 5), right) for right in [True] * 30 + [False] * 20]
    confidence = [Calibration.fitted(seen * times).confidence(agreed(3, 5)) for times in (1, 10, 100)]
    assert PRIOR.confidence(agreed(3, 5)) == 0.72
    assert confidence == [pytest.approx(0.6, abs=within) for within in (0.03, 0.01, 0.001)]


def test_samples_that_are_harder_move_even_what_was_not_seen() -> None:
    harder = Calibration.fitted([(agreed(4, 5), right) for right in [True] * 20 + [False] * 20])
    for unseen in (agreed(5, 5), agreed(3, 3), agreed(3, 4)):
        before, after = PRIOR.confidence(unseen), harder.confidence(unseen)
        assert before is not None
        assert after is not None
        assert after < before - 0.05


def test_one_sample_moves_little() -> None:
    after = Calibration.fitted([(agreed(5, 5), False)]).confidence(agreed(5, 5))
    assert after is not None
    assert 0.75 < after < 0.9


def test_half_an_agreement_counts_half_at_both_sides() -> None:
    fitted = Calibration.fitted([(agreed(3.5, 5), True)] * 10)
    assert [knot.count for knot in fitted.curves[5]] == [0, 0, 0, 5, 5, 0]


def test_with_many_samples_the_error_is_small_where_the_prior_is_far_off() -> None:
    truth = lambda share: 0.3 + 0.3 * share  # noqa: E731
    test = drawn(truth, 4000, seed=2)
    fitted = Calibration.fitted(drawn(truth, 4000))
    before, after = PRIOR.error(test), fitted.error(test)
    assert before is not None
    assert after is not None
    assert after < 0.03 < 0.2 < before


def test_a_fitted_table_may_say_more_than_the_prior_but_never_certain() -> None:
    fitted = Calibration.fitted([(agreed(5, 5), True)] * 10_000)
    assert fitted.confidence(agreed(5, 5)) == 0.99


@given(samples, agreements)
def test_a_fitted_table_never_falls_and_stays_within_bounds(
    seen: list[tuple[Agreement, bool]], some: Agreement
) -> None:
    fitted = Calibration.fitted(seen)
    for curve in fitted.curves.values():
        heights = [knot.confidence for knot in curve]
        assert all(low <= high + 1e-12 for low, high in pairwise(heights))
    confidence = fitted.confidence(some)
    assert confidence is not None
    assert 0 <= confidence <= 0.99


@given(samples)
def test_a_table_is_the_same_after_a_journey_as_json(seen: list[tuple[Agreement, bool]]) -> None:
    fitted = Calibration.fitted(seen)
    assert Calibration.model_validate_json(fitted.model_dump_json()) == fitted


# --- its error --------------------------------------------------------------------------------------------


def test_the_error_is_the_mean_gap_between_confidence_and_truth() -> None:
    sure = [(agreed(5, 5), right) for right in (True, True, True, False)]  # says .94, is .75
    unsure = [(agreed(2, 5), right) for right in (True, False)]  # says .49, is .5
    assert PRIOR.error(sure) == pytest.approx(0.19)
    assert PRIOR.error([*sure, *unsure]) == pytest.approx((4 * 0.19 + 2 * 0.01) / 6)


@pytest.mark.parametrize(
    ("confidence", "said"),
    [(0.99, "high"), (0.85, "high"), (0.84, "fair"), (0.65, "fair"), (0.64, "low"), (0.4, "low"), (0.39, "very low")],
)
def test_words(confidence: float, said: str) -> None:
    assert word(confidence) == said
