"""From the core's Markdown to what Slack shows: nothing in it can notify anybody or pretend to lead elsewhere.

Everything that a model or a person wrote passes :func:`safe` first. Its result is Markdown for a ``markdown``
block; :func:`to_mrkdwn` turns that into Slack's own markup for places where blocks are not taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal
from urllib.parse import urlsplit

from adapters.slack import limits
from adapters.slack.splitting import LONGEST_FENCE, Fences, close_fence, split

Content = dict[str, Any]
"""The arguments of a posting method that carry what is shown: text and blocks."""

_LINE_ENDS = re.compile("\r\n|[\r\x85\u2028\u2029]")
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ufeff]")  # control and direction marks
_LONG_FENCE = re.compile(rf"(`{{{LONGEST_FENCE}}})`+|(~{{{LONGEST_FENCE}}})~+")
_INLINE_CODE = re.compile(r"(?<!`)(`+)(?!`)(?:(?!\n[ \t]*\n).)+?(?<!`)\1(?!`)", re.DOTALL)
_URL = r"[^\s<>()`]*(?:\([^\s<>()`]*\)[^\s<>()`]*)*"
_LINK = re.compile(
    rf"!?\[(?P<label>(?:\\.|\[[^\[\]\n]{{0,300}}\]|[^\[\]\\]){{0,300}}+)\]\(\s*+<?(?P<url>{_URL})>?"
    r"(?:\s++(?:\"[^\"\n]*\"|'[^'\n]*'|\([^()\n]*\)))?\s*+\)"
    r"|<(?P<auto>(?:https?://|mailto:)[^\s<>|]+)>"
    r"|^ {0,3}\[(?P<reference>[^\[\]\n]+)\]:(?=\s)",
    re.MULTILINE,
)
"""A label of bounded length, nothing of which is tried twice: texts may be made of brackets that nothing closes."""

_MARKS = re.compile("`{3,}|~{3,}")
_MASS_MENTION = re.compile(r"@(?=(?:channel|here|everyone)\b)", re.IGNORECASE)
_ADDRESS = re.compile(r"(?:[a-z0-9-]+\.)+[a-z]{2,}", re.IGNORECASE)


def escape(text: str) -> str:
    """Write Slack's three special characters so that nothing in the text is a mention or a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def safe(markdown: str) -> str:
    """Markdown in which mentions are dead, links show where they lead, and code fences end.

    A link whose label reads as another address than its target loses the link and shows both; one with a
    target that is no web or mail address becomes text.
    """
    text = _clean(markdown)
    text = close_fence(_LONG_FENCE.sub(r"\1\2", text))
    return "".join(_prose(piece) if kind == "prose" else escape(piece) for kind, piece in _pieces(text))


def _clean(text: str) -> str:
    return _INVISIBLE.sub("", _LINE_ENDS.sub("\n", text))


def _pieces(text: str) -> Iterator[tuple[Literal["prose", "code", "fence"], str]]:
    """The text in order as (what it is, piece)."""
    for fenced, block in _blocks(text):
        if fenced:
            yield "fence", block
            continue
        end = 0
        for found in _INLINE_CODE.finditer(block):
            yield "prose", block[end : found.start()]
            yield "code", found.group()
            end = found.end()
        yield "prose", block[end:]


def _blocks(text: str) -> Iterator[tuple[bool, str]]:
    """Runs of lines as (are they a code fence, lines)."""
    held: list[str] = []
    fences = Fences()
    for line in re.findall(r"[^\n]*\n|[^\n]+", text):
        before = fences.opened
        fences.feed(line.removesuffix("\n"))
        if before is None and fences.opened is not None:
            yield False, "".join(held)
            held = [line]
        elif before is not None and fences.opened is None:
            yield True, "".join([*held, line])
            held = []
        else:
            held.append(line)
    yield fences.opened is not None, "".join(held)


def _prose(text: str) -> str:
    out: list[str] = []
    end = 0
    for found in _LINK.finditer(text):
        out += [_plain(text[end : found.start()]), _link(found)]
        end = found.end()
    return "".join([*out, _plain(text[end:])])


def _plain(text: str) -> str:
    text = escape(text).replace("](", "] (")  # what looks like a link and was not understood as one is none
    text = re.sub(r"^( {0,3})((?:&gt; ?)+)", lambda m: m[1] + m[2].replace("&gt;", ">"), text, flags=re.MULTILINE)
    return _MASS_MENTION.sub("@\u2060", text)


def _link(found: re.Match[str]) -> str:
    if found["reference"] is not None:
        return f"[{_plain(found['reference'])}]"  # a definition without its colon defines nothing
    url = (found["auto"] or found["url"] or "").replace("|", "%7C")
    label = _MARKS.sub(_quotes, " ".join((found["label"] or "").split()))
    host = _host(url)
    if host is None:
        return _plain(f"{label} ({url})" if label and url else label or url)
    if not label or _bare(label) == _bare(url):
        return escape(url)
    named = {_bare_host(name) for name in _ADDRESS.findall(label)}
    if named == {_bare_host(host)}:
        return f"[{_plain(label)}]({escape(url)})"
    if named:
        return f"{_plain(label)} ({escape(url)})"
    return f"[{_plain(label)}]({escape(url)}) ({escape(host)})"


def _host(url: str) -> str | None:
    """Where a web or mail address leads, None for every other kind of address."""
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname:
            return parts.hostname.encode("idna").decode()
    except ValueError:
        return None
    return parts.path or None if parts.scheme == "mailto" else None


def _bare(address: str) -> str:
    return re.sub(r"^(?:https?://|mailto:)", "", address, flags=re.IGNORECASE).rstrip("/").lower()


def _bare_host(host: str) -> str:
    return host.lower().removeprefix("www.")


# --- Slack's own markup ---------------------------------------------------------------------------------

_MARKUP = (
    (re.compile(r"^ {0,3}#{1,6}[ \t]+(.+?)[ \t#]*$", re.MULTILINE), r"*\1*"),
    (re.compile(r"^([ \t]*)[-*+][ \t]+", re.MULTILINE), r"\1• "),
    (re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*|__(?=\S)(.+?)(?<=\S)__"), r"*\1\2*"),
    (re.compile(r"~~(?=\S)(.+?)(?<=\S)~~"), r"~\1~"),
    (re.compile(rf"\[([^\[\]]+)\]\(({_URL})\)"), r"<\2|\1>"),
)
_TABLE = re.compile(r"(?:^ {0,3}\|.*(?:\n|\Z)){2,}", re.MULTILINE)


def to_mrkdwn(markdown: str) -> str:
    """What :func:`safe` gave, in Slack's own markup. Tables become code, which keeps their columns."""
    out: list[str] = []
    for kind, piece in _pieces(_TABLE.sub(_as_code, markdown)):
        if kind == "fence":
            body = piece.rstrip("\n").split("\n")[1:-1]
            out.append("\n".join(["```", *(re.sub("`{3,}", _quotes, line) for line in body), "```"]) + "\n")
        elif kind == "code":
            out.append(re.sub("`{3,}", _quotes, piece))
        else:
            text = re.sub("`{3,}", _quotes, piece)
            for pattern, replacement in _MARKUP:
                text = pattern.sub(replacement, text)
            out.append(text)
    return "".join(out)


def _as_code(table: re.Match[str]) -> str:
    return "```\n" + table.group().rstrip("\n") + "\n```\n"


def _quotes(marks: re.Match[str]) -> str:
    return "'" * len(marks.group())


# --- contents of messages -------------------------------------------------------------------------------


def line(text: str, most: int) -> str:
    """Safe Markdown of one line and at most ``most`` characters of the core's text, in which no fence begins."""
    flat = " ".join(_clean(text).split())  # what is not seen may stand between the marks of a fence
    cut = flat if len(flat) <= most else flat[: most - 1] + "…"
    return safe(_MARKS.sub(_quotes, cut))


def in_text(text: str) -> Content:
    """A text alone. The empty list takes away the blocks of a message that is edited."""
    return {"blocks": [], "text": text}


def question(asker: str, text: str) -> Content:
    """The message that opens a thread: who asks what. ``asker`` is a user's id."""
    quoted = _clean(text)
    if len(quoted) > limits.QUOTE:
        quoted = quoted[: limits.QUOTE - 1] + "…"
    head = {"type": "rich_text_section", "elements": [{"type": "user", "user_id": asker}, _literal(" asks:")]}
    body = {"type": "rich_text_quote", "elements": [_literal(quoted)]}
    lines = re.sub("`{3,}", _quotes, _plain(quoted)).split("\n")
    fallback = "\n".join([f"<@{asker}> asks:", *(f"> {line}" for line in lines)])
    return {"blocks": [{"type": "rich_text", "elements": [head, body]}], "text": split(fallback, limits.TEXT)[0]}


def _literal(text: str) -> Content:
    return {"type": "text", "text": text}
