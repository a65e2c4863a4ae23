"""Reading what models write when they were asked for JSON: tolerant of fences, prose, tags and cut ends.

Servers that enforce a schema give clean JSON; many do not. :func:`read_verdict` takes whole replies,
:class:`FieldStream` pulls one text field out of a reply while it is still being written.
"""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import Any

WORDS = {"very low": 0.1, "low": 0.3, "medium": 0.5, "moderate": 0.5, "high": 0.8, "very high": 0.95}
"""What a confidence in words counts as."""

_MOST_OBJECTS = 200
"""In how many places of a reply an object is looked for, and at how many its cut end: replies may be hostile."""


class Unreadable(ValueError):
    """A reply from which no verdict can be read; the text says why."""


def read_verdict(text: str) -> dict[str, Any]:
    """The verdict's fields from a reply: JSON (plain, fenced, within prose, cut off) or tags.

    Raises Unreadable when there is no non-empty ``synthesis`` in it.
    """
    found = _from_json(text) or _from_tags(text)
    if found is None:
        raise Unreadable("it did not keep to the format that was asked for")
    synthesis = found.get("synthesis")
    if not isinstance(synthesis, str) or not synthesis.strip():
        raise Unreadable("it gave no synthesis")
    return found


def _from_json(text: str) -> dict[str, Any] | None:
    for match in islice(re.finditer(r'\{(?=\s*")', text), _MOST_OBJECTS):
        value = _decoded(text, match.start())
        if value is not None and "synthesis" in value:
            return value
    return _from_cut_json(text)


def _from_cut_json(text: str) -> dict[str, Any] | None:
    """A JSON object whose end is missing, read if its synthesis at least is whole."""
    start = re.search(r'\{\s*"synthesis"\s*:', text)
    if not start:
        return None
    body = text[start.start() :].rstrip()
    cuts = [m.start() for m in re.finditer(r"[,}\]]", body)][: -_MOST_OBJECTS - 1 : -1]
    if body.endswith(('"', "}", "]")):  # else the last word, or the last digits of a number, may be missing
        cuts.insert(0, len(body))
    for cut in cuts:
        for closing in ("}", "]}", "}]}"):
            value = _decoded(body[:cut] + closing)
            if value is not None:
                return value
    return None


def _decoded(text: str, start: int = 0) -> dict[str, Any] | None:
    try:
        value, _ = json.JSONDecoder(strict=False, object_hook=_mended).raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _mended(fields: dict[str, Any]) -> dict[str, Any]:
    """An object's texts without what JSON's escapes can spell and no text may hold: half characters and NUL."""
    return {k: [_whole(i) for i in v] if isinstance(v, list) else _whole(v) for k, v in fields.items()}


def _whole(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "")


def _from_tags(text: str) -> dict[str, Any] | None:
    tags = {
        name: match[1].strip()
        for name in ("synthesis", "confidence")
        if (match := re.search(rf"<{name}>(.*?)</{name}>", text, re.DOTALL | re.IGNORECASE))
    }
    return tags if "synthesis" in tags else None


def read_confidence(value: Any) -> float | None:
    """A confidence of 0..1 from 85, "85%", 0.85, "0,85", "9/10" or "high"; None when nothing was stated.

    Raises Unreadable for nonsense: below zero, over a hundred, other words.
    """
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        raise Unreadable(f"{value!r} is no confidence")
    if isinstance(value, int | float):
        return _from_number(_within(value, value, top=100), whole=isinstance(value, int))
    text = str(value).strip().lower().rstrip(".")
    if text in WORDS:
        return WORDS[text]
    if ratio := re.fullmatch(r"(\d+(?:[.,]\d+)?)\s*(?:/|out of|of)\s*(\d+)", text):
        top = float(ratio[2])
        return _within(float(ratio[1].replace(",", ".")) / top if top else -1, value)
    if number := re.fullmatch(r"(-?\d+(?:[.,]\d+)?)\s*(%|percent)?", text):
        figure = float(number[1].replace(",", "."))
        if number[2]:
            return _within(figure / 100, value)
        return _from_number(figure, whole="." not in number[1] and "," not in number[1])
    raise Unreadable(f"{text[:40]!r} is no confidence")


def _from_number(figure: float, *, whole: bool) -> float:
    """Whole numbers are percent (they were asked for), fractions up to 1 are shares, anything above is percent."""
    share = figure / 100 if whole or figure > 1 else figure
    return _within(share, figure)


def _within(share: float, said: Any, top: int = 1) -> float:
    if not 0 <= share <= top:
        raise Unreadable(f"{str(said)[:40]!r} is no confidence")
    return round(share, 4)


_OPENING = re.compile(r'"synthesis"\s*:\s*"|<synthesis>', re.IGNORECASE)
_CLOSING = re.compile("</synthesis>", re.IGNORECASE)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "\\": "\\", "/": "/"}


class FieldStream:
    """Gives the text of the ``synthesis`` field piece by piece, out of JSON or tags that arrive in pieces."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew with another reply."""
        self._buffer = ""
        self._closing: str | None = None  # what ends the field; None until it has begun
        self._done = False

    def feed(self, piece: str) -> str:
        """Take more of the reply; return more of the field, maybe nothing."""
        if self._done:
            return ""
        self._buffer += piece
        if self._closing is None:
            match = _OPENING.search(self._buffer)
            if not match:
                return ""
            self._closing = '"' if match[0].startswith('"') else "</synthesis>"
            self._buffer = self._buffer[match.end() :]
        return self._from_string() if self._closing == '"' else self._from_tag()

    def _from_string(self) -> str:
        out: list[str] = []
        i, buffer = 0, self._buffer
        while i < len(buffer):
            char = buffer[i]
            if char == '"':
                self._done = True
                break
            if char != "\\":
                out.append(char)
                i += 1
                continue
            if i + 1 >= len(buffer):
                break
            if buffer[i + 1] != "u":
                out.append(_ESCAPES.get(buffer[i + 1], buffer[i + 1]))
                i += 2
                continue
            decoded = _unicode_escape(buffer, i)
            if decoded is None:
                break
            text, i = decoded
            out.append(text)
        self._buffer = buffer[i:]
        return "".join(out)

    def _from_tag(self) -> str:
        if end := _CLOSING.search(self._buffer):
            self._done = True
            return self._buffer[: end.start()]
        # What may be the start of the closing tag is held back.
        held = self._buffer.rfind("<")
        keep = len(self._buffer) if held < 0 or len(self._buffer) - held > len("</synthesis>") else held
        text, self._buffer = self._buffer[:keep], self._buffer[keep:]
        return text


def _unicode_escape(buffer: str, i: int) -> tuple[str, int] | None:
    r"""The character of ``\uXXXX`` at i (or of a surrogate pair) and where it ends; None when more must come."""
    first = buffer[i + 2 : i + 6]
    if len(first) < 4:
        return None
    try:
        code = int(first, 16)
    except ValueError:
        return "\ufffd", i + 2
    if not 0xD800 <= code < 0xDC00:
        return ("\ufffd" if 0xDC00 <= code < 0xE000 else chr(code)), i + 6
    second = buffer[i + 6 : i + 12]
    if len(second) < 6 and second == "\\u"[: len(second)] + second[2:]:
        return None
    if not re.fullmatch(r"\\u[dD][c-fC-F][0-9a-fA-F]{2}", second):
        return "\ufffd", i + 6
    return chr(0x10000 + ((code - 0xD800) << 10) + (int(second[2:], 16) - 0xDC00)), i + 12
