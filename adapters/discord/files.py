"""What people attach, fetched from Discord's own hosts and from nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from adapters.discord.inbound import Attached
from adapters.discord.library import discord
from core.attachments import MOST_BYTES, Upload
from core.errors import Refused, Unavailable

HOSTS = frozenset({"cdn.discordapp.com", "media.discordapp.net"})
SECONDS = 30.0


class Files:
    """Fetches attachments. The host of ``api_url`` is trusted too, where Discord is not at its public address."""

    def __init__(self, api_url: str | None) -> None:
        self._own = urlsplit(api_url).netloc if api_url else None
        self._session: aiohttp.ClientSession | None = None

    def uploads(self, attached: Sequence[Attached]) -> tuple[Upload, ...]:
        """What came with a message."""
        return tuple(self._upload(a.filename, a.content_type, a.size, a.url) for a in attached)

    def of_option(self, attachment: Mapping[str, Any]) -> Upload:
        """What was chosen as an option of a slash command, as Discord describes it."""
        kind = attachment.get("content_type")
        return self._upload(attachment["filename"], kind, attachment["size"], attachment["url"])

    async def close(self) -> None:
        """End the connections."""
        if self._session is not None:
            await self._session.close()

    def _upload(self, name: str, kind: str | None, size: int, url: str) -> Upload:
        media_type = (kind or "application/octet-stream").partition(";")[0].strip()
        return Upload(name=name, media_type=media_type, size=size, fetch=lambda: self._fetch(name, url))

    async def _fetch(self, name: str, url: str) -> bytes:
        if not self._trusted(url):
            raise Refused(f"`{_plain(name)}` does not lie with Discord; attach the file itself.")
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS))
        try:
            async with self._session.get(url, allow_redirects=False) as reply:
                if reply.status != 200:
                    raise Refused(f"Discord does not give `{_plain(name)}` away any more; attach it once more.")
                return await _read(reply.content, name)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unavailable(f"`{_plain(name)}` could not be fetched from Discord; try again.") from error

    def _trusted(self, url: str) -> bool:
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        if self._own is not None and parts.netloc == self._own:
            return True
        return parts.scheme == "https" and parts.netloc in HOSTS


def attached_to(message: discord.Message) -> tuple[Attached, ...]:
    """What came with a message, as it is stored with it."""
    return tuple(
        Attached(filename=a.filename, content_type=a.content_type, size=a.size, url=a.url) for a in message.attachments
    )


async def _read(stream: aiohttp.StreamReader, name: str) -> bytes:
    """All of it, unless it is larger than was announced and allowed."""
    data = bytearray()
    async for chunk in stream.iter_chunked(65536):
        data += chunk
        if len(data) > MOST_BYTES:
            raise Refused(f"`{_plain(name)}` is larger than {MOST_BYTES // 2**20} MB, the most that is read.")
    return bytes(data)


def _plain(name: str) -> str:
    return " ".join(name.replace("`", "'").split())[:60]
