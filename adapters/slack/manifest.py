"""What the app asks for when it is installed in a workspace, as api.slack.com takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapters.slack.conversation import ASK_ABOUT
from adapters.slack.inbound import COMMAND
from adapters.slack.limits import PROMPTS

SCOPES = (
    "app_mentions:read",
    "assistant:write",
    "channels:history",
    "channels:read",
    "chat:write",
    "commands",
    "files:read",
    "files:write",
    "groups:history",
    "groups:read",
    "im:history",
    "im:read",
    "im:write",
    "mpim:history",
    "mpim:read",
    "users:read",
)
"""What the bot's token may do."""

EVENTS = (
    "agent_session_stopped",
    "app_home_opened",
    "app_mention",
    "member_joined_channel",
    "message.channels",
    "message.groups",
    "message.im",
    "message.mpim",
)

REMOVED = frozenset({"app_uninstalled", "tokens_revoked"})
"""Events that tell that a workspace has taken the app off, or its tokens back."""

EXAMPLES = ("What can you do?", "Should remote work be the default?", "Is nuclear power worth its risks?")
"""Questions that an empty conversation suggests, until the app suggests its own."""


def manifest(
    request_url: str | None = None, examples: Sequence[str] = EXAMPLES, *, redirect_url: str | None = None
) -> dict[str, Any]:
    """The app's manifest. Without ``request_url`` (ending in ``/slack/events``) events come by Socket Mode.

    With ``redirect_url`` (ending in ``/slack/oauth_redirect``) it is for many workspaces: each has a token of its own,
    which lasts for twelve hours and is renewed.
    """
    where = {"request_url": request_url} if request_url else {}
    return {
        "_metadata": {"major_version": 1, "minor_version": 1},
        "display_information": {
            "name": "Consortium",
            "description": "Ask a panel of language models one question and get one honest answer in a thread.",
            "background_color": "#1f2937",
        },
        "features": _features(request_url, examples),
        "oauth_config": {
            **({"redirect_urls": [redirect_url]} if redirect_url else {}),
            "scopes": {"bot": list(SCOPES)},
        },
        "settings": {
            "event_subscriptions": {
                **where,
                "bot_events": [*EVENTS, *sorted(REMOVED)] if redirect_url else list(EVENTS),
            },
            "interactivity": {"is_enabled": True, **where},
            "org_deploy_enabled": redirect_url is not None,
            "socket_mode_enabled": request_url is None,
            "token_rotation_enabled": redirect_url is not None,
        },
    }


def _features(request_url: str | None, examples: Sequence[str]) -> dict[str, Any]:
    command = {
        "command": COMMAND,
        "description": "Ask the panel; the answer is posted in a new thread",
        "usage_hint": "ask question | settings | history | models | help",
        "should_escape": True,
    }
    shortcut = {
        "name": "Ask the consortium",
        "type": "message",
        "callback_id": ASK_ABOUT,
        "description": "Answers in the message's thread",
    }
    return {
        "app_home": {"home_tab_enabled": True, "messages_tab_enabled": True, "messages_tab_read_only_enabled": False},
        "bot_user": {"display_name": "Consortium", "always_online": True},
        "slash_commands": [{**command, **({"url": request_url} if request_url else {})}],
        "shortcuts": [shortcut],
        "agent_view": {
            "agent_description": "Asks a panel of language models your question, brings their answers to one, and says "
            "who disagreed and how sure it is.",
            "suggested_prompts": [{"title": text, "message": text} for text in examples[:PROMPTS]],
        },
    }
