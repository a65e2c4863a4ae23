"""First contact: the app's home, the first direct message, a channel that the bot was invited to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError

from adapters.slack import limits
from adapters.slack.api import Api, Spot, error_code
from adapters.slack.blocks import home_view, pages, reply_card
from adapters.slack.inbound import COMMAND, Identity
from core.cards import Reply
from core.commands import actions, values
from core.errors import ConsortiumError
from core.examples import example
from core.service import Service
from core.telemetry import get_logger

log = get_logger(__name__)

_WELCOME = "welcome"
_LATELY = 900.0  # seconds within which an event may be delivered again


class Arrivals:
    """Says what this is, once."""

    def __init__(self, me: Identity, api: Api, service: Service) -> None:
        self._me, self._api, self._service = me, api, service
        self._greeted: set[str] = set()

    async def on_event(self, event: Mapping[str, Any]) -> None:
        """Greet, where the event is a reason to. Nobody is told when that fails."""
        try:
            match event:
                case {"type": "app_home_opened", "tab": "home", "user": str(user)}:
                    await self._home(user)
                case {"type": "app_home_opened", "tab": "messages", "channel": str(channel)}:
                    await self._direct(channel)
                case {"type": "member_joined_channel", "user": self._me.user, "channel": str(channel)}:
                    await self._joined(channel)
        except (SlackApiError, aiohttp.ClientError, TimeoutError, ConsortiumError) as error:
            log.warning("not greeted", why=error_code(error) or type(error).__name__)

    async def _home(self, user: str) -> None:
        await self._api.publish_home(user, home_view(self._service.welcome("home", COMMAND)))

    async def _direct(self, channel: str) -> None:
        """Welcome in a direct message in which nothing of ours stands yet."""
        reply = self._service.welcome("opened", "")
        await self._suggest(channel, reply)
        if channel not in self._greeted and not await self._api.spoke(channel):
            await self._greet(Spot(_WELCOME, channel, None, since=0.0), reply)
        self._greeted.add(channel)

    async def _joined(self, channel: str) -> None:
        spot = Spot(_WELCOME, channel, None, since=time.time() - _LATELY)
        if channel in self._greeted or (await self._api.seen(spot)).parts:
            return
        await self._greet(spot, self._service.welcome("joined", COMMAND))

    async def _greet(self, spot: Spot, reply: Reply) -> None:
        self._greeted.add(spot.channel)
        for number, page in enumerate(pages(reply_card(reply))):
            await self._api.post_once(spot, f"{number}", page.content())

    async def _suggest(self, channel: str, reply: Reply) -> None:
        """Offer the welcome's questions where an empty conversation shows some."""
        prompts = []
        for button in (button for row in reply.buttons for button in row):
            command = actions.decode(button.action)
            if isinstance(command, values.AskExample):
                question = example(self._service.catalog, command.domain, command.number)
                prompts.append({"title": button.label, "message": question})
        try:
            await self._api.suggest(channel, prompts[: limits.PROMPTS])
        except (SlackApiError, aiohttp.ClientError, TimeoutError) as error:
            log.info("no prompts suggested", code=error_code(error) or type(error).__name__)
