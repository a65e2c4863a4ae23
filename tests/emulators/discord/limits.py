"""Discord's published limits and the bit values the emulator works with."""

from __future__ import annotations

from enum import IntFlag
from typing import Final

EPOCH_MS: Final = 1420070400000
"""Milliseconds between the Unix epoch and Discord's first snowflake."""


class Permission(IntFlag):
    """The permission bits that matter to a bot that reads, posts and opens threads."""

    ADMINISTRATOR = 1 << 3
    MANAGE_GUILD = 1 << 5
    VIEW_CHANNEL = 1 << 10
    SEND_MESSAGES = 1 << 11
    MANAGE_MESSAGES = 1 << 13
    EMBED_LINKS = 1 << 14
    ATTACH_FILES = 1 << 15
    READ_MESSAGE_HISTORY = 1 << 16
    MENTION_EVERYONE = 1 << 17
    USE_APPLICATION_COMMANDS = 1 << 31
    MANAGE_THREADS = 1 << 34
    CREATE_PUBLIC_THREADS = 1 << 35
    CREATE_PRIVATE_THREADS = 1 << 36
    SEND_MESSAGES_IN_THREADS = 1 << 38
    USE_EXTERNAL_APPS = 1 << 50


NONE: Final = Permission(0)

INVITED: Final = Permission(309237763072)
"""View, send, embed, attach, history, public threads and sending in them: the usual invitation."""

EVERYBODY: Final = (
    Permission.VIEW_CHANNEL
    | Permission.SEND_MESSAGES
    | Permission.EMBED_LINKS
    | Permission.ATTACH_FILES
    | Permission.READ_MESSAGE_HISTORY
    | Permission.MENTION_EVERYONE
    | Permission.USE_APPLICATION_COMMANDS
    | Permission.CREATE_PUBLIC_THREADS
    | Permission.SEND_MESSAGES_IN_THREADS
    | Permission.USE_EXTERNAL_APPS
)
"""What a new guild gives everybody, mass mentions included."""

PRIVATE: Final = Permission.ATTACH_FILES | Permission.EMBED_LINKS | Permission.MENTION_EVERYONE
"""What an application may do in answers where its bot is no member."""


class Intent(IntFlag):
    """Gateway intents that gate an event the emulator sends."""

    GUILDS = 1 << 0
    GUILD_MEMBERS = 1 << 1
    GUILD_PRESENCES = 1 << 8
    GUILD_MESSAGES = 1 << 9
    DIRECT_MESSAGES = 1 << 12
    MESSAGE_CONTENT = 1 << 15


KNOWN_INTENTS: Final = sum(1 << bit for bit in (*range(17), 20, 21, 24, 25))


class Flag(IntFlag):
    """Message flags."""

    SUPPRESS_EMBEDS = 1 << 2
    HAS_THREAD = 1 << 5
    EPHEMERAL = 1 << 6
    LOADING = 1 << 7
    SUPPRESS_NOTIFICATIONS = 1 << 12
    COMPONENTS_V2 = 1 << 15


class ChannelType:
    """Channel types the emulator has."""

    TEXT = 0
    DM = 1
    GROUP_DM = 3
    ANNOUNCEMENT = 5
    ANNOUNCEMENT_THREAD = 10
    PUBLIC_THREAD = 11
    PRIVATE_THREAD = 12


class MessageType:
    """Message types the emulator makes."""

    DEFAULT = 0
    THREAD_CREATED = 18
    REPLY = 19
    CHAT_INPUT_COMMAND = 20
    THREAD_STARTER = 21
    CONTEXT_MENU_COMMAND = 23


CONTENT_MAX: Final = 2000
EMBEDS_TOTAL_MAX: Final = 6000
TEXT_DISPLAY_TOTAL_MAX: Final = 4000
TEXT_DISPLAY_BYTES_MAX: Final = 10170
TEXT_DISPLAY_OVERHEAD: Final = 12
COMPONENTS_MAX: Final = 40
MEDIA_MAX: Final = 64
ROWS_MAX: Final = 5
MODAL_PARTS_MAX: Final = 5
TEXT_INPUT_MAX: Final = 4000
FILES_MAX: Final = 10
FILE_BYTES_MAX: Final = 10 * 1024 * 1024
REQUEST_BYTES_MAX: Final = 25 * 1024 * 1024
CHAT_COMMANDS_MAX: Final = 100
COMMAND_CHARACTERS_MAX: Final = 8000
COMMAND_CREATES_PER_DAY: Final = 200
USER_INSTALL_FOLLOWUPS: Final = 5
GATEWAY_PAYLOAD_MAX: Final = 4096
GATEWAY_SENDS: Final = 120
GATEWAY_SENDS_WINDOW: Final = 60.0
IDENTIFIES_PER_DAY: Final = 1000
UNLIMITED: Final = 1_000_000
"""The bucket size that is announced when rate limits are off."""
