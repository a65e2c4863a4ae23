"""The two pictures of a run: how alike the answers are, and how they sound.

A member's number and colour are those of its seat, so that they stay the same from picture to picture and, where
the seats of the panel are given, from run to run even when a member fails.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from core.canvas import LINE, MARGIN, SOFT, WHITE, WIDTH, Page, line_height, printable, text_width, wrap
from core.emotions import EMOTIONS
from core.palette import blend, seat_colour, text_on
from core.types import Analysis, Chart, Member

ALT_LIMIT = 1000
"""Characters of an alternative text, the stricter of the platforms' limits."""

_LIKE = ("#F3F7FB", "#7FB0D6", "#08306B")
_TITLE, _SENTENCE, _SMALL, _NAME = 19, 13.5, 12, 12.5
_CHIP = 20
_ABOUT_LIKENESS = "Shared topic and wording, not agreement: opposite answers can be alike."
_ABOUT_FEELING = "Counted with a list of English words: 0.28 is about one in a hundred words, 0.63 three, 0.86 six."


_SIMULATED = "All members are simulated."


@dataclass(frozen=True)
class _Seat:
    """Who is drawn: number and colour by the place in the panel, ``label`` in signs that the font has."""

    index: int
    name: str
    label: str

    @property
    def number(self) -> str:
        return str(self.index + 1)


def draw(analysis: Analysis, panel: Sequence[Member] = ()) -> tuple[Chart, ...]:
    """Both charts of two or more answers, none of a single one."""
    return () if analysis.similarity is None else (heatmap(analysis, panel), emotion_chart(analysis, panel))


def heatmap(analysis: Analysis, panel: Sequence[Member] = ()) -> Chart:
    """How alike each two answers are. Raises ValueError when there are fewer than two."""
    if analysis.similarity is None:
        raise ValueError("a heatmap needs two answers")
    seats = _seats(analysis, panel)
    page = Page()
    y = _head(
        page, analysis, "How alike the answers are", _likeness_sentence(analysis.similarity, seats), _ABOUT_LIKENESS
    )
    y = _matrix(page, y + 16, analysis.similarity, seats)
    y = _likeness_scale(page, y + 16)
    return _chart("heatmap", page, y + 14, _likeness_alt(analysis))


def emotion_chart(analysis: Analysis, panel: Sequence[Member] = ()) -> Chart:
    """The emotion profiles of one or more answers, side by side for each emotion that occurs."""
    seats = _seats(analysis, panel)
    scores = {e: [mood.emotions.get(e, 0.0) for mood in analysis.moods] for e in EMOTIONS}
    found = [e for e in EMOTIONS if any(scores[e])]
    page = Page()
    y = _head(page, analysis, "How the answers sound", _feeling_sentence(analysis), _ABOUT_FEELING)
    y = _legend(page, y + 12, seats)
    if found:
        y = _bars(page, y + 8, {e: scores[e] for e in found}, seats)
    if missing := [e for e in EMOTIONS if e not in found]:
        y = page.paragraph(y + 8, f"Found in no answer: {', '.join(missing)}.", _SMALL, SOFT)
    return _chart("emotions", page, y + 14, _feeling_alt(analysis))


# --- on both --------------------------------------------------------------------------------------------


def _head(page: Page, analysis: Analysis, title: str, sentence: str, about: str) -> float:
    """The title and what one sees. Returns where it ends."""
    y = page.paragraph(14, title, _TITLE, bold=True)
    y += 4
    for line in sentence.splitlines():
        y = page.paragraph(y, line, _SENTENCE)
    y = page.paragraph(y + 4, about, _SMALL, SOFT)
    return page.paragraph(y + 4, _SIMULATED, _SMALL, bold=True) if _all_simulated(analysis) else y


def _all_simulated(analysis: Analysis) -> bool:
    """Whether one sentence can say so in place of a remark at every name."""
    return all(member.simulated for member in analysis.members)


def _seats(analysis: Analysis, panel: Sequence[Member]) -> list[_Seat]:
    places = {member.id: index for index, member in enumerate(panel or analysis.members)}
    seats = []
    for order, member in enumerate(analysis.members):
        index = places.get(member.id, len(places) + order)
        shown = member.model_copy(update={"id": printable(member.id) or f"member {index + 1}"})
        seats.append(_Seat(index, shown.id, shown.id if _all_simulated(analysis) else shown.label))
    return seats


def _chip(page: Page, x: float, y: float, seat: _Seat, size: float = _CHIP) -> None:
    """A member's mark, centred on x, y."""
    colour = seat_colour(seat.index)
    page.rect(x - size / 2, y - size / 2, size, size, colour, radius=size / 4)
    page.centred(x, y, seat.number, size * 0.62, text_on(colour), bold=True)


def _legend(page: Page, y: float, seats: Sequence[_Seat]) -> float:
    """All marks with their names, in as many columns as the longest name allows. Returns where it ends."""
    room, mark = WIDTH - 2 * MARGIN, _CHIP + 6
    widest = max(text_width(seat.label, _NAME) for seat in seats)
    most = 2 if len(seats) in (2, 4) else 3
    columns = max(1, min(most, len(seats), int((room + 12) / (mark + widest + 12))))
    width = (room + 12) / columns
    for start in range(0, len(seats), columns):
        height = float(_CHIP)
        for column, seat in enumerate(seats[start : start + columns]):
            lines = wrap(seat.label, width - 12 - mark if columns > 1 else room - mark, _NAME)
            tall = line_height(_NAME) * len(lines)
            x = MARGIN + column * width
            _chip(page, x + _CHIP / 2, y + _CHIP / 2, seat)
            page.lines(x + mark, y + (_CHIP - line_height(_NAME)) / 2, lines, _NAME)
            height = max(height, tall)
        y += height + 5
    return y


# --- how alike ------------------------------------------------------------------------------------------


def _matrix(page: Page, y: float, similarity: Sequence[Sequence[float]], seats: Sequence[_Seat]) -> float:
    """The cells, with the names beside the rows where they fit, else below. Returns where it ends."""
    room, count = WIDTH - 2 * MARGIN, len(seats)
    cell = min(64.0, (room - 116) / count)
    names = [wrap(seat.label, room - cell * count - _CHIP - 12, _NAME) for seat in seats]
    beside = all(line_height(_NAME) * len(lines) <= cell for lines in names)
    if not beside:
        cell = min(64.0, (room - _CHIP - 8) / count)
    chip = min(_CHIP, cell - 4)
    left = WIDTH - MARGIN - cell * count if beside else MARGIN + _CHIP + 8
    top = y + chip + 6
    for row, seat in enumerate(seats):
        middle = top + cell * (row + 0.5)
        _chip(page, left + cell * (row + 0.5), y + chip / 2, seat, chip)
        _chip(page, (MARGIN if beside else left - 8 - _CHIP) + _CHIP / 2, middle, seat, chip)
        if beside:
            page.lines(MARGIN + _CHIP + 6, middle - line_height(_NAME) * len(names[row]) / 2, names[row], _NAME)
        for column, value in enumerate(similarity[row]):
            _cell(page, left + cell * column, top + cell * row, cell, value, own=row == column)
    end = top + cell * count
    return end if beside else _legend(page, end + 14, seats) - 5


def _cell(page: Page, x: float, y: float, size: float, value: float, *, own: bool) -> None:
    colour = WHITE if own else _likeness_colour(value)
    page.rect(x + 1, y + 1, size - 2, size - 2, colour, radius=4)
    # Small cells have no room for the zero before the point.
    number = f"{value:.2f}" if size >= 34 or value >= 0.995 else f"{value:.2f}"[1:]
    number = "1" if size < 34 and value >= 0.995 else number
    page.centred(
        x + size / 2, y + size / 2, number, min(15.0, max(11.5, size * 0.32)), SOFT if own else text_on(colour)
    )


def _likeness_colour(value: float) -> str:
    low, middle, high = _LIKE
    return blend(low, middle, value * 2) if value < 0.5 else blend(middle, high, value * 2 - 1)


def _likeness_scale(page: Page, y: float) -> float:
    """What the colours mean. Returns where it ends."""
    words = ("0 nothing shared", "the same words 1")
    left = MARGIN + text_width(words[0], _SMALL) + 8
    right = WIDTH - MARGIN - text_width(words[1], _SMALL) - 8
    steps = 24
    step = (right - left) / steps
    for n in range(steps):
        # A little overlap, for edges between shapes let the white below shine through.
        page.rect(left + n * step, y + 2, step + (0.6 if n < steps - 1 else 0), 10, _likeness_colour(n / (steps - 1)))
    page.text(MARGIN, y + 7, words[0], _SMALL, SOFT)
    page.text(right + 8, y + 7, words[1], _SMALL, SOFT)
    return y + 14


def _likeness_sentence(similarity: Sequence[Sequence[float]], seats: Sequence[_Seat]) -> str:
    pairs = _pairs(similarity, [seat.name for seat in seats])
    if len(pairs) == 1:
        return f"{pairs[0][1]} and {pairs[0][2]}: {pairs[0][0]:.2f}."
    if f"{pairs[0][0]:.2f}" == f"{pairs[-1][0]:.2f}":
        return f"Each two answers are equally alike: {pairs[0][0]:.2f}."
    (most, a, b), (least, c, d) = pairs[0], pairs[-1]
    return f"Most alike: {a} and {b} ({most:.2f}).\nLeast alike: {c} and {d} ({least:.2f})."


def _pairs(similarity: Sequence[Sequence[float]], names: Sequence[str]) -> list[tuple[float, str, str]]:
    """Each two answers, the most alike first."""
    pairs = [(similarity[a][b], names[a], names[b]) for a, b in combinations(range(len(names)), 2)]
    return sorted(pairs, key=lambda pair: -pair[0])


# --- how they sound -------------------------------------------------------------------------------------


def _bars(page: Page, y: float, scores: dict[str, list[float]], seats: Sequence[_Seat]) -> float:
    """For each emotion the bars of those members that show it. Returns where it ends."""
    thick = 15.0 if len(seats) <= 6 else 13.0
    left, right = MARGIN + 124.0, WIDTH - MARGIN - 36.0
    length, top = right - left, y
    groups = [
        (emotion, [(s, v) for s, v in zip(seats, values, strict=True) if v]) for emotion, values in scores.items()
    ]
    end = top + sum((thick + 3) * len(bars) + 11 for _, bars in groups)
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        page.rect(left + length * tick - 0.25, top, 0.75, end - top, "#C6CBD2" if tick == 0 else LINE)
    for emotion, bars in groups:
        page.rect(MARGIN, y, WIDTH - 2 * MARGIN, 0.75, LINE)
        y += 6
        page.text(MARGIN, y + thick / 2, emotion.capitalize(), 13, bold=True)
        for seat, value in bars:
            reach, number = max(2.0, length * value), f"{value:.2f}" if value >= 0.01 else "<0.01"
            page.centred(left - 11, y + thick / 2, seat.number, 11.5, SOFT)
            page.rect(left, y, reach, thick, seat_colour(seat.index), radius=2)
            page.text(left + reach + 5, y + thick / 2, number, _SMALL)
            y += thick + 3
        y += 5
    page.rect(MARGIN, y, WIDTH - 2 * MARGIN, 0.75, LINE)
    for tick, words in ((0.0, "0"), (0.5, "0.5"), (1.0, "1")):
        page.centred(left + length * tick, y + 10, words, 11, SOFT)
    return y + 18


def _feeling_sentence(analysis: Analysis) -> str:
    if not any(any(mood.emotions.values()) for mood in analysis.moods):
        return "No words of feeling were found. That is usual for sober prose."
    if len(analysis.moods) == 1:
        return "The longer a bar, the more words of that feeling."
    return "Each bar is one answer; the longer, the more words of that feeling. No bar: none found."


# --- in words -------------------------------------------------------------------------------------------


def _likeness_alt(analysis: Analysis) -> str:
    assert analysis.similarity is not None  # noqa: S101 (the caller has checked it)
    return _fitting(_likeness_texts(analysis, analysis.similarity))


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


def _feeling_alt(analysis: Analysis) -> str:
    return _fitting(_feeling_texts(analysis))


def _feeling_texts(analysis: Analysis) -> Iterator[str]:
    """From the fullest to the shortest: all scores, then only the strongest of each member."""
    names, also = _alt_names(analysis)
    head = f"Bar chart: words of feeling in {len(names)} answer{'s' * (len(names) > 1)}, 0 none to 1 very many.{also}"
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


def _alt_names(analysis: Analysis) -> tuple[list[str], str]:
    """The members' names, and a sentence instead of a remark at each where all are simulated."""
    everyone = _all_simulated(analysis)
    names = [" ".join((member.id if everyone else member.label).split()) for member in analysis.members]
    return names, f" {_SIMULATED}" if everyone else ""


def _fitting(texts: Iterator[str]) -> str:
    """The first text that fits, else the last one cut."""
    text = ""
    for text in texts:
        if len(text) <= ALT_LIMIT:
            return text
    return text[: ALT_LIMIT - 1] + "…"


def _chart(kind: Literal["heatmap", "emotions"], page: Page, height: float, alt: str) -> Chart:
    png, width, pixels = page.png(height)
    return Chart(kind=kind, png=png, alt=alt, width=width, height=pixels)
