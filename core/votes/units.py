"""Units and directions behind numbers, which tell equal numbers apart.

Units do not count when answers are normalised, for some members leave them out; but two that both name one must not
contradict each other.
"""

from __future__ import annotations

import re

from core.votes.normal import LONGEST, characters

_NAMES = {
    "length": "km=kilometer=kilometre m=meter=metre cm=centimeter=centimetre mm=millimeter mile=mi ft=foot=feet "
    "inch=inches",
    "mass": "kg=kilogram g=gram mg=milligram lb=pound oz=ounce ton=tonne",
    "time": "h=hour=hr min=minute s=second=sec ms=millisecond day week month year",
    "money": "$=dollar=usd €=euro=eur £=gbp cent=¢",
    "data": "kb mb gb tb",
    "warmth": "°c=celsius °f=fahrenheit kelvin",
    "change": "increase=more=rise=gain decrease=less=fewer=drop=loss",
    "latitude": "north south",
    "longitude": "east west",
    "side": "for=against",
}
"""Units and directions by kind; words for the same one with "=" between them, plurals left out."""
_KINDS = {
    form: (kind, units.split("=")[0])
    for kind, names in _NAMES.items()
    for units in names.split()
    for name in units.split("=")
    for form in (name, f"{name}s")
}
_UNIT_LIKE = re.compile(r"°[cf]|[$€£¢]|[^\W\d_]+")


def at_odds(a: str, b: str) -> bool:
    """Whether two answers of the same number, as they were said, have units or directions that cannot both be right.

    "3 km" and "3 m", "5 % more" and "5 % less"; an answer without any is at odds with none.
    """
    one, other = _meant(a), _meant(b)
    return any(one[kind].isdisjoint(other[kind]) for kind in one.keys() & other.keys())


def _meant(said: str) -> dict[str, set[str]]:
    """The units and directions that an answer names, by their kind."""
    found: dict[str, set[str]] = {}
    for word in _UNIT_LIKE.findall(characters(said[:LONGEST]).lower()):
        if word in _KINDS:
            kind, unit = _KINDS[word]
            found.setdefault(kind, set()).add(unit)
    return found
