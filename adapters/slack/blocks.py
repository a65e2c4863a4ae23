"""From the core's cards and forms to Block Kit: messages, modals, the app's home.

A card becomes one :class:`Page` a message. What is on a page stands there twice, as blocks and as safe Markdown, since
a message without blocks must say the same where Slack refuses them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.slack import limits
from adapters.slack.render import Content, in_text, line, safe, to_mrkdwn
from adapters.slack.splitting import split
from core.cards import Button, Card, Form, Input, Option, Reply, Section, Tone
from core.present.maths import readable

Block = dict[str, Any]

FEEDBACK = "feedback"
"""The action_id of the two buttons that ask what an answer was worth; which one it was, their values tell."""

_SIGNS = {Tone.SURE: "🟢", Tone.UNSURE: "🟡", Tone.SPLIT: "🟠", Tone.FAILED: "🔴"}
_NOTHING = "\u2205"  # stands for the empty value, which Slack takes for none at all


@dataclass(frozen=True)
class Page:
    """One message. ``markdown`` is safe and has all of its text."""

    blocks: tuple[Block, ...]
    markdown: str

    def content(self) -> Content:
        """Blocks, with a text for notifications and screen readers."""
        return {"blocks": list(self.blocks), "text": self._texts()[0]}

    def texts(self) -> list[Content]:
        """The same without blocks, in as many messages as that takes. Buttons are lost."""
        return [in_text(text) for text in self._texts()]

    def _texts(self) -> list[str]:
        return split(to_mrkdwn(self.markdown), limits.TEXT) or ["…"]


def pages(card: Card) -> list[Page]:
    """The messages of a card, at least one; its buttons are on the last."""
    status = [*([_status(card)] if card.status else []), *_small([card.details])]
    room = limits.BLOCKS_TEXT - sum(_weight(block) for block, _ in status)
    upper = [*status, *_markdown(card.body, room)]
    for section in card.sections:
        upper += _markdown(_listed(section), room)
    packed = list(_packed([[part] for part in upper] + [_tail(card)]))
    return [
        Page(tuple(block for block, _ in parts), "\n\n".join(text for _, text in parts if text)) for parts in packed
    ] or [Page((), "…")]


def reply_card(reply: Reply) -> Card:
    """What is said to one person, as a card."""
    return Card(body=reply.text, buttons=reply.buttons)


_Part = tuple[Block, str]  # a block, and what it says as safe Markdown


def _packed(groups: Iterable[list[_Part]]) -> Iterator[list[_Part]]:
    """Groups of parts, in as few messages as hold them; a group stays together."""
    page: list[_Part] = []
    for group in groups:
        weight = sum(_weight(block) for block, _ in [*page, *group])
        if page and (weight > limits.BLOCKS_TEXT or len(page) + len(group) > limits.BLOCKS):
            yield page
            page = []
        page = [*page, *group]
    if page:
        yield page


def _weight(node: object) -> int:
    """Characters of text in a block, counted as Slack does."""
    if isinstance(node, list):
        return sum(_weight(item) for item in node)
    if isinstance(node, dict):
        return sum(len(v) if k == "text" and isinstance(v, str) else _weight(v) for k, v in node.items())
    return 0


def _status(card: Card) -> _Part:
    text = line(readable(card.status.replace("**", "")), limits.LINE)
    sign = _SIGNS.get(card.tone, "")
    if sign and not card.status.startswith(sign):
        text = f"{sign} {text}"
    return _section(f"*{to_mrkdwn(text)}*"), f"**{text}**"


def _markdown(markdown: str, room: int) -> list[_Part]:
    return [({"type": "markdown", "text": piece}, piece) for piece in split(safe(readable(markdown)), room)]


def _listed(section: Section) -> str:
    return "\n".join([f"**{' '.join(section.title.split())}**", *(f"- {' '.join(x.split())}" for x in section.lines)])


def _tail(card: Card) -> list[_Part]:
    """Small print and buttons."""
    parts = _small(card.footer)
    rows = list(card.buttons)
    if card.good and card.bad:
        parts.append((_feedback(card.good, card.bad), ""))
    elif alone := card.good or card.bad:
        rows.append((alone,))
    return parts + [(row, "") for row in _rows(rows)]


def _small(lines: Iterable[str]) -> list[_Part]:
    small = [line(readable(text), limits.LINE) for text in lines if text.strip()]
    parts: list[_Part] = []
    for piece in split("\n".join(small), limits.SECTION) if small else ():
        markdown = "\n".join(f"_{text}_" for text in piece.split("\n"))
        parts.append(({"type": "context", "elements": [_mrkdwn(to_mrkdwn(piece))]}, markdown))
    return parts


def _section(text: str) -> Block:
    return {"type": "section", "text": _mrkdwn(text)}


def _mrkdwn(text: str) -> Block:
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def plain_text(text: str, most: int) -> Block:
    """A text object without any markup; what is too long is cut, visibly."""
    flat = " ".join(text.split()) or "…"
    return {"type": "plain_text", "text": flat if len(flat) <= most else flat[: most - 1] + "…", "emoji": True}


# --- buttons --------------------------------------------------------------------------------------------


def _rows(rows: Iterable[Sequence[Button]]) -> Iterator[Block]:
    seen: dict[str, int] = {}
    for row in rows:
        elements = []
        for button in row:
            seen[button.action] = seen.get(button.action, 0) + 1
            nth = seen[button.action]
            elements.append(_button(button, button.action if nth == 1 else f"{button.action}#{nth}"))
        if elements:
            yield {"type": "actions", "elements": elements}


def _button(button: Button, action_id: str) -> Block:
    label = plain_text(f"{button.emoji} {button.label}", limits.LABEL)
    element: Block = {"type": "button", "text": label, "action_id": action_id, "value": button.action}
    if button.style != "plain":
        element["style"] = button.style
    return element


def _feedback(good: Button, bad: Button) -> Block:
    def choice(button: Button) -> Block:
        return {
            "text": plain_text(button.label, limits.LABEL),
            "value": button.action,
            "accessibility_label": plain_text(button.label, limits.LABEL)["text"],
        }

    element = {
        "type": "feedback_buttons",
        "action_id": FEEDBACK,
        "positive_button": choice(good),
        "negative_button": choice(bad),
    }
    return {"type": "context_actions", "elements": [element]}


def button_row(*buttons: Button) -> Block:
    """One row of buttons."""
    return next(_rows([buttons]))


# --- modals and the home --------------------------------------------------------------------------------


def form_view(form: Form, carried: Mapping[str, Any]) -> Block:
    """A modal. ``carried`` comes back with what is filled in, see :func:`carried_by`."""
    intro = [_section(piece) for piece in split(to_mrkdwn(safe(form.intro)), limits.SECTION)]
    metadata = json.dumps({**carried, "action": form.action}, ensure_ascii=False, separators=(",", ":"))
    if len(metadata) > limits.METADATA:
        raise ValueError(f"a modal carries at most {limits.METADATA} characters, not {len(metadata)}")
    return {
        "type": "modal",
        "callback_id": "form",
        "title": plain_text(form.title, limits.TITLE),
        "submit": plain_text(form.submit, limits.TITLE),
        "close": plain_text("Cancel", limits.TITLE),
        "private_metadata": metadata,
        "blocks": [*intro, *(_input(field) for field in form.inputs)],
    }


def carried_by(view: Mapping[str, Any]) -> dict[str, Any]:
    """What a modal carries: at least its ``action``."""
    carried = json.loads(view.get("private_metadata") or "{}")
    return carried if isinstance(carried, dict) else {}


def filled_in(view: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """What was filled into a modal, by the input's name."""
    filled: dict[str, tuple[str, ...]] = {}
    for name, elements in ((view.get("state") or {}).get("values") or {}).items():
        for element in elements.values():
            one = element.get("selected_option")
            options = element.get("selected_options") or ([one] if one else [])
            if "value" in element:
                filled[name] = (str(element["value"]),) if element["value"] else ()
            else:
                filled[name] = tuple("" if o["value"] == _NOTHING else str(o["value"]) for o in options)
    return filled


def input_names(view: Mapping[str, Any]) -> list[str]:
    """The names of a modal's inputs, from the first."""
    return [str(block["block_id"]) for block in view.get("blocks", ()) if block["type"] == "input"]


def home_view(reply: Reply) -> Block:
    """The home of the app: as a message, but in sections, since other blocks are for messages alone."""
    texts = [_section(piece) for piece in split(to_mrkdwn(safe(readable(reply.text))), limits.SECTION)]
    return {"type": "home", "blocks": [*texts, *_rows(reply.buttons)]}


def _input(field: Input) -> Block:
    block: Block = {
        "type": "input",
        "block_id": field.name,
        "label": plain_text(field.label, 150),
        "element": {"action_id": field.name, **_element(field)},
        "optional": not field.required,
    }
    if field.hint:
        block["hint"] = plain_text(field.hint, 500)
    return block


def _element(field: Input) -> Block:
    if field.kind in ("choice", "choices") and field.options and _listable(field.options):
        return _menu(field)
    most = min(field.max_length, limits.INPUT)
    element: Block = {"type": "plain_text_input", "multiline": field.kind == "lines", "max_length": most}
    if value := ", ".join(field.value)[:most]:
        element["initial_value"] = value
    return element


def _listable(options: Sequence[Option]) -> bool:
    """Whether a menu can hold these. What it cannot is typed instead."""
    return len(options) <= limits.OPTIONS**2 and all(len(option.value) <= limits.OPTION for option in options)


def _menu(field: Input) -> Block:
    shown = {option.value: _option(option) for option in field.options}
    chosen = [shown[value] for value in dict.fromkeys(field.value) if value in shown]
    element: Block = {"type": "static_select" if field.kind == "choice" else "multi_static_select"}
    listed = list(shown.values())
    if len(listed) <= limits.OPTIONS:
        element["options"] = listed
    else:
        groups = [listed[start : start + limits.OPTIONS] for start in range(0, len(listed), limits.OPTIONS)]
        element["option_groups"] = [
            {"label": plain_text(f"{group[0]['text']['text'][:30]} …", limits.LABEL), "options": group}
            for group in groups
        ]
    if chosen and field.kind == "choice":
        element["initial_option"] = chosen[0]
    elif chosen:
        element["initial_options"] = chosen
    return element


def _option(option: Option) -> Block:
    shown: Block = {"text": plain_text(option.label, limits.LABEL), "value": option.value or _NOTHING}
    if option.about:
        shown["description"] = plain_text(option.about, limits.LABEL)
    return shown
