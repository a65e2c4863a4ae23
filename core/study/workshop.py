"""The inside of a drawing process: the heavy libraries, loaded once and shared by all that are forked from it.

Import it there only (:mod:`core.study.studio` does): importing takes seconds, 200 MB, and one thread for itself.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from functools import cache
from typing import cast

# Read by the libraries as they load, hence before the imports below. Small matrices gain nothing from threads, and
# a process that has started some cannot be forked safely.
os.environ.update(
    OMP_NUM_THREADS="1",
    OPENBLAS_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    VECLIB_MAXIMUM_THREADS="1",
    TOKENIZERS_PARALLELISM="false",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    HF_HUB_DISABLE_TELEMETRY="1",
)

from core.catalog import EmbeddingSpec
from core.errors import Unavailable
from core.study import analysis, charts
from core.study.captions import RoundPoint
from core.study.clusters import Method
from core.study.embedders import Embedder, Given, load_embedder
from core.types import Analysis, Chart, Grouping, Member, Study, Vectors

Source = EmbeddingSpec | Vectors
"""Where the vectors come from: what makes them here, or those of just the texts that go with it."""

Stage = tuple[RoundPoint, Sequence[str], Source]
"""A round as far as it is known outside of here, its answers, and where their vectors come from."""

Answers = Sequence[tuple[Member, str]]

_analyser = analysis.Analyser()


def prepare(spec: EmbeddingSpec) -> None:
    """Load what makes the vectors, which may take long. Where it cannot be had, whatever needs it will say so."""
    _loaded(spec)


def study(source: Source, answers: Answers, panel: Sequence[Member], drawn: bool) -> Study:
    """See :meth:`core.ports.Analyst.study`."""
    found = _analyser.study(answers, _embedder(source))
    if drawn:
        found = found.model_copy(update={"charts": charts.draw(found.analysis, panel)})
        _forget_figures()
    return found


def group(source: Source, texts: Sequence[str], method: str, eps: float | None) -> Grouping:
    """See :func:`core.study.analysis.group`; ``method`` is one of those of :data:`core.study.clusters.Method`."""
    return analysis.group(texts, _embedder(source), method=cast(Method, method), eps=eps)


def draw(rounds: Sequence[Stage], found: Analysis, panel: Sequence[Member]) -> tuple[Chart, ...]:
    """See :meth:`core.ports.Analyst.draw`."""
    first = charts.draw(found, panel) or (charts.emotion_chart(found, panel),)
    drawn = first + charts.draw_more(found, panel, [_placed(*stage) for stage in rounds])
    _forget_figures()
    return drawn


def _forget_figures() -> None:
    """Figures are rings of few and large objects: by itself the collector comes after thousands of them, and hundreds
    of megabytes. All that was there before the fork is frozen, so this takes a third of a millisecond."""
    gc.collect()


def _placed(point: RoundPoint, texts: Sequence[str], source: Source) -> RoundPoint:
    """The point with the similarity of its round's texts, where there are two or more."""
    if len(texts) < 2:
        return point
    similarity = analysis.similarity_of(_embedder(source).embed([analysis.readable(text) for text in texts]))
    return point.model_copy(update={"similarity": analysis.mean_similarity(similarity)})


def _embedder(source: Source) -> Embedder:
    if isinstance(source, Vectors):
        return Given(source)
    loaded = _loaded(source)
    if isinstance(loaded, Unavailable):
        raise Unavailable(str(loaded))
    return loaded


@cache
def _loaded(spec: EmbeddingSpec) -> Embedder | Unavailable:
    """One of each kind a process. It is not tried twice, for finding out may take minutes; a new start tries again."""
    try:
        embedder = load_embedder(spec)
        embedder.embed(["So it is."])  # libraries load some parts only when they are used
    except Unavailable as error:
        return error
    return embedder


def _rehearse() -> None:
    """Do everything once, so that what libraries load late is there before the first run and before the fork."""
    members = [Member(id=f"rehearsal {n}", model="none", simulated=True) for n in range(4)]
    answers = [(member, "We hope this is a good and clear answer, but perhaps not.") for member in members]
    texts = [text for _, text in answers]
    found = study(EmbeddingSpec(), answers, (), drawn=True)
    points = [RoundPoint(number=n, similarity=None, agreement=0.5, confidence=None) for n in (1, 2)]
    draw([(point, texts, EmbeddingSpec()) for point in points], found.analysis, ())
    gc.collect()
    gc.freeze()


_rehearse()
