"""auth, conversations, users, views, agent sessions and assistant threads."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass

from . import limits
from .blocks import check_blocks, parse_blocks
from .journal import JSON, ApiError, Malformed
from .web_api import Handler, flag
from .workspace import APP, BOT, BOT_USER, TEAM, Channel, Message, Workspace


@dataclass
class Trigger:
    """A trigger_id: good for one view, for as long as the acknowledgement may take."""

    issued: float
    used: bool = False


class OtherMethods:
    """Everything besides messages and files.

    Attributes:
        views: the views opened, oldest first.
        titles: the title of each session, by (channel, thread_ts).
        prompts: the suggested prompts, by the same key.
    """

    def __init__(self, space: Workspace, trigger_life: float) -> None:
        self._space = space
        self._trigger_life = trigger_life
        self._triggers: dict[str, Trigger] = {}
        self.views: list[JSON] = []
        self.titles: dict[tuple[str, str], str] = {}
        self.prompts: dict[tuple[str, str], list[JSON]] = {}

    def table(self) -> dict[str, Handler]:
        """Method names and what serves them."""
        return {
            "auth.test": self.auth_test,
            "conversations.info": self.conversation,
            "conversations.open": self.open_conversation,
            "conversations.history": self.history,
            "conversations.replies": self.replies,
            "users.info": self.user,
            "views.open": self.open_view,
            "agents.sessions.setStatus": self.session_status,
            "agents.sessions.rename": self.title,
            "assistant.threads.setStatus": self.thread_status,
            "assistant.threads.setTitle": self.title,
            "assistant.threads.setSuggestedPrompts": self.suggested_prompts,
        }

    def issue_trigger(self) -> str:
        """A fresh trigger_id."""
        trigger = f"{uuid.uuid4().int % 10**13}.{uuid.uuid4().int % 10**12}.{uuid.uuid4().hex}"
        self._triggers[trigger] = Trigger(self._space.clock())
        return trigger

    def auth_test(self, args: JSON) -> JSON:
        names = {"url": "https://acme.slack.com/", "team": "Acme", "user": "consortium"}
        ids = {"team_id": TEAM, "user_id": BOT_USER, "bot_id": BOT, "app_id": APP}
        return {**names, **ids, "is_enterprise_install": False}

    def conversation(self, args: JSON) -> JSON:
        channel = self._space.visible(str(args["channel"]))
        self._space.require_scope(f"{channel.scope_family}:read")
        return {"channel": channel.to_json()}

    def open_conversation(self, args: JSON) -> JSON:
        if "channel" in args:
            channel, already = self._space.visible(str(args["channel"])), True
        elif "users" in args:
            users = str(args["users"]).split(",")
            if len(users) > 1:
                raise ApiError("missing_scope", needed="mpim:write", provided=",".join(self._space.scopes))
            channel, already = self._space.open_dm(users[0])
        else:
            raise Malformed("invalid_arguments", "missing required field: channel or users")
        body = channel.to_json() if flag(args, "return_im") else {"id": channel.id}
        return {"channel": body, "no_op": already, "already_open": already}

    def history(self, args: JSON) -> JSON:
        channel = self._space.joined(str(args["channel"]))
        self._space.require_scope(f"{channel.scope_family}:history")
        found = [
            message
            for message in self._space.messages.values()
            if message.channel == channel.id
            and message.thread_ts in (None, message.ts)
            and self._within(message.ts, args)
        ]
        return self._page(sorted(found, key=lambda message: message.ts, reverse=True), args)

    def replies(self, args: JSON) -> JSON:
        channel = self._space.joined(str(args["channel"]))
        self._space.require_scope(f"{channel.scope_family}:history")
        asked = self._space.message(channel.id, str(args["ts"]), "thread_not_found")
        root_ts = asked.thread_ts or asked.ts
        messages = [message for message in self._space.thread(channel.id, root_ts) if self._within(message.ts, args)]
        reply = self._page(messages, args)
        bodies = reply["messages"]
        if bodies and bodies[0]["ts"] == root_ts and len(messages) > 1:
            bodies[0] |= {"thread_ts": root_ts, "reply_count": len(messages) - 1}
        return reply

    def _page(self, messages: list[Message], args: JSON) -> JSON:
        start = int(args.get("cursor") or 0)
        limit = min(int(args.get("limit") or 1000), 1000)
        metadata = flag(args, "include_all_metadata")
        bodies = [m.to_json(self._space.channels, metadata=metadata) for m in messages[start : start + limit]]
        more = start + limit < len(messages)
        cursor = {"next_cursor": str(start + limit) if more else ""}
        return {"messages": bodies, "has_more": more, "response_metadata": cursor}

    @staticmethod
    def _within(ts: str, args: JSON) -> bool:
        oldest, latest = args.get("oldest"), args.get("latest")
        if flag(args, "inclusive") and ts in (oldest, latest):
            return True
        return (oldest is None or ts > str(oldest)) and (latest is None or ts < str(latest))

    def user(self, args: JSON) -> JSON:
        user = self._space.users.get(str(args["user"]))
        if user is None:
            raise ApiError("user_not_found")
        return {"user": user.to_json()}

    def open_view(self, args: JSON) -> JSON:
        trigger = self._triggers.get(str(args["trigger_id"]))
        if trigger is None:
            raise ApiError("invalid_trigger_id")
        if trigger.used:
            raise ApiError("exchanged_trigger_id")
        if self._space.clock() - trigger.issued > self._trigger_life:
            raise ApiError("expired_trigger_id")
        view = json.loads(args["view"]) if isinstance(args["view"], str) else args["view"]
        self._check_view(view)
        trigger.used = True
        self.views.append(view)
        return {"view": {"id": f"V{uuid.uuid4().hex[:10].upper()}", "team_id": TEAM, "app_id": APP, **view}}

    def _check_view(self, view: JSON) -> None:
        if len(json.dumps(view).encode()) > limits.VIEW_BYTES:
            raise Malformed("view_too_large", "view of more than 250 kB")
        problems = [] if view.get("type") == "modal" else ["type must be modal"]
        if "title" not in view:
            problems.append("missing required field: title")
        for name in ("title", "submit", "close"):
            label = view.get(name, {"type": "plain_text", "text": name})
            if label.get("type") != "plain_text" or not 0 < len(label.get("text", "")) <= limits.VIEW_TITLE:
                problems.append(f"{name} must be plain text of at most {limits.VIEW_TITLE} characters")
        for name, most in (
            ("private_metadata", limits.VIEW_PRIVATE_METADATA),
            ("callback_id", limits.VIEW_CALLBACK_ID),
        ):
            if len(view.get(name, "")) > most:
                problems.append(f"{name} of more than {most} characters")
        if problems:
            raise Malformed("invalid_arguments", *problems)
        blocks = parse_blocks(view.get("blocks", []))
        check_blocks(blocks, self._space.usable_image, limits.VIEW_BLOCKS)
        if any(block["type"] in {"markdown", "table"} for block in blocks):
            raise Malformed("invalid_arguments", "markdown and table blocks are for messages only")

    def _thread(self, args: JSON) -> tuple[str, str]:
        """The thread an agent method speaks of, which must exist."""
        channel: Channel = self._space.joined(str(args["channel_id"]))
        ts = str(args.get("thread_ts", ""))
        if ts:
            self._space.message(channel.id, ts, "thread_not_found")
        return channel.id, ts

    def session_status(self, args: JSON) -> JSON:
        thread = self._thread(args)
        if args["status"] not in limits.SESSION_STATUSES:
            raise Malformed("invalid_arguments", f"status {args['status']}")
        if "title" in args:
            self.title(args)
        self._space.statuses[thread] = str(args["status"])
        return {}

    def thread_status(self, args: JSON) -> JSON:
        thread = self._thread(args)
        lines = args.get("loading_messages") or []
        if len(lines) > limits.LOADING_MESSAGES or any(len(str(x)) > limits.LOADING_MESSAGE for x in lines):
            raise Malformed("invalid_arguments", "loading_messages")
        self._space.statuses[thread] = str(args.get("status", ""))
        return {}

    def title(self, args: JSON) -> JSON:
        thread = self._thread(args)
        if len(str(args["title"])) > limits.SESSION_TITLE:
            raise Malformed("invalid_arguments", f"title of more than {limits.SESSION_TITLE} characters")
        self.titles[thread] = str(args["title"])
        return {}

    def suggested_prompts(self, args: JSON) -> JSON:
        thread = self._thread(args)
        prompts = args["prompts"]
        if not isinstance(prompts, list) or len(prompts) > limits.PROMPTS:
            raise Malformed("invalid_arguments", f"at most {limits.PROMPTS} prompts")
        if any(not (isinstance(p, dict) and p.get("title") and p.get("message")) for p in prompts):
            raise Malformed("invalid_arguments", "a prompt needs title and message")
        self.prompts[thread] = prompts
        return {}
