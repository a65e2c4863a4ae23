"""Reading what models write when they were asked for JSON: tolerant of fences, prose, tags and cut ends.

Servers that enforce a schema give clean JSON; many do not. :func:`read_verdict` takes whole replies,
:class:`FieldStream` pulls one text field out of a reply while it is still being written.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

WORDS = {"very low": 0.1, "low": 0.3, "medium": 0.5, "moderate": 0.5, "high": 0.8, "very high": 0.95}
"""What a confidence in words counts as."""

_MOST = 200
"""In how many places of a reply an object is looked for, and at how many its cut end: replies may be hostile."""

_PREFACE = 200
"""Characters that a reply may begin with before what it was asked for."""

_START = re.compile(
    r'\A\s*+(?:[^\n{}"<`]{0,80}\n\s*+)?(?:```\w*+\s*+)?(?:(?P<json>\{)(?=\s*+")|(?P<tag><synthesis>))', re.IGNORECASE
)
"""The start of a reply that comes to the point: at most one short line and a fence before its JSON or its tag.

Space is never given back (``*+``): models that are held to JSON may write thousands of empty lines.
"""


class Unreadable(ValueError):
    """A reply from which no verdict can be read; the text says why."""


def read_verdict(text: str, first: str = "synthesis") -> dict[str, Any]:
    """The verdict's fields from a reply: JSON (plain, fenced, within prose, cut off) or tags.

    ``first`` is the key that comes first in what was asked for. A reply that begins with its object is over with it;
    in one that thinks aloud before, the last object counts, since earlier ones may be quoted from what is judged.
    Raises Unreadable when there is none with a ``first`` that says something.
    """
    begin = _START.match(text)
    ways = (_from_tags, _from_json) if begin and begin["tag"] else (_from_json, _from_tags)
    found = ways[0](text, first) or ways[1](text, first)
    if found is None:
        raise Unreadable("it did not keep to the format that was asked for")
    if not says_something(found[first]) and not (first == "ranking" and isinstance(found[first], list)):
        raise Unreadable(f"it gave no {first}")
    return found


def says_something(value: Any) -> bool:
    """Whether it is a text that is not blank."""
    return isinstance(value, str) and bool(value.strip())


def _from_json(text: str, first: str) -> dict[str, Any] | None:
    begin = _START.match(text)
    starts = [begin.start("json")] if begin and begin["json"] else []
    starts += [m.start() for m in re.finditer(r'\{(?=\s*")', text)][: -_MOST - 1 : -1]
    cut_tried = False
    for start in starts:
        value = _decoded(text, start)
        if value is None and not cut_tried and re.compile(rf'\{{\s*"{first}"\s*:').match(text, start):
            cut_tried, value = True, _from_cut_json(text[start:])
        if value is not None and first in value:
            return value
    return None


def _from_cut_json(text: str) -> dict[str, Any] | None:
    """A JSON object whose end is missing, as far as its values are whole."""
    body = text.rstrip()
    cuts = [m.start() for m in re.finditer(r"[,}\]]", body)][: -_MOST - 1 : -1]
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


def _from_tags(text: str, first: str) -> dict[str, Any] | None:
    """Tags where nothing is JSON; as with objects, what a reply begins with counts, else what it ends with."""
    begins = _START.match(text) is not None
    tags: dict[str, Any] = {}
    for name in dict.fromkeys((first, "synthesis", "confidence")):
        found = _tagged(text, name)
        if found:
            tags[name] = _whole(found[0 if begins else -1].strip())
    return tags if first in tags else None


def _tagged(text: str, name: str) -> list[str]:
    """What stands in each pair of tags. Split, since a search for pairs starts anew at every tag that is not closed."""
    *closed, _ = re.split(rf"</{name}>", text, flags=re.IGNORECASE)
    parts = (re.split(rf"<{name}>", part, maxsplit=1, flags=re.IGNORECASE) for part in closed)
    return [inside for _, *rest in parts for inside in rest]


def read_confidence(value: Any) -> float | None:
    """A confidence of 0..1 from 85, "85%", 0.85, "0,85", "9/10", "high" or "high (0.9)"; None: nothing was stated.

    Whole numbers are percent, as they were asked for, so that 1 and "1" are .01, but 1.0 is a share of 1.
    Raises Unreadable for nonsense: below zero, over a hundred, other words, and fractions between 1 and 10 (1.1,
    3.75, 8.5), which could be meant on any scale.
    """
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _nonsense(value)
    if isinstance(value, int | float):
        return _from_number(value, value, whole=isinstance(value, int))
    text = _without_asides(unicodedata.normalize("NFKC", value).strip().lower())
    if text in WORDS:
        return WORDS[text]
    if ratio := re.fullmatch(r"(\d+(?:[.,]\d+)?)\s*(?:/|out of|of)\s*(\d+)", text):
        top = float(ratio[2])
        return _share(float(ratio[1].replace(",", ".")) / top if top else -1, value)
    if number := re.fullmatch(r"(-?\d+(?:[.,]\d+)?)\s*(%|percent)?", text):
        figure = float(number[1].replace(",", "."))
        if number[2]:
            return _share(figure / 100, value)
        return _from_number(figure, value, whole=number[1].lstrip("-").isdigit())
    raise _nonsense(value)


def _without_asides(text: str) -> str:
    """Of "high (0.9)" and "0.9 (high)" the figure; "about", "confidence" and full stops are left out."""
    if aside := re.fullmatch(r"([^()]*)\(([^()]*)\)\.?", text):
        text = aside[2] if re.search(r"\d", aside[2]) and not re.search(r"\d", aside[1]) else aside[1]
    text = re.sub(r"^(?:about|around|approximately|ca\.|~|≈)\s*", "", text.strip())
    return text.rstrip(".").removesuffix("confidence").strip()


def _from_number(figure: float, said: Any, *, whole: bool) -> float:
    """Whole numbers are percent, fractions up to 1 are shares, those from 10 percent again."""
    if not whole and 1 < figure < 10:
        raise _nonsense(said)
    if whole or figure > 1:
        # Compared before it is divided: a whole number may be too large for a division.
        return _share(figure / 100 if 0 <= figure <= 100 else -1, said)
    return _share(figure, said)


def _share(share: float, said: Any) -> float:
    if not 0 <= share <= 1:
        raise _nonsense(said)
    return round(abs(share), 4)


def _nonsense(said: Any) -> Unreadable:
    return Unreadable(f"{str(said).strip()[:40]!r} is no confidence")


_CLOSING = re.compile("</synthesis>", re.IGNORECASE)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "\\": "\\", "/": "/"}


class FieldStream:
    """Gives the text of the ``synthesis`` field piece by piece, out of JSON or a tag that arrives in pieces.

    It gives text only of a reply that begins with its object or its tag, as :func:`read_verdict` understands that:
    whatever a judge quotes before its verdict is never shown.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew with another reply."""
        self._buffer = ""
        self._closing: str | None = None  # what ends the field; None until it has begun
        self._keys: _Keys | None = None  # looks for the field once the object has begun
        self._done = False

    def feed(self, piece: str) -> str:
        """Take more of the reply; return more of the field, maybe nothing."""
        if self._done:
            return ""
        self._buffer += piece
        if self._closing is None:
            self._open()
        if self._done or self._closing is None:
            return ""
        text = self._from_string() if self._closing == '"' else self._from_tag()
        return text.replace("\0", "")

    def _open(self) -> None:
        """Go on to where the field begins, as far as the buffer reaches."""
        if self._keys is None:
            self._buffer = self._buffer.lstrip()
            begin = _START.match(self._buffer)
            if begin is None:
                self._done = len(self._buffer) > _PREFACE
                return
            if begin["tag"]:
                self._closing, self._buffer = "</synthesis>", self._buffer[begin.end() :]
                return
            self._keys, self._buffer = _Keys(), self._buffer[begin.start("json") :]
        end = self._keys.find(self._buffer)
        if end is None:
            self._done, self._buffer = self._keys.over, ""
        else:
            self._closing, self._buffer = '"', self._buffer[end:]

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


class _Keys:
    """Reads JSON character by character up to the text of a ``synthesis`` key that stands in no list.

    Reasons may come before it and quote anything, so a search for the key's letters would not do.
    """

    def __init__(self) -> None:
        self.over = False
        self._objects = self._lists = 0
        self._string: list[str] | None = None  # the string that is being read
        self._escaped = self._colon = False
        self._before = ""  # the string that ended last, while nothing but a colon has come since

    def find(self, piece: str) -> int | None:
        """Take more; return where in it the text begins, None as long as it does not."""
        for i, char in enumerate(piece):
            if self._string is not None:
                self._within(self._string, char)
            elif char == '"' and self._colon and self._before == "synthesis" and not self._lists:
                return i + 1
            elif not char.isspace():
                self._between(char)
            if self.over:
                return None
        return None

    def _within(self, string: list[str], char: str) -> None:
        if self._escaped:
            self._escaped = False
        elif char == "\\":
            self._escaped = True
        elif char == '"':
            self._before, self._string = "".join(string), None
            return
        if len(string) < 12:  # longer than the key is enough to tell that it is another
            string.append(char)

    def _between(self, char: str) -> None:
        if char == ":":
            self._colon = True
            return
        self._before, self._colon = "", False
        self._string = [] if char == '"' else None
        self._objects += {"{": 1, "}": -1}.get(char, 0)
        self._lists += {"[": 1, "]": -1}.get(char, 0)
        self.over = self._objects <= 0


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
