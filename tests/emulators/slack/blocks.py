"""Block Kit: which blocks Slack takes and how large they may be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from . import limits
from .journal import JSON, Malformed

# Fields besides type and block_id; Slack refuses any other.
BLOCK_FIELDS: dict[str, set[str]] = {
    "actions": {"elements"},
    "context": {"elements"},
    "context_actions": {"elements"},
    "divider": set(),
    "header": {"text"},
    "image": {"alt_text", "image_url", "slack_file", "title"},
    "input": {"label", "element", "hint", "optional", "dispatch_action"},
    "markdown": {"text"},
    "rich_text": {"elements"},
    "section": {"text", "fields", "accessory", "expand"},
    "table": {"rows", "column_settings"},
}
BUTTON_FIELDS = {"type", "text", "action_id", "value", "url", "style", "confirm", "accessibility_label"}
TEXT_FIELDS = {"mrkdwn": {"type", "text", "verbatim"}, "plain_text": {"type", "text", "emoji"}}
CONTEXT_ACTIONS = {"feedback_buttons", "icon_button"}
RICH_TEXT = {"rich_text_section", "rich_text_list", "rich_text_preformatted", "rich_text_quote"}
CELLS = {"raw_text", "raw_number", "rich_text"}

# Types whose `text` is a string, and how Slack reads that string.
TEXT_KINDS = {
    "mrkdwn": "mrkdwn",
    "markdown": "markdown",
    "markdown_text": "markdown",
    "plain_text": "plain",
    "raw_text": "plain",
    "text": "plain",
    "link": "plain",
}


def texts(node: object) -> Iterator[tuple[str, str]]:
    """Every text of a block tree as (mrkdwn | markdown | plain, text).

    Mentions written as rich text elements come out as mrkdwn, in the syntax that means the same.
    """
    if isinstance(node, list):
        for item in node:
            yield from texts(item)
    elif isinstance(node, dict):
        kind, text = node.get("type"), node.get("text")
        if kind in TEXT_KINDS and isinstance(text, str):
            yield TEXT_KINDS[kind], text
        elif kind == "broadcast":
            yield "mrkdwn", f"<!{node.get('range')}>"
        elif kind == "usergroup":
            yield "mrkdwn", f"<!subteam^{node.get('usergroup_id')}>"
        else:
            yield from texts(list(node.values()))


def parse_blocks(value: object) -> list[JSON]:
    """Blocks as a list of objects, from JSON text or as they are.

    Raises:
        Malformed: the value is no list of objects.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise Malformed("invalid_blocks_format", "blocks are not JSON") from None
    if not isinstance(value, list) or not all(isinstance(block, dict) for block in value):
        raise Malformed("invalid_blocks_format", "blocks are not a list of objects")
    return value


def check_blocks(
    blocks: list[JSON],
    usable_image: Callable[[str], bool],
    maximum: int = limits.MESSAGE_BLOCKS,
    too_many: str = "invalid_blocks",
) -> None:
    """Refuse what Slack refuses.

    Raises:
        Malformed: invalid_blocks, msg_blocks_too_long, invalid_attachments or the error named by `too_many`.
    """
    if len(blocks) > maximum:
        raise Malformed(too_many, f"no more than {maximum} items allowed [json-pointer:/blocks]")
    if sum(block.get("type") == "table" for block in blocks) > 1:
        raise Malformed("invalid_attachments", "only_one_table_allowed")
    checker = _Checker(usable_image)
    for index, block in enumerate(blocks):
        checker.block(block, f"/blocks/{index}")
    ids = [block["block_id"] for block in blocks if block.get("block_id")]
    if len(ids) != len(set(ids)):
        checker.problem("block_id is not unique", "/blocks")
    if checker.problems:
        raise Malformed("invalid_blocks", *checker.problems)
    # The 12,000 characters allowed over all markdown blocks are covered by the same sum.
    length = sum(len(text) for _, text in texts(blocks))
    if length > limits.ALL_BLOCK_TEXT:
        raise Malformed("msg_blocks_too_long", f"{length} characters of text in the blocks")


class _Checker:
    """Collects every problem of a list of blocks."""

    def __init__(self, usable_image: Callable[[str], bool]) -> None:
        self.problems: list[str] = []
        self._usable_image = usable_image

    def problem(self, message: str, pointer: str) -> None:
        self.problems.append(f"{message} [json-pointer:{pointer}]")

    def block(self, block: JSON, at: str) -> None:
        kind = block.get("type")
        if not isinstance(kind, str) or kind not in BLOCK_FIELDS:
            self.problem(f"unsupported type: {kind}", f"{at}/type")
            return
        for name in sorted(set(block) - BLOCK_FIELDS[kind] - {"type", "block_id"}):
            self.problem(f"unexpected field: {name}", at)
        self.string(block, "block_id", limits.BLOCK_ID, at, optional=True)
        if kind != "divider":
            getattr(self, f"_{kind}")(block, at)

    def string(self, holder: JSON, name: str, most: int, at: str, *, optional: bool = False) -> None:
        value = holder.get(name)
        if value is None and optional:
            return
        if not isinstance(value, str) or not value:
            self.problem(f"missing required field: {name}", at)
        elif len(value) > most:
            self.problem(f"must be less than {most + 1} characters", f"{at}/{name}")

    def items(self, holder: JSON, name: str, most: int, at: str) -> list[tuple[JSON, str]]:
        """The objects of a list field with their pointers; too many or none is a problem."""
        value = holder.get(name)
        if not isinstance(value, list) or not value:
            self.problem(f"must provide {name}", at)
            return []
        if len(value) > most:
            self.problem(f"no more than {most} items allowed", f"{at}/{name}")
        return [(item, f"{at}/{name}/{i}") for i, item in enumerate(value) if self._object(item, at)]

    def _object(self, item: object, at: str) -> bool:
        if not isinstance(item, dict):
            self.problem("must be an object", at)
        return isinstance(item, dict)

    def text(self, value: Any, most: int, at: str, *, plain: bool = False) -> None:
        allowed = {"plain_text"} if plain else {"plain_text", "mrkdwn"}
        if not isinstance(value, dict) or value.get("type") not in allowed:
            self.problem(f"must be a text object of type {' or '.join(sorted(allowed))}", at)
            return
        for name in sorted(set(value) - TEXT_FIELDS[value["type"]]):
            self.problem(f"unexpected field: {name}", at)
        self.string(value, "text", most, at)

    def _section(self, block: JSON, at: str) -> None:
        if "text" not in block and "fields" not in block:
            self.problem("must provide text or fields", at)
        if "text" in block:
            self.text(block["text"], limits.SECTION_TEXT, f"{at}/text")
        if "fields" in block:
            for value, where in self.items(block, "fields", limits.SECTION_FIELDS, at):
                self.text(value, limits.SECTION_FIELD_TEXT, where)
        if "accessory" in block and self._object(block["accessory"], at):
            self._element(block["accessory"], f"{at}/accessory")

    def _header(self, block: JSON, at: str) -> None:
        self.text(block.get("text"), limits.HEADER_TEXT, f"{at}/text", plain=True)

    def _markdown(self, block: JSON, at: str) -> None:
        self.string(block, "text", limits.ALL_BLOCK_TEXT, at)

    def _context(self, block: JSON, at: str) -> None:
        for element, where in self.items(block, "elements", limits.CONTEXT_ELEMENTS, at):
            if element.get("type") == "image":
                self._image(element, where)
            else:
                self.text(element, limits.CONTEXT_TEXT, where)

    def _actions(self, block: JSON, at: str) -> None:
        self._elements(block, limits.ACTIONS_ELEMENTS, at)

    def _context_actions(self, block: JSON, at: str) -> None:
        self._elements(block, limits.CONTEXT_ACTIONS_ELEMENTS, at)
        for element in block.get("elements") or []:
            if isinstance(element, dict) and element.get("type") not in CONTEXT_ACTIONS:
                self.problem(f"unsupported type: {element.get('type')}", at)

    def _elements(self, block: JSON, most: int, at: str) -> None:
        elements = self.items(block, "elements", most, at)
        for element, where in elements:
            self._element(element, where)
        ids = [element["action_id"] for element, _ in elements if element.get("action_id")]
        if len(ids) != len(set(ids)):
            self.problem("action_id is not unique in the block", at)

    def _element(self, element: JSON, at: str) -> None:
        kind = element.get("type")
        if kind == "image":
            self._image(element, at)
            return
        self.string(element, "action_id", limits.ACTION_ID, at, optional=True)
        if kind == "button":
            self._button(element, at)
        elif kind == "feedback_buttons":
            for name in ("positive_button", "negative_button"):
                self._button({"type": "button", **(element.get(name) or {})}, f"{at}/{name}")
        elif kind in {"static_select", "overflow"}:
            for option, where in self.items(element, "options", 100, at):
                self.text(option.get("text"), limits.BUTTON_TEXT, where, plain=True)
                self.string(option, "value", limits.BUTTON_VALUE, where)
        elif kind not in {"icon_button", "plain_text_input", "users_select", "conversations_select"}:
            self.problem(f"unsupported type: {kind}", at)

    def _button(self, button: JSON, at: str) -> None:
        for name in sorted(set(button) - BUTTON_FIELDS):
            self.problem(f"unexpected field: {name}", at)
        self.text(button.get("text"), limits.BUTTON_TEXT, f"{at}/text", plain=True)
        self.string(button, "value", limits.BUTTON_VALUE, at, optional=True)
        self.string(button, "url", limits.URL, at, optional=True)
        self.string(button, "accessibility_label", limits.BUTTON_LABEL, at, optional=True)
        if button.get("style") not in {None, "primary", "danger"}:
            self.problem("style must be primary or danger", at)

    def _image(self, image: JSON, at: str) -> None:
        self.string(image, "alt_text", limits.IMAGE_ALT, at)
        if ("image_url" in image) == ("slack_file" in image):
            self.problem("must provide exactly one of image_url and slack_file", at)
        self.string(image, "image_url", limits.URL, at, optional=True)
        if "title" in image:
            self.text(image["title"], limits.IMAGE_TITLE, f"{at}/title", plain=True)
        file = image.get("slack_file")
        if file is not None and not (isinstance(file, dict) and self._usable_image(str(file.get("id")))):
            self.problem("invalid slack file", f"{at}/slack_file")

    def _input(self, block: JSON, at: str) -> None:
        self.text(block.get("label"), limits.SECTION_FIELD_TEXT, f"{at}/label", plain=True)
        if self._object(block.get("element"), at):
            self._element(block["element"], f"{at}/element")

    def _rich_text(self, block: JSON, at: str) -> None:
        for element, where in self.items(block, "elements", limits.ALL_BLOCK_TEXT, at):
            if element.get("type") not in RICH_TEXT:
                self.problem(f"unsupported type: {element.get('type')}", where)

    def _table(self, block: JSON, at: str) -> None:
        rows = block.get("rows")
        if not isinstance(rows, list) or not rows or not all(isinstance(row, list) for row in rows):
            self.problem("must provide rows", at)
            return
        if len(rows) > limits.TABLE_ROWS:
            self.problem(f"no more than {limits.TABLE_ROWS} items allowed", f"{at}/rows")
        if max(len(row) for row in rows) > limits.TABLE_CELLS:
            self.problem(f"no more than {limits.TABLE_CELLS} cells allowed", f"{at}/rows")
        for cell in (cell for row in rows for cell in row):
            if not isinstance(cell, dict) or cell.get("type") not in CELLS:
                self.problem("cells must be raw_text, raw_number or rich_text", f"{at}/rows")
                return
        if sum(len(text) for _, text in texts(rows)) > limits.TABLE_TEXT:
            self.problem(f"no more than {limits.TABLE_TEXT} characters allowed", f"{at}/rows")
