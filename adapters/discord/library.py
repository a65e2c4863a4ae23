"""discord.py, imported in this one place: it costs 0.7 s, warns as it loads, and has addresses to be set."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import yarl

with warnings.catch_warnings():
    # Its voice support imports audioop, which the standard library deprecates; we have no use for voice.
    warnings.simplefilter("ignore", DeprecationWarning)
    import discord
    from discord.gateway import DiscordWebSocket
    from discord.http import Route

# Nor need it be told that voice lacks its libraries.
discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False

__all__ = ["Interaction", "Route", "discord", "point_at"]

Interaction = discord.Interaction[discord.Client]


def point_at(api_url: str | None, gateway_url: str | None) -> Callable[[], None]:
    """Make discord.py talk to other servers than Discord's; None leaves an address alone. Returns the undoing.

    The library has no setting for either address: routes are made in functions that offer no seam for a subclass,
    and the first connection takes its address from the class. So these two class attributes are set, only when an
    address is configured, and put back when the surface closes.
    """
    before = Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY
    if api_url:
        Route.BASE = api_url.rstrip("/")
    if gateway_url:
        DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway_url)

    def undo() -> None:
        Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY = before

    return undo
