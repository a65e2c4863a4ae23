"""How often Discord finds that we ask too much, seen on the requests themselves: the library waits in silence."""

from __future__ import annotations

from types import SimpleNamespace

import aiohttp

from core.telemetry.metrics import RATE_LIMITED

_WORDS = frozenset(
    {
        *("applications", "attachments", "bot", "bulk-delete", "callback", "channels", "commands", "crosspost"),
        *("gateway", "guilds", "interactions", "members", "messages", "oauth2", "pins", "reactions", "threads"),
        *("typing", "users", "webhooks", "@me", "@original"),
    }
)
"""Words of addresses. Whatever else is in them is an id, a token or an emoji."""


def counted() -> aiohttp.TraceConfig:
    """What counts refusals of a client's requests."""

    async def on_end(_: aiohttp.ClientSession, __: SimpleNamespace, end: aiohttp.TraceRequestEndParams) -> None:
        if end.response.status == 429:
            RATE_LIMITED.add(platform="discord", method=f"{end.method} {route(end.url.path)}")

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(on_end)
    return trace


def route(path: str) -> str:
    """An address without what differs from call to call."""
    parts = path.strip("/").split("/")
    words = [part if part in _WORDS else "…" for part in parts if part not in ("api", "v10")]
    return "/" + "/".join(words)
