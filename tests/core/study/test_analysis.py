import math
import time
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest

from core.study.analysis import LONGEST, Analyser, central_index, group, mean_similarity
from core.study.embedders import Rows, load_embedder, pack
from core.study.emotions import EMOTIONS
from core.types import Analysis, Member

REMOTE = "Remote work should be the default: people concentrate better at home and save the way to the office."
PARAPHRASE = "Working remotely ought to be standard, since at home people focus better and need no way to the office."
CELLS = "The mitochondria turn sugar and oxygen into the energy that keeps a living cell going."


class Tools:
    """An analyser with what makes its vectors."""

    def __init__(self) -> None:
        self.analyser, self.embedder = Analyser(), load_embedder()

    def analyse(self, answers: Sequence[tuple[Member, str]]) -> Analysis:
        return self.analyser.study(answers, self.embedder).analysis


@pytest.fixture(scope="module")
def analyser() -> Tools:
    return Tools()


def answers(*texts: str) -> list[tuple[Member, str]]:
    return [(Member(id=f"m{n}", model="m"), text) for n, text in enumerate(texts)]


def matrix(analysis: Analysis) -> tuple[tuple[float, ...], ...]:
    assert analysis.similarity is not None
    return analysis.similarity


def test_similarity_is_a_symmetric_matrix_of_shares(analyser: Tools) -> None:
    analysis = analyser.analyse(answers(REMOTE, CELLS, PARAPHRASE, REMOTE))
    similarity = matrix(analysis)
    assert all(similarity[a][a] == 1.0 for a in range(4))
    for a, b in combinations(range(4), 2):
        assert similarity[a][b] == similarity[b][a] == round(similarity[a][b], 4)
        assert 0 <= similarity[a][b] <= 1
    assert similarity[0][3] == 1.0
    assert similarity[0][2] > similarity[0][1] + 0.2
    assert analysis.mean_similarity == mean_similarity(similarity)
    assert analysis.central in (0, 3)
    assert analysis.embedder == "WordLlama 256"


def test_one_answer_has_nothing_to_be_compared_with(analyser: Tools) -> None:
    analysis = analyser.analyse(answers(REMOTE))
    assert (analysis.similarity, analysis.mean_similarity, analysis.central) == (None, None, 0)
    assert len(analysis.moods) == 1
    assert any("Only m0 answered" in note for note in analysis.notes)


def test_no_answer_is_an_error(analyser: Tools) -> None:
    with pytest.raises(ValueError, match="no answer"):
        analyser.analyse([])


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "yes",
        "nan",
        "()[]",
        "🚀" * 500,
        "你好。" * 9000,
        "`" * 30000,
        "a" * 30000,
        "not very good " * 3000,
        "\x00\ud800",
    ],
)
def test_odd_texts_are_analysed_all_the_same(analyser: Tools, text: str) -> None:
    analysis = analyser.analyse(answers(text, REMOTE))
    assert matrix(analysis)[0][0] == 1.0
    mood = analysis.moods[0]
    assert tuple(mood.emotions) == EMOTIONS
    assert all(map(math.isfinite, (mood.sentiment.polarity, mood.sentiment.subjectivity, mood.sentiment.vader)))


def test_an_empty_answer_is_like_no_other_and_said_so(analyser: Tools) -> None:
    analysis = analyser.analyse(answers("", REMOTE, ""))
    assert matrix(analysis) == ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    assert "No words to analyse from: m0, m2." in analysis.notes


def test_only_the_beginning_of_a_huge_answer_counts_and_that_is_said(analyser: Tools) -> None:
    start = ("good " * LONGEST)[:LONGEST]
    whole, cut = analyser.analyse(answers(start + " terrible" * 9000)), analyser.analyse(answers(start))
    assert whole.moods == cut.moods
    assert any(f"{LONGEST:,}" in note for note in whole.notes)
    assert not any(f"{LONGEST:,}" in note for note in cut.notes)


def test_feelings_that_were_not_found_are_noted(analyser: Tools) -> None:
    analysis = analyser.analyse(answers("The sum is 4.", "What a wonderful sum."))
    assert not any(analysis.moods[0].emotions.values())
    assert any(note.endswith("found no feeling in the words of: m0.") for note in analysis.notes)


def test_sentiment_has_the_right_sign(analyser: Tools) -> None:
    good, bad = analyser.analyse(answers("This is a wonderful idea.", "This is a horrible idea.")).moods
    assert good.sentiment.polarity > 0.5
    assert bad.sentiment.polarity < -0.5
    assert good.sentiment.vader > 0.3
    assert bad.sentiment.vader < -0.3
    assert good.sentiment.subjectivity > 0.5


def test_vader_is_averaged_over_sentences(analyser: Tools) -> None:
    once, often = analyser.analyse(answers("This is nice.", "This is nice. " * 50)).moods
    assert often.sentiment.vader == once.sentiment.vader
    mixed = analyser.analyse(answers("This is nice. This is a table.")).moods[0]
    assert mixed.sentiment.vader == pytest.approx(once.sentiment.vader / 2, abs=1e-4)


def test_a_text_of_emoji_alone_takes_no_longer_than_prose(analyser: Tools) -> None:
    begun = time.process_time()
    analysis = analyser.analyse(answers("\N{GRINNING FACE}" * LONGEST))
    assert time.process_time() - begun < 5  # it took minutes when it counted as a single word
    assert analysis.moods[0].sentiment.vader > 0.5


def test_code_and_links_have_no_feelings(analyser: Tools) -> None:
    code = "Use this:\n```python\nhappy = love(joy)\n```\nor `celebrate()` from https://example.org/wonderful"
    assert not any(analyser.analyse(answers(code)).moods[0].emotions.values())


class Fixed:
    """An embedder with given vectors."""

    name = "fixed"

    def __init__(self, *rows: Sequence[float]) -> None:
        self._rows = np.array(rows, dtype=np.float32)

    def embed(self, texts: Sequence[str]) -> Rows:
        return self._rows[: len(texts)]


def test_cosines_below_zero_and_undefined_ones_count_as_zero() -> None:
    analysis = Analyser().study(answers("a", "b", "c"), Fixed((1, 0), (-1, 0), (math.nan, 0))).analysis
    assert matrix(analysis) == ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    assert analysis.embedder == "fixed"


def test_the_central_answer_is_the_one_most_like_all_others() -> None:
    assert central_index(((1, 0.2, 0.1), (0.2, 1, 0.9), (0.1, 0.9, 1))) == 1
    assert central_index(((1, 0.5), (0.5, 1))) == 0


def test_the_mean_leaves_the_diagonal_out() -> None:
    assert mean_similarity(((1, 0.2, 0.4), (0.2, 1, 0.6), (0.4, 0.6, 1))) == 0.4


def test_groups_are_those_of_the_vectors() -> None:
    texts = ["a", "b", "c", "d"]
    embedder = Fixed((1, 0), (0.98, 0.2), (0, 1), (0, 0))
    study = Analyser().study(answers(*texts), embedder)
    assert study.analysis.grouping == group(texts, embedder)
    assert study.analysis.grouping.labels == (0, 0, -1, -1)
    assert study.vectors == pack("fixed", embedder.embed(texts))
    with pytest.raises(ValueError, match="two answers that have words"):
        group(["a", ""], embedder)
