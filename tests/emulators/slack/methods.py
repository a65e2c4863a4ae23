"""auth, conversations and users."""

from __future__ import annotations

from .journal import JSON, ApiError, Malformed
from .web_api import Handler, flag
from .workspace import APP, Message, Workspace


class OtherMethods:
    """Who is who, and reading conversations."""

    def __init__(self, space: Workspace) -> None:
        self._space = space

    def table(self) -> dict[str, Handler]:
        """Method names and what serves them."""
        return {
            "auth.test": self.auth_test,
            "conversations.info": self.conversation,
            "conversations.open": self.open_conversation,
            "conversations.history": self.history,
            "conversations.replies": self.replies,
            "users.info": self.user,
        }

    def auth_test(self, args: JSON) -> JSON:
        space = self._space
        names = {"url": f"https://{space.name.lower()}.slack.com/", "team": space.name, "user": "consortium"}
        ids = {"team_id": self._space.team, "user_id": self._space.bot_user, "bot_id": self._space.bot, "app_id": APP}
        organisation = {"enterprise_id": space.enterprise} if space.enterprise else {}
        return {**names, **ids, **organisation, "is_enterprise_install": space.org_wide}

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
