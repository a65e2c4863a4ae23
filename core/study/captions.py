"""The charts in words: what stands on top of them, and what is read in their place by those who cannot see them.

Every alternative text comes in several lengths, from all numbers to the most telling ones; the fullest that fits is
taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from core.asks import Value
from core.study.emotions import EMOTIONS
from core.types import Analysis, MemberMood


class RoundPoint(Value):
    """How far the panel agreed in one round, each figure 0..1, None where it is unknown."""

    number: int
    similarity: float | None
    agreement: float | None
    confidence: float | None


ALT_LIMIT = 1000
"""Characters of an alternative text, the stricter of the platforms' limits."""

SIMULATED = "All members are simulated."
PARTLY_SIMULATED = "Some members are simulated."

MEASURES = {"similarity": "likeness", "agreement": "agreement", "confidence": "confidence"}
"""The figures of a :class:`core.types.RoundPoint` and what people call them, in the order in which they are shown."""


def all_simulated(analysis: Analysis) -> bool:
    """Whether one sentence can say so in place of a remark at every name."""
    return all(member.simulated for member in analysis.members)


def signed(value: float) -> str:
    """A number from -1 to 1 with its sign; what rounds to zero has none."""
    return f"{value:+.2f}" if abs(value) >= 0.005 else "0.00"


# --- what one sees --------------------------------------------------------------------------------------


def likeness_sentence(similarity: Sequence[Sequence[float]], names: Sequence[str]) -> str:
    """Which answers are the most alike, which the least."""
    pairs = _pairs(similarity, names)
    if len(pairs) == 1:
        return f"{pairs[0][1]} and {pairs[0][2]}: {pairs[0][0]:.2f}."
    if f"{pairs[0][0]:.2f}" == f"{pairs[-1][0]:.2f}":
        return f"Each two answers are equally alike: {pairs[0][0]:.2f}."
    (most, a, b), (least, c, d) = pairs[0], pairs[-1]
    return f"Most alike: {a} and {b} ({most:.2f}).\nLeast alike: {c} and {d} ({least:.2f})."


def feeling_sentence(analysis: Analysis) -> str:
    """How to read the bars, or that there are none."""
    if not any(map(_feels, analysis.moods)):
        return "No words of feeling were found. That is usual for sober prose."
    if len(analysis.moods) == 1:
        return "The longer a bar, the more words of that feeling."
    return "Each bar is one answer; the longer, the more words of that feeling. No bar: none found."


def tone_sentence(analysis: Analysis, names: Sequence[str]) -> str:
    """Who is the most positive, who the most negative."""
    ranked = sorted(
        ((mood.sentiment.polarity, name) for mood, name in zip(analysis.moods, names, strict=True)),
        key=lambda tone: -tone[0],
    )
    (high, most), (low, least) = ranked[0], ranked[-1]
    if len(ranked) == 1:
        return f"{most}: polarity {signed(high)}, subjectivity {analysis.moods[0].sentiment.subjectivity:.2f}."
    if signed(high) == signed(low):
        return f"All answers are equally positive: {signed(high)}."
    return f"Most positive: {most} ({signed(high)}).\nLeast positive: {least} ({signed(low)})."


def profile_sentence(analysis: Analysis, names: Sequence[str]) -> str:
    """How to read the shapes, and whose answer has none."""
    flat = [name for mood, name in zip(analysis.moods, names, strict=True) if not _feels(mood)]
    if len(flat) == len(names):
        return feeling_sentence(analysis)
    how = "The farther out, the more words of that feeling."
    if len(names) > 1:
        how += " Numbers stand at the strongest feeling."
    return f"{how}\nNo words of feeling, so no shape: {', '.join(flat)}." if flat else how


def drift_sentence(points: Sequence[RoundPoint]) -> str:
    """How each figure went from its first known value to its last."""
    if not any(known(points, measure) for measure in MEASURES):
        return "None of the figures is known."
    if len(points) == 1:
        return "There was only one round, so nothing could change."
    went = []
    for measure, name in MEASURES.items():
        if len(values := known(points, measure)) > 1:
            first, last = f"{values[0]:.2f}", f"{values[-1]:.2f}"
            change = f"at {last} first and last" if first == last else f"from {first} to {last}"
            went.append(f"{name.capitalize()} {change}.")
    return "\n".join(went) or "No figure is known for more than one round."


# --- what is read ---------------------------------------------------------------------------------------


def likeness_alt(analysis: Analysis) -> str:
    """The heatmap in words."""
    return _fitting(_likeness_texts(analysis, analysis.similarity or ()))


def feeling_alt(analysis: Analysis, chart: str) -> str:
    """The emotion profiles in words; ``chart`` says what kind of picture they are."""
    return _fitting(_feeling_texts(analysis, chart))


def tone_alt(analysis: Analysis) -> str:
    """Polarity, subjectivity and VADER in words."""
    return _fitting(_tone_texts(analysis))


def drift_alt(points: Sequence[RoundPoint], remark: str) -> str:
    """The rounds in words, with a remark on simulated members."""
    return _fitting(_drift_texts(points, f" {remark}" if remark else ""))


def _likeness_texts(analysis: Analysis, similarity: Sequence[Sequence[float]]) -> Iterator[str]:
    """From the fullest to the shortest: all pairs, the ends of the list, only the most telling ones."""
    names, also = _alt_names(analysis)
    pairs = [f"{a} and {b} {value:.2f}" for value, a, b in _pairs(similarity, names)]
    head = (
        f"Heatmap: how alike {len(names)} answers are in topic and wording, which is not agreement, "
        f"from 0 nothing shared to 1 the same words.{also}"
    )
    tail = f"Mean {analysis.mean_similarity or 0:.2f}."
    if len(names) > 2:
        tail += f" Most like all others: {names[analysis.central]}."
    yield f"{head} {'; '.join(pairs)}. {tail}"
    for few in (6, 4, 2, 1):
        if len(pairs) > 2 * few:
            yield f"{head} Most alike: {'; '.join(pairs[:few])}. Least alike: {'; '.join(pairs[-few:])}. {tail}"
    yield f"{head} {tail}"


def _feeling_texts(analysis: Analysis, chart: str) -> Iterator[str]:
    """From the fullest to the shortest: all scores, then only the strongest of each member."""
    names, also = _alt_names(analysis)
    head = f"{chart}: words of feeling in {_answers(names)}, 0 none to 1 very many.{also}"
    for most in (len(EMOTIONS), 3, 2, 1):
        profiles = []
        for name, mood in zip(names, analysis.moods, strict=True):
            ranked = sorted((e for e in EMOTIONS if mood.emotions.get(e)), key=lambda e, m=mood: -m.emotions[e])  # type: ignore[misc]
            profiles.append(
                f"{name}: {', '.join(f'{e} {mood.emotions[e]:.2f}' for e in ranked[:most]) or 'none found'}."
            )
        only = (
            ""
            if most == len(EMOTIONS)
            else f" The {most} strongest of each."
            if most > 1
            else " The strongest of each."
        )
        yield f"{head}{only} {' '.join(profiles)}"
    yield head


def _tone_texts(analysis: Analysis) -> Iterator[str]:
    """From the fullest to the shortest: all numbers named, then bare, then the polarity alone, then its ends."""
    names, also = _alt_names(analysis)
    tones = [(name, mood.sentiment) for name, mood in zip(names, analysis.moods, strict=True)]
    head = f"Bar chart: the tone of {_answers(names)}.{also} Polarity from -1 negative to 1 positive"
    rest = ", subjectivity from 0 factual to 1 personal, VADER's compound from -1 to 1."
    full = [
        f"{name}: polarity {signed(tone.polarity)}, subjectivity {tone.subjectivity:.2f}, VADER {signed(tone.vader)}."
        for name, tone in tones
    ]
    bare = [f"{name} {signed(tone.polarity)}, {tone.subjectivity:.2f}, {signed(tone.vader)}" for name, tone in tones]
    yield f"{head}{rest} {' '.join(full)}"
    yield f"{head}{rest} In this order, {'; '.join(bare)}."
    yield f"{head}. {'; '.join(f'{name} {signed(tone.polarity)}' for name, tone in tones)}."
    yield f"{head}. {' '.join(tone_sentence(analysis, names).split())}"
    yield f"{head}."


def _drift_texts(points: Sequence[RoundPoint], also: str) -> Iterator[str]:
    """From the fullest to the shortest: all rounds, then the first and the last."""
    said = [f"Round {point.number}: {', '.join(_figures(point))}." for point in points]
    kind = f"Line chart over {len(points)} rounds" if len(points) > 1 else "Points of the only round"
    head = f"{kind}: likeness of the answers, agreement, and confidence, each from 0 to 1.{also}"
    yield f"{head} {' '.join(said)}"
    yield f"{head} {said[0]} {said[-1]}"


def _figures(point: RoundPoint) -> Iterator[str]:
    for measure, name in MEASURES.items():
        value: float | None = getattr(point, measure)
        yield f"{name} {'unknown' if value is None else f'{value:.2f}'}"


def known(points: Sequence[RoundPoint], measure: str) -> list[float]:
    """The values of a figure in those rounds where it is known."""
    return [value for point in points if (value := getattr(point, measure)) is not None]


def _feels(mood: MemberMood) -> bool:
    return any(mood.emotions.values())


def _pairs(similarity: Sequence[Sequence[float]], names: Sequence[str]) -> list[tuple[float, str, str]]:
    """Each two answers, the most alike first."""
    pairs = [(similarity[a][b], names[a], names[b]) for a, b in combinations(range(len(names)), 2)]
    return sorted(pairs, key=lambda pair: -pair[0])


def _answers(names: Sequence[str]) -> str:
    return f"{len(names)} answer{'s' * (len(names) > 1)}"


def _alt_names(analysis: Analysis) -> tuple[list[str], str]:
    """The members' names, and a sentence instead of a remark at each where all are simulated."""
    everyone = all_simulated(analysis)
    names = [" ".join((member.id if everyone else member.label).split()) for member in analysis.members]
    return names, f" {SIMULATED}" if everyone else ""


def _fitting(texts: Iterator[str]) -> str:
    """The first text that fits, else the last one cut."""
    text = ""
    for text in texts:
        if len(text) <= ALT_LIMIT:
            return text
    return text[: ALT_LIMIT - 1] + "…"
