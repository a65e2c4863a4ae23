"""Block Kit as HTML that looks like Slack's client."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from typing import Any

from .elements import options_of
from .inputs import CHOICES, MANY, State
from .journal import JSON
from .markup import icon, markdown_html, mrkdwn_html, plain_html
from .workspace import File, Stream

TASK_MARKS = {"pending": "○", "in_progress": "◔", "complete": "✓", "error": "✕"}


class BlockRenderer:
    """Renders the blocks of one workspace.

    Args:
        names: what is shown for the ids of people and channels.
        files: the files that image blocks may show.
    """

    def __init__(self, names: Mapping[str, str], files: Mapping[str, File]) -> None:
        self.names = names
        self._files = files

    def blocks(self, blocks: list[JSON], state: State | None = None, errors: Mapping[str, str] | None = None) -> str:
        """Blocks below each other, with what is filled in and what is wrong with it."""
        shown = []
        for block in blocks:
            entries = (state or {}).get(block.get("block_id", ""), {})
            html = getattr(self, f"_{block['type']}")(block, entries)
            problem = (errors or {}).get(block.get("block_id", ""))
            wrong = f'<div class="error">{plain_html(problem)}</div>' if problem else ""
            shown.append(f'<div class="block {block["type"]}">{html}{wrong}</div>')
        return "".join(shown)

    def text(self, value: JSON) -> str:
        """A text object."""
        return mrkdwn_html(value["text"], self.names) if value["type"] == "mrkdwn" else plain_html(value["text"])

    def markdown(self, text: str) -> str:
        """Streamed Markdown."""
        return f'<div class="block markdown">{markdown_html(text, self.names)}</div>' if text else ""

    def stream(self, stream: Stream) -> str:
        """The task cards of a stream, and the blocks that came with it."""
        cards = "".join(
            self._card(task.title, task.status, task.details, task.output, task.sources)
            for task in stream.tasks.values()
        )
        if stream.display_mode == "plan" and (cards or stream.plan_title):
            cards = f'<div class="plan"><b>{plain_html(stream.plan_title or "Plan")}</b>{cards}</div>'
        return cards + self.blocks(stream.blocks)

    def _card(self, title: str, status: str, details: str, output: str, sources: list[JSON]) -> str:
        links = " ".join(f'<a class="source" href="{escape(s["url"])}">{plain_html(s["text"])}</a>' for s in sources)
        inner = "".join(
            f'<div class="{name}">{markdown_html(text, self.names)}</div>'
            for name, text in (("details", details), ("output", output))
            if text
        )
        mark = f'<span class="mark">{TASK_MARKS[status]}</span>'
        return f'<div class="task {status}">{mark}<div><b>{plain_html(title)}</b>{inner}{links}</div></div>'

    # Blocks; each takes the block and the state of its elements.

    def _section(self, block: JSON, entries: dict[str, JSON]) -> str:
        body = f"<div>{self.text(block['text'])}</div>" if "text" in block else ""
        fields = "".join(f"<div>{self.text(field)}</div>" for field in block.get("fields", []))
        body += f'<div class="fields">{fields}</div>' if fields else ""
        side = self._element(block["accessory"], entries) if "accessory" in block else ""
        return f'<div class="row"><div class="grow">{body}</div>{side}</div>'

    def _header(self, block: JSON, entries: dict[str, JSON]) -> str:
        return f"<h3>{self.text(block['text'])}</h3>"

    def _divider(self, block: JSON, entries: dict[str, JSON]) -> str:
        return "<hr>"

    def _markdown(self, block: JSON, entries: dict[str, JSON]) -> str:
        return markdown_html(block["text"], self.names)

    def _context(self, block: JSON, entries: dict[str, JSON]) -> str:
        return " ".join(
            self._picture(one, "icon") if one["type"] == "image" else f"<span>{self.text(one)}</span>"
            for one in block["elements"]
        )

    def _actions(self, block: JSON, entries: dict[str, JSON]) -> str:
        return "".join(self._element(one, entries) for one in block["elements"])

    _context_actions = _actions

    def _image(self, block: JSON, entries: dict[str, JSON]) -> str:
        title = f"<div>{self.text(block['title'])}</div>" if "title" in block else ""
        return title + self._picture(block, "picture")

    def _input(self, block: JSON, entries: dict[str, JSON]) -> str:
        optional = ' <span class="faint">(optional)</span>' if block.get("optional") else ""
        hint = f'<div class="faint">{self.text(block["hint"])}</div>' if "hint" in block else ""
        return f"<label>{self.text(block['label'])}{optional}</label>{self._element(block['element'], entries)}{hint}"

    def _table(self, block: JSON, entries: dict[str, JSON]) -> str:
        rows = []
        for index, row in enumerate(block["rows"]):
            tag = "td" if index else "th"
            cells = "".join(f"<{tag}>{self._cell(cell)}</{tag}>" for cell in row)
            rows.append(f"<tr>{cells}</tr>")
        return f'<div class="scroll"><table>{"".join(rows)}</table></div>'

    def _cell(self, cell: JSON) -> str:
        if cell["type"] == "rich_text":
            return self._rich_text(cell, {})
        return plain_html(str(cell.get("text", cell.get("value", ""))))

    def _task_card(self, block: JSON, entries: dict[str, JSON]) -> str:
        card = self._card(block["title"], block["status"], "", "", block.get("sources", []))
        inner = "".join(self._rich_text(block[name], {}) for name in ("details", "output") if name in block)
        return card + inner

    def _plan(self, block: JSON, entries: dict[str, JSON]) -> str:
        cards = "".join(self._task_card(task, {}) for task in block["tasks"])
        return f'<div class="plan"><b>{plain_html(block["title"])}</b>{cards}</div>'

    def _rich_text(self, block: JSON, entries: dict[str, JSON]) -> str:
        return "".join(self._rich(element) for element in block["elements"])

    def _rich(self, element: JSON) -> str:
        inner = element.get("elements", [])
        kind = element["type"]
        if kind == "rich_text_list":
            tag = "ol" if element.get("style") == "ordered" else "ul"
            return f"<{tag}>{''.join(f'<li>{self._rich(item)}</li>' for item in inner)}</{tag}>"
        if kind in {"rich_text_section", "rich_text_preformatted", "rich_text_quote"}:
            tag = {"rich_text_section": "div", "rich_text_preformatted": "pre"}.get(kind, "blockquote")
            return f"<{tag}>{''.join(self._rich(item) for item in inner)}</{tag}>"
        if kind == "link":
            return f'<a href="{escape(element["url"])}">{plain_html(element.get("text") or element["url"])}</a>'
        if kind in {"user", "channel", "usergroup", "broadcast", "emoji"}:
            said = element.get("user_id") or element.get("channel_id") or element.get("range") or element.get("name")
            return f'<span class="mention">@{plain_html(self.names.get(str(said), str(said)))}</span>'
        html, style = plain_html(str(element.get("text", ""))), element.get("style") or {}
        for name, tag in (("bold", "b"), ("italic", "i"), ("strike", "s"), ("code", "code")):
            html = f"<{tag}>{html}</{tag}>" if style.get(name) else html
        return html

    # Elements.

    def _element(self, element: JSON, entries: dict[str, JSON]) -> str:
        kind = element["type"]
        if kind == "image":
            return self._picture(element, "thumb")
        if kind in {"button", "icon_button"}:
            shown = icon("trash") if kind == "icon_button" else ""
            sure = " ⚠" if "confirm" in element else ""
            return f'<span class="button {element.get("style", "")}">{shown}{self.text(element["text"])}{sure}</span>'
        if kind == "feedback_buttons":
            good, bad = element["positive_button"]["text"], element["negative_button"]["text"]
            return "".join(
                f'<span class="button">{icon(sign)} {self.text(text)}</span>'
                for sign, text in (("up", good), ("down", bad))
            )
        if kind == "overflow":
            listed = ", ".join(self.text(option["text"]) for option in element["options"])
            return f'<span class="button">⋯</span><span class="faint">{listed}</span>'
        name, initial = CHOICES[kind]
        given = entries.get(element.get("action_id", ""), {}).get(name, element.get(initial))
        if kind in {"checkboxes", "radio_buttons"}:
            return self._boxes(element, list(given or []) if name == MANY else [given])
        hint = self.text(element["placeholder"]) if "placeholder" in element else "&nbsp;"
        shown = self._given(given) or f'<span class="faint">{hint}</span>'
        tall = " tall" if element.get("multiline") else ""
        arrow = '<span class="arrow">▾</span>' if "select" in kind else ""
        return f'<span class="field{tall}">{shown}{arrow}</span>'

    def _given(self, given: Any) -> str:
        """What is filled in: text, one option or several."""
        if isinstance(given, list):
            return " ".join(f'<span class="chip">{self.text(option["text"])}</span>' for option in given)
        if isinstance(given, dict):
            return self.text(given["text"])
        return plain_html(self.names.get(str(given), str(given))) if given else ""

    def _boxes(self, element: JSON, given: list[JSON | None]) -> str:
        marks = "☑☐" if element["type"] == "checkboxes" else "◉○"
        values = {option["value"] for option in given if option}
        rows = []
        for option in options_of(element):
            more = f'<div class="faint">{self.text(option["description"])}</div>' if "description" in option else ""
            rows.append(f"<div>{marks[option['value'] not in values]} {self.text(option['text'])}{more}</div>")
        return "".join(rows)

    def _picture(self, image: JSON, style: str) -> str:
        file = self._files.get(str((image.get("slack_file") or {}).get("id")))
        if file is not None:
            return picture(file, style)
        return f'<span class="{style} missing">{icon("picture")} {plain_html(image["alt_text"])}</span>'


def picture(file: File, style: str) -> str:
    """An uploaded image, its bytes within the page."""
    data = base64.b64encode(file.content or b"").decode()
    return f'<img class="{style}" alt="{escape(file.alt_text)}" src="data:{file.mimetype};base64,{data}">'
