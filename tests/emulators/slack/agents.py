"""Agent sessions and assistant threads: their status, title and suggested prompts."""

from __future__ import annotations

from . import limits
from .journal import JSON, Malformed
from .web_api import Handler
from .workspace import Channel, Workspace


class AgentMethods:
    """What the app says about its threads.

    Attributes:
        titles: the title of each session, by (channel, thread_ts).
        prompts: the suggested prompts, by the same key; thread_ts is "" for those of a whole DM.
    """

    def __init__(self, space: Workspace) -> None:
        self._space = space
        self.titles: dict[tuple[str, str], str] = {}
        self.prompts: dict[tuple[str, str], list[JSON]] = {}

    def table(self) -> dict[str, Handler]:
        """Method names and what serves them."""
        return {
            "agents.sessions.setStatus": self.session_status,
            "agents.sessions.rename": self.title,
            "assistant.threads.setStatus": self.thread_status,
            "assistant.threads.setTitle": self.title,
            "assistant.threads.setSuggestedPrompts": self.suggested_prompts,
        }

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
        self._space.set_status(thread, str(args["status"]))
        return {}

    def thread_status(self, args: JSON) -> JSON:
        thread = self._thread(args)
        lines = args.get("loading_messages") or []
        if len(lines) > limits.LOADING_MESSAGES or any(len(str(x)) > limits.LOADING_MESSAGE for x in lines):
            raise Malformed("invalid_arguments", "loading_messages")
        self._space.set_status(thread, str(args.get("status", "")), limits.ASSISTANT_STATUS_LIFE)
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
        if any(not isinstance(p, dict) or set(p) != {"title", "message"} or not all(p.values()) for p in prompts):
            raise Malformed("invalid_arguments", "a prompt has title and message")
        self.prompts[thread] = prompts
        return {}
