"""Block Kit: which blocks Slack takes and how large they may be."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator

from . import limits
from .elements import ACCESSORIES, ACTIONS, CONTEXT_ACTIONS, ELEMENT_FIELDS, INPUTS, ElementChecker
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
    "plan": {"title", "tasks"},
    "section": {"text", "fields", "accessory", "expand"},
    "table": {"rows", "column_settings"},
    "task_card": {"task_id", "title", "details", "output", "sources", "status"},
}
# Blocks that only a message may have.
MESSAGE_ONLY = {"context_actions", "markdown", "plan", "table", "task_card"}
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


def name_blocks(blocks: list[JSON]) -> list[JSON]:
    """The blocks, each with a block_id and each of their elements with an action_id, as Slack makes them up."""
    for block in blocks:
        block.setdefault("block_id", uuid.uuid4().hex[:5])
        inner = [*(block.get("elements") or []), block.get("accessory"), block.get("element")]
        for element in inner:
            if isinstance(element, dict) and "action_id" in ELEMENT_FIELDS.get(str(element.get("type")), ()):
                element.setdefault("action_id", uuid.uuid4().hex[:5])
    return blocks


def check_blocks(
    blocks: list[JSON],
    usable_image: Callable[[str], bool],
    maximum: int = limits.MESSAGE_BLOCKS,
    too_many: str = "invalid_blocks",
    *,
    message: bool = True,
) -> None:
    """Refuse what Slack refuses; `message` is false for the blocks of a view.

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
    if checker.focused > 1:
        checker.problem("only one element may have the focus", "/blocks")
    if not message and any(block.get("type") in MESSAGE_ONLY for block in blocks):
        checker.problem(f"{sorted(MESSAGE_ONLY)} are for messages only", "/blocks")
    ids = [block["block_id"] for block in blocks if block.get("block_id")]
    if len(ids) != len(set(ids)):
        checker.problem("block_id is not unique", "/blocks")
    if checker.problems:
        raise Malformed("invalid_blocks", *checker.problems)
    # The 12,000 characters allowed over all markdown blocks are covered by the same sum.
    length = sum(len(text) for _, text in texts(blocks))
    if message and length > limits.ALL_BLOCK_TEXT:
        raise Malformed("msg_blocks_too_long", f"{length} characters of text in the blocks")


class _Checker(ElementChecker):
    """Collects every problem of a list of blocks."""

    def block(self, block: JSON, at: str) -> None:
        kind = block.get("type")
        if not isinstance(kind, str) or kind not in BLOCK_FIELDS:
            self.problem(f"unsupported type: {kind}", f"{at}/type")
            return
        self.only(block, BLOCK_FIELDS[kind] | {"type", "block_id"}, at)
        self.string(block, "block_id", limits.BLOCK_ID, at, optional=True)
        if kind != "divider":
            getattr(self, f"_{kind}")(block, at)

    def _section(self, block: JSON, at: str) -> None:
        if "text" not in block and "fields" not in block:
            self.problem("must provide text or fields", at)
        if "text" in block:
            self.text(block["text"], limits.SECTION_TEXT, f"{at}/text")
        if "fields" in block:
            for value, where in self.items(block, "fields", limits.SECTION_FIELDS, at):
                self.text(value, limits.SECTION_FIELD_TEXT, where)
        if "accessory" in block and self.is_object(block["accessory"], at):
            self.element(block["accessory"], f"{at}/accessory", ACCESSORIES)

    def _header(self, block: JSON, at: str) -> None:
        self.text(block.get("text"), limits.HEADER_TEXT, f"{at}/text", plain=True)

    def _markdown(self, block: JSON, at: str) -> None:
        self.string(block, "text", limits.ALL_BLOCK_TEXT, at)

    def _context(self, block: JSON, at: str) -> None:
        for element, where in self.items(block, "elements", limits.CONTEXT_ELEMENTS, at):
            if element.get("type") == "image":
                self.element(element, where, {"image"})
            else:
                self.text(element, limits.CONTEXT_TEXT, where)

    def _image(self, block: JSON, at: str) -> None:
        self.image(block, at)

    def _actions(self, block: JSON, at: str) -> None:
        self._elements(block, limits.ACTIONS_ELEMENTS, ACTIONS, at)

    def _context_actions(self, block: JSON, at: str) -> None:
        self._elements(block, limits.CONTEXT_ACTIONS_ELEMENTS, CONTEXT_ACTIONS, at)

    def _elements(self, block: JSON, most: int, allowed: set[str], at: str) -> None:
        elements = self.items(block, "elements", most, at)
        for element, where in elements:
            self.element(element, where, allowed)
        ids = [element["action_id"] for element, _ in elements if element.get("action_id")]
        if len(ids) != len(set(ids)):
            self.problem("action_id is not unique in the block", at)

    def _input(self, block: JSON, at: str) -> None:
        self.text(block.get("label"), limits.INPUT_LABEL, f"{at}/label", plain=True)
        if "hint" in block:
            self.text(block["hint"], limits.INPUT_LABEL, f"{at}/hint", plain=True)
        if self.is_object(block.get("element"), at):
            self.element(block["element"], f"{at}/element", INPUTS)

    def _task_card(self, block: JSON, at: str) -> None:
        self.string(block, "task_id", limits.BLOCK_ID, at)
        self.string(block, "title", limits.CHUNK_FIELD, at)
        if block.get("status") not in limits.TASK_STATUSES:
            self.problem(f"status must be one of {sorted(limits.TASK_STATUSES)}", at)
        for name in ("details", "output"):
            if name in block and (not self.is_object(block[name], at) or block[name].get("type") != "rich_text"):
                self.problem("must be rich_text", f"{at}/{name}")

    def _plan(self, block: JSON, at: str) -> None:
        self.string(block, "title", limits.CHUNK_FIELD, at)
        for task, where in self.items(block, "tasks", limits.MESSAGE_BLOCKS, at):
            if task.get("type") == "task_card":
                self._task_card(task, where)
            else:
                self.problem(f"unsupported type: {task.get('type')}", where)

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
