"""Who may manage the workspace, and files that people send: what Slack tells only when asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError

from adapters.slack.api import Api, error_code
from adapters.slack.inbound import Said
from adapters.slack.places import Places
from core.asks import Person
from core.attachments import MOST_BYTES, Upload
from core.errors import Refused, Unavailable
from core.service import Inbound
from core.telemetry import get_logger

log = get_logger(__name__)

_KEPT = 600.0  # seconds
_MOST = 5_000  # people
_MANAGERS = frozenset(("owner", "admin"))
_PATIENCE = 1.5  # seconds; a form must be answered in three

_NOT_READABLE = (
    "Slack does not let me read files here: I lack the permission `files:read`. Ask an administrator to install me "
    "anew, or paste the text into your message."
)


class People:
    """Turns what was said into what the service takes: who it was, what they may do, where, with which files."""

    def __init__(self, api: Api, places: Places, session: aiohttp.ClientSession) -> None:
        self._api, self._places, self._session = api, places, session
        self._known: dict[str, tuple[float, tuple[str, ...]]] = {}

    async def inbound(self, said: Said) -> Inbound:
        """What the service is told."""
        where, creator = said.where, None
        if said.direct:
            ranks = await self._ranks(said.user)
        else:
            ranks, place = await asyncio.gather(self._ranks(said.user), self._places.look(said.channel))
            creator = place.creator
            if said.private is None:
                where = where.model_copy(update={"private": place.private})
        manages = not _MANAGERS.isdisjoint(ranks)
        return Inbound(
            asker=Person(id=said.user, name=said.name),
            where=where,
            event_ids=said.event_ids,
            prefix=said.prefix,
            roles=ranks,
            manages=manages,
            moderates=manages or creator == said.user,
            files=tuple(self._upload(file) for file in said.files),
            replayed=said.replayed,
        )

    async def _ranks(self, user: str) -> tuple[str, ...]:
        """What somebody is in the workspace (owner, admin, member, guest), now or minutes ago; these are the roles that
        rules can name. What Slack does not tell is taken for nothing."""
        now = asyncio.get_running_loop().time()
        until, ranks = self._known.get(user, (0.0, ()))
        if now < until:
            return ranks
        try:
            async with asyncio.timeout(_PATIENCE):
                ranks = _ranks_of(await self._api.user(user))
        except (SlackApiError, aiohttp.ClientError, TimeoutError) as error:
            log.warning("person not looked up", error=error_code(error) or type(error).__name__)
            return ()
        if len(self._known) >= _MOST:
            self._known.pop(next(iter(self._known)))
        self._known[user] = (now + _KEPT, ranks)
        return ranks

    # --- files --------------------------------------------------------------------------------------

    def _upload(self, file: Any) -> Upload:
        return Upload(
            name=str(file.get("name") or file.get("title") or "file"),
            media_type=str(file.get("mimetype") or "application/octet-stream"),
            size=int(file.get("size") or 0),
            fetch=self._fetch(dict(file)),
        )

    def _fetch(self, file: dict[str, Any]) -> Callable[[], Awaitable[bytes]]:
        async def fetch() -> bytes:
            described = file
            if not _address(described) and file.get("id"):
                try:
                    described = await self._api.file(str(file["id"]))
                except SlackApiError as error:
                    if error_code(error) in ("missing_scope", "file_not_found"):
                        raise Refused(_NOT_READABLE) from None
                    raise Unavailable("Slack does not give the file at the moment. Please try again.") from error
            return await self._download(_address(described), str(file.get("name") or "The file"))

        return fetch

    async def _download(self, url: str, name: str) -> bytes:
        """The bytes of a file of Slack's. The token goes nowhere else."""
        if not self._api.owns(url):
            raise Refused(f"`{_quoted(name)}` is not kept by Slack, so I cannot read it. Upload it here instead.")
        too_large = f"`{_quoted(name)}` is larger than the {MOST_BYTES // 2**20} MB that I read."
        headers = {"Authorization": f"Bearer {self._api.client.token}"}
        try:
            async with self._session.get(
                url, headers=headers, allow_redirects=False, proxy=self._api.client.proxy
            ) as response:
                if response.status != 200 or _is_sign_in(response, name):
                    raise (
                        Refused(_NOT_READABLE)
                        if response.status < 500
                        else Unavailable(f"Slack does not give `{_quoted(name)}` at the moment. Please try again.")
                    )
                if (response.content_length or 0) > MOST_BYTES:
                    raise Refused(too_large)
                data = bytearray()
                async for chunk in response.content.iter_chunked(2**16):
                    data += chunk
                    if len(data) > MOST_BYTES:
                        raise Refused(too_large)
                return bytes(data)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"Slack does not give `{_quoted(name)}` at the moment. Please try again.") from error


def _ranks_of(found: Mapping[str, Any]) -> tuple[str, ...]:
    if found.get("is_restricted") or found.get("is_ultra_restricted"):
        return ("guest",)
    return tuple(rank for rank in ("owner", "admin") if found.get(f"is_{rank}")) or ("member",)


def _address(file: dict[str, Any]) -> str:
    return str(file.get("url_private_download") or file.get("url_private") or "")


def _is_sign_in(response: aiohttp.ClientResponse, name: str) -> bool:
    """Slack shows who may not read a file a page to sign in, as if all were well."""
    return response.content_type == "text/html" and not name.lower().endswith((".html", ".htm"))


def _quoted(name: str) -> str:
    return name.replace("`", "'")[:80]
