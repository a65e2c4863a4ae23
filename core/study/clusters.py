"""Answers grouped by meaning: which of them lie close together, and which stand apart.

All of it is geometry of vectors: like the similarity it rests on, it tells shared topic and wording, not agreement.
The numbers of this module were chosen on recorded answers of real models, where answers to different questions had to
fall apart and those to one question had to stay together, with both of :mod:`core.study.embedders`. DBSCAN found
exactly the right groups in nine cases of ten with either (HDBSCAN in 85 and 91 of a hundred); the best fixed radius,
0.35, found them in nine of ten with one and seven of ten with the other, and the usual 0.5 put answers to different
questions together in a quarter of the cases of the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Literal

from core.types import Grouping

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Method = Literal["dbscan", "hdbscan"]

NEAREST, FARTHEST = 0.15, 0.6
"""Between these cosine distances lies DBSCAN's radius: closer answers are always alike, farther ones never."""

_ALIKE, _APART = 0.3, 0.5
"""HDBSCAN's own bounds: differences below the first are none to it, nobody beyond the second is a neighbour."""


def group(
    vectors: NDArray[np.floating],
    *,
    method: Method = "dbscan",
    eps: float | None = None,
    min_samples: int = 2,
) -> Grouping:
    """Group one or more answers, given as rows of numbers of any length; a row of zeros is like no other.

    ``dbscan`` joins answers within ``eps`` (cosine distance), which is chosen by :func:`radius` unless given.
    ``hdbscan`` ignores ``eps`` and looks for groups of whatever density. ``min_samples`` is how many close answers
    make a group. Labels count from 0 in the order in which their groups first appear, so that the same answers have
    the same labels. The densest region is the cluster with the greatest size times mean inner similarity, the first
    of several. Its confidence is that of :func:`confidence`; 0 where there is no cluster.

    Raises ValueError when there is no answer, when ``min_samples`` is below two or ``eps`` is not above zero.
    """
    if not len(vectors) or min_samples < 2:
        raise ValueError("grouping needs an answer, and at least two to make a group")
    distances = _distances(vectors)
    if method == "dbscan":
        eps = radius(distances, min_samples) if eps is None else eps
        labels = _dbscan(distances, eps, min_samples)
    else:
        eps = None
        labels = _hdbscan(distances, min_samples)
    density = tuple(_density(distances, labels, label) for label in range(max(labels) + 1))
    weights = [round(labels.count(label) * inner, 6) for label, inner in enumerate(density)]
    densest = weights.index(max(weights)) if weights else -1
    return Grouping(
        method=method,
        eps=eps,
        labels=labels,
        densest=densest,
        confidence=confidence(distances, labels, densest),
        density=density,
    )


def radius(distances: Floats, min_samples: int = 2) -> float:
    """DBSCAN's radius for these cosine distances: the middle of the widest gap between the steps that join answers.

    When the radius grows from nothing, groups join at certain steps: the edges of the minimum spanning tree of
    mutual reachability (the distance, or that to the ``min_samples``-th close answer of either, whichever is the
    largest). Within groups the steps are short, between them long, and the radius belongs where there are none. The
    steps between :data:`NEAREST` and :data:`FARTHEST` are lined up with these two bounds, so that answers that are
    all alike are joined and answers that are all unlike are not. Without any step it is the middle of the bounds,
    0.375; so is the most that two answers, which have a single step, may differ and still be one group.
    """
    import numpy as np

    marks = np.array([NEAREST, FARTHEST])
    if len(distances) >= min_samples:
        core = np.sort(distances, axis=1)[:, min_samples - 1]
        reach = np.maximum(distances, np.maximum(core[:, None], core[None, :]))
        # Rounded, so that the last digit of a distance does not decide between gaps that are equally wide.
        marks = np.unique([*marks, *(round(step, 6) for step in _steps(reach) if NEAREST < step < FARTHEST)])
    widest = np.round(np.diff(marks), 6).argmax()
    return round(float(marks[widest] + marks[widest + 1]) / 2, 4)


def confidence(distances: Floats, labels: Sequence[int], label: int) -> float:
    """How much of the panel stands close together and apart from the rest: share * sqrt(similarity * separation).

    ``share`` is the part of all answers that are in the cluster ``label``; ``similarity`` their mean cosine to each
    other; ``separation`` the mean over them of 1 - a / b, where a is the mean distance to the others of the cluster
    and b to the answers outside, 1 where there is nobody outside and never below 0. So it never exceeds the share.
    It is 0 without a cluster. It says nothing of whether the answer is right: on maths questions answered by nine
    models it told right from wrong hardly better (AUC 0.59) than chance, where the share of votes did (0.85).
    """
    import numpy as np

    inside = np.array(labels) == label
    if label < 0 or not inside.any():
        return 0.0
    separation = 1.0
    if not inside.all():
        near = distances[np.ix_(inside, inside)].sum(axis=1) / (inside.sum() - 1)
        far = distances[np.ix_(inside, ~inside)].mean(axis=1)
        separation = float(np.mean(1 - near / np.maximum(far, 1e-9)))
    similarity = _density(distances, labels, label)
    return round(float(inside.mean() * np.sqrt(max(0.0, similarity) * max(0.0, separation))), 4)


def _distances(vectors: NDArray[np.floating]) -> Floats:
    """1 - cosine, 0..2, of each two rows, symmetric to the last digit."""
    import numpy as np

    rows = np.asarray(vectors, dtype=np.float64)
    lengths = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    unit = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    # A sum of products, not `@`: see core.study.analysis. What rounding leaves of a duplicate's distance is none.
    distances: Floats = np.round(1 - (unit[:, None, :] * unit[None, :, :]).sum(axis=2), 9).clip(0, 2)
    np.fill_diagonal(distances, 0)
    return distances


def _steps(distances: Floats) -> list[float]:
    """The edges of the minimum spanning tree, by Prim's algorithm: in each step the nearest answer joins."""
    outside = list(range(1, len(distances)))
    nearest = distances[0]
    steps = []
    while outside:
        joins = min(outside, key=lambda other: float(nearest[other]))
        steps.append(float(nearest[joins]))
        outside.remove(joins)
        nearest = nearest.clip(max=distances[joins])
    return steps


def _dbscan(distances: Floats, eps: float, min_samples: int) -> tuple[int, ...]:
    from sklearn.cluster import DBSCAN

    return _by_appearance(
        DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed").fit_predict(distances).tolist()
    )


def _hdbscan(distances: Floats, min_samples: int) -> tuple[int, ...]:
    """HDBSCAN finds two clusters or more, or none; with so few answers, none means a single one.

    Allowed to find a single cluster, it left out members of most panels that belonged together.
    """
    import numpy as np
    from sklearn.cluster import HDBSCAN

    count = len(distances)
    if count < min_samples:
        return (-1,) * count
    others = ~np.eye(count, dtype=bool)
    model = HDBSCAN(min_cluster_size=min_samples, min_samples=min_samples, metric="precomputed", copy=True)
    labels = model.fit_predict(np.where(others, distances.clip(_ALIKE, None), 0))
    if (labels < 0).all():
        labels = np.zeros(count, dtype=int)
    nearest = np.where(others & (labels[:, None] == labels), distances, np.inf).min(axis=1)
    return _by_appearance(np.where(nearest > _APART, -1, labels).tolist())


def _by_appearance(labels: Sequence[int]) -> tuple[int, ...]:
    """Clusters numbered in the order of their first answer; one that its neighbours left alone is an outlier."""
    numbers: dict[int, int] = {}
    alone = {label for label in labels if label < 0 or labels.count(label) == 1}
    return tuple(-1 if label in alone else numbers.setdefault(label, len(numbers)) for label in labels)


def _density(distances: Floats, labels: Sequence[int], label: int) -> float:
    """The mean cosine of each two answers of a cluster."""
    inside = [at for at, other in enumerate(labels) if other == label]
    pairs = [float(distances[a, b]) for a, b in combinations(inside, 2)]
    return round(1 - sum(pairs) / len(pairs), 4)
