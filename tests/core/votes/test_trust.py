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


def test_seats_of_one_model_share_its_record() -> None:
    weights = Experience(records={"a": Record(correct=8, labelled=10), "b": Record()}).weights(seats("a", "a", "b"))
    assert weights["a 0"] == weights["a 1"]


@given(st.dictionaries(st.sampled_from("abcde"), records))
def test_every_member_has_a_weight_above_nothing(known: dict[str, Record]) -> None:
    panel = seats("a", "b", "c", "d", "e", "f")
    weights = Experience(records=known).weights(panel)
    assert set(weights) == {m.id for m in panel}
    assert all(weight > 0 for weight in weights.values())


def test_experience_is_the_same_after_a_journey_as_json() -> None:
    experience = Experience(records={"a": Record(agreed=1, compared=2)})
    assert Experience.model_validate_json(experience.model_dump_json()) == experience


# --- agreement with the others ----------------------------------------------------------------------------


def ballot(*camps: str, abstained: str = "") -> Ballot:
    """Members are letters, a camp a word of them."""
    return Ballot(
        basis="final answers",
        camps=tuple(
            Camp(answer=c, normal=c, members=tuple(Member(id=m, model=m) for m in c), weight=len(c)) for c in camps
        ),
        abstained=tuple(Member(id=m, model=m) for m in abstained),
    )


@pytest.mark.parametrize(
    ("votes", "found"),
    [
        (ballot("abc", "d"), {"a": True, "b": True, "c": True, "d": False}),
        (ballot("ab", "c"), {"c": False}),  # for a and b the others are tied, one against one
        (ballot("ab", "cd"), {"a": False, "b": False, "c": False, "d": False}),
        (ballot("abc", "de"), {"d": False, "e": False}),
        (ballot("a", "b", "c"), {}),
        (ballot("ab"), {"a": True, "b": True}),
        (ballot("a"), {}),
        (ballot("ab", abstained="c"), {"a": True, "b": True}),
        (ballot("d", "abc"), {"a": True, "b": True, "c": True, "d": False}),  # weight put d first; heads count here
        (ballot(), {}),
    ],
    ids=[
        "majority",
        "two to one",
        "tied",
        "three to two",
        "all apart",
        "both",
        "alone",
        "abstention",
        "weight",
        "none",
    ],
)
def test_members_are_compared_with_the_plurality_of_the_others(votes: Ballot, found: dict[str, bool]) -> None:
    assert agreements(votes) == found
