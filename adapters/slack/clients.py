"""Clients of Slack's Web API that know more than the SDK's: of the app itself, and of a workspace that installed it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Self

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from adapters.slack.api import TOKEN_REFUSED, error_code


class AppClient(AsyncWebClient):
    """Calls Slack as the app, by its id and secret."""

    @classmethod
    def like(cls, plain: AsyncWebClient) -> Self:
        """One that is set up as that one is."""
        return cls(
            token=plain.token,
            base_url=plain.base_url,
            session=plain.session,
            logger=plain.logger,
            retry_handlers=plain.retry_handlers,
        )

    async def api_call(self, api_method: str, *, auth: Any = None, **options: Any) -> AsyncSlackResponse:
        """Call a method. Raises SlackApiError."""
        if auth is not None:  # the SDK would give aiohttp what that is to take no longer
            basic = aiohttp.encode_basic_auth(auth["client_id"], auth["client_secret"])
            options["headers"] = {**(options.get("headers") or {}), "Authorization": basic}
        return await super().api_call(api_method, **options)


class TenantClient(AppClient):
    """Calls Slack with a workspace's token, and with its next one where that is not good any more: the call has then
    had no effect. ``renew`` is given the token that was refused, and gives another, or None."""

    renew: Callable[[str], Awaitable[str | None]]

    async def api_call(self, api_method: str, *, auth: Any = None, **options: Any) -> AsyncSlackResponse:
        """Call a method. Raises SlackApiError."""
        token = str(self.token)
        try:
            return await super().api_call(api_method, auth=auth, **_copied(options))
        except SlackApiError as error:
            if error_code(error) not in TOKEN_REFUSED:
                raise
            if self.token == token:
                another = await self.renew(token)
                if another is None:
                    raise
                self.token = another
        return await super().api_call(api_method, auth=auth, **options)


def _copied(options: dict[str, Any]) -> dict[str, Any]:
    """The SDK writes into the dictionaries that it is given."""
    return {name: dict(value) if isinstance(value, dict) else value for name, value in options.items()}
