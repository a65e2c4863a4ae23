"""Slack's two kinds of text as HTML: mrkdwn, and the Markdown of markdown blocks and streams."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape, unescape

from markdown_it import MarkdownIt

MARKDOWN = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])

# <@U1>, <#C1|name>, <!here>, <url|label>: as they stand in text whose & < > are entities.
LINK = re.compile(r"<([@#!]?)([^<>|\n]+)(?:\|([^<>\n]*))?>")
CODE = re.compile(r"(```.*?```|`[^`\n]+`)", re.DOTALL)
EMOJI = re.compile(r":([a-z0-9_+-]+):")
NAMES = {
    "white_check_mark": "✅", "x": "❌", "warning": "⚠️", "hourglass": "⌛", "hourglass_flowing_sand": "⏳",
    "scales": "⚖️", "mag": "🔍", "bulb": "💡", "thumbsup": "👍", "+1": "👍", "thumbsdown": "👎", "-1": "👎",
    "speech_balloon": "💬", "bar_chart": "📊", "memo": "📝", "no_entry": "⛔", "arrow_right": "➡️", "lock": "🔒",
    "robot_face": "🤖", "page_facing_up": "📄", "gear": "⚙️", "wave": "👋", "stop_sign": "🛑", "eyes": "👀",
}  # fmt: skip

STYLES = (
    (re.compile(r"(?<![\w*])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])"), r"<b>\1</b>"),
    (re.compile(r"(?<![\w_])_(?=\S)([^_\n]+?)(?<=\S)_(?![\w_])"), r"<i>\1</i>"),
    (re.compile(r"(?<![\w~])~(?=\S)([^~\n]+?)(?<=\S)~(?![\w~])"), r"<s>\1</s>"),
)

# The client's own signs, drawn, as not every machine has a font with emoji.
ICONS = {
    "up": "M2 7h3v7H2zM6 7l3-6c2 0 2 2 1 5h4l-1 8H6z",
    "down": "M2 2h3v7H2zM6 9l3 6c2 0 2-2 1-5h4l-1-8H6z",
    "file": "M3 1h7l3 3v11H3zM5 6h6M5 9h6M5 12h4",
    "eye": "M1 8c4-6 10-6 14 0c-4 6-10 6-14 0zM8 6a2 2 0 1 0 .1 0z",
    "trash": "M2 4h12M4 4l1 11h6l1-11M6 4V1h4v3",
    "picture": "M1 2h14v12H1zM1 12l4-5l3 3l2-2l5 5",
}


def icon(name: str) -> str:
    """One of the client's signs as an inline drawing."""
    return f'<svg class="sign" viewBox="0 0 16 16"><path d="{ICONS[name]}"/></svg>'


def plain_html(text: str) -> str:
    """Plain text, in which only emoji names mean something."""
    return EMOJI.sub(_emoji, escape(text, quote=False)).replace("\n", "<br>")


def _emoji(found: re.Match[str]) -> str:
    return NAMES.get(found.group(1), found.group())


def _link(found: re.Match[str], names: Mapping[str, str]) -> str:
    sign, target, label = found.groups()
    if sign:
        shown = label or names.get(target, target.removeprefix("subteam^"))
        return f'<span class="mention">{"#" if sign == "#" else "@"}{escape(unescape(shown))}</span>'
    return f'<a href="{escape(unescape(target))}">{escape(unescape(label or target))}</a>'


def mrkdwn_html(text: str, names: Mapping[str, str]) -> str:
    """mrkdwn; `names` maps the ids of people and channels to what is shown."""
    pieces = []
    for index, piece in enumerate(CODE.split(text)):
        if index % 2 and piece.startswith("```"):
            pieces.append(f"<pre>{escape(unescape(piece[3:-3].strip(chr(10))))}</pre>")
        elif index % 2:
            pieces.append(f"<code>{escape(unescape(piece[1:-1]))}</code>")
        else:
            pieces.append(_inline(piece, names))
    return "".join(pieces)


def _inline(text: str, names: Mapping[str, str]) -> str:
    links: list[str] = []

    def keep(found: re.Match[str]) -> str:
        links.append(_link(found, names))
        return f"\x00{len(links) - 1}\x00"

    shown = escape(unescape(LINK.sub(keep, text)), quote=False)
    for pattern, html in STYLES:
        shown = pattern.sub(html, shown)
    lines = [
        f"<blockquote>{line[4:].lstrip()}</blockquote>" if line.startswith("&gt;") else line
        for line in shown.split("\n")
    ]
    joined = (
        "<br>".join(lines).replace("</blockquote><br>", "</blockquote>").replace("<br><blockquote>", "<blockquote>")
    )
    with_emoji = EMOJI.sub(_emoji, joined)
    return re.sub("\x00(\\d+)\x00", lambda found: links[int(found.group(1))], with_emoji)


def markdown_html(text: str, names: Mapping[str, str]) -> str:
    """The Markdown of markdown blocks and streams, in which Slack honours its own links and mentions too."""
    links: list[str] = []

    def keep(found: re.Match[str]) -> str:
        if not found.group(1) and "://" not in found.group(2):
            return found.group()
        links.append(_link(found, names))
        return f"\ue000{len(links) - 1}\ue001"

    html = str(MARKDOWN.render(LINK.sub(keep, text)))
    html = html.replace("<table>", '<div class="scroll"><table>').replace("</table>", "</table></div>")
    return re.sub("\ue000(\\d+)\ue001", lambda found: links[int(found.group(1))], EMOJI.sub(_emoji, html))
