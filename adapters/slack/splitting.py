"""Cutting a long text into messages, so that no piece ends inside a code fence, an entity or a word."""

from __future__ import annotations

import re

_FENCE = re.compile(r" {0,3}(?P<mark>`{3,}|~{3,})(?P<info>.*)")
_INFO = 20  # characters of a fence's language that are repeated where it goes on
_ENTITY = 5  # the longest entity, &amp;

LONGEST_FENCE = 16
"""Marks of a fence that :func:`split` can carry over; :func:`adapters.slack.render.safe` sees to it."""

_SPARE = LONGEST_FENCE + 1


class Fences:
    """Follows Markdown line by line. ``opened`` is the code fence that the lines so far leave open."""

    def __init__(self) -> None:
        self.opened: re.Match[str] | None = None

    def feed(self, line: str) -> None:
        """Take the next line."""
        found = _FENCE.match(line)
        if not found:
            return
        mark, info = found["mark"], found["info"]
        if self.opened is None:
            if mark[0] == "~" or "`" not in info:
                self.opened = found
        elif mark[0] == self.opened["mark"][0] and len(mark) >= len(self.opened["mark"]) and not info.strip():
            self.opened = None


def open_fence(text: str) -> str | None:
    """The line that reopens the code fence in which ``text`` ends; None when it ends outside of one."""
    fences = Fences()
    for line in text.split("\n"):
        fences.feed(line)
    opened = fences.opened
    return None if opened is None else opened["mark"] + opened["info"].strip()[:_INFO]


def close_fence(text: str) -> str:
    """The text with a last line that closes its open code fence, if it has one."""
    reopening = open_fence(text)
    return text if reopening is None else f"{text}\n{_mark(reopening)}"


def split(text: str, limit: int) -> list[str]:
    """Pieces of at most ``limit`` characters (at least 200), each with its code fences closed.

    A fence that is cut goes on in the next piece. Cuts are made between paragraphs where that is possible,
    else between lines, else between words.
    """
    pieces: list[str] = []
    rest = text
    while len(close_fence(rest)) > limit:
        cut = _cut(rest, limit - _SPARE)
        head, tail = rest[:cut], rest[cut:]
        reopening = open_fence(head)
        pieces.append(close_fence(head.rstrip("\n") if reopening is None else head.removesuffix("\n")))
        if not head.endswith("\n") and _FENCE.match(tail):
            tail = "\u2060" + tail  # what stood within a line must not be a fence at the start of one
        rest = tail.lstrip("\n") if reopening is None else f"{reopening}\n{tail}"
    pieces.append(close_fence(rest))
    return [piece for piece in pieces if piece.strip()]


def _mark(reopening: str) -> str:
    return reopening[: len(reopening) - len(reopening.lstrip(reopening[0]))]


def _cut(text: str, most: int) -> int:
    """Where to cut: a place after ``most / 3`` characters (so that every piece makes headway) and before ``most``."""
    least = max(most // 3, _SPARE + _INFO + 2)
    paragraph = text.rfind("\n\n", least, most)
    while paragraph >= 0 and open_fence(text[:paragraph]) is not None:
        paragraph = text.rfind("\n\n", least, paragraph)
    if paragraph >= 0:
        return paragraph + 2
    for separator in ("\n", " "):
        found = text.rfind(separator, least, most)
        if found >= 0:
            return found + 1
    return _between_marks(text, most)


def _between_marks(text: str, cut: int) -> int:
    """A place at or before ``cut`` that is in no entity and in no run of backticks or tildes."""
    ampersand = text.rfind("&", cut - _ENTITY, cut)
    if ampersand >= 0 and ";" in text[cut : ampersand + _ENTITY] and ";" not in text[ampersand:cut]:
        cut = ampersand
    while text[cut - 1] == text[cut] and text[cut] in "`~":
        cut -= 1
    return cut
