"""One colour a seat, the same wherever a member is shown."""

from __future__ import annotations

from typing import Literal

Mark = Literal["disc", "square", "diamond"]

SEATS = (
    "#0072B2",  # blue
    "#E69F00",  # orange
    "#009E73",  # green
    "#CC79A7",  # pink
    "#56B4E9",  # sky
    "#D55E00",  # vermilion
    "#332288",  # indigo
    "#F0E442",  # yellow
    "#882255",  # wine
    "#999933",  # olive
    "#666666",  # grey
    "#44AA99",  # teal
)
"""Okabe and Ito's colours, then some of Paul Tol's: told apart with each common colour blindness.

Twelve cannot all be far from each other, so a colour never stands without the seat's number.
"""

MEASURES: dict[str, tuple[Mark, str]] = {
    "similarity": ("disc", "#77AADD"),
    "agreement": ("square", "#CC3311"),
    "confidence": ("diamond", "#222222"),
}
"""Mark and colour of each figure of a round. They stand in no chart together with seats."""


def seat_colour(seat: int) -> str:
    """The colour of the member with this index in the panel, as ``#rrggbb``; it starts anew after twelve."""
    return SEATS[seat % len(SEATS)]


def rgb(colour: str) -> tuple[int, int, int]:
    """``#rrggbb`` as three numbers 0..255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def text_on(colour: str) -> str:
    """Near-black or white, whichever is easier to read on ``colour``."""
    channels = [c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb(colour)]
    luminance = 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]
    # White from a contrast ratio of 4 on (WCAG 2), even where black has a higher one: it is easier on the eye there.
    return "#FFFFFF" if 1.05 / (luminance + 0.05) >= 4 else "#111111"


def blend(low: str, high: str, share: float) -> str:
    """The colour that lies ``share`` (0..1) of the way from ``low`` to ``high``."""
    mixed = (round(a + (b - a) * share) for a, b in zip(rgb(low), rgb(high), strict=True))
    return "#{:02X}{:02X}{:02X}".format(*mixed)
