"""What a person alone is shown through the address that came with their command or tap."""

from __future__ import annotations

import aiohttp
from slack_sdk.webhook.async_client import AsyncWebhookClient

from adapters.slack import limits
from adapters.slack.api import retry_handlers, sdk_log
from adapters.slack.blocks import pages
from adapters.slack.render import Content
from core.cards import Card
from core.telemetry import get_logger

log = get_logger(__name__)


class Responder:
    """A response_url: messages for the asker alone, a few of them, for half an hour. ``thread`` is where they go."""

    def __init__(self, url: str, session: aiohttp.ClientSession, thread: str | None = None) -> None:
        self._client = AsyncWebhookClient(url, session=session, logger=sdk_log, retry_handlers=retry_handlers())
        self._thread = thread
        self.left = limits.RESPONSES

    async def send(self, card: Card, *, replace: bool = False) -> bool:
        """Show a card, as far as the uses suffice; with ``replace`` in place of what the person tapped on. Returns
        whether all of it was taken."""
        shown = pages(card)
        if len(shown) > self.left:
            return False
        for page in shown:
            if not await self._post(page.content(), replace):
                for text in page.texts():
                    if not await self._post(text, replace):
                        return False
                    replace = False
            replace = False
        return True

    async def _post(self, content: Content, replace: bool) -> bool:
        if self.left <= 0:
            return False
        self.left -= 1
        where = {"thread_ts": self._thread} if self._thread and not replace else {}
        try:
            reply = await self._client.send_dict(
                {"response_type": "ephemeral", "replace_original": replace, **where, **content}
            )
        except (aiohttp.ClientError, TimeoutError) as error:
            log.warning("response_url failed", error=type(error).__name__)
            return True  # it may have been shown: not again
        if reply.status_code != 200:
            log.warning("response_url refused", status=reply.status_code, body=reply.body[:200])
        return reply.status_code == 200
