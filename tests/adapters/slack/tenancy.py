"""What the tests of installations share: an emulated Slack with OAuth, stores, and a browser that keeps no cookies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from html import unescape
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from pydantic import SecretStr
from slack_sdk.oauth.token_rotation.async_rotator import AsyncTokenRotator
from slack_sdk.web.async_client import AsyncWebClient

from adapters.history import SqlHistory
from adapters.slack.api import sdk_log
from adapters.slack.clients import AppClient
from adapters.slack.install import COOKIE, INSTALL_PATH, REDIRECT_PATH, Installing, OAuth
from adapters.slack.installations import SlackInstallations
from adapters.slack.limits import Timing
from adapters.slack.rotation import Rotation
from adapters.slack.sealing import Seal
from bot.settings import new_key
from tests.emulators.serving import listening
from tests.emulators.slack import SlackEmulator

KEY = new_key()
PUBLIC_URL = "https://bot.example"


@dataclass(frozen=True)
class Page:
    """What a browser is shown."""

    status: int
    text: str
    cookie: str
    cookie_line: str
    headers: dict[str, str]

    @property
    def link(self) -> str:
        """Where its button leads."""
        return unescape(self.text.partition('class="button" href="')[2].partition('"')[0])


@dataclass(frozen=True)
class Front:
    """A process as far as installations go."""

    oauth: OAuth
    history: SqlHistory
    store: SlackInstallations
    rotation: Rotation
    session: aiohttp.ClientSession
    url: str

    async def get(self, path: str, cookie: str = "") -> Page:
        """Open a page. ``path`` may be a whole address of this service, as Slack sends browsers to it."""
        target = urlsplit(path)
        headers = {"Cookie": f"{COOKIE}={cookie}"} if cookie else {}
        address = f"{self.url}{target.path}{f'?{target.query}' if target.query else ''}"
        async with self.session.get(address, headers=headers, allow_redirects=False) as response:
            lines = response.headers.getall("Set-Cookie", [])
            set_to = next((line.partition(";")[0].partition("=")[2] for line in lines), "")
            return Page(response.status, await response.text(), set_to, "".join(lines), dict(response.headers))

    async def install(self, slack: SlackEmulator, *, org_wide: bool = False) -> Page:
        """Install the app in a workspace, as a person does; gives the last page."""
        first = await self.get(INSTALL_PATH)
        return await self.get(slack.approve(first.link, org_wide=org_wide), first.cookie)


@asynccontextmanager
async def front(
    slack: SlackEmulator, history: SqlHistory, *, secret: str = "", keys: str = KEY, timing: Timing | None = None
) -> AsyncIterator[Front]:
    """One process, with its pages on a port of its own."""
    timing = timing or Timing(look=0.02)
    secret = secret or slack.oauth.client_secret
    oauth = OAuth(slack.oauth.client_id, SecretStr(secret), SecretStr(keys), PUBLIC_URL, history.installations)
    slack.oauth.redirect_urls.add(oauth.redirect_url)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:

        def client(token: str | None) -> AsyncWebClient:
            return AppClient(token=token, base_url=slack.api_url, session=session, logger=sdk_log, retry_handlers=[])

        store = SlackInstallations(oauth.client_id, oauth.store, Seal(oauth.keys))
        rotator = AsyncTokenRotator(client_id=oauth.client_id, client_secret=secret, client=client(None))
        rotation = Rotation(store, rotator, oauth.install_url, timing)
        pages = Installing(oauth, slack.api_url, client, store)
        async with listening(web.get(INSTALL_PATH, pages.install), web.get(REDIRECT_PATH, pages.redirect)) as url:
            yield Front(oauth, history, store, rotation, session, url)
            await rotation.close()


@asynccontextmanager
async def fronts(slack: SlackEmulator, url: str, count: int) -> AsyncIterator[list[Front]]:
    """So many processes on one database, each with connections of its own."""
    async with AsyncExitStack() as stack:
        histories = [await stack.enter_async_context(SqlHistory(url)) for _ in range(count)]
        yield [await stack.enter_async_context(front(slack, history)) for history in histories]
