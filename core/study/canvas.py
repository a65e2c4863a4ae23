"""A page to draw on, one phone's width, from the top down.

Lengths are units of which a page is 360 wide: on a phone that wide one unit is one pixel. Shapes go through
matplotlib's Figure and Agg, text through Pillow: matplotlib lays out and rasterises a text anew each time, at 2 ms
of processor time, while here the ink of a text is kept and costs a tenth of that at first and nothing later.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.transforms import Affine2D
from PIL import Image, ImageDraw, ImageFont

from core.study.palette import Mark, rgb

Point = tuple[float, float]

WIDTH = 360
MARGIN = 16
SCALE = 2

WHITE, INK, SOFT, LINE = "#FFFFFF", "#1A1A1A", "#5A5A5A", "#E3E6EA"

_PARTS = re.compile(r"[^-/_:@]*[-/_:@]|[^-/_:@]+")
_MIDDLE = 0.365  # half the height of a capital, in font sizes
_FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
# The quarter of a circle from the upper edge to the left one, for round corners.
_ARC = [(1 - float(np.sin(a)), 1 - float(np.cos(a))) for a in np.linspace(0, np.pi / 2, 5)]


class Page:
    """Shapes and words, collected and then drawn at once. Belongs to one picture."""

    def __init__(self) -> None:
        self._shapes: list[Sequence[Point]] = []
        self._colours: list[str] = []
        self._words: list[tuple[float, float, str, float, bool, str]] = []

    def rect(self, x: float, y: float, width: float, height: float, colour: str, radius: float = 0) -> None:
        """A filled rectangle with its upper left corner at x, y."""
        right, bottom = x + width, y + height
        r = min(radius, width / 2, height / 2)
        self._colours.append(colour)
        if not r:
            self._shapes.append([(x, y), (right, y), (right, bottom), (x, bottom)])
            return
        self._shapes.append(
            [(x + r * a, y + r * b) for a, b in _ARC]
            + [(x + r * a, bottom - r * b) for a, b in reversed(_ARC)]
            + [(right - r * a, bottom - r * b) for a, b in _ARC]
            + [(right - r * a, y + r * b) for a, b in reversed(_ARC)]
        )

    def polygon(self, points: Sequence[Point], colour: str) -> None:
        """A filled shape."""
        self._shapes.append(points)
        self._colours.append(colour)

    def path(self, points: Sequence[Point], width: float, colour: str, *, closed: bool = False) -> None:
        """A line through the points, with round corners."""
        for (x, y), (to_x, to_y) in pairwise([*points, points[0]] if closed else points):
            if length := math.hypot(to_x - x, to_y - y):
                a, b = (to_y - y) / length * width / 2, (x - to_x) / length * width / 2
                self.polygon([(x + a, y + b), (to_x + a, to_y + b), (to_x - a, to_y - b), (x - a, y - b)], colour)
        for x, y in points:
            self.mark("disc", x, y, width, colour)

    def mark(self, mark: Mark, x: float, y: float, size: float, colour: str) -> None:
        """A small sign, centred on x, y."""
        if mark == "diamond":
            # Set off by a white edge from what it lies on.
            for reach, ink in ((size / 2 + 1.5, WHITE), (size / 2, colour)):
                self.polygon([(x, y - reach), (x + reach, y), (x, y + reach), (x - reach, y)], ink)
        else:
            side = size if mark == "disc" else size * 0.9
            self.rect(x - side / 2, y - side / 2, side, side, colour, radius=size / 2 if mark == "disc" else 0)

    def text(self, x: float, y: float, text: str, size: float, colour: str = INK, *, bold: bool = False) -> None:
        """One line, starting at x, its capitals centred on the height y."""
        self._words.append((x, y + _MIDDLE * size, text, size, bold, colour))

    def centred(self, x: float, y: float, text: str, size: float, colour: str = INK, *, bold: bool = False) -> None:
        """One line, centred on x, y."""
        self.text(x - text_width(text, size, bold) / 2, y, text, size, colour, bold=bold)

    def lines(
        self, x: float, y: float, lines: list[str], size: float, colour: str = INK, *, bold: bool = False
    ) -> float:
        """Lines below each other from y down. Returns where they end."""
        step = line_height(size)
        for row, line in enumerate(lines):
            self.text(x, y + (row + 0.5) * step, line, size, colour, bold=bold)
        return y + step * len(lines)

    def paragraph(self, y: float, text: str, size: float, colour: str = INK, *, bold: bool = False) -> float:
        """A text over the whole width, wrapped. Returns where it ends."""
        return self.lines(MARGIN, y, wrap(text, WIDTH - 2 * MARGIN, size, bold), size, colour, bold=bold)

    def png(self, height: float) -> tuple[bytes, int, int]:
        """The picture as PNG with its width and height in pixels: opaque, on white, with a palette."""
        figure = Figure(figsize=(WIDTH / 72, round(height) / 72), dpi=72 * SCALE, facecolor=WHITE)
        canvas = FigureCanvasAgg(figure)
        downwards = Affine2D().scale(SCALE, -SCALE).translate(0, SCALE * round(height))
        figure.add_artist(PolyCollection(self._shapes, facecolors=self._colours, linewidths=0, transform=downwards))
        canvas.draw()  # type: ignore[no-untyped-call]
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")  # type: ignore[no-untyped-call]
        for x, y, text, size, bold, colour in self._words:
            ink, ascent = _ink(text, size, bold)
            picture.paste(colour, (round(x * SCALE) - SCALE, round(y * SCALE) - ascent), ink)
        file = io.BytesIO()
        self._few_colours(picture).save(file, "PNG", compress_level=1)
        return file.getvalue(), picture.width, picture.height

    def _few_colours(self, picture: Image.Image) -> Image.Image:
        """The picture with a palette in which the colours that were asked for are exact."""
        # Every third pixel tells which shades there are, at a ninth of the time.
        sample = picture.resize((picture.width // 3, picture.height // 3), Image.Resampling.NEAREST)
        sample = sample.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        table = np.array(sample.getpalette(), dtype=np.int16).reshape(-1, 3)
        for colour in dict.fromkeys((*self._colours, WHITE)):
            table[np.abs(table - rgb(colour)).max(axis=1).argmin()] = rgb(colour)
        sample.putpalette(table.astype(np.uint8).tobytes())
        return picture.quantize(palette=sample, dither=Image.Dither.NONE)


def line_height(size: float) -> float:
    """From one line of a text to the next."""
    return size * 1.36


@lru_cache(maxsize=4096)
def text_width(text: str, size: float, bold: bool = False) -> float:
    """How wide a line is."""
    return float(_font(size, bold).getlength(text)) / SCALE


def wrap(text: str, width: float, size: float, bold: bool = False) -> list[str]:
    """Lines no wider than ``width``, broken at spaces; within a word only where it is too wide for a line."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        pieces = [word] if text_width(word, size, bold) <= width else _pieces(word, width, size, bold)
        for at, piece in enumerate(pieces):
            longer = line + (" " if line and at == 0 else "") + piece
            if line and text_width(longer, size, bold) > width:
                lines.append(line)
                longer = piece
            line = longer
    return [*lines, line] if line else lines


def printable(text: str) -> str:
    """The text as far as the font has its signs, on one line: other scripts and emoji are left out."""
    glyphs = _glyphs()
    kept = (c if ord(c) in glyphs and c.isprintable() else " " if c.isspace() else "" for c in text)
    return " ".join("".join(kept).split())


def _pieces(word: str, width: float, size: float, bold: bool) -> list[str]:
    """A word cut after its marks, and anywhere where even that leaves too wide a piece."""
    pieces: list[str] = []
    for part in _PARTS.findall(word):
        start = 0
        for end in range(1, len(part) + 1):
            if end - start > 1 and text_width(part[start:end], size, bold) > width:
                pieces.append(part[start : end - 1])
                start = end - 1
        pieces.append(part[start:])
    return pieces


@cache
def _font(size: float, bold: bool) -> ImageFont.FreeTypeFont:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(_FONTS / name, size * SCALE, layout_engine=ImageFont.Layout.BASIC)


@cache
def _glyphs() -> frozenset[int]:
    regular, bold = (FT2Font(str(_FONTS / name)).get_charmap() for name in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"))
    return frozenset(regular) & frozenset(bold)


@lru_cache(maxsize=1024)
def _ink(text: str, size: float, bold: bool) -> tuple[Image.Image, int]:
    """The coverage of a text's pixels, with SCALE pixels before it, and how far it rises above its baseline."""
    font = _font(size, bold)
    ascent, descent = font.getmetrics()
    ink = Image.new("L", (round(font.getlength(text)) + 3 * SCALE, ascent + descent))
    ImageDraw.Draw(ink).text((SCALE, ascent), text, fill=255, font=font, anchor="ls")
    return ink, ascent
