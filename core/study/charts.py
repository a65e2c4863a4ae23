"""The pictures of a run: how alike the answers are, how they sound, and how far the panel agreed round by round.

What they say in words is in :mod:`core.study.captions`. A member's number and colour are those of its seat, so that
they stay the same from picture to picture and, where the seats of the panel are given, from run to run even when a
member fails.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from core.study import captions
from core.study.canvas import (
    INK,
    LINE,
    MARGIN,
    SOFT,
    WHITE,
    WIDTH,
    Page,
    Point,
    line_height,
    printable,
    text_width,
    wrap,
)
from core.study.captions import RoundPoint
from core.study.emotions import EMOTIONS
from core.study.palette import MEASURES, blend, seat_colour, text_on
from core.types import TITLES, Analysis, Chart, ChartKind, Member

_LIKE = ("#F3F7FB", "#7FB0D6", "#08306B")
_TITLE, _SENTENCE, _SMALL, _NAME = 19, 13.5, 12, 12.5
_CHIP = 20
_ABOUT_LIKENESS = "Shared topic and wording, not agreement: opposite answers can be alike."
_ABOUT_FEELING = "Counted with a list of English words: 0.28 is about one in a hundred words, 0.63 three, 0.86 six."

_ABOUT_TONE = (
    "Counted with lists of English words, which know no irony: bars by TextBlob, the diamond by VADER. "
    "Subjectivity: 0 factual, 1 personal."
)
_ABOUT_DRIFT = "Likeness is shared topic and wording. What is unknown (?) leaves a gap."

_NESTED = ((4.5, 13.0), (2.5, 9.0), (1.25, 6.0))
"""Widths of lines and sizes of marks: where figures are equal, the later ones leave the earlier visible."""

_ANGLES = [math.pi * n / 8 for n in range(16)]

_Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


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


def draw_more(analysis: Analysis, panel: Sequence[Member], points: Sequence[RoundPoint]) -> tuple[Chart, ...]:
    """Tone and emotions of one or more answers, where they were looked at, and the rounds, where there are any."""
    moods = (polarity_chart(analysis, panel), radar(analysis, panel)) if analysis.moods else ()
    return (*moods, drift(points, panel or analysis.members)) if points else moods


def heatmap(analysis: Analysis, panel: Sequence[Member] = ()) -> Chart:
    """How alike each two answers are. Raises ValueError when there are fewer than two."""
    if analysis.similarity is None:
        raise ValueError("a heatmap needs two answers")
    seats = _seats(analysis, panel)
    page = Page()
    sentence = captions.likeness_sentence(analysis.similarity, [seat.name for seat in seats])
    y = _head(page, "heatmap", sentence, _ABOUT_LIKENESS, _remark(analysis))
    y = _matrix(page, y + 16, analysis.similarity, seats)
    y = _likeness_scale(page, y + 16)
    return _chart("heatmap", page, y + 14, captions.likeness_alt(analysis))


def emotion_chart(analysis: Analysis, panel: Sequence[Member] = ()) -> Chart:
    """The emotion profiles of one or more answers, side by side for each emotion that occurs."""
    seats = _seats(analysis, panel)
    scores = {e: [mood.emotions.get(e, 0.0) for mood in analysis.moods] for e in EMOTIONS}
    found = [e for e in EMOTIONS if any(scores[e])]
    page = Page()
    y = _head(page, "emotions", captions.feeling_sentence(analysis), _ABOUT_FEELING, _remark(analysis))
    y = _legend(page, y + 12, seats)
    if found:
        y = _bars(page, y + 8, {e: scores[e] for e in found}, seats)
    if missing := [e for e in EMOTIONS if e not in found]:
        y = page.paragraph(y + 8, f"Found in no answer: {', '.join(missing)}.", _SMALL, SOFT)
    return _chart("emotions", page, y + 14, captions.feeling_alt(analysis, "Bar chart"))


def polarity_chart(analysis: Analysis, panel: Sequence[Member] = ()) -> Chart:
    """How positive and how personal each of one or more answers is."""
    seats = _seats(analysis, panel)
    page = Page()
    sentence = captions.tone_sentence(analysis, [seat.name for seat in seats])
    y = _head(page, "polarity", sentence, _ABOUT_TONE, _remark(analysis))
    y = _legend(page, y + 12, seats)
    y = _tones(page, y + 10, analysis, seats)
    return _chart("polarity", page, y + 14, captions.tone_alt(analysis))


def radar(analysis: Analysis, panel: Sequence[Member] = ()) -> Chart:
    """The emotion profiles of one or more answers as shapes over each other; none for an answer without feeling."""
    seats = _seats(analysis, panel)
    page = Page()
    sentence = captions.profile_sentence(analysis, [seat.label for seat in seats])
    y = _head(page, "radar", sentence, _ABOUT_FEELING, _remark(analysis))
    profiles = [[mood.emotions.get(e, 0.0) for e in EMOTIONS] for mood in analysis.moods]
    shapes = [(seat, profile) for seat, profile in zip(seats, profiles, strict=True) if any(profile)]
    if shapes:
        y = _legend(page, y + 12, [seat for seat, _ in shapes])
        y = _web(page, y + 8, shapes)
    return _chart("radar", page, y + 14, captions.feeling_alt(analysis, "Radar chart"))


def drift(points: Sequence[RoundPoint], members: Iterable[Member] = ()) -> Chart:
    """How likeness, agreement and confidence went over the rounds. Raises ValueError when there is none.

    ``members`` are those whose answers the figures come from.
    """
    if not points:
        raise ValueError("there is no round to draw")
    simulated = {member.simulated for member in members}
    remark = "" if True not in simulated else captions.PARTLY_SIMULATED if False in simulated else captions.SIMULATED
    page = Page()
    y = _head(page, "drift", captions.drift_sentence(points), _ABOUT_DRIFT, remark)
    if any(captions.known(points, measure) for measure in MEASURES):
        y = _course(page, y + 18, points)
    return _chart("drift", page, y + 12, captions.drift_alt(points, remark))


# --- on all --------------------------------------------------------------------------------------------


def _head(page: Page, kind: ChartKind, sentence: str, about: str, remark: str) -> float:
    """The title and what one sees. Returns where it ends."""
    y = page.paragraph(14, TITLES[kind], _TITLE, bold=True)
    y += 4
    for line in sentence.splitlines():
        y = page.paragraph(y, line, _SENTENCE)
    y = page.paragraph(y + 4, about, _SMALL, SOFT)
    return page.paragraph(y + 4, remark, _SMALL, bold=True) if remark else y


def _remark(analysis: Analysis) -> str:
    return captions.SIMULATED if captions.all_simulated(analysis) else ""


def _chart(kind: ChartKind, page: Page, height: float, alt: str) -> Chart:
    png, width, pixels = page.png(height)
    return Chart(kind=kind, png=png, alt=alt, width=width, height=pixels)


def _seats(analysis: Analysis, panel: Sequence[Member]) -> list[_Seat]:
    places = {member.id: index for index, member in enumerate(panel or analysis.members)}
    seats = []
    for order, member in enumerate(analysis.members):
        index = places.get(member.id, len(places) + order)
        shown = member.model_copy(update={"id": printable(member.id) or f"member {index + 1}"})
        seats.append(_Seat(index, shown.id, shown.id if captions.all_simulated(analysis) else shown.label))
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


# --- how positive ---------------------------------------------------------------------------------------


def _tones(page: Page, y: float, analysis: Analysis, seats: Sequence[_Seat]) -> float:
    """A row a member: polarity from the middle to either side, and subjectivity. Returns where it ends."""
    thick, row = 12.0, 25.0
    left, right, own, end = MARGIN + 32.0, MARGIN + 184.0, MARGIN + 238.0, WIDTH - MARGIN - 32.0
    middle, half = (left + right) / 2, (right - left) / 2
    for x, words in ((middle, "Polarity"), ((own + end) / 2, "Subjectivity")):
        page.centred(x, y + 7, words, 13, bold=True)
    top = y + 20
    y = top + 6
    bottom = y + row * len(seats) + 4
    for x in (left, left + half / 2, middle, right - half / 2, right, own, (own + end) / 2, end):
        page.rect(x - 0.25, top, 0.75, bottom - top, "#C6CBD2" if x in (middle, own) else LINE)
    for seat, mood in zip(seats, analysis.moods, strict=True):
        tone, centre, colour = mood.sentiment, y + row / 2, seat_colour(seat.index)
        _chip(page, MARGIN + _CHIP / 2, centre, seat)
        reach = max(2.0, half * abs(tone.polarity))
        page.rect(middle - (reach if tone.polarity < 0 else 0), centre - thick / 2, reach, thick, colour, radius=2)
        page.rect(own, centre - thick / 2, max(2.0, (end - own) * tone.subjectivity), thick, colour, radius=2)
        page.mark("diamond", middle + half * tone.vader, centre, 9, INK)
        page.text(right + 9, centre, captions.signed(tone.polarity), _SMALL)
        page.text(end + 6, centre, f"{tone.subjectivity:.2f}", _SMALL)
        y += row
    for x, words in ((left, "-1"), (middle, "0"), (right, "+1"), (own, "0"), (end, "1")):
        page.centred(x, bottom + 10, words, 11, SOFT)
    for x, words in ((left + half / 2, "negative"), (right - half / 2, "positive")):
        page.centred(x, bottom + 10, words, 11, SOFT)
    return bottom + 18


# --- emotions compared ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Web:
    """The places on a radar: ``outer`` is the score at its rim; nothing lies on a small ring, not in one point."""

    x: float
    y: float
    radius: float
    outer: float

    def at(self, axis: int, score: float) -> Point:
        """Where a score lies on the axis of an emotion, clockwise from the top."""
        angle = 2 * math.pi * axis / len(EMOTIONS)
        reach = self.radius * (0.16 + 0.84 * score / self.outer)
        return self.x + reach * math.sin(angle), self.y - reach * math.cos(angle)

    def ring(self, score: float) -> list[Point]:
        """All places with this score."""
        return [self.at(axis, score) for axis in range(len(EMOTIONS))]


def _web(page: Page, y: float, shapes: Sequence[tuple[_Seat, Sequence[float]]]) -> float:
    """The rings, the names of the emotions, the shapes, and a number at the peak of each. Returns where it ends."""
    highest = max(max(scores) for _, scores in shapes)
    web = _Web(WIDTH / 2, y + 126, 106, next(rim for rim in (0.2, 0.4, 0.6, 0.8, 1.0) if highest <= rim))
    if len(shapes) == 1:
        page.polygon(_outline(web, shapes[0][1]), blend(seat_colour(shapes[0][0].index), WHITE, 0.8))
    for ring in range(5):
        page.path(web.ring(web.outer * ring / 4), 0.75, "#C6CBD2" if ring in (0, 4) else LINE, closed=True)
    for axis in range(len(EMOTIONS)):
        page.path([web.at(axis, 0), web.at(axis, web.outer)], 0.75, LINE)
    taken = [_axis_name(page, web, axis) for axis in range(len(EMOTIONS))]
    for seat, scores in shapes:
        outline, colour = _outline(web, scores), seat_colour(seat.index)
        page.path(outline, 1.8 if len(shapes) <= 6 else 1.4, colour, closed=True)
        for x, y in (place for place, score in zip(outline, scores, strict=True) if score):
            page.mark("disc", x, y, 4.5, colour)
    if len(shapes) > 1:
        _peaks(page, web, shapes, taken)
    return page.paragraph(web.y + web.radius + 20, f"From 0, the inmost ring, to {web.outer:g}, the rim.", _SMALL, SOFT)


def _outline(web: _Web, scores: Sequence[float]) -> list[Point]:
    return [web.at(axis, score) for axis, score in enumerate(scores)]


def _axis_name(page: Page, web: _Web, axis: int) -> _Box:
    """The emotion's name outside the rim. Returns the place it takes."""
    word = EMOTIONS[axis].capitalize()
    x, y = web.at(axis, web.outer * (1 + 10 / web.radius))
    width, lean = text_width(word, _SMALL), (x - web.x) / web.radius
    left = x - width * (1 - max(-1.0, min(1.0, lean))) / 2
    if not MARGIN <= left <= WIDTH - MARGIN - width:
        # The widest names are those beside the web: there is room a little higher, where the rim turns inwards.
        left, y = max(float(MARGIN), min(WIDTH - MARGIN - width, left)), y - 13
    page.text(left, y, word, _SMALL)
    return left, y - 8, left + width, y + 8


def _peaks(page: Page, web: _Web, shapes: Sequence[tuple[_Seat, Sequence[float]]], taken: list[_Box]) -> None:
    """Each shape's number at its strongest emotion, or beside it where the place is taken."""
    size = 14.0
    for seat, scores in shapes:
        x, y = web.at(scores.index(max(scores)), max(scores))
        # Along a widening circle around the peak; the peak itself comes first.
        places = [(x + r * math.cos(a), y + r * math.sin(a)) for r in range(0, 60, 5) for a in _ANGLES]
        boxes = [(a - size / 2, b - size / 2, a + size / 2, b + size / 2) for a, b in places]
        at = next((n for n, box in enumerate(boxes) if not any(_overlap(box, other) for other in taken)), 0)
        taken.append(boxes[at])
        _chip(page, *places[at], seat, size)


def _overlap(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


# --- round by round -------------------------------------------------------------------------------------


def _course(page: Page, y: float, points: Sequence[RoundPoint]) -> float:
    """A line for each figure, broken where it is unknown, above a table of the same numbers. Returns where it ends."""
    left, right, tall = MARGIN + 92.0, WIDTH - MARGIN - 4.0, 150.0
    # However many there are, half of a number has room at either end.
    inset = max(14.0, (right - left) / len(points) / 2)
    columns = [left + inset + (right - left - 2 * inset) * n / max(1, len(points) - 1) for n in range(len(points))]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        height = y + tall * (1 - tick)
        page.rect(left, height - 0.25, right - left, 0.75, "#C6CBD2" if tick == 0 else LINE)
        page.text(left - 8 - text_width(f"{tick:g}", 11), height, f"{tick:g}", 11, SOFT)
    for (measure, (mark, colour)), (width, size) in zip(MEASURES.items(), _NESTED, strict=True):
        values = [getattr(point, measure) for point in points]
        places = [None if v is None else (x, y + tall * (1 - v)) for x, v in zip(columns, values, strict=True)]
        for one, other in pairwise(places):
            if one and other:
                page.path([one, other], width, colour)
        for place in filter(None, places):
            page.mark(mark, *place, size, colour)
    return _table(page, y + tall + 16, points, columns)


def _table(page: Page, y: float, points: Sequence[RoundPoint], columns: Sequence[float]) -> float:
    """The numbers below their points; where there are many, not all of them. Returns where it ends."""
    wide = text_width("0.00", _SMALL) + 6
    every = math.ceil(wide / (columns[1] - columns[0])) if len(columns) > 1 else 1
    shown = list(zip(points, columns, strict=True))[::-every][::-1]
    page.text(MARGIN, y, "Round", _SMALL, SOFT)
    for point, x in shown:
        page.centred(x, y, str(point.number), _SMALL, SOFT)
    for measure, (mark, colour) in MEASURES.items():
        y += 21
        page.rect(MARGIN, y - 10.5, WIDTH - 2 * MARGIN, 0.75, LINE)
        page.mark(mark, MARGIN + 6, y, 9, colour)
        page.text(MARGIN + 16, y, captions.MEASURES[measure].capitalize(), _SMALL)
        for point, x in shown:
            value: float | None = getattr(point, measure)
            page.centred(x, y, "?" if value is None else f"{value:.2f}", _SMALL, SOFT if value is None else INK)
    return y + 10
