"""How a workspace gets the app: a page with a button, Slack's question, and a page that says how it went.

An installation that begins gets a random state, which is stored, given to Slack, and kept as a cookie by the browser
that began it. It counts once, for ten minutes, in that browser alone.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urljoin

import aiohttp
from aiohttp import web
from pydantic import SecretStr
from slack_sdk.errors import SlackApiError
from slack_sdk.oauth.installation_store import Installation
from slack_sdk.web.async_client import AsyncWebClient

from adapters.slack import install_pages as html
from adapters.slack.api import error_code, unsure
from adapters.slack.installations import NAME, SlackInstallations, place_of
from adapters.slack.manifest import SCOPES
from adapters.slack.pacing import Allowance
from core.errors import ConfigError, Unavailable
from core.installed import Installations
from core.telemetry import get_logger

log = get_logger(__name__)

INSTALL_PATH, REDIRECT_PATH = "/slack/install", "/slack/oauth_redirect"
STATE_LIFE = 600
"""Seconds that somebody has to say yes."""

BEGUN = 120
"""Installations a minute that may begin in this process: each is stored, and the page is open to all."""

COOKIE = "__Host-consortium-install"

_USED_UP = frozenset({"invalid_code", "code_already_used", "code_expired"})
_CLIENT = frozenset({"bad_client_secret", "invalid_client_id"})


@dataclass(frozen=True)
class OAuth:
    """The app as Slack knows it, for all workspaces. ``keys`` are those of ENCRYPTION_KEY, ``public_url`` is under
    which address people and Slack reach this service."""

    client_id: str
    client_secret: SecretStr
    keys: SecretStr
    public_url: str
    store: Installations = field(repr=False)

    @property
    def install_url(self) -> str:
        """Where the app is installed."""
        return self.public_url.rstrip("/") + INSTALL_PATH

    @property
    def redirect_url(self) -> str:
        """Where Slack sends people back to."""
        return self.public_url.rstrip("/") + REDIRECT_PATH


def _bytes(text: str) -> bytes:
    """Whatever somebody sends, half characters included."""
    return text.encode(errors="surrogatepass")


class Installing:
    """The two pages. ``client`` makes a client for a token, or for none."""

    def __init__(
        self, oauth: OAuth, api_url: str, client: Callable[[str | None], AsyncWebClient], store: SlackInstallations
    ) -> None:
        self._oauth, self._client, self._store = oauth, client, store
        self._authorize_url = urljoin(api_url, "/oauth/v2/authorize")
        self._begun = Allowance(BEGUN)

    async def install(self, _: web.Request) -> web.Response:
        """The page with the button."""
        return await self._shown(self._begin)

    async def redirect(self, request: web.Request) -> web.Response:
        """Where Slack sends people back to: they said yes, or no."""
        response = await self._shown(lambda: self._end(request.query, request.cookies.get(COOKIE, "")))
        response.del_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="Lax")
        return response

    # --- inside -------------------------------------------------------------------------------------

    async def _shown(self, page: Callable[[], Awaitable[web.Response]]) -> web.Response:
        """The page, or the one that says why there is none."""
        try:
            return await page()
        except Unavailable as error:
            log.warning("installation failed", why=str(error))
            return html.problem(503, "Not now", "What this service needs does not answer at the moment.", self._again)
        except Exception:
            log.exception("installation failed")
            return html.problem(
                500, "That went wrong", "Something in this service broke; its log says more.", self._again
            )

    @property
    def _again(self) -> str:
        return self._oauth.install_url

    async def _begin(self) -> web.Response:
        if not self._begun.left():
            return html.problem(503, "Not now", "Many install it at this moment. Try again in a minute.", self._again)
        self._begun.spend()
        state = secrets.token_urlsafe(32)
        await self._oauth.store.issue_state(state, STATE_LIFE)
        query = {
            "client_id": self._oauth.client_id,
            "scope": ",".join(SCOPES),
            "user_scope": "",
            "redirect_uri": self._oauth.redirect_url,
            "state": state,
        }
        response = html.invitation(f"{self._authorize_url}?{urlencode(query)}")
        # Lax: it has to come along when Slack sends the browser back.
        response.set_cookie(COOKIE, state, max_age=STATE_LIFE, path="/", secure=True, httponly=True, samesite="Lax")
        return response

    async def _end(self, query: Any, cookie: str) -> web.Response:
        state, code, error = (str(query.get(name) or "") for name in ("state", "code", "error"))
        ours = bool(state) and hmac.compare_digest(_bytes(state), _bytes(cookie))
        fresh = ours and await self._oauth.store.consume_state(state)
        if error == "access_denied":
            return html.problem(200, "Not installed", "You said no, and nothing was changed.", self._again)
        if not ours:
            why = (
                "This page belongs to an installation that was begun in another browser, or more than ten minutes ago."
            )
            return html.problem(400, "Please begin anew", why, self._again)
        if not fresh:
            why = "This installation was ended before, or was begun more than ten minutes ago."
            return html.problem(400, "Please begin anew", why, self._again)
        if error or not code:
            said = f"Slack did not install it, and says: {error[:80] or 'nothing'}."
            return html.problem(400, "Not installed", said, self._again)
        return await self._exchange(code)

    async def _exchange(self, code: str) -> web.Response:
        try:
            installation = await self._granted(code)
        except SlackApiError as error:
            if not unsure(error):
                return self._refused(error_code(error))
            failed: Exception = error
        except (aiohttp.ClientError, TimeoutError) as error:
            failed = error
        else:
            place = place_of(installation)
            async with self._store.locked(place):  # nobody renews an earlier token over this one
                await self._store.async_save(installation)
            name = installation.team_name if place[1] else installation.enterprise_name
            log.info("installed", team=place[1], enterprise=place[0], name=name)
            return html.installed(name or "your workspace", installation)
        log.warning("installation failed: Slack does not answer", error=type(failed).__name__)
        return html.problem(502, "Not installed", "Slack did not answer in time.", self._again)

    async def _granted(self, code: str) -> Installation:
        """What Slack gives for a code. Raises SlackApiError."""
        oauth = self._oauth
        given = await self._client(None).oauth_v2_access(
            client_id=oauth.client_id,
            client_secret=oauth.client_secret.get_secret_value(),
            code=code,
            redirect_uri=oauth.redirect_url,
        )
        token = str(given["access_token"])
        bot = await self._client(token).auth_test()
        team, enterprise = given.get("team") or {}, given.get("enterprise") or {}
        return Installation(
            app_id=given.get("app_id"),
            enterprise_id=enterprise.get("id"),
            enterprise_name=enterprise.get("name"),
            team_id=team.get("id"),
            team_name=team.get("name"),
            bot_token=token,
            bot_id=bot["bot_id"],
            bot_user_id=given.get("bot_user_id"),
            bot_scopes=given.get("scope") or "",
            bot_refresh_token=given.get("refresh_token"),
            bot_token_expires_in=given.get("expires_in"),
            user_id=str((given.get("authed_user") or {}).get("id") or ""),
            is_enterprise_install=bool(given.get("is_enterprise_install")),
            token_type=given.get("token_type"),
            custom_values={NAME: str(bot["user"])},
        )

    def _refused(self, code: str) -> web.Response:
        if code in _USED_UP:
            why = "What Slack sent was used before, or is more than ten minutes old."
            return html.problem(400, "Please begin anew", why, self._again)
        if code == "bad_redirect_uri":
            setting, fix = (
                "PUBLIC_URL",
                f"the app's redirect URLs (OAuth & Permissions) must have {self._oauth.redirect_url}",
            )
        elif code in _CLIENT:
            setting, fix = "SLACK_CLIENT_SECRET", "write both from the app's page Basic Information, App Credentials"
        else:
            setting, fix = "Slack", "see the log"
        error = ConfigError(f"{setting}: Slack refuses it ({code}); {fix}")
        log.error("installation failed", why=str(error))
        why = f"This service is not set up right, which only its operator can mend. Slack says: {code}."
        return html.problem(500, "Not installed", why, self._again)
