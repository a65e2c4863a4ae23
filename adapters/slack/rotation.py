"""Tokens that expire: renewed ahead of time, and when Slack takes one no more, by one process at a time.

What renews a token can be used once. Whoever renews therefore holds the place's lock, reads anew behind it, and stores
what Slack gave before anything else happens. A process that dies between both leaves a token that lasts to its end, and
cannot be renewed: the app has to be installed there again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import aiohttp
from slack_sdk.errors import SlackTokenRotationError
from slack_sdk.oauth.installation_store import Bot, Installation
from slack_sdk.oauth.token_rotation.async_rotator import AsyncTokenRotator

from adapters.slack.api import error_code, unsure
from adapters.slack.installations import LOST, Place, SlackInstallations, place_of
from adapters.slack.limits import Timing
from core.errors import ConfigError, Unavailable
from core.telemetry import get_logger

log = get_logger(__name__)

_ANY_TIME = 10**7  # minutes: whether it is due is decided here
_CLIENT = frozenset({"bad_client_secret", "invalid_client_id", "client_id_not_found"})
_SAVING = (0.1, 0.5, 2.0, 10.0, 30.0, 60.0)  # seconds between attempts to store what cannot be had twice


class Rotation:
    """Renews tokens. ``clock`` gives seconds of the epoch; ``page`` is where the app is installed."""

    def __init__(
        self,
        store: SlackInstallations,
        rotator: AsyncTokenRotator,
        page: str,
        timing: Timing,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._rotator, self._page, self._timing, self._clock = store, rotator, page, timing, clock
        self._told: set[Place] = set()
        self._renewing: set[asyncio.Task[Installation | None]] = set()

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                await self.look()
            except Unavailable as error:
                log.warning("tokens not looked through", why=str(error))
            except Exception:
                log.exception("tokens not looked through")
            await asyncio.sleep(self._timing.look)

    async def look(self) -> None:
        """Renew what ends soon. Raises Unavailable."""
        async for installation in self._store.ending(self._clock() + self._timing.ahead):
            if installation.get_custom_value(LOST):
                self._tell_lost(installation)
            elif self._due(installation):
                try:
                    await self._behind_lock(place_of(installation), self._due)
                except (Unavailable, ConfigError) as error:
                    log.warning("token not renewed yet", team=installation.team_id, why=str(error))

    async def renewed(self, place: Place, token: str) -> Installation | None:
        """What is installed there, if it has another token than that one, which Slack takes no more: it was renewed or
        installed anew meanwhile, or is renewed now. Raises Unavailable."""
        found = await self._store.at(place)
        if found is not None and found.bot_token == token and found.bot_refresh_token:
            found = await self._behind_lock(place, lambda behind: behind.bot_token == token)
        return None if found is None or found.bot_token == token else found

    async def close(self) -> None:
        """Wait until what Slack was asked for is stored."""
        if self._renewing:
            await asyncio.wait(self._renewing, timeout=self._timing.call)

    # --- inside -------------------------------------------------------------------------------------

    def _due(self, installation: Installation) -> bool:
        expires = installation.bot_token_expires_at
        renewable = installation.bot_refresh_token and not installation.get_custom_value(LOST)
        return bool(renewable and expires is not None and expires < self._clock() + self._timing.ahead)

    async def _behind_lock(self, place: Place, due: Callable[[Installation], bool]) -> Installation | None:
        """What is installed there, renewed where that is due still. Once begun, it goes on whoever is cancelled."""

        async def work() -> Installation | None:
            async with self._store.locked(place):
                found = await self._store.at(place)
                if found is None or not due(found) or found.get_custom_value(LOST):
                    return found
                return await self._renew(found)

        task = asyncio.create_task(work())
        self._renewing.add(task)
        task.add_done_callback(self._over)
        return await asyncio.shield(task)

    def _over(self, task: asyncio.Task[Installation | None]) -> None:
        self._renewing.discard(task)
        if not task.cancelled():
            task.exception()  # told to whoever waits, if anybody still does

    async def _renew(self, found: Installation) -> Installation:
        try:
            bot = await self._rotator.perform_bot_token_rotation(
                bot=found.to_bot(), minutes_before_expiration=_ANY_TIME
            )
        except SlackTokenRotationError as refusal:
            await self._refused(found, refusal)
            return found
        except (aiohttp.ClientError, TimeoutError) as error:
            log.warning("token not renewed yet", team=found.team_id, error=type(error).__name__)
            return found
        if bot is None:
            log.error("token not renewed: Slack gave none for a bot", team=found.team_id)
            return found
        return await self._keep(found, bot)

    async def _keep(self, found: Installation, bot: Bot) -> Installation:
        """Store the new token, however long that takes: there is no other."""
        fields = found.to_dict_for_copying() | {
            "bot_token": bot.bot_token,
            "bot_refresh_token": bot.bot_refresh_token,
            "bot_token_expires_at": bot.bot_token_expires_at,
        }
        renewed = Installation(**fields)
        for wait in (*_SAVING, None):
            try:
                await self._store.async_save(renewed)
                log.info("token renewed", team=found.team_id, enterprise=found.enterprise_id)
                return renewed
            except Unavailable as error:
                if wait is None:
                    raise
                log.warning("renewed token not stored yet", team=found.team_id, why=str(error))
            await asyncio.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    async def _refused(self, found: Installation, refusal: SlackTokenRotationError) -> None:
        code = error_code(refusal.api_error)
        if code in _CLIENT:
            log.error("SLACK_CLIENT_SECRET: Slack refuses it; no token is renewed until it is right", code=code)
        elif unsure(refusal.api_error) or code in ("", "ratelimited"):
            log.warning("token not renewed yet", team=found.team_id, code=code)
        else:
            lost = Installation(**found.to_dict_for_copying())
            lost.set_custom_value(LOST, code)
            await self._store.async_save(lost)
            self._tell_lost(lost)

    def _tell_lost(self, installation: Installation) -> None:
        """Say once what only a person can put right."""
        if place_of(installation) not in self._told:
            self._told.add(place_of(installation))
            log.error(
                "this workspace's token cannot be renewed: install the app there again before it ends",
                team=installation.team_id,
                name=installation.team_name or installation.enterprise_name,
                enterprise=installation.enterprise_id,
                ends=installation.bot_token_expires_at,
                install=self._page,
                code=installation.get_custom_value(LOST),
            )
