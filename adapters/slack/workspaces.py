"""The app in each of its workspaces: who it is there, its calls, its conversations and what it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

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
from adapters.slack.presenter import Spawn
from adapters.slack.showing import Showing
from adapters.slack.telling import Telling
from core.ports import Events, History
from core.service import Service

STOPPED = frozenset({"agent_session_stopped", "message_stream_stopped"})
"""Slack's own Stop, by its name and by the one it had before."""


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

    async def on_command(self, body: Payload) -> None:
        """A slash command."""
        await self.conversation.on_command(read_command(body, self.me))

    async def on_event(self, body: Payload) -> None:
        """An event of any type."""
        event = body["event"]
        if event["type"] in STOPPED:
            await self.conversation.on_stop(read_stop(body, self.me))
        elif event["type"] in ("app_home_opened", "member_joined_channel"):
            await self.arrivals.on_event(event)
        elif (said := read_event(body, self.me)) is not None:
            await self.conversation.on_message(said)

    async def on_click(self, body: Payload) -> None:
        """A tap on a button."""
        await self.conversation.on_click(read_click(body, self.me))

    async def on_shortcut(self, body: Payload) -> None:
        """A shortcut on a message; there are no others of ours."""
        if "message" in body:
            await self.conversation.on_shortcut(read_shortcut(body, self.me))

    async def on_view(self, body: Payload, answer: Answer) -> None:
        """A modal that was filled in; ``answer`` is given what it is to show."""
        view, said = body["view"], read_submission(body, self.me)
        await self.conversation.on_submission(said, filled_in(view), view, answer)


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

    def build(self, installed: Installed, refused: Callable[[str], None]) -> Workspace:
        """``refused`` is told Slack's word when it takes the bot's token no more."""
        service, _, history = self.core
        me, session, timing = installed.me, self.session, self.timing
        api = Api(self.client(installed.token.get_secret_value()), session, me.bot, timing.repeats)
        telling, places = Telling(me, api, session, service, refused, timing.sign), Places(api)
        showing = Showing(me, api, self.core, telling, self.spawn, timing)
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
