"""Raw requests to the emulator, for what discord.py would never send."""

from __future__ import annotations

import io
import json
from typing import Any

import aiohttp

from tests.emulators.discord.emulator import DiscordEmulator
from tests.emulators.discord.errors import Json
from tests.emulators.discord.interactions import Interaction


class Caller:
    """Sends raw requests with the bot's credentials."""

    def __init__(self, emulator: DiscordEmulator, session: aiohttp.ClientSession) -> None:
        self.emulator = emulator
        self.session = session
        self.headers = {
            "Authorization": f"Bot {emulator.token}",
            "User-Agent": "DiscordBot (https://example.invalid, 1)",
        }
        self.last: aiohttp.ClientResponse

    async def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        options.setdefault("headers", self.headers)
        if body is not None:
            options["json"] = body
        async with self.session.request(method, self.emulator.api_url + path, **options) as reply:
            self.last = reply
            text = await reply.text()
            return reply.status, json.loads(text) if text else None

    async def send(self, body: Json, *, channel_id: int | None = None, files: Json | None = None) -> tuple[int, Any]:
        path = f"/channels/{channel_id or self.emulator.channel_id}/messages"
        if files is None:
            return await self("POST", path, body)
        form = aiohttp.FormData(quote_fields=False)
        form.add_field("payload_json", json.dumps(body))
        for number, (name, data) in enumerate(files.items()):
            form.add_field(f"files[{number}]", io.BytesIO(data), filename=name, content_type="application/octet-stream")
        return await self("POST", path, data=form)

    async def sync(self, *commands: Json) -> tuple[int, Any]:
        return await self("PUT", f"/applications/{self.emulator.app_id}/commands", list(commands))

    async def callback(self, interaction: Interaction, type: int, data: Json | None = None) -> tuple[int, Any]:
        path = f"/interactions/{interaction.id}/{interaction.token}/callback?with_response=1"
        return await self("POST", path, {"type": type, "data": data}, headers={})

    async def hook(self, method: str, interaction: Interaction, rest: str, body: Any = None) -> tuple[int, Any]:
        return await self(method, f"/webhooks/{self.emulator.app_id}/{interaction.token}{rest}", body, headers={})


def fault(reply: tuple[int, Any], *path: str) -> str:
    """Give Discord's name of the error at `path` of a 50035."""
    status, body = reply
    assert (status, body["code"]) == (400, 50035), body
    node = body["errors"]
    for key in path:
        node = node[key]
    return str(node["_errors"][0]["code"])
