"""Where the app was installed, for Slack's SDK: over a store of ours that sees no token in clear."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime

from slack_sdk.oauth.installation_store import Bot, Installation
from slack_sdk.oauth.installation_store.async_installation_store import AsyncInstallationStore

from adapters.slack.sealing import Seal
from core.errors import ConfigError
from core.installed import Installations, Installed
from core.telemetry import get_logger

log = get_logger(__name__)

Place = tuple[str | None, str | None]
"""Where one installation holds: (None, workspace), or (organisation, None) where it is for all workspaces of one.
The ids of workspaces are unique, so that theirs need no organisation."""

NAME = "bot_name"
"""The custom value that has the bot's name."""

LOST = "lost"
"""The custom value that is set once the token cannot be renewed any more."""

_WITHIN = "within"
"""The custom value of a workspace that only points to its organisation's installation."""


def place_of(installation: Installation) -> Place:
    """Where it holds."""
    if installation.is_enterprise_install:
        return installation.enterprise_id, None
    return None, installation.team_id


class SlackInstallations(AsyncInstallationStore):
    """The installations of one app, of whom the latest in a place counts. All methods raise Unavailable.

    A workspace that uses its organisation's installation gets an entry that points to it, as not all that Slack sends
    tells the organisation.
    """

    def __init__(self, client_id: str, store: Installations, seal: Seal) -> None:
        self._client_id, self._store, self._seal = client_id, store, seal

    async def check(self) -> None:
        """Open everything, and seal anew what an older key has sealed. Raises ConfigError when a key is missing."""
        for stored in await self._store.all(self._client_id):
            self._opened(stored)
            if not self._seal.is_newest(stored.secrets):
                place = stored.enterprise_id, stored.team_id
                async with self.locked(place):
                    if (found := await self.at(place)) is not None:
                        await self._keep(place, found)

    async def at(self, place: Place) -> Installation | None:
        """What is installed in exactly that place."""
        found = await self._store.find(self._client_id, *place)
        return None if found is None else self._opened(found)

    async def all(self) -> AsyncIterator[Installation]:
        """Every installation."""
        for stored in await self._store.all(self._client_id):
            installation = self._opened(stored)
            if not installation.get_custom_value(_WITHIN):
                yield installation

    async def ending(self, before: float) -> AsyncIterator[Installation]:
        """Those whose token ends before that second of the epoch. What no key opens is left out, and told."""
        for stored in await self._store.all(self._client_id):
            if stored.token_expires_at is None or stored.token_expires_at.timestamp() >= before:
                continue
            try:
                yield self._opened(stored)
            except ConfigError as error:
                log.error("a token cannot be read", team=stored.team_id, why=str(error))

    def locked(self, place: Place) -> AbstractAsyncContextManager[None]:
        """Wait until no process is changing what is installed there."""
        return self._store.locked(":".join((self._client_id, *(part or "" for part in place))))

    async def async_save(self, installation: Installation) -> None:
        """Store it in place of what was installed there."""
        await self._keep(place_of(installation), installation)

    async def async_find_installation(
        self,
        *,
        enterprise_id: str | None,
        team_id: str | None,
        user_id: str | None = None,
        is_enterprise_install: bool | None = False,
    ) -> Installation | None:
        """What holds in a workspace: its own installation, else its organisation's."""
        own = await self.at((None, team_id)) if team_id and not is_enterprise_install else None
        if own is not None and not own.get_custom_value(_WITHIN):
            return own
        organisation = enterprise_id or (own.enterprise_id if own else None)
        found = await self.at((organisation, None)) if organisation else None
        if found is not None and team_id and not is_enterprise_install and own is None:
            await self._point(team_id, found)
        return found

    async def async_find_bot(
        self, *, enterprise_id: str | None, team_id: str | None, is_enterprise_install: bool | None = False
    ) -> Bot | None:
        """The bot of that installation."""
        found = await self.async_find_installation(
            enterprise_id=enterprise_id, team_id=team_id, is_enterprise_install=is_enterprise_install
        )
        return None if found is None else found.to_bot()

    async def async_delete_installation(
        self, *, enterprise_id: str | None, team_id: str | None, user_id: str | None = None
    ) -> None:
        """Forget what is installed in a workspace; without one, what is installed for the organisation."""
        await self._store.delete(self._client_id, *((None, team_id) if team_id else (enterprise_id, None)))

    async def async_delete_bot(self, *, enterprise_id: str | None, team_id: str | None) -> None:
        """As :meth:`async_delete_installation`."""
        await self.async_delete_installation(enterprise_id=enterprise_id, team_id=team_id)

    # --- inside -------------------------------------------------------------------------------------

    async def _point(self, team: str, organisation: Installation) -> None:
        pointer = Installation(
            user_id="",
            enterprise_id=organisation.enterprise_id,
            team_id=team,
            bot_id=organisation.bot_id,
            custom_values={_WITHIN: True},
        )
        await self._keep((None, team), pointer)

    async def _keep(self, place: Place, installation: Installation) -> None:
        expires = installation.bot_token_expires_at
        await self._store.save(
            Installed(
                client_id=self._client_id,
                enterprise_id=place[0],
                team_id=place[1],
                bot_id=installation.bot_id,
                bot_user_id=installation.bot_user_id,
                is_enterprise_install=installation.is_enterprise_install,
                scopes=tuple(installation.bot_scopes or ()),
                secrets=self._seal.close(json.dumps([place, installation.to_dict_for_copying()], default=_plain)),
                token_expires_at=None if expires is None else datetime.fromtimestamp(expires, UTC),
                installed_at=datetime.fromtimestamp(installation.installed_at, UTC),
            )
        )

    def _opened(self, stored: Installed) -> Installation:
        """Raises ConfigError when no key opens it, or when what was sealed belongs to another place."""
        place, fields = json.loads(self._seal.open(stored.secrets))
        if place != [stored.enterprise_id, stored.team_id]:
            raise ConfigError(f"The database has the tokens of another place at {stored.team_id}: install there again.")
        return Installation(**fields)


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)
