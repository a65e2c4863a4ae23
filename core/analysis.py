"""How alike answers are and how they sound.

Importing this module is cheap; TextBlob and VADER are loaded by :class:`Analyser`, which belongs into a process
of its own (see :mod:`core.studio`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from core import emotions
from core.types import Analysis, Member, MemberMood, Sentiment

if TYPE_CHECKING:
    from core.embedders import Embedder

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

    def __init__(self, embedder: Embedder) -> None:
        from textblob import TextBlob
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

        self._embedder, self._textblob, self._vader = embedder, TextBlob, SentimentIntensityAnalyzer()

    def analyse(self, answers: Sequence[tuple[Member, str]]) -> Analysis:
        """Analyse one or more members' texts. Raises ValueError when there is none."""
        if not answers:
            raise ValueError("there is no answer to analyse")
        members = tuple(member for member, _ in answers)
        # Half of a surrogate pair, which JSON can carry, is no text to the tokenizer.
        texts = [text[:LONGEST].encode(errors="replace").decode() for _, text in answers]
        similarity = self._similarity(texts) if len(texts) > 1 else None
        moods = tuple(self._mood(member, text) for member, text in zip(members, texts, strict=True))
        return Analysis(
            members=members,
            similarity=similarity,
            mean_similarity=mean_similarity(similarity) if similarity else None,
            central=central_index(similarity) if similarity else 0,
            embedder=self._embedder.name if similarity else "none",
            moods=moods,
            notes=tuple(_notes(answers, moods)),
        )

    def _similarity(self, texts: Sequence[str]) -> Matrix:
        vectors = self._embedder.embed(texts)
        # A sum of products, not `@`: a matrix this small gains nothing from a BLAS library and its threads.
        cosines = (vectors[:, None, :] * vectors[None, :, :]).sum(axis=2).tolist()
        return tuple(
            # Reading both triangles from the upper one keeps the matrix symmetric to the last digit.
            tuple(1.0 if a == b else _share(cosines[min(a, b)][max(a, b)]) for b in range(len(texts)))
            for a in range(len(texts))
        )

    def _mood(self, member: Member, text: str) -> MemberMood:
        prose = _LINK.sub(" ", _CODE.sub(" ", text))
        # VADER adds up what it finds and saturates on long texts, hence sentence by sentence.
        # A line without letters counts only when it is an emoticon or emoji that VADER knows.
        scored = [(part, float(self._vader.polarity_scores(part)["compound"])) for part in _sentences(prose)]
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
