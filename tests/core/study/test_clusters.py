import json
import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from core.study.clusters import FARTHEST, NEAREST, Method, confidence, group, radius
from core.study.embedders import load_embedder
from core.types import Grouping

RECORDED = Path(__file__).parents[4] / "shared" / "data" / "gsm8k_members.jsonl"
METHODS = pytest.mark.parametrize("method", ["dbscan", "hdbscan"])

REMOTE = [
    "Remote work lets people live where they like, saves hours on the train and keeps teams quiet and focused.",
    "Working from home saves people the hours on the train, and a remote team can live and work where it likes.",
    "Remote teams work well: people who live far away save their hours on the train and stay focused at home.",
    "People like remote work, for working at home saves hours of train rides and lets them live where they like.",
]
BREAD = [
    "Knead the dough with flour, water, salt and yeast, let it rise for an hour and bake the bread in a hot oven.",
    "Bake the bread hot: flour, water, yeast and salt make a dough that you knead and leave to rise for an hour.",
    "For good bread let the dough of flour, salt, water and yeast rise, knead it again, and bake it in the oven.",
]
WHALE = "Blue whales swim thousands of miles across the ocean each year to feed on krill near the poles."


def at(*degrees: float) -> NDArray[np.float32]:
    """Directions in a plane: the cosine of two is that of the angle between them."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


embedder = cache(load_embedder)


def texts(*answers: str) -> NDArray[np.float32]:
    return embedder().embed(answers)


def assert_sound(grouping: Grouping, count: int) -> None:
    assert len(grouping.labels) == count
    found = sorted(set(grouping.labels) - {-1})
    assert found == list(range(len(grouping.density)))
    assert all(grouping.labels.count(label) > 1 for label in found)
    assert 0 <= grouping.confidence <= 1
    assert (grouping.densest == -1) == (not found)
    if found:
        assert grouping.confidence <= grouping.labels.count(grouping.densest) / count + 1e-4
    else:
        assert grouping.confidence == 0


@METHODS
@pytest.mark.parametrize("count", range(2, 13))
def test_answers_that_are_all_the_same_are_one_sure_group(count: int, method: Method) -> None:
    grouping = group(texts(*REMOTE[:1] * count), method=method)
    assert grouping.labels == (0,) * count
    assert (grouping.densest, grouping.confidence, grouping.density) == (0, 1.0, (1.0,))


@METHODS
@pytest.mark.parametrize("count", range(1, 13))
def test_answers_that_have_nothing_in_common_are_no_group(count: int, method: Method) -> None:
    grouping = group(np.eye(12, dtype=np.float32)[:count], method=method)
    assert grouping.labels == (-1,) * count
    assert (grouping.densest, grouping.confidence, grouping.density) == (-1, 0.0, ())


@METHODS
@pytest.mark.parametrize("count", [1, 2, 5])
def test_answers_without_words_are_like_no_other(count: int, method: Method) -> None:
    assert group(np.zeros((count, 8), dtype=np.float32), method=method).labels == (-1,) * count
    mixed = group(np.vstack([texts(*REMOTE), texts(*[""] * count)]), method=method)
    assert mixed.labels == (0,) * 4 + (-1,) * count


@METHODS
def test_answers_to_one_question_are_one_group(method: Method) -> None:
    grouping = group(texts(*REMOTE), method=method)
    assert grouping.labels == (0, 0, 0, 0)
    assert grouping.confidence > 0.8


@METHODS
def test_topics_fall_apart_and_the_stranger_is_an_outlier(method: Method) -> None:
    grouping = group(texts(BREAD[0], *REMOTE, WHALE, *BREAD[1:]), method=method)
    assert grouping.labels == (0, 1, 1, 1, 1, -1, 0, 0)
    assert grouping.densest == 1
    assert 0.2 < grouping.confidence <= 0.5
    assert grouping.eps is None if method == "hdbscan" else grouping.eps and NEAREST < grouping.eps < FARTHEST


def test_the_densest_of_equal_groups_is_the_first() -> None:
    grouping = group(at(0, 2, 90, 92))
    assert grouping.labels == (0, 0, 1, 1)
    assert grouping.density[0] == grouping.density[1]
    assert grouping.densest == 0


def test_a_larger_looser_group_is_denser_than_a_small_tight_one() -> None:
    assert group(at(0, 1, 90, 100, 110)).densest == 1


def test_two_answers_are_a_group_up_to_the_middle_of_the_bounds() -> None:
    at_most = float(np.degrees(np.arccos(1 - (NEAREST + FARTHEST) / 2)))
    assert group(at(0, at_most - 0.5)).labels == (0, 0)
    assert group(at(0, at_most + 0.5)).labels == (-1, -1)


def test_the_radius_lies_in_the_widest_gap() -> None:
    def line(*steps: float) -> NDArray[np.float64]:
        places = np.cumsum([0, *steps])
        distances: NDArray[np.float64] = np.abs(places[:, None] - places[None, :])
        return distances

    assert radius(line(0.01, 0.02)) == pytest.approx((NEAREST + FARTHEST) / 2)
    assert radius(line(0.2, 0.3)) == pytest.approx((0.3 + FARTHEST) / 2)
    assert radius(line(0.2, 0.25, 0.5)) == pytest.approx((0.25 + 0.5) / 2)
    assert radius(line(0.5, 0.9)) == pytest.approx((NEAREST + 0.5) / 2)
    assert radius(np.zeros((1, 1))) == pytest.approx((NEAREST + FARTHEST) / 2)


def test_a_given_radius_is_kept() -> None:
    assert group(at(0, 20, 80), eps=0.01).labels == (-1, -1, -1)
    wide = group(at(0, 20, 80), eps=0.9)
    assert (wide.labels, wide.eps) == ((0, 0, 0), 0.9)


def test_more_answers_can_be_asked_of_a_group() -> None:
    near = at(0, 5, 90, 92, 94)
    assert group(near).labels == (0, 0, 1, 1, 1)
    assert group(near, min_samples=3).labels == (-1, -1, 0, 0, 0)
    assert group(near[:2], min_samples=3).labels == (-1, -1)
    assert group(near[:2], min_samples=3, method="hdbscan").labels == (-1, -1)


def test_a_neighbour_that_two_groups_share_leaves_neither_alone() -> None:
    # The two in the middle are near to either end, but the ends are far from each other.
    assert_sound(group(at(0, 30, 31, 61), eps=0.15, min_samples=4), 4)
    assert_sound(group(at(0, 30, 31, 61), eps=0.15, min_samples=3), 4)


def test_confidence_falls_with_share_likeness_and_separation() -> None:
    whole, loose = (group(at(*angles), eps=0.3).confidence for angles in ((0, 2, 4), (0, 20, 40)))
    assert whole > loose
    partly, nearer = (group(at(0, 2, 4, other), eps=0.2).confidence for other in (120, 50))
    assert loose > partly > nearer
    assert partly <= 0.75
    assert confidence(np.zeros((2, 2)), (-1, -1), -1) == 0


@pytest.mark.parametrize(
    ("vectors", "wrong"),
    [(np.zeros((0, 3)), {}), (np.eye(3), {"min_samples": 1}), (np.eye(3), {"eps": 0.0}), (np.eye(3), {"eps": -1.0})],
)
def test_what_cannot_be_grouped_is_refused(vectors: NDArray[np.float64], wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        group(vectors, **wrong)  # type: ignore[arg-type]


@given(
    st.lists(st.lists(st.floats(-9, 9, width=32), min_size=3, max_size=3), min_size=1, max_size=12),
    st.sampled_from(["dbscan", "hdbscan"]),
    st.integers(2, 4),
)
@settings(deadline=None, max_examples=150)
def test_any_vectors_can_be_grouped(rows: Sequence[Sequence[float]], method: Method, least: int) -> None:
    vectors = np.array(rows, dtype=np.float32)
    grouping = group(vectors, method=method, min_samples=least)
    assert_sound(grouping, len(rows))
    assert group(vectors, method=method, min_samples=least) == grouping
    doubled = group(np.vstack([vectors, vectors]), method=method)
    assert_sound(doubled, 2 * len(rows))
    for label, again, row in zip(doubled.labels, doubled.labels[len(rows) :], vectors, strict=False):
        assert label == again
        assert (label == -1) == (not row.any())


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded answers of real models are not here")
def test_recorded_answers_to_different_questions_fall_apart() -> None:
    chance = random.Random(7)
    rows = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]
    panels = [[m["text"] for m in row["members"].values() if m["text"].strip()] for row in rows]
    right = 0
    for _ in range(60):
        first, second, third = chance.sample(panels, 3)
        size = chance.randint(3, 7)
        answers = [*first[:size], *second[:2], third[0]]
        right += group(texts(*answers)).labels == (*(0,) * size, 1, 1, -1)
    assert right >= 48
