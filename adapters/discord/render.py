"""Markdown as models write it becomes messages that Discord shows well and that can harm nobody.

Discord's Markdown is its own: no tables, three levels of heading, masked links that can lie about where they lead.
Text is read line by line and every line is made safe by itself, so that cutting a text into messages never opens
what was closed. Outside code nothing is rewritten that Discord shows as the author meant it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from adapters.discord import limits
from adapters.discord.limits import size, weight

GAP = "\u200b"
"""A space without width: breaks what Discord would act on, and is not seen."""

BREAK = "\x1e"
"""Stands between two parts of a message while it is filled; texts that come in lose theirs."""

TABLE_COLUMNS = 46
"""A table up to this width is set in a code block; phones would wrap a wider one, so it becomes a list."""


# --- making text safe -----------------------------------------------------------------------------------

_MENTION = re.compile(r"@(?=(?:everyone|here)\b)|<(?=@[!&]?\d|#\d|/[-\w ]{1,100}:\d|id:)", re.IGNORECASE)
_INVITE = re.compile(
    r"(?:https?://)?(?:www\.)?discord(?P<app>app)?\.(?P<rest>gg/|com/invite/|com/events/)", re.IGNORECASE
)
_URL = r"https?://[^\s<>()\[\]]*(?:\([^\s<>()\[\]]*\)[^\s<>()\[\]]*)*"
_INLINE = re.compile(
    rf"""
      (?P<escape>\\[^\sA-Za-z0-9])
    | (?<!`)(?P<ticks>`+)(?!`)(?P<code>.+?)(?<!`)(?P=ticks)(?!`)
    | !?\[(?P<label>(?:[^\[\]\\`]|\\.)*)\]\(\s*<?(?P<url>{_URL})>?(?:\s+(?:"[^"]*"|'[^']*'))?\s*\)
    | <(?P<auto>https?://[^\s<>\[\]]+)>
    | (?P<bare>https?://[^\s<>\[\]|`]+)
    | (?P<ticks_alone>`+) | (?P<bars>\|\|+) | (?P<forged>\]\() | (?P<br><br\s*/?>)
    """,
    re.VERBOSE | re.IGNORECASE,
)


def inert(text: str) -> str:
    """Break mentions, commands and invitations; everything else stays, so it may be used on code too."""
    text = _INVITE.sub(lambda m: f"discord{m['app'] or ''}[.]{m['rest']}", text)
    return _MENTION.sub(lambda m: m[0] + GAP, text)


def inline(text: str) -> str:
    """Make one line of Markdown safe: links show where they lead, code is balanced, nobody is mentioned."""
    return inert(_INLINE.sub(_piece, text))


def _piece(match: re.Match[str]) -> str:
    match match.lastgroup:
        case "code":
            return _code(match["code"])
        case "url":
            label = _INLINE.sub(_piece, match["label"]).strip()
            same = label.strip("<>").rstrip("/") == match["url"].rstrip("/")
            return f"<{match['url']}>" if same or not label else f"{label} (<{match['url']}>)"
        case "auto":
            return match[0]
        case "bare":
            url = _without_tail(match["bare"])
            return f"<{url}>" + _INLINE.sub(_piece, match["bare"][len(url) :])
        case "ticks_alone" | "bars":
            return "".join("\\" + char for char in match[0])
        case "forged":
            return f"]{GAP}("
        case "br":
            return " "
        case _:
            return match[0]


def _code(text: str) -> str:
    """A code span with as few backticks as hold it; Discord takes three for a block."""
    if "`" not in text:
        return f"`{text}`"
    text = re.sub(r"`(?=`)", "`" + GAP, text)
    return f"`` {text.strip()} ``"


def _without_tail(url: str) -> str:
    """A bare address without the punctuation of its sentence."""
    while url and (url[-1] in ".,:;!?'\"*_]}~" or (url[-1] == ")" and url.count(")") > url.count("("))):
        url = url[:-1]
    return url


# --- lines and blocks -----------------------------------------------------------------------------------

_QUOTED = re.compile(r"^\s{0,3}(?:>\s?)+")
_HEADING = re.compile(r"^\s{0,3}#{4,6}\s+(?P<text>.*?)\s*#*\s*$")
_RULE = re.compile(r"^\s{0,3}(?:(?:\*\s*){3,}|(?:-\s*){3,}|(?:_\s*){3,}|={3,})$")
_BULLET = re.compile(r"^(?P<indent>\s*)[+•]\s+")
_SUBTEXT = re.compile(r"^(?P<indent>\s*)-#")
_FENCE = re.compile(
    r"^(?P<lead>[ \t>]*(?:(?:[-*+]|\d{1,3}[.)])[ \t]+)?)(?P<fence>`{3,}(?=[^`]*$)|~{3,})\s*(?P<info>.*)$"
)
_LANGUAGE = re.compile(r"[A-Za-z0-9_+#.-]{1,20}")
_DELIMITER = re.compile(r"^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$")


@dataclass(frozen=True)
class _Text:
    lines: list[str]
    render: Callable[[str], str]


@dataclass(frozen=True)
class _Block:
    """Lines of code, as they are."""

    language: str
    lines: list[str]


def line(raw: str) -> str:
    """One line outside code in Discord's Markdown."""
    quote = ""
    if found := _QUOTED.match(raw):
        quote, raw = "> ", raw[found.end() :]
    if _RULE.match(raw):
        return f"{quote}{'─' * 12}"
    if found := _HEADING.match(raw):
        return f"{quote}**{inline(found['text'])}**"
    raw = _BULLET.sub(r"\g<indent>- ", raw)
    return quote + _SUBTEXT.sub(r"\g<indent>\\-#", inline(raw))


def _small(raw: str) -> str:
    return f"-# {inline(raw)}"


def _small_print(lines: Sequence[str]) -> _Text:
    return _Text([" ".join(raw.split()) for raw in lines if raw.strip()], _small)


def _blocks(markdown: str) -> Iterator[_Text | _Block]:
    lines = markdown.replace(BREAK, "").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    text: list[str] = []
    at = 0
    while at < len(lines):
        used, block = _special(lines, at)
        if block is None and lines[at].strip():
            text.append(lines[at])
            at += 1
            continue
        if text:
            yield _Text(text, line)
            text = []
        if block is not None:
            yield block
        at += used
    if text:
        yield _Text(text, line)


def _special(lines: list[str], at: int) -> tuple[int, _Text | _Block | None]:
    """The code or table that begins at a line and how many lines it takes; (1, None) when there is none."""
    if fence := _FENCE.match(lines[at]):
        return _fenced(lines, at, fence)
    if "|" in lines[at] and at + 1 < len(lines) and "|" in lines[at + 1] and _DELIMITER.match(lines[at + 1]):
        end = at + 2
        while end < len(lines) and "|" in lines[end] and lines[end].strip():
            end += 1
        return end - at, _table([_cells(row) for row in (lines[at], *lines[at + 2 : end])])
    return 1, None


def _fenced(lines: list[str], at: int, fence: re.Match[str]) -> tuple[int, _Block]:
    """Code up to its closing fence, or to the end of a text that was cut off."""
    closing = re.compile(rf"^[ \t>]*{re.escape(fence['fence'])}{re.escape(fence['fence'][0])}*\s*$")
    quoted = r"(?:\s{0,3}>\s?)*" if ">" in fence["lead"] else ""
    indent = re.compile(rf"^{quoted}[ \t]{{0,{len(fence['lead'])}}}")
    end = at + 1
    while end < len(lines) and not closing.match(lines[end]):
        end += 1
    language = _LANGUAGE.match(fence["info"])
    body = [indent.sub("", code) for code in lines[at + 1 : end]]
    while body and not body[-1].strip():
        body.pop()
    return end + 1 - at, _Block(language[0] if language else "", body)


# --- tables ---------------------------------------------------------------------------------------------

_MARKUP = re.compile(r"(?P<mark>\*{1,3}|`+|~~|__)(?P<text>\S(?:.*?\S)?)(?P=mark)")


def _cells(row: str) -> list[str]:
    row = row.strip().removeprefix("|")
    row = row[:-1] if row.endswith("|") and not row.endswith("\\|") else row
    cells = re.split(r"(?<!\\)\|", row)
    return [re.sub(r"<br\s*/?>", " ", cell.replace("\\|", "|"), flags=re.IGNORECASE).strip() for cell in cells]


def _table(rows: list[list[str]]) -> _Text | _Block:
    count = len(rows[0])
    rows = [(row + [""] * count)[:count] for row in rows]
    bare = [[_MARKUP.sub(r"\g<text>", cell) for cell in row] for row in rows]
    widths = [max(_width(row[i]) for row in bare) for i in range(count)]
    if sum(widths) + 2 * (count - 1) <= TABLE_COLUMNS:
        head, *rest = [_padded(row, widths) for row in bare]
        return _Block("", [head, "  ".join("─" * width for width in widths), *rest])
    listed: list[str] = []
    for row in rows[1:]:
        first = _MARKUP.sub(r"\g<text>", row[0])
        listed.append(f"- **{first}**" if first else "-")
        named = zip(rows[0][1:], row[1:], strict=True)
        listed += [f"  - {name}: {cell}" if name else f"  - {cell}" for name, cell in named if cell]
    return _Text(listed, line)


def _padded(row: list[str], widths: list[int]) -> str:
    return "  ".join(cell + " " * (w - _width(cell)) for cell, w in zip(row, widths, strict=True)).rstrip()


def _width(text: str) -> int:
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


# --- cutting into messages ------------------------------------------------------------------------------


def split(markdown: str, limit: int = limits.TEXT) -> list[str]:
    """Turn Markdown into texts of at most ``limit`` characters (by :func:`adapters.discord.limits.weight`).

    Code that spans texts is closed and opened again. Markdown without anything to show gives no text.
    """
    return ["\n\n".join(parts) for parts in pages([markdown], limit=limit)]


class Small(str):
    """A line of small print within a part."""


def pages(parts: Sequence[str | Sequence[str]], small: Sequence[str] = (), limit: int = limits.TEXT) -> list[list[str]]:
    """Turn the parts of a document into messages: each the texts that stand in it, one a part. A part is Markdown, or
    pieces of it with :class:`Small` lines in between.

    All texts of a message together have at most ``limit`` characters. The lines of ``small`` stand below the last part
    in small print. What shows nothing is left out.
    """
    filled = _Pages(limit)
    for part in parts:
        filled.part()
        for piece in [part] if isinstance(part, str) else part:
            for block in [_small_print([piece])] if isinstance(piece, Small) else _blocks(piece):
                filled.add(block)
    filled.part()
    filled.add(_small_print(small))
    cut_up = [[text.strip("\n") for text in page.split(BREAK)] for page in filled.done()]
    return [[text for text in page if _shows(text)] for page in cut_up]


def _shows(text: str) -> bool:
    return bool(text.replace(GAP, "").strip())


def quote(text: str, limit: int = limits.MESSAGE) -> str:
    """A person's own words as a quotation that fits one message."""
    texts = split("\n".join(f"> {raw}" for raw in text.strip().splitlines()), limit - 4)
    return (texts[0] + ("\n> …" if len(texts) > 1 else "")) if texts else "> …"


def thread_name(question: str) -> str:
    """A name for the thread of a question: one line, without marks, never empty."""
    flat = " ".join(re.sub(r"[*_`~|#>\\]", "", question).split())
    flat = "".join(char for char in flat if char.isprintable()).strip() or "Consortium"
    return cut(flat, limits.THREAD_NAME)


def cut(text: str, limit: int) -> str:
    """A plain text of at most ``limit`` characters."""
    if size(text) <= limit:
        return text
    kept = text[: limit - 1]
    while size(kept) >= limit:
        kept = kept[: len(kept) - max(1, (size(kept) - limit) // 2)]
    return kept.rstrip() + "…"


class _Pages:
    """Fills messages one after the other."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pages: list[str] = []
        self._page = ""
        self._parted = False

    def done(self) -> list[str]:
        """The messages; those that would show nothing are left out."""
        self._turn()
        return [page for page in self._pages if _shows(page)]

    def part(self) -> None:
        """What comes next is a part of its own."""
        self._parted = True

    def add(self, block: _Text | _Block) -> None:
        """Put a block on, whole where that leaves no message half empty."""
        match block:
            case _Text():
                lines = [done for raw in block.lines for done in self._lines(raw, block.render)]
                self._put("", lines, "", "\n" if block.render is _small else "\n\n")
            case _Block():
                head, tail = f"```{block.language}\n", "\n```"
                room = self._limit - weight(head) - weight(tail)
                code = [inert(raw).replace("``", f"`{GAP}`") for raw in block.lines]
                if any(raw.strip() for raw in code):
                    self._put(head, [piece for raw in code for piece in _chunks(raw, room)], tail, "\n")

    def _lines(self, raw: str, render: Callable[[str], str]) -> Iterator[str]:
        """A line, cut at sentences or words until each part fits a message once it is rendered."""
        done = render(raw)
        if weight(done) <= self._limit:
            yield done
            return
        most = min(self._limit * 9 // 10, len(raw) * 2 // 3)
        sentence = max(raw.rfind(end, most // 2, most) for end in (". ", "! ", "? ", "; "))
        at = sentence + 1 if sentence > 0 else raw.rfind(" ", most // 2, most)
        at = at if at > 0 else most
        again = _QUOTED.match(raw)
        yield from self._lines(raw[:at].rstrip(), render)
        yield from self._lines(("> " if again and again.end() < at else "") + raw[at:].lstrip(), render)

    def _put(self, head: str, lines: list[str], tail: str, gap: str) -> None:
        if not lines:
            return
        gap, self._parted = BREAK if self._parted else gap, False
        whole = head + "\n".join(lines) + tail
        if self._fits(gap + whole):
            self._page += (gap if self._page else "") + whole
            return
        if weight(whole) <= self._limit and weight(self._page) > self._limit // 2:
            self._turn(whole)
            self._page += whole
            return
        self._fill(head, lines, tail, gap)

    def _fill(self, head: str, lines: list[str], tail: str, gap: str) -> None:
        opened = False
        for text in lines:
            start = "\n" if opened else (gap if self._page else "") + head
            if not self._fits(start + text + tail):
                self._page += tail if opened else ""
                start = head
                self._turn(start + text + tail)
            self._page += start + text
            opened = True
        self._page += tail if opened else ""

    def _fits(self, more: str) -> bool:
        return weight(self._page) + weight(more) <= self._limit

    def _turn(self, coming: str = "") -> None:
        """Begin a new message. A heading goes along with what comes below it, where both fit."""
        page, _, last = self._page.rpartition("\n")
        carried = last + "\n" if page.strip() and last.startswith("#") and coming else ""
        if carried and weight(carried) + weight(coming) <= self._limit:
            self._pages.append(page.rstrip())
            self._page = carried
            return
        self._pages.append(self._page)
        self._page = ""


def _chunks(text: str, limit: int) -> Iterator[str]:
    """A line of code in parts that fit."""
    while weight(text) > limit:
        part = text[:limit]
        while weight(part) > limit:
            part = part[: len(part) * limit // weight(part)]
        yield part
        text = text[len(part) :]
    yield text
