"""What a message may say: refusals as Slack makes them, and a lint for what Slack lets pass."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from . import limits
from .blocks import check_blocks, name_blocks, parse_blocks, texts
from .journal import JSON, ApiError, Journal, Malformed
from .workspace import Workspace

MASS_MENTION = re.compile(r"<!(?:channel|here|everyone|group)(?:\||>)|<!subteam\^")
PLAIN_MASS_MENTION = re.compile(r"@(?:channel|here|everyone)\b")
FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)$")


@dataclass(frozen=True)
class Content:
    """The checked content of a message. `blocks` is None when the call did not name them."""

    text: str
    blocks: list[JSON] | None = None
    markdown: bool = False
    metadata: JSON | None = None
    attachments: list[JSON] = field(default_factory=list)


def read_content(args: JSON, space: Workspace, method: str, *, update: bool = False) -> Content:
    """Check the content arguments of a call and lint them.

    Raises:
        ApiError: Slack refuses the content.
    """
    text = str(args.get("text") or "")
    markdown = args.get("markdown_text")
    if markdown and (text or args.get("blocks")):
        raise Malformed("markdown_text_conflict", "markdown_text excludes text and blocks")
    blocks = None
    if args.get("blocks") is not None:
        blocks = parse_blocks(args["blocks"])
        check_blocks(blocks, space.usable_image)
        name_blocks(blocks)
    attachments = parse_blocks(args["attachments"]) if args.get("attachments") else []
    if not text and not markdown and not blocks and not attachments:
        raise ApiError("no_text")
    if markdown and len(str(markdown)) > limits.MARKDOWN_TEXT:
        raise Malformed("msg_too_long", f"markdown_text of {len(str(markdown))} characters")
    if update and len(text) > limits.UPDATE_TEXT:
        raise Malformed("msg_too_long", f"text of {len(text)} characters")
    content = Content(
        str(markdown) if markdown else text,
        blocks,
        bool(markdown),
        read_metadata(args.get("metadata")),
        attachments,
    )
    lint(content, args, space.journal, method)
    return Content(content.text[: limits.TEXT_TRUNCATED], blocks, content.markdown, content.metadata, attachments)


def read_metadata(value: object) -> JSON | None:
    """Message metadata, which must be an object of event_type and event_payload; {} erases it.

    Raises:
        Malformed: invalid_metadata_format or invalid_metadata_schema.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise Malformed("invalid_metadata_format", "metadata is not JSON") from None
    if value is None or value == {}:
        return None if value is None else {}
    if not isinstance(value, dict):
        raise Malformed("invalid_metadata_format", "metadata is not an object")
    # Bolt's `say` in a thread of a DM sends a null payload, so Slack must take it.
    shaped = isinstance(value.get("event_type"), str) and isinstance(value.get("event_payload", ""), dict | None)
    if not shaped or set(value) - {"event_type", "event_payload", "entities"}:
        raise Malformed("invalid_metadata_schema", "metadata needs event_type and event_payload alone")
    return value


def lint(content: Content, args: JSON, journal: Journal, method: str) -> None:
    """Record what Slack would let pass and a careful app would not send."""
    if content.blocks and not content.text:
        journal.violation("missing_fallback_text", f"{method}: blocks without text")
    if not content.markdown:
        _lint_length(content.text, journal, method)
    pieces = list(texts([*(content.blocks or []), *content.attachments]))
    lint_mentions([("mrkdwn", content.text), *pieces], journal, method)
    if args.get("link_names") or args.get("parse") == "full":
        for _, text in [("", content.text), *pieces]:
            if PLAIN_MASS_MENTION.search(text):
                journal.violation("mass_mention", f"{method}: plain mention with link_names")
    shown = pieces if content.blocks else [("markdown" if content.markdown else "mrkdwn", content.text)]
    lint_fences(shown, journal, method)


def _lint_length(text: str, journal: Journal, method: str) -> None:
    if len(text) > limits.TEXT_TRUNCATED:
        journal.violation("text_truncated", f"{method}: text of {len(text)} characters")
    elif len(text) > limits.TEXT_RECOMMENDED:
        journal.violation("text_too_long", f"{method}: text of {len(text)} characters")


def lint_mentions(pieces: Iterable[tuple[str, str]], journal: Journal, method: str) -> None:
    """A live mass mention anywhere Slack honours one, code spans included."""
    for kind, text in pieces:
        found = MASS_MENTION.search(text) if kind != "plain" else None
        if found:
            journal.violation("mass_mention", f"{method}: {found.group()} in {kind}")


def lint_fences(pieces: Iterable[tuple[str, str]], journal: Journal, method: str) -> None:
    """A code fence left open swallows the rest of the message."""
    for kind, text in pieces:
        if kind == "markdown" and open_fence(text):
            journal.violation("unbalanced_fence", f"{method}: markdown ends inside a code fence")
        elif kind == "mrkdwn" and sum(len(run) // 3 for run in re.findall("`{3,}", text)) % 2:
            journal.violation("unbalanced_fence", f"{method}: mrkdwn ends inside a code fence")


def open_fence(text: str) -> bool:
    """Whether CommonMark text ends inside a fenced code block."""
    opened = ""
    for line in text.splitlines():
        found = FENCE.match(line)
        if not found:
            continue
        mark, info = found.groups()
        if opened:
            if mark[0] == opened[0] and len(mark) >= len(opened) and not info.strip():
                opened = ""
        elif mark[0] == "~" or "`" not in info:
            opened = mark
    return bool(opened)
