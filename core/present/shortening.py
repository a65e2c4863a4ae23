"""The beginning of an answer, for those who do not want to read all of it: cut where Markdown can be cut."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

MOST = 700
"""Characters of an answer that is shown whole, and about as many of the beginning of a longer one."""

WHOLE = 3 * MOST
"""Up to which length a block that cannot be cut (code, a table, a formula) is shown at the head of an answer."""


class Block(NamedTuple):
    """A piece of a document. Text can be cut between its sentences, the others not at all."""

    kind: Literal["text", "heading", "item", "solid"]
    text: str
    gap: str


def shortened(markdown: str, most: int = MOST) -> tuple[str, bool]:
    """The first paragraphs or sentences, and whether something was left out; "…" stands for it.

    Code, tables, items of lists and formulae are shown whole or not at all.
    """
    whole = markdown.strip()
    if len(whole) <= most:
        return whole, False
    kept: list[Block] = []
    room = most
    for block in blocks(whole):
        if len(block.gap) + len(block.text) <= room:
            kept.append(block)
            room -= len(block.gap) + len(block.text)
            continue
        if (begun := _beginning(block, room, first=all(b.kind == "heading" for b in kept))) is not None:
            kept.append(begun)
        break
    while kept and kept[-1].kind == "heading":
        kept.pop()
    text = "".join((b.gap if index else "") + b.text for index, b in enumerate(kept))
    if text == whole:
        return whole, False
    if not kept or kept[-1].kind in ("item", "solid"):
        return f"{text}\n\n…".strip(), True
    return (text if text.endswith("…") else f"{text} …"), True


def closed(markdown: str) -> str:
    """The text with its last code block closed, should it end within: what follows is not to be part of it."""
    fence: re.Match[str] | None = None
    for line in markdown.split("\n"):
        match = _ANY_FENCE.fullmatch(line)
        if match is None:
            continue
        if fence is None:
            fence = match if match["mark"][0] == "~" or "`" not in match["rest"] else None
        elif match["mark"].startswith(fence["mark"]) and not match["rest"].strip():
            fence = None
    return markdown if fence is None else f"{markdown}\n{fence['indent']}{fence['mark']}"


def _beginning(block: Block, room: int, *, first: bool) -> Block | None:
    """As much of a block as there is room for; of the first one in any case something."""
    if block.kind in ("solid", "item"):
        return block if first and len(block.text) <= WHOLE else None
    if block.kind == "heading":
        return None
    end = _last_end(block.text, room)
    if end is None and first:
        end = _last_blank(block.text, room)
    return None if end is None else Block("text", block.text[:end].rstrip() + " …", block.gap)


# --- where a text may be cut ----------------------------------------------------------------------------

_SPANS = re.compile(r"(?P<ticks>`+)(?!`)|\$\$?(?=\S)|\\[(\[]|\[|\*\*|https?://\S+")
_CLOSERS = {"\\(": "\\)", "\\[": "\\]", "$": "$", "$$": "$$", "**": "**"}
_SENTENCE = re.compile("[.!?:](?:[\"'\u201d\u2019)*_]+)?(?=\\s)|[\u3002\uff01\uff1f]")
_LONGEST_SPAN = 2_000


def _held(text: str, upto: int) -> list[tuple[int, int]]:
    """Where code, formulae, links and bold words are, in which nothing is cut."""
    found: list[tuple[int, int]] = []
    place = 0
    while (match := _SPANS.search(text, place)) and match.start() < upto:
        end = _end_of(text, match)
        if end is None:
            place = match.end()
            continue
        found.append((match.start(), end))
        place = end
    return found


def _end_of(text: str, match: re.Match[str]) -> int | None:
    opener = match[0]
    if opener.startswith("http"):
        return match.end()
    if opener == "[":
        link = re.compile(r"\[[^\]\n]{0,300}\]\([^)\n]{0,2000}\)").match(text, match.start())
        return link.end() if link else None
    closer = _CLOSERS.get(opener, opener)
    place = text.find(closer, match.end(), match.end() + _LONGEST_SPAN)
    return None if place < 0 else place + len(closer)


def _free(place: int, held: list[tuple[int, int]]) -> bool:
    return not any(start < place < end for start, end in held)


def _last_end(text: str, room: int) -> int | None:
    """The last end of a sentence within the room; None when there is none worth it."""
    held = _held(text, room)
    ends = [m.end() for m in _SENTENCE.finditer(text, 0, room) if _free(m.end(), held)]
    return ends[-1] if ends else None


def _last_blank(text: str, room: int) -> int:
    """The last gap between words within the room, or the room's end where a text has none."""
    room = max(room, 1)
    held = _held(text, room)
    gaps = [m.start() for m in re.finditer(r"\s", text[:room]) if _free(m.start(), held)]
    if gaps and gaps[-1] > room // 4:
        return gaps[-1]
    over = next((end for start, end in held if start < room < end), None)
    return over if over is not None else room


# --- a document in pieces -------------------------------------------------------------------------------

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ANY_FENCE = re.compile(r"(?P<indent>[ \t]*)(?P<mark>`{3,}|~{3,})(?P<rest>.*)")
_ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,9}[.)])\s+\S")
_HEADING = re.compile(r" {0,3}#{1,6}\s|\*\*[^*\n]{1,120}\*\*:?$")


_LONGEST_FORMULA = 100
"""Lines of a formula."""


def blocks(markdown: str) -> Iterator[Block]:
    """A document's blocks in their order; joined with their gaps they are the document. Found as they are asked for."""
    gap = ""
    begun = False
    for chunk in _chunks(markdown.split("\n")):
        if not any(line.strip() for line in chunk):
            gap += "\n" * len(chunk)
            continue
        text = "\n".join(chunk)
        yield Block(_kind(chunk), text, gap + ("\n" if begun else ""))
        begun, gap = True, ""


def _kind(lines: list[str]) -> Literal["text", "heading", "item", "solid"]:
    first = lines[0]
    if _FENCE.match(first) or first.lstrip().startswith(("$$", "\\[", "|")) or _is_table(lines):
        return "solid"
    if first.startswith(("    ", "\t")):
        return "item" if _ITEM.match(first) else "solid"
    if _ITEM.match(first):
        return "item"
    if len(lines) == 1 and _HEADING.match(first):
        return "heading"
    return "text"


def _is_table(lines: list[str]) -> bool:
    return len(lines) > 1 and "|" in lines[0] and re.fullmatch(r"[\s|:-]*-[\s|:-]*", lines[1]) is not None


def _chunks(lines: list[str]) -> Iterator[list[str]]:
    """Lines that belong together: a fence, a formula, a table, an item of a list with what is indented below it."""
    place = 0
    while place < len(lines):
        end = _end_of_chunk(lines, place)
        yield lines[place:end]
        place = end


def _end_of_chunk(lines: list[str], start: int) -> int:
    line = lines[start]
    if fence := _FENCE.match(line):
        mark = fence[1]
        closing = re.compile(rf" {{0,3}}{re.escape(mark[0])}{{{len(mark)},}}\s*$")
        return next((n + 1 for n in range(start + 1, len(lines)) if closing.match(lines[n])), len(lines))
    for opener, closer in (("$$", "$$"), ("\\[", "\\]")):
        head = line.lstrip()
        if head.startswith(opener) and closer not in head[2:]:
            closed = (n + 1 for n in range(start + 1, min(start + _LONGEST_FORMULA, len(lines))) if closer in lines[n])
            return next(closed, start + 1)
    if not line.strip():
        return start + 1
    if _ITEM.match(line):
        return _end_of_item(lines, start)
    end = start + 1
    if _HEADING.match(line):
        return end
    while end < len(lines) and lines[end].strip() and not _FENCE.match(lines[end]) and not _ITEM.match(lines[end]):
        if lines[end].lstrip().startswith(("$$", "\\[")) or re.match(r" {0,3}#{1,6}\s", lines[end]):
            break
        end += 1
    return end


def _end_of_item(lines: list[str], start: int) -> int:
    """Where an item ends: before the next one of its list or the next paragraph; deeper items belong to it."""
    depth = len(lines[start]) - len(lines[start].lstrip())
    end = start + 1
    fence: str | None = None
    while end < len(lines):
        line = lines[end]
        mark = line.lstrip()[:3]
        if fence is not None:
            fence = None if mark == fence else fence
        elif mark in ("```", "~~~"):
            if len(line) - len(line.lstrip()) <= depth:
                break
            fence = mark
        elif (
            line.strip()
            and len(line) - len(line.lstrip()) <= depth
            and (_ITEM.match(line) or not lines[end - 1].strip())
        ):
            break
        end += 1
    while end > start + 1 and not lines[end - 1].strip():
        end -= 1
    return end
