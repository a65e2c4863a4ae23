"""The inside of a drawing process: the heavy libraries, loaded once and shared by all that are forked from it.

Import it there only (:mod:`core.studio` does): importing takes seconds, 200 MB, and one thread for itself.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence

# Read by the libraries as they load, hence before the imports below. Small matrices gain nothing from threads, and
# a process that has started some cannot be forked safely.
os.environ.update(
    OMP_NUM_THREADS="1",
    OPENBLAS_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    VECLIB_MAXIMUM_THREADS="1",
    TOKENIZERS_PARALLELISM="false",
)

from core import charts
from core.analysis import Analyser
from core.embedders import load_embedder
from core.types import Analysis, Chart, Member

_analyser = Analyser(load_embedder())


def analyse(answers: Sequence[tuple[Member, str]]) -> Analysis:
    """See :meth:`core.analysis.Analyser.analyse`."""
    return _analyser.analyse(answers)


def analyse_and_draw(
    answers: Sequence[tuple[Member, str]], panel: Sequence[Member]
) -> tuple[Analysis, tuple[Chart, ...]]:
    """The analysis and, of two answers or more, both charts."""
    analysis = _analyser.analyse(answers)
    return analysis, charts.draw(analysis, panel)


def _rehearse() -> None:
    """Do everything once, so that what libraries load late is there before the first run and before the fork."""
    members = [Member(id=f"rehearsal {n}", model="none", simulated=True) for n in range(4)]
    analyse_and_draw([(member, "We hope this is a good and clear answer, but perhaps not.") for member in members], ())
    gc.collect()
    gc.freeze()


_rehearse()
