"""discord.py, imported in this one place: it costs 0.7 s, warns as it loads, and has addresses to be set."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import yarl

with warnings.catch_warnings():
    # Its voice support imports audioop, which the standard library deprecates; we have no use for voice.
    warnings.simplefilter("ignore", DeprecationWarning)
    import discord
    from discord.gateway import DiscordWebSocket
    from discord.http import Route

# Nor need it be told that voice lacks its libraries.
discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False

__all__ = ["Interaction", "Route", "discord", "interaction_of", "open_thread_on", "point_at", "session_limits"]

Interaction = discord.Interaction[discord.Client]


_pointed: list[tuple[str, yarl.URL]] = [(Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY)]
"""Where the library points, the latest last; the first is where it does by itself."""


def point_at(api_url: str | None, gateway_url: str | None) -> Callable[[], None]:
    """Make discord.py talk to other servers than Discord's; None leaves an address alone. Returns the undoing.

    The library has no setting for either address: routes are made in functions that offer no seam for a subclass,
    and the first connection takes its address from the class. So these two class attributes are set, only when an
    address is configured, and put back when the last surface closes that set them.
    """
    api, gateway = _pointed[-1]
    mine = (api_url.rstrip("/") if api_url else api, yarl.URL(gateway_url) if gateway_url else gateway)
    _pointed.append(mine)
    _point()

    def undo() -> None:
        _pointed.remove(mine)
        _point()

    return undo


def _point() -> None:
    Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY = _pointed[-1]


def interaction_of(client: discord.Client, payload: Mapping[str, Any]) -> Interaction:
    """An interaction from what Discord sent, to whichever process. Raises KeyError or ValueError where it is none.

    The library makes them of gateway events alone, and has no public way to its state.
    """
    return discord.Interaction(data=payload, state=client._connection)  # type: ignore[arg-type]


async def open_thread_on(client: discord.Client, channel_id: int, message_id: int, name: str, minutes: Any) -> int:
    """Open a thread on a message and return its id. Raises discord.HTTPException.

    The library's messages do that only where the server is in its cache, which processes without a session lack.
    """
    made = await client.http.start_thread_with_message(channel_id, message_id, name=name, auto_archive_duration=minutes)
    return int(made["id"])


async def session_limits(client: discord.Client) -> tuple[int, int, int]:
    """How many shards Discord wants us to have, how many of them may begin a session at once, and how many today."""
    shards, _, limit = await client.http.get_bot_gateway()
    return shards, limit["max_concurrency"], limit["remaining"]
