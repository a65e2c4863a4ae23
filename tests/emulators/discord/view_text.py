"""Discord's subset of Markdown as HTML."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator

Name = Callable[[str, int], str]
"""Gives what a mention reads: of "@" for users, "@&" for roles, "#" for channels, with their id."""

_FENCE = re.compile(r"```(?:([\w+-]*)\n)?(.*?)```", re.DOTALL)
_HEADING = re.compile(r"(#{1,3}) +(.+)")
_ITEM = re.compile(r"( *)([-*]|\d+\.) +(.*)", re.DOTALL)
_INLINE = re.compile(
    r"\\(?P<escaped>[\\*_~`|>#\[\]()<:-])"
    r"|(?P<ticks>`+)(?P<code>.+?)(?P=ticks)"
    r"|<(?P<kind>@&|@!?|#)(?P<id>\d+)>"
    r"|<t:(?P<time>\d+)(?::\w)?>"
    r"|\[(?P<text>[^\]\n]+)\]\(<?(?P<target>https?://[^\s)>]+)>?\)"
    r"|<?(?P<bare>https?://[^\s<>]+)>?"
    r"|(?P<mark>\*\*\*|\*\*|\*|__|_|~~|\|\|)(?P<inner>(?=\S).+?(?<=\S))(?P=mark)(?!\w)",
    re.DOTALL,
)
_TAGS = {
    "***": ("<b><i>", "</i></b>"),
    "**": ("<b>", "</b>"),
    "*": ("<i>", "</i>"),
    "_": ("<i>", "</i>"),
    "__": ("<u>", "</u>"),
    "~~": ("<s>", "</s>"),
    "||": ("<span class='spoiler'>", "</span>"),
}


def as_html(text: str, name: Name) -> str:
    """Write a message's text as a person sees it."""
    parts, at = [], 0
    for fence in _FENCE.finditer(text):
        parts += [*_blocks(text[at : fence.start()], name), f"<pre>{html.escape(fence[2].rstrip())}</pre>"]
        at = fence.end()
    return "\n".join([*parts, *_blocks(text[at:], name)])


def _blocks(text: str, name: Name) -> Iterator[str]:
    lines = text.strip("\n").split("\n") if text.strip() else []
    quoted: list[str] = []
    while lines:
        line = lines.pop(0)
        while _ITEM.fullmatch(line.partition("\n")[0]) and lines and lines[0][:1] == " " and not _ITEM.match(lines[0]):
            line += "\n" + lines.pop(0).strip()  # what is indented below an item belongs to it
        if line.startswith(">>> "):
            quoted, lines = [line[4:], *lines], []
        elif line.startswith("> "):
            quoted.append(line[2:])
            if lines and lines[0].startswith("> "):
                continue
        if quoted:
            yield f"<blockquote>{as_html(chr(10).join(quoted), name)}</blockquote>"
            quoted = []
        else:
            yield _line(line, name)


def _line(line: str, name: Name) -> str:
    if heading := _HEADING.fullmatch(line):
        level = len(heading[1])
        return f"<h{level}>{inline(heading[2], name)}</h{level}>"
    if line.startswith("-# "):
        return f"<small>{inline(line[3:], name)}</small>"
    if item := _ITEM.fullmatch(line):
        bullet = "&bull;" if item[2] in "-*" else item[2]
        depth = len(item[1]) // 2
        shown = inline(item[3], name).replace("\n", "<br>")
        return f"<div class='item' style='margin-left:{depth * 18}px'><i>{bullet}</i><span>{shown}</span></div>"
    return f"<p>{inline(line, name) or '&nbsp;'}</p>"


def inline(text: str, name: Name) -> str:
    """Write the marks within a line."""
    parts, at = [], 0
    for found in _INLINE.finditer(text):
        if found["mark"] == "_" and found.start() and text[found.start() - 1].isalnum():
            continue
        parts += [html.escape(text[at : found.start()]), _mark(found, name)]
        at = found.end()
    return "".join([*parts, html.escape(text[at:])])


def _mark(found: re.Match[str], name: Name) -> str:
    if found["escaped"]:
        return html.escape(found["escaped"])
    if found["code"]:
        return f"<code>{html.escape(found['code'])}</code>"
    if found["kind"]:
        label = name(found["kind"].rstrip("!"), int(found["id"]))
        return f"<span class='mention'>{html.escape(label)}</span>"
    if found["time"]:
        return f"<span class='time'>time {found['time']}</span>"
    if found["target"]:
        return f"<a title='{html.escape(found['target'])}'>{inline(found['text'], name)}</a>"
    if found["bare"]:
        return f"<a>{html.escape(found['bare'])}</a>"
    opened, closed = _TAGS[found["mark"]]
    return f"{opened}{inline(found['inner'], name)}{closed}"
