"""The workspaces in which people have installed the app: found by what Slack sends, built when first needed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial

import aiohttp
from pydantic import SecretStr
from slack_sdk.errors import SlackApiError
from slack_sdk.oauth.installation_store import Installation
from slack_sdk.web.async_client import AsyncWebClient

from adapters.slack.api import error_code, unsure
from adapters.slack.clients import TenantClient
from adapters.slack.inbound import Identity, Payload, home_of
from adapters.slack.installations import NAME, Place, SlackInstallations, place_of
from adapters.slack.limits import Timing
from adapters.slack.rotation import Rotation
from adapters.slack.workspaces import Builder, Installed, Workspace
from core.errors import ConfigError, Unavailable
from core.telemetry import get_logger

log = get_logger(__name__)

_OFF = 600.0  # seconds after which a token that was refused is tried again
_PATIENCE = 0.4  # seconds to look again at what is known already: Slack waits for three in all
_LATELY = 120  # seconds by which Slack's clock and ours may differ


class Tenants:
    """:class:`adapters.slack.workspaces.Workspaces` of all who installed the app.

    What is installed is looked up again every few seconds, so that every process soon knows of tokens that another one
    was given; while the store does not answer, what was known last holds. ``page`` is where the app is installed.
    """

    def __init__(
        self,
        builder: Builder,
        store: SlackInstallations,
        rotation: Rotation,
        page: str,
        timing: Timing,
    ) -> None:
        self._builder, self._store, self._rotation = builder, store, rotation
        self._page, self._fresh = page, timing.fresh
        self._known: dict[Place, tuple[float, Workspace]] = {}  # by what was asked for, and until when
        self._built: dict[Place, Workspace] = {}
        self._replaced: list[Workspace] = []  # of a bot that is not there any more, still showing something
        self._off: dict[Place, tuple[str, float]] = {}  # refused tokens, and until when they are not tried again

    async def find(self, enterprise: str | None, team: str | None) -> Workspace | None:
        """That of an event; None where the app is not installed. Raises Unavailable."""
        now, asked = asyncio.get_running_loop().time(), (enterprise, team)
        until, known = self._known.get(asked, (0.0, None))
        if known is not None and now < until:
            return known
        try:
            async with asyncio.timeout(None if known is None else _PATIENCE):
                found = await self._store.async_find_installation(enterprise_id=enterprise, team_id=team)
        except (Unavailable, TimeoutError):
            if known is None:
                raise
            self._known[asked] = (now + self._fresh, known)
            return known
        except ConfigError as error:
            log.error("a workspace's token cannot be read", team=team, enterprise=enterprise, why=str(error))
            found = None
        workspace = None if found is None else self._current(found)
        if workspace is None:  # which is not remembered: an installation counts at once
            self._known.pop(asked, None)
        else:
            self._known[asked] = (now + self._fresh, workspace)
        return workspace

    async def named(self, workspace: str) -> Workspace | None:
        """That of a run; None where the app is not installed. Raises Unavailable."""
        return await self.find(None, workspace)

    def __iter__(self) -> Iterator[Workspace]:
        """Those that were used in this process."""
        return iter((*self._built.values(), *self._replaced))

    async def removed(self, body: Payload) -> None:
        """A workspace has taken the app off, or its tokens back: forget what was installed there, unless it has been
        installed again since. Raises Unavailable."""
        event, (enterprise, team) = body["event"], home_of(body)
        grant = (body.get("authorizations") or [body])[0]
        place: Place = (enterprise, None) if grant.get("is_enterprise_install") or not team else (None, team)
        if event["type"] == "tokens_revoked" and not (event.get("tokens") or {}).get("bot"):
            return
        async with self._store.locked(place):
            found = await self._store.at(place)
            if found is None or await self._stands(found, event["type"], int(body.get("event_time") or 0)):
                return
            await self._store.async_delete_installation(enterprise_id=place[0], team_id=place[1])
        self._known.clear()
        log.info("removed by the workspace", team=place[1], enterprise=place[0])

    # --- inside -------------------------------------------------------------------------------------

    async def _stands(self, found: Installation, kind: str, at: int) -> bool:
        """Whether what is installed is not what was removed at that time. Slack is asked where clocks cannot tell."""
        if found.installed_at > at + _LATELY:
            return True
        if kind == "app_uninstalled" and found.installed_at < at - _LATELY:
            return False
        try:
            await self._builder.client(str(found.bot_token)).auth_test()
        except (SlackApiError, aiohttp.ClientError, TimeoutError) as error:
            if unsure(error) or error_code(error) == "ratelimited":
                raise Unavailable("Slack does not say whether the app is installed there.") from error
            # A token that has come to its end may have been replaced by Slack's leave.
            return kind == "tokens_revoked" and error_code(error) == "token_expired"
        return True

    def _current(self, found: Installation) -> Workspace | None:
        """The workspace with the token that holds now; None where Slack has lately refused that one."""
        place, token = place_of(found), str(found.bot_token)
        refused, until = self._off.get(place, ("", 0.0))
        if refused == token and asyncio.get_running_loop().time() < until:
            return None
        self._off.pop(place, None)
        me = Identity(
            team=None if found.is_enterprise_install else found.team_id,
            user=str(found.bot_user_id),
            bot=str(found.bot_id),
            name=str(found.get_custom_value(NAME) or "consortium"),
        )
        built = self._built.get(place)
        if built is not None and built.me == me:
            built.api.client.token = token
            return built
        client = TenantClient.like(self._builder.client(token))
        client.renew = partial(self._renew, place)
        workspace = self._builder.build(Installed(me, SecretStr(token)), partial(self._refused, place, client), client)
        if built is not None:
            self._replaced.append(built)
        self._built[place] = workspace
        return workspace

    async def _renew(self, place: Place, token: str) -> str | None:
        try:
            found = await self._rotation.renewed(place, token)
        except (Unavailable, ConfigError) as error:
            log.warning("token not looked up", team=place[1], enterprise=place[0], why=str(error))
            return None
        return None if found is None else found.bot_token

    def _refused(self, place: Place, client: AsyncWebClient, code: str) -> None:
        """Slack takes a workspace's token no more. The others go on."""
        token = str(client.token)
        if self._off.get(place, ("", 0.0))[0] != token:
            log.error(
                "off in this workspace: Slack refuses its token; install the app there again",
                team=place[1],
                enterprise=place[0],
                code=code,
                install=self._page,
            )
        self._off[place] = (token, asyncio.get_running_loop().time() + _OFF)
        self._known.clear()
