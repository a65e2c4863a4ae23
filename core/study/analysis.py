"""How alike answers are and how they sound.

Importing this module is cheap; TextBlob and VADER are loaded by :class:`Analyser`, which belongs into a process
of its own (see :mod:`core.study.studio`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from core.study import emotions
from core.types import Analysis, Grouping, Member, MemberMood, Sentiment, Study

if TYPE_CHECKING:
    from core.study.clusters import Method
    from core.study.embedders import Embedder, Rows

Matrix = tuple[tuple[float, ...], ...]

LONGEST = 20_000
"""How many characters of an answer are looked at."""

_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
_LINK = re.compile(r"https?://\S+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
# VADER's time grows with the square of a sentence's length: lists and poems may have no sentence end at all.
_LONGEST_SENTENCE = 60


class Analyser:
    """Makes an :class:`Analysis` of answers. Holds the tools, nothing of any answer; use it in one thread."""

    def __init__(self) -> None:
        from textblob import TextBlob
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

        self._textblob, self._vader = TextBlob, SentimentIntensityAnalyzer()

    def study(self, answers: Sequence[tuple[Member, str]], embedder: Embedder) -> Study:
        """Analyse one or more members' texts; of two or more the vectors are kept. Draws nothing.

        Raises ValueError when there is no text, :class:`core.errors.Unavailable` when there are no vectors of them.
        """
        if not answers:
            raise ValueError("there is no answer to analyse")
        from core.study.embedders import pack

        members = tuple(member for member, _ in answers)
        texts = [readable(text) for _, text in answers]
        rows = embedder.embed(texts) if len(texts) > 1 else None
        similarity = None if rows is None else similarity_of(rows)
        moods = tuple(self._mood(member, text) for member, text in zip(members, texts, strict=True))
        analysis = Analysis(
            members=members,
            similarity=similarity,
            mean_similarity=mean_similarity(similarity) if similarity else None,
            central=central_index(similarity) if similarity else 0,
            embedder=embedder.name if similarity else "none",
            grouping=None if rows is None or len(with_words(texts)) < 2 else _group(rows),
            moods=moods,
            notes=tuple(_notes(answers, moods)),
        )
        return Study(analysis=analysis, vectors=None if rows is None else pack(embedder.name, rows))

    def _mood(self, member: Member, text: str) -> MemberMood:
        prose = _LINK.sub(" ", _CODE.sub(" ", text))
        # VADER adds up what it finds and saturates on long texts, hence sentence by sentence.
        # A line without letters counts only when it is an emoticon or emoji that VADER knows.
        parts = _sentences(self._emoji_apart(prose))
        scored = [(part, float(self._vader.polarity_scores(part)["compound"])) for part in parts]
        compounds = [compound for part, compound in scored if compound or any(map(str.isalpha, part))]
        blob = self._textblob(prose).sentiment
        return MemberMood(
            member=member,
            sentiment=Sentiment(
                polarity=round(max(-1.0, min(1.0, blob.polarity)), 4),
                subjectivity=_share(blob.subjectivity),
                vader=round(sum(compounds) / len(compounds), 4) if compounds else 0.0,
            ),
            emotions=emotions.profile(prose),
        )

    def _emoji_apart(self, text: str) -> str:
        """The text with space around each sign that VADER reads as words of its own, so that it counts as such."""
        return "".join(f" {char} " if char in self._vader.emojis else char for char in text)


def group(texts: Sequence[str], embedder: Embedder, *, method: Method = "dbscan", eps: float | None = None) -> Grouping:
    """Group texts by their meaning; see :func:`core.study.clusters.group`. One without words is an outlier.

    Raises ValueError with fewer than two that have words, :class:`core.errors.Unavailable` without vectors of them.
    """
    texts = [readable(text) for text in texts]
    if len(with_words(texts)) < 2:
        raise ValueError("grouping needs two answers that have words")
    return _group(embedder.embed(texts), method=method, eps=eps)


def _group(rows: Rows, *, method: Method = "dbscan", eps: float | None = None) -> Grouping:
    from core.study import clusters

    return clusters.group(rows, method=method, eps=eps)


def readable(text: str) -> str:
    """What is looked at of a text, and can be encoded: half of a surrogate pair, which JSON can carry, cannot."""
    return text[:LONGEST].encode(errors="replace").decode()


def with_words(texts: Sequence[str]) -> list[str]:
    """Those of the texts that are not blank."""
    return [text for text in texts if text.strip()]


def similarity_of(rows: Rows) -> Matrix:
    """The cosines of rows of length 1; what is below 0 counts as 0, and a row of zeros is like itself alone."""
    # A sum of products, not `@`: a matrix this small gains nothing from a BLAS library and its threads.
    cosines = (rows[:, None, :] * rows[None, :, :]).sum(axis=2).tolist()
    return tuple(
        # Reading both triangles from the upper one keeps the matrix symmetric to the last digit.
        tuple(1.0 if a == b else _share(cosines[min(a, b)][max(a, b)]) for b in range(len(rows)))
        for a in range(len(rows))
    )


def mean_similarity(similarity: Sequence[Sequence[float]]) -> float:
    """The mean over all pairs of different answers, rounded to 4 digits. Needs two answers or more."""
    pairs = [value for a, row in enumerate(similarity) for value in row[a + 1 :]]
    return round(sum(pairs) / len(pairs), 4)


def central_index(similarity: Sequence[Sequence[float]]) -> int:
    """The index of the answer that is most like all others; the first of several that are equally so."""
    totals = [round(sum(row), 9) for row in similarity]
    return totals.index(max(totals))


def _sentences(text: str) -> Iterable[str]:
    for sentence in _SENTENCE_END.split(text):
        words = sentence.split()
        for start in range(0, len(words), _LONGEST_SENTENCE):
            yield " ".join(words[start : start + _LONGEST_SENTENCE])


def _share(value: float) -> float:
    """A number as 0..1 with 4 digits; what is not a number counts as 0."""
    return 0.0 if math.isnan(value) else round(max(0.0, min(1.0, float(value))), 4)


def _notes(answers: Sequence[tuple[Member, str]], moods: Sequence[MemberMood]) -> Iterable[str]:
    """What a reader of the numbers should know about them."""
    if len(answers) == 1:
        yield f"Only {answers[0][0].label} answered: there is nothing to compare it with, so there are no charts."
    if cut := [member.label for member, text in answers if len(text) > LONGEST]:
        yield f"Only the first {LONGEST:,} characters were analysed of: {', '.join(cut)}."
    if empty := [member.label for member, text in answers if not any(map(str.isalnum, text[:LONGEST]))]:
        yield f"No words to analyse from: {', '.join(empty)}."
    flat = [m.member.label for m in moods if not any(m.emotions.values()) and m.member.label not in empty]
    if flat:
        yield f"The word list, which is English, found no feeling in the words of: {', '.join(flat)}."
