"""chat.*: posting, changing, streaming and deleting messages."""

from __future__ import annotations

import json

from . import limits
from .blocks import check_blocks, parse_blocks
from .content import lint_fences, lint_mentions, read_content, read_metadata
from .journal import JSON, ApiError, Malformed
from .web_api import Handler
from .workspace import BOT, BOT_USER, Channel, Ephemeral, Message, Workspace

CHUNK_FIELDS = {
    "markdown_text": {"text"},
    "plan_update": {"title"},
    "task_update": {"id", "title", "status"},
    "blocks": {"blocks"},
}


class ChatMethods:
    """The chat methods of one workspace.

    Args:
        stream_life: seconds after which a stream is dead, whatever was appended.
    """

    def __init__(self, space: Workspace, stream_life: float) -> None:
        self._space = space
        self._stream_life = stream_life

    def table(self) -> dict[str, Handler]:
        """Method names and what serves them."""
        return {
            "chat.postMessage": self.post,
            "chat.update": self.update,
            "chat.delete": self.delete,
            "chat.postEphemeral": self.post_ephemeral,
            "chat.startStream": self.start_stream,
            "chat.appendStream": self.append_stream,
            "chat.stopStream": self.stop_stream,
        }

    def post(self, args: JSON) -> JSON:
        channel = self._space.writable(str(args["channel"]))
        content = read_content(args, self._space, "chat.postMessage")
        message = self._space.store(
            Message(
                channel.id,
                self._space.next_ts(),
                BOT_USER,
                content.text,
                bot_id=BOT,
                thread_ts=self._space.parent_ts(channel, args.get("thread_ts")),
                blocks=content.blocks or [],
                metadata=content.metadata or None,
                markdown=content.markdown,
            )
        )
        return self._result(message)

    def update(self, args: JSON) -> JSON:
        channel = self._space.joined(str(args["channel"]))
        message = self._space.message(channel.id, str(args["ts"]))
        if message.user != BOT_USER:
            raise ApiError("cant_update_message")
        if self._live(message):
            raise ApiError("streaming_state_conflict")
        content = read_content(args, self._space, "chat.update", update=True)
        if content.blocks is None and message.blocks and not content.markdown:
            # Slack keeps the old blocks and shows them: the new text is never seen.
            self._space.journal.violation("stale_blocks", f"chat.update of {message.ts} keeps its old blocks")
        before = message.to_json(self._space.channels)
        message.edits.append(message.text)
        message.text, message.markdown, message.streaming = content.text, content.markdown, False
        if content.blocks is not None or content.markdown:
            message.blocks = content.blocks or []
        if content.metadata is not None:
            message.metadata = content.metadata or None
        self._space.publish_change(message, before)
        return self._result(message) | {"text": message.text}

    def delete(self, args: JSON) -> JSON:
        channel = self._space.joined(str(args["channel"]))
        message = self._space.message(channel.id, str(args["ts"]))
        if message.user != BOT_USER:
            raise ApiError("cant_delete_message")
        del self._space.messages[channel.id, message.ts]
        self._space.publish_deletion(message)
        return {"channel": channel.id, "ts": message.ts}

    def post_ephemeral(self, args: JSON) -> JSON:
        channel = self._space.joined(str(args["channel"]))
        if args["user"] not in channel.members:
            raise ApiError("user_not_in_channel")
        content = read_content(args, self._space, "chat.postEphemeral")
        ts = self._space.next_ts()
        thread_ts = self._space.parent_ts(channel, args.get("thread_ts"))
        shown = Ephemeral(channel.id, str(args["user"]), content.text, content.blocks or [], ts, thread_ts)
        self._space.ephemerals.append(shown)
        return {"message_ts": ts}

    def start_stream(self, args: JSON) -> JSON:
        channel = self._space.writable(str(args["channel"]))
        parent = self._space.messages.get((channel.id, str(args["thread_ts"])))
        if parent is None:
            raise ApiError("invalid_thread_ts")
        if channel.type != "im":
            for name in ("recipient_team_id", "recipient_user_id"):
                if name not in args:
                    raise ApiError(f"missing_{name}")
        text = self._stream_text(args, "chat.startStream")
        message = Message(
            channel.id,
            self._space.next_ts(),
            BOT_USER,
            text,
            bot_id=BOT,
            thread_ts=self._space.parent_ts(channel, parent.ts),
            markdown=True,
            streaming=True,
            stream_ends=self._space.clock() + self._stream_life,
        )
        self._space.store(message)
        self._space.statuses[channel.id, message.thread_ts or message.ts] = "processing"
        return {"channel": channel.id, "ts": message.ts}

    def append_stream(self, args: JSON) -> JSON:
        message = self._streaming(args)
        if "markdown_text" not in args and not args.get("chunks"):
            raise ApiError("no_text")
        message.text += self._stream_text(args, "chat.appendStream")
        return {"channel": message.channel, "ts": message.ts}

    def stop_stream(self, args: JSON) -> JSON:
        message = self._streaming(args)
        if args.get("session_status") not in {None, *limits.SESSION_STATUSES}:
            raise Malformed("invalid_arguments", "session_status")
        blocks = parse_blocks(args.get("blocks") or [])
        check_blocks(blocks, self._space.usable_image, too_many="msg_blocks_too_many")
        metadata = read_metadata(args.get("metadata"))
        before = message.to_json(self._space.channels)
        message.text += self._stream_text(args, "chat.stopStream")
        message.blocks, message.streaming = blocks, False
        message.metadata = metadata or message.metadata
        lint_fences([("markdown", message.text)], self._space.journal, "chat.stopStream")
        status = str(args.get("session_status", "active"))
        self._space.statuses[message.channel, message.thread_ts or message.ts] = status
        self._space.publish_change(message, before)
        return self._result(message)

    def _streaming(self, args: JSON) -> Message:
        channel: Channel = self._space.joined(str(args["channel"]))
        message = self._space.message(channel.id, str(args["ts"]))
        if message.user != BOT_USER:
            raise ApiError("message_not_owned_by_app")
        if message.stopped_by_user:
            raise ApiError("stopped_by_user")
        if not self._live(message):
            raise ApiError("message_not_in_streaming_state")
        return message

    def _live(self, message: Message) -> bool:
        return message.streaming and self._space.clock() < message.stream_ends

    def _stream_text(self, args: JSON, method: str) -> str:
        """The text a streaming call adds, from markdown_text or chunks."""
        pieces = [str(args.get("markdown_text", ""))]
        chunks = args.get("chunks") or []
        if isinstance(chunks, str):
            chunks = json.loads(chunks)
        for chunk in chunks:
            kind = chunk.get("type") if isinstance(chunk, dict) else None
            if kind not in CHUNK_FIELDS or CHUNK_FIELDS[kind] - set(chunk):
                raise Malformed("invalid_chunks", f"chunk of type {kind}")
            if kind == "markdown_text":
                pieces.append(str(chunk["text"]))
        text = "".join(pieces)
        if len(text) > limits.MARKDOWN_TEXT:
            raise Malformed("msg_too_long", f"{len(text)} characters in one streaming call")
        lint_mentions([("markdown", text)], self._space.journal, method)
        return text

    def _result(self, message: Message) -> JSON:
        body = message.to_json(self._space.channels, metadata=True)
        return {"channel": message.channel, "ts": message.ts, "message": body}
