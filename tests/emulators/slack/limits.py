"""Slack's limits, tiers and scopes, as its documentation states them.

Written from the documentation alone and imported by nothing outside the emulator, so that the product
and this file can disagree loudly. A comment marks the values that the documentation leaves open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# Message text, in characters.
TEXT_RECOMMENDED: Final = 4_000
TEXT_TRUNCATED: Final = 40_000
UPDATE_TEXT: Final = 4_000
MARKDOWN_TEXT: Final = 12_000
ALL_BLOCK_TEXT: Final = 12_000  # reports name 12,000 to 13,200; the low end is the safe one

# Blocks.
MESSAGE_BLOCKS: Final = 50
VIEW_BLOCKS: Final = 100
BLOCK_ID: Final = 255
ACTION_ID: Final = 255
SECTION_TEXT: Final = 3_000
SECTION_FIELDS: Final = 10
SECTION_FIELD_TEXT: Final = 2_000
HEADER_TEXT: Final = 150
CONTEXT_ELEMENTS: Final = 10
CONTEXT_TEXT: Final = 3_000
ACTIONS_ELEMENTS: Final = 25
CONTEXT_ACTIONS_ELEMENTS: Final = 5
BUTTON_TEXT: Final = 75
BUTTON_VALUE: Final = 2_000
BUTTON_LABEL: Final = 75
URL: Final = 3_000
IMAGE_ALT: Final = 2_000
IMAGE_TITLE: Final = 2_000
TABLE_ROWS: Final = 100
TABLE_CELLS: Final = 20
TABLE_TEXT: Final = 10_000
TASK_STATUSES: Final = frozenset({"pending", "in_progress", "complete", "error"})
DISPLAY_MODES: Final = frozenset({"timeline", "plan"})
CHUNK_FIELD: Final = 256  # documented for ids, titles, details and outputs; longer ones were seen to pass

# Elements that people fill in or choose from.
OPTIONS: Final = 100
FEW_OPTIONS: Final = 10  # checkboxes and radio buttons
OVERFLOW_OPTIONS: Final = 5
OPTION_TEXT: Final = 75
OPTION_VALUE: Final = 150
FEEDBACK_TEXT: Final = 75
ICON_VIEWERS: Final = 10
PLACEHOLDER: Final = 150
INPUT_LENGTH: Final = 3_000
INPUT_LABEL: Final = 2_000
CONFIRM_TITLE: Final = 100
CONFIRM_TEXT: Final = 300
CONFIRM_BUTTON: Final = 30

# Modals and the App Home.
VIEW_STACK: Final = 3
VIEW_TITLE: Final = 24
VIEW_PRIVATE_METADATA: Final = 3_000
VIEW_CALLBACK_ID: Final = 255
VIEW_BYTES: Final = 250_000

# Files.
FILE_ALT: Final = 1_000
IMAGE_TYPES: Final = frozenset({"image/png", "image/jpeg", "image/gif"})
UPLOAD_CHANNEL: Final = r"[CGDZ][A-Z0-9]{8,}"

# Agent sessions and assistant threads.
SESSION_STATUSES: Final = frozenset({"processing", "active", "suspended", "closed"})
SESSION_TITLE: Final = 200
LOADING_MESSAGES: Final = 10
LOADING_MESSAGE: Final = 50
PROMPTS: Final = 4
ASSISTANT_STATUS_LIFE: Final = 120.0  # seconds
SESSION_STATUS_LIFE: Final = 3_600.0  # seconds that "processing" lasts

# Times, in seconds.
ACK_DEADLINE: Final = 3.0
RETRY_WAITS: Final = (0.0, 60.0, 300.0)  # before the second, third and fourth attempt
STREAM_LIFE: Final = 300.0
RESPONSE_URL_LIFE: Final = 1_800.0
TICKET_LIFE: Final = 30.0  # "short life" is all that is said
CODE_LIFE: Final = 600.0
TOKEN_LIFE: Final = 43_200.0  # of tokens that are rotated
RESPONSE_URL_USES: Final = 5
MAX_SOCKETS: Final = 10

# Requests per minute of each tier.
TIERS: Final = {1: 1, 2: 20, 3: 50, 4: 100}
SPECIAL_TIER: Final = 0
SPECIAL_PER_MINUTE: Final = 300  # "several hundred per minute"
POST_BURST: Final = 5  # short bursts over one message a second are allowed, of a size not stated

# What apps.connections.open answers while Socket Mode is off; the true name is not documented.
SOCKET_MODE_OFF: Final = "socket_mode_disabled"

DEFAULT_SCOPES: Final = (
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
    "users:read",
)


KNOWN_SCOPES: Final = frozenset(DEFAULT_SCOPES) | {
    "chat:write.public",
    "mpim:history",
    "mpim:read",
    "mpim:write",
    "team:read",
}


@dataclass(frozen=True)
class MethodRule:
    """What Slack demands of a call before it looks at the arguments' content."""

    tier: int
    scope: str | None = None
    required: tuple[str, ...] = ()
    token: str = "xoxb"


METHODS: Final = {
    "agents.sessions.rename": MethodRule(3, "chat:write", ("channel_id", "title")),
    "agents.sessions.setStatus": MethodRule(3, "chat:write", ("channel_id", "status")),
    "apps.connections.open": MethodRule(3, token="xapp"),
    "assistant.threads.setStatus": MethodRule(4, "chat:write", ("channel_id", "thread_ts")),
    "assistant.threads.setSuggestedPrompts": MethodRule(4, "assistant:write", ("channel_id", "prompts")),
    "assistant.threads.setTitle": MethodRule(4, "assistant:write", ("channel_id", "thread_ts", "title")),
    "auth.revoke": MethodRule(3),
    "auth.test": MethodRule(SPECIAL_TIER),
    "chat.appendStream": MethodRule(4, "chat:write", ("channel", "ts")),
    "chat.delete": MethodRule(3, "chat:write", ("channel", "ts")),
    "chat.postEphemeral": MethodRule(4, "chat:write", ("channel", "user")),
    "chat.postMessage": MethodRule(SPECIAL_TIER, "chat:write", ("channel",)),
    "chat.startStream": MethodRule(2, "chat:write", ("channel", "thread_ts")),
    "chat.stopStream": MethodRule(2, "chat:write", ("channel", "ts")),
    "chat.update": MethodRule(3, "chat:write", ("channel", "ts")),
    # The scope of the conversations methods depends on the kind of channel; the methods check it.
    "conversations.history": MethodRule(3, required=("channel",)),
    "conversations.info": MethodRule(3, required=("channel",)),
    "conversations.open": MethodRule(3, "im:write"),
    "conversations.replies": MethodRule(3, required=("channel", "ts")),
    "files.completeUploadExternal": MethodRule(4, "files:write", ("files",)),
    "files.getUploadURLExternal": MethodRule(4, "files:write", ("filename", "length")),
    "files.info": MethodRule(4, "files:read", ("file",)),
    # Basic authentication with the app's id and secret, and no token at all.
    "oauth.v2.access": MethodRule(4, token="basic"),
    "users.info": MethodRule(4, "users:read", ("user",)),
    "views.open": MethodRule(4, required=("trigger_id", "view")),
    "views.publish": MethodRule(4, required=("user_id", "view")),
    "views.push": MethodRule(4, required=("trigger_id", "view")),
    "views.update": MethodRule(4, required=("view",)),
}
