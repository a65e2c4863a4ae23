"""From Slack's payloads to what a person said, where, and how the event is told from its repeats."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.slack.blocks import carried_by
from core.asks import Person, Platform, ThreadRef

Payload = Mapping[str, Any]

_FROM_PEOPLE = (None, "file_share", "thread_broadcast", "me_message")
"""Subtypes of message events that are a person's own words."""

_MARKED = re.compile(r"<(?P<sign>[@#!]|(?=https?:|mailto:|tel:))(?P<body>[^<>|]+)(?:\|(?P<label>[^<>]*))?>")


COMMAND = "/consortium"
"""What people write before a command where they have not shown how they do it."""


@dataclass(frozen=True)
class Identity:
    """Who this app is: the workspace (None when the app is installed for a whole organisation) and its bot."""

    team: str | None
    user: str
    bot: str
    name: str


@dataclass(frozen=True)
class Said:
    """What a person wrote, tapped or filled in; ``text`` is then the action of the button or the form.

    ``thread`` is the root's ts, None at the top level of a channel. ``ts`` is that of the message which a thread may
    be opened under. ``addressed`` tells that it is meant for the bot, by a mention or in a direct message. ``private``
    is None when the payload does not tell. ``files`` are what came with it, as Slack describes them. ``trigger`` opens
    one modal, within three seconds; ``response_url`` takes messages for the person alone. ``fleeting`` tells that a
    button was on a message which only its reader saw. Two taps of a person on the same button within two seconds have
    one of ``taps`` in common. ``replayed``: some of it may have been carried out before. ``again``: it will be tried
    again, should something that we need not answer.
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
    files: tuple[Payload, ...] = ()
    trigger: str | None = None
    response_url: str | None = None
    fleeting: bool = False
    taps: tuple[str, ...] = ()
    replayed: bool = False
    again: bool = False

    @property
    def direct(self) -> bool:
        """Whether it was said to the bot alone."""
        return is_direct(self.channel)

    @property
    def where(self) -> ThreadRef:
        """The place as the core names it; private where that is not known. A message at the top level opens a thread
        under itself."""
        return ThreadRef(
            platform=Platform.SLACK,
            workspace=self.workspace,
            channel=self.channel,
            thread=self.thread or self.ts,
            private=self.private is not False,
        )

    @property
    def asker(self) -> Person:
        """Who it was."""
        return Person(id=self.user, name=self.name)


def home_of(body: Payload) -> tuple[str | None, str | None]:
    """Where the app is installed that something came to, as (organisation, workspace); either may be unknown.

    In channels shared with others the workspace of who acts may be another one: events tell by their authorization,
    modals by where the app that opened them is installed, and taps by whose message they are on.
    """
    grants, view, message = body.get("authorizations"), body.get("view") or {}, body.get("message") or {}
    ours = message.get("team") if message.get("app_id") and message.get("app_id") == body.get("api_app_id") else None
    if grants:
        body = grants[0]
    enterprise = body.get("enterprise") or body.get("enterprise_id")
    team = view.get("app_installed_team_id") or ours or body.get("team") or body.get("team_id")
    if isinstance(team, Mapping):
        enterprise = enterprise or team.get("enterprise_id")
    return _id(enterprise), _id(team) or _id((body.get("user") or {}).get("team_id"))


def _id(named: Any) -> str | None:
    found = named.get("id") if isinstance(named, Mapping) else named
    return str(found) if found else None


def tapped(event_ids: Sequence[str]) -> bool:
    """Whether an event was a tap or a form: nobody else in the thread sees what was asked by it."""
    return any(event.startswith(("slack:click:", "slack:view:")) for event in event_ids)


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
        text=_words(str(body.get("text", ""))),
        event_ids=(f"slack:trigger:{body['trigger_id']}",) if body.get("trigger_id") else (),
        private=True if is_direct(channel) else None,
        name=str(body.get("user_name", "")),
        prefix=str(body["command"]),
        trigger=body.get("trigger_id"),
        response_url=body.get("response_url"),
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
        text=_words(mention.sub("", raw, count=1)).strip(),
        event_ids=(f"slack:event:{body['event_id']}", f"slack:message:{workspace}:{channel}:{ts}"),
        private=True if direct else None if kind is None else kind != "channel",
        ts=ts,
        thread=thread,
        addressed=direct or mentioned,
        prefix="" if direct else f"@{me.name}",
        files=tuple(event.get("files") or ()),
    )


def read_click(body: Payload, me: Identity) -> Said:
    """A button. One in the app's home is in no channel: ``channel`` is then empty."""
    action, container = body["actions"][0], body["container"]
    channel = str(container.get("channel_id") or (body.get("channel") or {}).get("id") or "")
    fleeting = bool(container.get("is_ephemeral"))
    message = body.get("message") or {}
    ts = str(container["message_ts"]) if container.get("message_ts") and not fleeting else None
    thread = container.get("thread_ts") or message.get("thread_ts")
    return Said(
        text=str(action.get("value") or ""),
        channel=channel,
        private=True if is_direct(channel) else None,
        ts=ts,
        thread=str(thread) if thread else None,
        fleeting=fleeting,
        response_url=body.get("response_url"),
        prefix="" if is_direct(channel) or not channel else COMMAND,
        event_ids=(f"slack:click:{body['user']['id']}:{action.get('action_ts')}:{body.get('trigger_id')}",),
        taps=_taps(body, f"{channel}:{container.get('message_ts')}:{action.get('value')}"),
        **_by(body, me),
    )


def _taps(body: Payload, button: str) -> tuple[str, ...]:
    try:
        window = int(float(body["actions"][0]["action_ts"]) // 2)
    except (KeyError, ValueError):
        return ()
    return tuple(f"slack:tap:{body['user']['id']}:{button}:{w}" for w in (window, window + 1))


def read_submission(body: Payload, me: Identity) -> Said:
    """A modal that was filled in, said where it was opened from."""
    carried = carried_by(body["view"])
    return Said(
        text=str(carried.get("action", "")),
        channel=str(carried.get("channel", "")),
        private=carried.get("private"),
        ts=carried.get("ts"),
        thread=carried.get("thread"),
        prefix=str(carried.get("prefix", COMMAND)),
        event_ids=(f"slack:view:{body['view']['id']}:{body.get('trigger_id')}",),
        **_by(body, me),
    )


def carried(said: Said) -> dict[str, Any]:
    """What a modal has to carry so that :func:`read_submission` finds back to the same place."""
    where = {"channel": said.channel, "private": said.private, "ts": said.ts, "thread": said.thread}
    return {name: value for name, value in where.items() if value is not None} | {"prefix": said.prefix}


def read_shortcut(body: Payload, me: Identity) -> Said:
    """A shortcut on a message: ``text`` is what the message says."""
    message, channel = body["message"], str(body["channel"]["id"])
    thread = message.get("thread_ts")
    return Said(
        text=plain(str(message.get("text") or "")),
        channel=channel,
        private=True if is_direct(channel) else None,
        ts=str(body.get("message_ts") or message["ts"]),
        thread=str(thread) if thread else None,
        prefix=COMMAND,
        response_url=body.get("response_url"),
        event_ids=(f"slack:shortcut:{body.get('trigger_id')}",),
        **_by(body, me),
    )


def _by(body: Payload, me: Identity) -> dict[str, Any]:
    user = body["user"]
    return {
        "workspace": me.team or str((body.get("team") or {}).get("id") or user.get("team_id") or ""),
        "user": str(user["id"]),
        "name": str(user.get("name") or user.get("username") or ""),
        "trigger": body.get("trigger_id"),
    }


def read_stop(body: Payload, me: Identity) -> Said:
    """Somebody pressed Slack's own Stop in a thread. The event had another name and may come under both."""
    event = body["event"]
    channel, thread = str(event["channel"]), str(event["thread_ts"])
    what = ",".join(event.get("streaming_message_ts") or ()) or str(event.get("event_ts"))
    return Said(
        workspace=_workspace(body, me),
        channel=channel,
        user=str(event["user"]),
        text="",
        event_ids=(f"slack:event:{body['event_id']}", f"slack:stop:{channel}:{thread}:{what}"),
        private=True if is_direct(channel) else None,
        thread=thread,
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


_NAMING = re.compile(r"\s*(?:access\s+(?:allow|block)|budget\s+(?:user|channel))\s", re.IGNORECASE)
"""How commands begin that name somebody: names are for reading, so the ids of mentions have to stay."""


def _words(text: str) -> str:
    return text if _NAMING.match(text) else plain(text)


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
