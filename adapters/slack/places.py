"""What kind of place a channel is, asked once in a while."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import aiohttp
from slack_sdk.errors import SlackApiError

from adapters.slack.api import Api, error_code
from core.telemetry import get_logger

log = get_logger(__name__)

_KEPT = 600.0  # seconds
_MOST = 2_000  # channels
_PATIENCE = 1.0  # seconds: Slack tells of fifty channels a minute, and nobody is to wait until the minute is over


@dataclass(frozen=True)
class Place:
    """A channel. ``joined`` tells whether the bot is a member; None when Slack would not say. ``creator`` is a
    person's id."""

    private: bool
    joined: bool | None
    creator: str | None = None


class Places:
    """Channels by id. Absence is never remembered: an invitation counts at once."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._known: dict[str, tuple[float, Place]] = {}
        self._asked: dict[str, tuple[asyncio.Task[Place], float]] = {}  # and until when it is waited for

    async def look(self, channel: str) -> Place:
        """The channel as it is now, or was minutes ago. What Slack does not tell, or not soon, is taken to be private.

        However many look at once, Slack is asked once.
        """
        now = asyncio.get_running_loop().time()
        until, place = self._known.get(channel, (0.0, None))
        if place is not None and now < until:
            return place
        if channel not in self._asked:
            task = asyncio.create_task(self._ask(channel))
            self._asked[channel] = task, now + _PATIENCE
            task.add_done_callback(lambda _: self._asked.pop(channel))
        asked, until = self._asked[channel]
        try:
            async with asyncio.timeout_at(until):
                return await asyncio.shield(asked)
        except TimeoutError:
            log.warning("channel not looked up in time")
            return Place(private=True, joined=None)

    async def _ask(self, channel: str) -> Place:
        try:
            found = await self._api.channel(channel)
        except (SlackApiError, aiohttp.ClientError, TimeoutError) as error:
            if error_code(error) == "channel_not_found":
                return Place(private=True, joined=False)
            log.warning("channel not looked up", error=error_code(error) or type(error).__name__)
            return Place(private=True, joined=None)
        direct = bool(found.get("is_im") or found.get("is_mpim"))
        place = Place(
            private=direct or bool(found.get("is_private")),
            joined=direct or bool(found.get("is_member")),
            creator=found.get("creator"),
        )
        if place.joined:
            if len(self._known) >= _MOST:
                self._known.pop(next(iter(self._known)))
            self._known[channel] = (asyncio.get_running_loop().time() + _KEPT, place)
        return place
