from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.types import Ballot, Camp, Member
from core.votes.trust import Experience, Record, agreements


def seats(*models: str) -> list[Member]:
    return [Member(id=f"{model} {i}", model=model) for i, model in enumerate(models)]


counts = st.integers(0, 10_000)
records = st.tuples(counts, counts, counts, counts).map(
    lambda c: Record(agreed=min(c[0], c[1]), compared=c[1], correct=min(c[2], c[3]), labelled=c[3])
)


# --- records ----------------------------------------------------------------------------------------------


def test_without_history_a_record_says_nothing() -> None:
    assert not Record().known
    assert Record().reliability == 0.5
    assert Record().weight == 1


def test_without_labels_agreement_counts_smoothed() -> None:
    assert Record(agreed=8, compared=10).reliability == pytest.approx(9 / 12)


def test_labels_alone_count_smoothed() -> None:
    assert Record(correct=8, labelled=10).reliability == pytest.approx(9 / 12)


def test_labels_outweigh_agreement_as_they_come() -> None:
    agreeing = [Record(agreed=900, compared=1000, correct=0, labelled=n).reliability for n in (0, 5, 20, 100, 1000)]
    assert agreeing == sorted(agreeing, reverse=True)
    assert agreeing[0] == pytest.approx(0.899, abs=0.001)
    assert agreeing[2] == pytest.approx(0.45, abs=0.01), "twenty labels count as much as all agreement"
    assert agreeing[4] == 0.02


@given(records)
def test_reliability_is_bounded_and_within_its_interval(record: Record) -> None:
    low, high = record.interval
    assert 0.02 <= record.reliability <= 0.98
    assert 0 <= low <= record.reliability <= high <= 1
    assert 1 / 49.01 < record.weight < 49.01


def test_the_interval_closes_with_more_runs() -> None:
    def width(record: Record) -> float:
        return record.interval[1] - record.interval[0]

    assert width(Record()) > 0.6
    widths = [width(Record(agreed=n * 8, compared=n * 10)) for n in (1, 10, 100)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] == pytest.approx(2 * 1.96 * (0.8 * 0.2 / 1000) ** 0.5, rel=0.02)


# --- weights ----------------------------------------------------------------------------------------------


def test_a_panel_without_history_weighs_one_each() -> None:
    assert Experience().weights(seats("a", "b")) == {"a 0": 1, "b 1": 1}
    assert Experience(records={"a": Record()}).weights(seats("a", "b")) == {"a 0": 1, "b 1": 1}


def test_agreement_alone_weighs_the_root_of_the_odds() -> None:
    assert Record(agreed=8, compared=8).weight == pytest.approx(3)  # nine to one
    assert Record(agreed=0, compared=2).weight == pytest.approx(math.sqrt(1 / 3))


def test_labels_bring_the_weight_to_the_odds() -> None:
    weights = [Record(correct=3 * n, labelled=4 * n).weight for n in (1, 10, 100, 10_000)]
    assert weights == sorted(weights)
    assert weights[-1] == pytest.approx(3, rel=0.01)


def test_strangers_weigh_like_the_median_of_those_who_are_known() -> None:
    known = {"a": Record(correct=8, labelled=10), "b": Record(correct=5, labelled=10), "c": Record(labelled=10)}
    weights = Experience(records=known).weights(seats("a", "b", "c", "new"))
    assert weights == pytest.approx({"a 0": 3 ** (11 / 12), "b 1": 1, "c 2": 11 ** (-11 / 12), "new 3": 1})


def test_seats_of_one_model_do_not_vouch_for_each_other() -> None:
    seats = {key: Member(id=key, model=key[0]) for key in ("a", "a 2", "b", "c")}

    def found(*camps: tuple[str, ...]) -> dict[str, bool]:
        held = (tuple(seats[key] for key in camp) for camp in camps)
        camps_ = tuple(Camp(answer="x", normal=str(i), members=camp, weight=1) for i, camp in enumerate(held))
        return agreements(Ballot(basis="final answers", camps=camps_))

    assert found(("a", "a 2")) == {}
    assert found(("a", "a 2"), ("b",)) == {"a": False, "a 2": False, "b": False}
    assert found(("a", "a 2", "b"), ("c",)) == {"b": True, "c": False}, "for a it is one against one"
