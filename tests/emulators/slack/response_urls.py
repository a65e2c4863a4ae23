"""Replies to commands and clicks: response URLs and what comes back with an acknowledgement."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, replace

from aiohttp import web

from . import limits
from .content import Content, read_content
from .journal import JSON, ApiError, Call, Malformed
from .web_api import WebApi
from .workspace import Ephemeral, Message, Workspace

# What a reply may say besides its content; Slack says nothing of other fields.
REPLY_FIELDS = {
    "attachments", "blocks", "delete_original", "link_names", "metadata", "mrkdwn", "parse", "replace_original",
    "response_type", "text", "thread_ts", "unfurl_links", "unfurl_media",
}  # fmt: skip


@dataclass
class Origin:
    """Where a reply belongs: who did what, where, and which message a click was on."""

    channel: str
    user: str
    message_ts: str | None
    issued: float
    uses: int = 0


class ResponseUrls:
    """Issues response URLs and takes what is posted to them. `base_url` is where the emulator listens."""

    def __init__(self, space: Workspace) -> None:
        self._space = space
        self._origins: dict[str, Origin] = {}
        self.base_url = ""

    def issue(self, channel: str, user: str, message_ts: str | None = None) -> str:
        """A fresh response_url."""
        key = uuid.uuid4().hex
        self._origins[key] = Origin(channel, user, message_ts, self._space.clock())
        return f"{self.base_url}/response/{key}"

    def issued(self, key: str) -> bool:
        """Whether a response URL is one of this workspace's."""
        return key in self._origins

    async def receive(self, request: web.Request, api: WebApi) -> web.Response:
        """One post to a response URL."""
        call = Call(self._space.clock(), "response_url", request.method)
        self._space.journal.calls.append(call)
        body = await request.read()

        async def answer() -> web.Response:
            origin = self._origins.get(request.match_info["key"])
            if origin is None or origin.uses >= limits.RESPONSE_URL_USES:
                return self._refuse(call, 404, "used_url")
            if self._space.clock() - origin.issued > limits.RESPONSE_URL_LIFE:
                return self._refuse(call, 404, "expired_url")
            try:
                call.args = json.loads(body)
            except ValueError:
                return self._refuse(call, 400, "invalid_payload")
            error = self.reply(origin, call.args, "response_url")
            if error:
                return self._refuse(call, 400, error)
            origin.uses += 1
            return web.Response(text="ok")

        return await api.guard(request, call, answer)

    @staticmethod
    def _refuse(call: Call, status: int, error: str) -> web.Response:
        call.error = error
        return web.Response(status=status, text=error)

    def acknowledge(self, response_url: str, body: JSON) -> None:
        """Show what an acknowledgement carried."""
        origin = self._origins[response_url.rpartition("/")[2]]
        self.reply(origin, body, "ack")

    def reply(self, origin: Origin, body: JSON, source: str) -> str | None:
        """Show a reply; returns the error when its content is refused."""
        self._lint(body, source)
        if body.get("delete_original"):
            self._delete(origin)
            return None
        try:
            content = read_content(body, self._space, source)
        except ApiError as error:
            details = error.details if isinstance(error, Malformed) else ()
            self._space.journal.violation(error.error, f"{source}: {'; '.join(details)}")
            return error.error
        if body.get("replace_original") and self._replace(origin, content):
            return None
        channel = self._space.channels[origin.channel]
        thread_ts = self._space.parent_ts(channel, body.get("thread_ts"))
        ts, blocks = self._space.next_ts(), content.blocks or []
        if body.get("response_type") == "in_channel":
            message = Message(channel.id, ts, self._space.bot_user, content.text, self._space.bot, thread_ts, blocks)
            # Without membership the reply is shown, but no event about it reaches the app.
            self._space.store(message)
        else:
            shown = Ephemeral(channel.id, origin.user, content.text, blocks, ts, thread_ts)
            self._space.ephemerals.append(shown)
        return None

    def _lint(self, body: JSON, source: str) -> None:
        unknown = sorted(set(body) - REPLY_FIELDS)
        if unknown or body.get("response_type") not in {None, "ephemeral", "in_channel"}:
            self._space.journal.violation("unknown_reply_field", f"{source}: {unknown or body['response_type']}")

    def _replace(self, origin: Origin, content: Content) -> bool:
        """Change the message a click was on; False where there is none."""
        message = self._space.messages.get((origin.channel, origin.message_ts or ""))
        if message is not None:
            before = message.to_json(self._space.channels)
            message.edits.append(message.text)
            message.text, message.blocks, message.stream = content.text, content.blocks or [], None
            self._space.publish_change(message, before)
            return True
        for index, shown in enumerate(self._space.ephemerals):
            if shown.ts == origin.message_ts:
                changed = replace(shown, text=content.text, blocks=content.blocks or [])
                self._space.ephemerals[index] = changed
                return True
        return False

    def _delete(self, origin: Origin) -> None:
        message = self._space.messages.pop((origin.channel, origin.message_ts or ""), None)
        if message is not None:
            self._space.publish_deletion(message)
        kept = [shown for shown in self._space.ephemerals if shown.ts != origin.message_ts]
        self._space.ephemerals[:] = kept
