"""Installing the app in workspaces: consent, codes, tokens that expire, and taking it all back."""

from __future__ import annotations

import base64
import binascii
import uuid
from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode, urlsplit

from . import limits
from .journal import JSON, ApiError, Journal
from .web_api import Grant, Home, WebApi
from .workspace import APP, Workspace


@dataclass
class Code:
    """What a person's consent is exchanged for: good for one workspace or one organisation, once."""

    home: Home
    redirect_uri: str
    issued: float
    person: str
    org_wide: bool
    used: bool = False


class OAuthServer:
    """The app's side of OAuth v2.

    Attributes:
        redirect_urls: those that the app's settings allow.
        rotation: whether tokens expire; as in Slack, what was issued before stays as it was.
        life: seconds that an expiring token lasts.
        refreshed: how often a refresh token was exchanged, refused attempts left out.
    """

    client_id, client_secret = "1111111111.2222222222", "emulated-client-secret"

    def __init__(self, journal: Journal, api: WebApi, *, rotation: bool) -> None:
        self.redirect_urls: set[str] = set()
        self.rotation, self.life, self.refreshed = rotation, float(limits.TOKEN_LIFE), 0
        self._journal, self._api = journal, api
        self._homes: dict[str, Home] = {}
        self._codes: dict[str, Code] = {}
        self._refresh: dict[str, Grant] = {}

    def add(self, home: Home) -> None:
        """A workspace in which the app can be installed."""
        self._homes[home.space.team] = home

    # What people do.

    def approve(self, url: str, space: Workspace, person: str, *, org_wide: bool = False) -> str:
        """Somebody opens the page that `url` leads to and allows all; returns where Slack sends the browser.

        Raises:
            LookupError: Slack shows an error in place of its question.
        """
        query = self._asked(url)
        scopes = tuple(filter(None, query["scope"].split(",")))
        unknown = sorted(set(scopes) - limits.KNOWN_SCOPES)
        if not scopes or unknown:
            raise LookupError(f"invalid_scope: {unknown}")
        space.scopes = tuple(dict.fromkeys((*space.scopes, *scopes)))  # scopes are additive
        code = f"{APP[1:4]}.{uuid.uuid4().hex}"
        issued = self._journal.clock()
        self._codes[code] = Code(self._homes[space.team], query["redirect_uri"], issued, person, org_wide)
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def deny(self, url: str) -> str:
        """Somebody says no; returns where Slack sends the browser."""
        query = self._asked(url)
        return f"{query['redirect_uri']}?{urlencode({'error': 'access_denied', 'state': query['state']})}"

    def _asked(self, url: str) -> dict[str, str]:
        parts = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path != "/oauth/v2/authorize":
            raise LookupError(f"there is no {parts.path}")
        if query.get("client_id") != self.client_id:
            raise LookupError("invalid_client_id")
        if query.get("redirect_uri") not in self.redirect_urls:
            raise LookupError(f"bad_redirect_uri: {query.get('redirect_uri')}")
        if len(query.get("state", "")) < 20:
            self._journal.violation("oauth_state", "no state, or one that can be guessed")
        return {"state": "", "scope": ""} | query

    # What the app does.

    def access(self, credentials: str, args: JSON) -> JSON:
        """oauth.v2.access."""
        self._check_client(credentials)
        if args.get("grant_type") == "refresh_token":
            return self._exchange_refresh(str(args.get("refresh_token", "")))
        code = self._codes.get(str(args.get("code", "")))
        if code is None or code.used or self._journal.clock() - code.issued > limits.CODE_LIFE:
            raise ApiError("invalid_code")
        if args.get("redirect_uri") != code.redirect_uri:
            raise ApiError("bad_redirect_uri")
        code.used = True
        self.revoke_all(code.home.space)
        code.home.space.org_wide = code.org_wide
        return self._reply(self._mint(code.home), code)

    def _check_client(self, credentials: str) -> None:
        try:
            given = base64.b64decode(credentials, validate=True).decode()
        except (binascii.Error, ValueError):
            given = ""
        client_id, _, secret = given.partition(":")
        if client_id != self.client_id:
            raise ApiError("invalid_client_id")
        if secret != self.client_secret:
            raise ApiError("bad_client_secret")

    def _exchange_refresh(self, token: str) -> JSON:
        """A refresh token is good once, and dies with its access token's revocation."""
        grant = self._refresh.pop(token, None)
        if grant is None or grant.revoked:
            raise ApiError("invalid_refresh_token")
        self.refreshed += 1
        return self._reply(self._mint(grant.home), None)

    def _mint(self, home: Home) -> JSON:
        expires = self._journal.clock() + self.life if self.rotation else None
        token = f"{'xoxe.' if self.rotation else ''}xoxb-1-{uuid.uuid4().hex}"
        grant = self._api.grants[token] = Grant("xoxb", home, expires)
        minted: JSON = {"access_token": token, "token_type": "bot", "scope": ",".join(home.space.scopes)}
        if self.rotation:
            refresh = f"xoxe-1-{uuid.uuid4().hex}"
            self._refresh[refresh] = grant
            minted |= {"refresh_token": refresh, "expires_in": int(self.life)}
        return minted

    def _reply(self, minted: JSON, code: Code | None) -> JSON:
        space = self._api.grants[minted["access_token"]].home.space
        named = {"id": space.enterprise, "name": space.enterprise} if space.enterprise else None
        return minted | {
            "bot_user_id": space.bot_user,
            "app_id": APP,
            "team": None if space.org_wide else {"id": space.team, "name": space.name},
            "enterprise": named,
            "authed_user": {"id": code.person} if code else {},
            "is_enterprise_install": space.org_wide,
        }

    # What is taken back.

    def tokens_of(self, space: Workspace) -> list[str]:
        """The access tokens that a workspace has given and that have not been revoked, the latest last."""
        return [
            token
            for token, grant in self._api.grants.items()
            if grant.kind == "xoxb" and grant.home.space is space and not grant.revoked
        ]

    def revoke_all(self, space: Workspace) -> None:
        """Every token of a workspace is good no more, nor is what renews it."""
        for token in self.tokens_of(space):
            self._api.grants[token].revoked = True

    def expire(self, space: Workspace) -> None:
        """The tokens of a workspace have come to their end."""
        for token in self.tokens_of(space):
            self._api.grants[token].expires = 0.0

    def shorten(self, space: Workspace, seconds: float) -> None:
        """The tokens of a workspace end in so many seconds."""
        for token in self.tokens_of(space):
            self._api.grants[token].expires = self._journal.clock() + seconds
