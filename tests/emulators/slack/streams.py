"""chat.*Stream: messages that grow while people read them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from . import limits
from .blocks import check_blocks, name_blocks, parse_blocks, texts
from .chat import message_result
from .content import lint_fences, lint_mentions, read_metadata
from .journal import JSON, ApiError, Malformed
from .web_api import Handler
from .workspace import Channel, Message, Stream, Task, Workspace

# Fields that a chunk must have, and those it may have.
CHUNKS: dict[str, tuple[set[str], set[str]]] = {
    "markdown_text": ({"text"}, set()),
    "plan_update": ({"title"}, set()),
    "task_update": ({"id", "title", "status"}, {"details", "output", "sources"}),
    "blocks": ({"blocks"}, set()),
}


@dataclass
class Added:
    """What one call adds to a stream. `mode` says how it was said, "" where nothing was."""

    mode: str = ""
    text: str = ""
    plan_title: str = ""
    updates: list[JSON] = field(default_factory=list)
    blocks: list[JSON] = field(default_factory=list)


class StreamMethods:
    """The streaming methods of one workspace.

    Args:
        life: seconds after which a stream is dead, whatever was appended.
    """

    def __init__(self, space: Workspace, life: float) -> None:
        self._space = space
        self._life = life

    def table(self) -> dict[str, Handler]:
        """Method names and what serves them."""
        return {
            "chat.startStream": self.start,
            "chat.appendStream": self.append,
            "chat.stopStream": self.stop,
        }

    def start(self, args: JSON) -> JSON:
        channel = self._space.writable(str(args["channel"]))
        parent = self._space.messages.get((channel.id, str(args["thread_ts"])))
        if parent is None:
            raise ApiError("invalid_thread_ts")
        self._check_recipient(channel, args)
        mode = str(args.get("task_display_mode", "timeline"))
        if mode not in limits.DISPLAY_MODES:
            raise Malformed("invalid_arguments", f"task_display_mode {mode}")
        added = self._read(args, "chat.startStream")
        recipient = str(args["recipient_user_id"]) if "recipient_user_id" in args else None
        stream = Stream(self._space.clock() + self._life, recipient, mode)
        message = Message(
            channel.id,
            self._space.next_ts(),
            self._space.bot_user,
            "",
            bot_id=self._space.bot,
            thread_ts=self._space.parent_ts(channel, parent.ts),
            markdown=True,
            streaming=True,
            stream=stream,
        )
        self._add(message, stream, added)
        self._space.store(message)
        self._space.set_status((channel.id, message.thread_ts or message.ts), "processing")
        return {"channel": channel.id, "ts": message.ts}

    def _check_recipient(self, channel: Channel, args: JSON) -> None:
        if channel.type == "im":
            return
        for name in ("recipient_team_id", "recipient_user_id"):
            if name not in args:
                raise ApiError(f"missing_{name}")
        if args["recipient_user_id"] not in channel.members:
            self._space.journal.violation("stranger_recipient", f"{args['recipient_user_id']} is not in {channel.id}")

    def append(self, args: JSON) -> JSON:
        message, stream = self._streaming(args)
        added = self._read(args, "chat.appendStream")
        if not added.mode:
            raise ApiError("no_text")
        self._add(message, stream, added)
        return {"channel": message.channel, "ts": message.ts}

    def stop(self, args: JSON) -> JSON:
        message, stream = self._streaming(args)
        if args.get("session_status") not in {None, *limits.SESSION_STATUSES}:
            raise Malformed("invalid_arguments", "session_status")
        blocks = parse_blocks(args.get("blocks") or [])
        check_blocks(blocks, self._space.usable_image, too_many="msg_blocks_too_many")
        lint_mentions(texts(blocks), self._space.journal, "chat.stopStream")
        metadata = read_metadata(args.get("metadata"))
        before = message.to_json(self._space.channels)
        self._add(message, stream, self._read(args, "chat.stopStream"))
        message.blocks, message.streaming = name_blocks(blocks), False
        message.metadata = metadata or message.metadata
        lint_fences([("markdown", message.text)], self._space.journal, "chat.stopStream")
        self._lint_tasks(message, stream)
        status = str(args.get("session_status", "active"))
        self._space.set_status((message.channel, message.thread_ts or message.ts), status)
        self._space.publish_change(message, before)
        return message_result(self._space, message)

    def _lint_tasks(self, message: Message, stream: Stream) -> None:
        """A card that still turns when nothing will change it any more."""
        for task in stream.tasks.values():
            if task.status == "in_progress":
                self._space.journal.violation("unfinished_task", f"{message.ts} stopped with {task.id} in progress")

    def _streaming(self, args: JSON) -> tuple[Message, Stream]:
        """The message of a stream that still lives."""
        channel = self._space.joined(str(args["channel"]))
        message = self._space.message(channel.id, str(args["ts"]))
        if message.user != self._space.bot_user:
            raise ApiError("message_not_owned_by_app")
        if message.stopped_by_user:
            raise ApiError("stopped_by_user")
        if message.stream is None or not self._space.live(message):
            raise ApiError("message_not_in_streaming_state")
        return message, message.stream

    def _add(self, message: Message, stream: Stream, added: Added) -> None:
        """Let a stream grow.

        Raises:
            Malformed: streaming_mode_mismatch or msg_blocks_too_many.
        """
        if added.mode and stream.mode and added.mode != stream.mode:
            raise Malformed("streaming_mode_mismatch", f"{added.mode} in a stream of {stream.mode}")
        if len(stream.blocks) + len(added.blocks) > limits.MESSAGE_BLOCKS:
            raise Malformed("msg_blocks_too_many", f"more than {limits.MESSAGE_BLOCKS} streamed blocks")
        stream.mode = stream.mode or added.mode
        message.text += added.text
        stream.plan_title = added.plan_title or stream.plan_title
        stream.blocks += added.blocks
        for update in added.updates:
            task = stream.tasks.setdefault(str(update["id"]), Task(str(update["id"]), "", ""))
            task.title, task.status = str(update["title"]), str(update["status"])
            task.details += update.get("details", "")
            task.output += update.get("output", "")
            task.sources += update.get("sources", [])

    def _read(self, args: JSON, method: str) -> Added:
        """What a streaming call says, checked before anything changes."""
        text, chunks = args.get("markdown_text"), read_chunks(args.get("chunks"))
        if text and chunks:
            raise Malformed("cannot_provide_both_markdown_text_and_chunks", method)
        added = Added("chunks" if chunks else "markdown_text" if text else "", str(text or ""))
        for chunk in chunks:
            if chunk["type"] == "markdown_text":
                added.text += chunk["text"]
            elif chunk["type"] == "plan_update":
                added.plan_title = chunk["title"]
            elif chunk["type"] == "task_update":
                added.updates.append(chunk)
            else:
                check_blocks(chunk["blocks"], self._space.usable_image, too_many="msg_blocks_too_many")
                added.blocks += name_blocks(chunk["blocks"])
        if len(added.text) > limits.MARKDOWN_TEXT:
            raise Malformed("msg_too_long", f"{len(added.text)} characters in one streaming call")
        self._lint(chunks, added, method)
        return added

    def _lint(self, chunks: list[JSON], added: Added, method: str) -> None:
        fields = [str(chunk[name]) for chunk in chunks if chunk["type"].endswith("_update") for name in set(chunk)
                  & {"id", "title", "details", "output"}]  # fmt: skip
        for value in fields:
            if len(value) > limits.CHUNK_FIELD:
                self._space.journal.violation("chunk_field_too_long", f"{method}: {len(value)} characters in a field")
        pieces = [("markdown", text) for text in (added.text, *fields)]
        lint_mentions([*pieces, *texts(added.blocks)], self._space.journal, method)


def read_chunks(value: Any) -> list[JSON]:
    """The chunks of a call, from JSON text or as they are.

    Raises:
        Malformed: invalid_chunks.
    """
    try:
        chunks = json.loads(value) if isinstance(value, str) else value or []
    except ValueError:
        raise Malformed("invalid_chunks", "chunks are not JSON") from None
    if not isinstance(chunks, list):
        raise Malformed("invalid_chunks", "chunks are no list")
    for chunk in chunks:
        problem = _chunk_problem(chunk)
        if problem:
            raise Malformed("invalid_chunks", problem)
    return chunks


def _chunk_problem(chunk: Any) -> str | None:
    kind = chunk.get("type") if isinstance(chunk, dict) else None
    if kind not in CHUNKS:
        return f"chunk of type {kind}"
    required, optional = CHUNKS[kind]
    names = set(chunk) - {"type"}
    if required - names or names - required - optional:
        return f"{kind} needs {sorted(required)} and may have {sorted(optional)}, not {sorted(names)}"
    for name in names - {"blocks", "sources"}:
        if not isinstance(chunk[name], str) or (name in required and not chunk[name]):
            return f"{kind}.{name} must be text"
    if kind == "task_update" and chunk["status"] not in limits.TASK_STATUSES:
        return f"status {chunk['status']}"
    blocks = chunk.get("blocks", [])
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        return "blocks must be a list of objects"
    return _sources_problem(chunk.get("sources", []))


def _sources_problem(sources: Any) -> str | None:
    shape = {"type", "url", "text"}
    good = isinstance(sources, list) and all(
        isinstance(source, dict) and set(source) == shape and source["type"] == "url" for source in sources
    )
    return None if good else "sources must be url elements"
