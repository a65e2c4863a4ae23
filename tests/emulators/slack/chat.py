"""chat.*: posting, changing and deleting messages; streams.py has those that are streamed."""

from __future__ import annotations

from .content import read_content
from .journal import JSON, ApiError
from .web_api import Handler
from .workspace import Ephemeral, Message, Workspace


class ChatMethods:
    """Posting, changing and deleting, in one workspace."""

    def __init__(self, space: Workspace) -> None:
        self._space = space

    def table(self) -> dict[str, Handler]:
        """Method names and what serves them."""
        return {
            "chat.postMessage": self.post,
            "chat.update": self.update,
            "chat.delete": self.delete,
            "chat.postEphemeral": self.post_ephemeral,
        }

    def post(self, args: JSON) -> JSON:
        channel = self._space.writable(str(args["channel"]))
        content = read_content(args, self._space, "chat.postMessage")
        message = self._space.store(
            Message(
                channel.id,
                self._space.next_ts(),
                self._space.bot_user,
                content.text,
                bot_id=self._space.bot,
                thread_ts=self._space.parent_ts(channel, args.get("thread_ts")),
                blocks=content.blocks or [],
                metadata=content.metadata or None,
                markdown=content.markdown,
            )
        )
        return message_result(self._space, message)

    def update(self, args: JSON) -> JSON:
        channel = self._space.joined(str(args["channel"]))
        message = self._space.message(channel.id, str(args["ts"]))
        if message.user != self._space.bot_user:
            raise ApiError("cant_update_message")
        if self._space.live(message):
            raise ApiError("streaming_state_conflict")
        content = read_content(args, self._space, "chat.update", update=True)
        if content.blocks is None and (message.blocks or message.stream) and not content.markdown:
            # Slack keeps the old blocks and shows them: the new text is never seen. What was streamed is blocks too.
            self._space.journal.violation("stale_blocks", f"chat.update of {message.ts} keeps its old blocks")
        before = message.to_json(self._space.channels)
        message.edits.append(message.text)
        message.text, message.markdown, message.streaming = content.text, content.markdown, False
        if content.blocks is not None or content.markdown:
            message.blocks, message.stream = content.blocks or [], None
        if content.metadata is not None:
            message.metadata = content.metadata or None
        self._space.publish_change(message, before)
        return message_result(self._space, message) | {"text": message.text}

    def delete(self, args: JSON) -> JSON:
        channel = self._space.joined(str(args["channel"]))
        message = self._space.message(channel.id, str(args["ts"]))
        if message.user != self._space.bot_user:
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


def message_result(space: Workspace, message: Message) -> JSON:
    """What a call that wrote a message answers."""
    body = message.to_json(space.channels, metadata=True)
    return {"channel": message.channel, "ts": message.ts, "message": body}
