"""The app in each of its workspaces: who it is there, its calls, its conversations and what it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import aiohttp
from pydantic import SecretStr
from slack_sdk.web.async_client import AsyncWebClient

from adapters.slack.api import Api
from adapters.slack.arrivals import Arrivals
from adapters.slack.blocks import filled_in
from adapters.slack.conversation import Answer, Conversation
from adapters.slack.inbound import (
    Identity,
    Payload,
    Said,
    read_click,
    read_command,
    read_event,
    read_shortcut,
    read_stop,
    read_submission,
)
from adapters.slack.limits import Timing
from adapters.slack.people import People
from adapters.slack.places import Places
from adapters.slack.showing import Showing
from adapters.slack.standing import Spawn
from adapters.slack.telling import Telling
from core.ports import Events, History
from core.service import Service

STOPPED = frozenset({"agent_session_stopped", "message_stream_stopped"})
"""Slack's own Stop, by its name and by the one it had before."""

GREETED = frozenset({"app_home_opened", "member_joined_channel"})
"""Events that are a reason to say what this is."""

Kind = Literal["command", "event", "click", "shortcut", "submission"]
"""What comes from Slack."""


@dataclass(frozen=True)
class Installed:
    """The app as it is installed somewhere: who it is there, and the bot's token."""

    me: Identity
    token: SecretStr


@dataclass(frozen=True)
class Workspace:
    """All that belongs to one workspace, or to an organisation that has the app for all of its workspaces."""

    me: Identity
    api: Api
    conversation: Conversation
    arrivals: Arrivals
    showing: Showing

    def read(self, kind: Kind, body: Payload) -> Said | None:
        """What somebody said, tapped or filled in; None where nobody did, or it is not for us to act on."""
        match kind:
            case "command":
                return read_command(body, self.me)
            case "click":
                return read_click(body, self.me)
            case "shortcut":  # there are none of ours but on messages
                return read_shortcut(body, self.me) if "message" in body else None
            case "submission":
                return read_submission(body, self.me)
        return read_stop(body, self.me) if body["event"]["type"] in STOPPED else read_event(body, self.me)

    async def concerns(self, kind: Kind, body: Payload, said: Said | None) -> bool:
        """Whether it is for us: nothing is kept of what is not. Raises Unavailable."""
        if said is None:
            return kind == "event" and body["event"]["type"] in GREETED
        return kind != "event" or await self.conversation.concerns(said)

    async def carry_out(self, kind: Kind, body: Payload, said: Said | None, answer: Answer) -> None:
        """Do what follows from it. A submitted form is answered through ``answer``. Raises Unavailable where that will
        be tried again, as ``said`` tells."""
        conversation = self.conversation
        if said is None:
            await self.arrivals.on_event(body["event"])
        elif kind == "command":
            await conversation.on_command(said)
        elif kind == "click":
            await conversation.on_click(said)
        elif kind == "shortcut":
            await conversation.on_shortcut(said)
        elif kind == "submission":
            await conversation.on_submission(said, filled_in(body["view"]), body["view"], answer)
        elif body["event"]["type"] in STOPPED:
            await conversation.on_stop(said)
        else:
            await conversation.on_message(said)


class Workspaces(Protocol):
    """Finds the workspace that something is about."""

    async def find(self, enterprise: str | None, team: str | None) -> Workspace | None:
        """That of an event; None where the app is not installed. Raises Unavailable."""
        ...

    async def named(self, workspace: str) -> Workspace | None:
        """That of a run, by ``run.ask.where.workspace``; None where the app is not installed. Raises Unavailable."""
        ...

    def __iter__(self) -> Iterator[Workspace]:
        """Those in use in this process."""
        ...


@dataclass(frozen=True)
class Builder:
    """Makes workspaces. ``client`` makes a client for a token."""

    core: tuple[Service, Events, History]
    session: aiohttp.ClientSession
    client: Callable[[str], AsyncWebClient]
    spawn: Spawn
    timing: Timing

    def build(
        self, installed: Installed, refused: Callable[[str], None], client: AsyncWebClient | None = None
    ) -> Workspace:
        """``refused`` is told Slack's word when it takes the bot's token no more. ``client`` is one that has the token
        already."""
        service, _, history = self.core
        me, session, timing = installed.me, self.session, self.timing
        client = client or self.client(installed.token.get_secret_value())
        api = Api(client, session, me.bot, timing.repeats)
        telling, places = Telling(me, api, session, service, refused, timing.sign), Places(api)
        showing = Showing(me, api, (service, history), telling, self.spawn, timing)
        people = People(api, places, session)
        conversation = Conversation(me, api, service, history, people, places, telling, showing)
        return Workspace(me, api, conversation, Arrivals(me, api, service), showing)


class OneWorkspace:
    """:class:`Workspaces` where the token of one is set: whatever comes is about that one."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    async def find(self, enterprise: str | None, team: str | None) -> Workspace | None:
        """The one there is."""
        return self._workspace

    async def named(self, workspace: str) -> Workspace | None:
        """The one there is."""
        return self._workspace

    def __iter__(self) -> Iterator[Workspace]:
        return iter((self._workspace,))
