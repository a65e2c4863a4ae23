"""Slack's view of the app as an agent: what is under way in a thread. Nothing of it is needed, so nothing waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from slack_sdk.errors import SlackApiError

from adapters.slack import limits
from adapters.slack.api import Api, error_code
from adapters.slack.inbound import is_direct
from core.present.figures import short
from core.telemetry import get_logger
from core.types import Run

log = get_logger(__name__)

_REFUSED_FOR = 600.0  # seconds for which it is not tried again where Slack does not take it
_PATIENCE = 5.0  # seconds that one call may take


class Sessions:
    """Shows in direct messages whether a thread's run is under way."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._off_until = float("-inf")
        self._running: dict[tuple[str, str], int] = {}

    @asynccontextmanager
    async def at_work(self, run: Run) -> AsyncIterator[None]:
        """While this lasts, the run's thread is shown as being worked on."""
        where = run.ask.where
        if where.thread is None or not is_direct(where.channel):
            yield
            return
        thread = (where.channel, where.thread)
        self._running[thread] = self._running.get(thread, 0) + 1
        begun = asyncio.create_task(self._set(thread, "processing", short(run.ask.text, limits.SESSION_TITLE)))
        try:
            yield
        finally:
            await asyncio.wait({begun})
            self._running[thread] -= 1
            if not self._running[thread]:
                del self._running[thread]
                await self._set(thread, "active", None)

    async def _set(self, thread: tuple[str, str], status: str, title: str | None) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() < self._off_until:
            return
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._api.session(*thread, status, title)
        except (SlackApiError, aiohttp.ClientError, TimeoutError) as error:
            log.info("no agent session", code=error_code(error) or type(error).__name__)
            if isinstance(error, SlackApiError) and error_code(error) != "ratelimited":
                self._off_until = loop.time() + _REFUSED_FOR
