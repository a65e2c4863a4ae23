"""From Slack's payloads to what a person said, where, and how the event is told from its repeats."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.asks import Person, Platform, ThreadRef
from core.service import Inbound

Payload = Mapping[str, Any]

_FROM_PEOPLE = (None, "file_share", "thread_broadcast", "me_message")
"""Subtypes of message events that are a person's own words."""

_MARKED = re.compile(r"<(?P<sign>[@#!]|(?=https?:|mailto:|tel:))(?P<body>[^<>|]+)(?:\|(?P<label>[^<>]*))?>")


@dataclass(frozen=True)
class Identity:
    """Who this app is: the workspace (None when the app is installed for a whole organisation) and its bot."""

    team: str | None
    user: str
    bot: str
    name: str


@dataclass(frozen=True)
class Said:
    """What a person said. ``thread`` is the root's ts, None at the top level of a channel.

    ``addressed`` tells that it is meant for the bot, by a mention or in a direct message. ``private`` is None
    when the payload does not tell.
    """

    workspace: str
    channel: str
    user: str
    text: str
    event_ids: tuple[str, ...]
    private: bool | None
    ts: str | None = None
    thread: str | None = None
    addressed: bool = True
    name: str = ""
    prefix: str = ""

    @property
    def direct(self) -> bool:
        """Whether it was said to the bot alone."""
        return is_direct(self.channel)

    def inbound(self, private: bool) -> Inbound:
        """As the service takes it. A message at the top level opens a thread under itself."""
        where = ThreadRef(
            platform=Platform.SLACK,
            workspace=self.workspace,
            channel=self.channel,
            thread=self.thread or self.ts,
            private=private,
        )
        asker = Person(id=self.user, name=self.name)
        return Inbound(asker=asker, where=where, event_ids=self.event_ids, prefix=self.prefix)


def is_direct(channel: str) -> bool:
    """Whether a channel is a direct message between two."""
    return channel.startswith("D")


def read_command(body: Payload, me: Identity) -> Said:
    """A slash command. Slack never repeats one."""
    channel = str(body["channel_id"])
    return Said(
        workspace=_workspace(body, me),
        channel=channel,
        user=str(body["user_id"]),
        text=plain(str(body.get("text", ""))),
        event_ids=(f"slack:trigger:{body['trigger_id']}",) if body.get("trigger_id") else (),
        private=True if is_direct(channel) else None,
        name=str(body.get("user_name", "")),
        prefix=str(body["command"]),
    )


def read_event(body: Payload, me: Identity) -> Said | None:
    """A message event or a mention; None for all that is not for us to act on.

    A mention in a channel arrives twice, as message and as app_mention; only the latter counts. In direct
    messages there is no app_mention.
    """
    event: Payload = body["event"]
    if event["type"] not in ("message", "app_mention") or not _by_a_person(event, me):
        return None
    channel, ts = str(event["channel"]), str(event["ts"])
    thread = str(event["thread_ts"]) if event.get("thread_ts") not in (None, ts) else None
    mention = re.compile(rf"<@{re.escape(me.user)}(?:\|[^<>]*)?>[ \t]*")
    raw = str(event.get("text") or "")
    direct = is_direct(channel)
    mentioned = event["type"] == "app_mention"
    if not direct and not mentioned and (thread is None or mention.search(raw)):
        return None
    kind = event.get("channel_type")
    workspace = _workspace(body, me)
    return Said(
        workspace=workspace,
        channel=channel,
        user=str(event["user"]),
        text=plain(mention.sub("", raw, count=1)).strip(),
        event_ids=(f"slack:event:{body['event_id']}", f"slack:message:{workspace}:{channel}:{ts}"),
        private=True if direct else None if kind is None else kind != "channel",
        ts=ts,
        thread=thread,
        addressed=direct or mentioned,
        prefix="" if direct else f"@{me.name}",
    )


def _by_a_person(event: Payload, me: Identity) -> bool:
    return (
        event.get("subtype") in _FROM_PEOPLE
        and not event.get("bot_id")
        and not event.get("hidden")
        and event.get("user") not in (None, me.user, "USLACKBOT")
    )


def _workspace(body: Payload, me: Identity) -> str:
    """The workspace that a thread belongs to. In channels shared with other organisations it stays ours."""
    return me.team or str(body.get("team_id") or body.get("enterprise_id") or "")


def plain(text: str) -> str:
    """Slack's marked-up text as a person would read it: names for mentions, addresses for links, no entities."""

    def readable(found: re.Match[str]) -> str:
        sign, body, label = found["sign"], found["body"], found["label"]
        if sign == "!":
            return label or f"@{body.partition('^')[0]}"
        if sign:
            return f"{sign}{(label or body).lstrip(sign)}"
        target = re.sub("^(?:mailto|tel):", "", body)
        return f"{label} ({target})" if label and label not in (body, target) else target

    text = _MARKED.sub(readable, text)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
