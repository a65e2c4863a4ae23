"""The app for many workspaces, as a whole: its installations, their tokens, and the pages on which it is installed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from slack_sdk.oauth.token_rotation.async_rotator import AsyncTokenRotator
from slack_sdk.web.async_client import AsyncWebClient

from adapters.slack.clients import AppClient
from adapters.slack.install import Installing, OAuth
from adapters.slack.installations import SlackInstallations
from adapters.slack.limits import Timing
from adapters.slack.manifest import REMOVED
from adapters.slack.rotation import Rotation
from adapters.slack.sealing import Seal
from adapters.slack.tenants import Tenants
from adapters.slack.workspaces import Builder


class Tenancy:
    """All that the surface has more when many workspaces install it.

    ``client`` makes a client for a token, or for none. Raises ConfigError for keys that are none.
    """

    def __init__(
        self,
        oauth: OAuth,
        api_url: str,
        client: Callable[[str | None], AsyncWebClient],
        builder: Builder,
        timing: Timing,
    ) -> None:
        secret = oauth.client_secret.get_secret_value()
        self._store = SlackInstallations(oauth.client_id, oauth.store, Seal(oauth.keys))
        rotator = AsyncTokenRotator(
            client_id=oauth.client_id, client_secret=secret, client=AppClient.like(client(None))
        )
        self.rotation = Rotation(self._store, rotator, oauth.install_url, timing)
        self.workspaces = Tenants(builder, self._store, self.rotation, oauth.install_url, timing)
        self.installing = Installing(oauth, api_url, lambda token: AppClient.like(client(token)), self._store)
        self._rotating: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to keep tokens alive. Raises ConfigError when what is stored cannot be opened, and Unavailable."""
        await self._store.check()
        self._rotating = asyncio.create_task(self.rotation.run(), name="slack tokens")

    async def noticed(self, body: Mapping[str, Any]) -> None:
        """Take note where an event tells that the app was removed. Raises Unavailable."""
        if body.get("type") == "event_callback" and body["event"].get("type") in REMOVED:
            await self.workspaces.removed(body)

    async def close(self) -> None:
        """End; a token that is being renewed is stored first."""
        if self._rotating is not None:
            self._rotating.cancel()
            await asyncio.wait([self._rotating])
        await self.rotation.close()
