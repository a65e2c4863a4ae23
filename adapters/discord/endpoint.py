"""Interactions by HTTP: Discord signs them, and any process behind a balancer can take them.

The response says only that we have it: what is to be seen goes out as for interactions of the gateway, by the callback
that each interaction has.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from adapters.discord import limits
from adapters.discord.connection import Connection
from adapters.discord.intake import Intake, unkept
from adapters.discord.interactions import Interactions
from adapters.discord.library import discord
from core.errors import Unavailable

PING, PONG, MESSAGE = 1, 1, 4
EPHEMERAL = 64
_LONG = 20  # digits that no time has
AWAY = "The bot does not reach Discord just now. Please try again in a minute."


class Endpoint:
    """Answers what Discord posts. ``public_key`` is the application's, in hexadecimal; ValueError where it is none."""

    def __init__(
        self,
        public_key: str,
        connection: Connection,
        intake: Intake,
        interactions: Interactions,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        self._connection, self._intake, self._interactions = connection, intake, interactions
        self._clock = clock

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request, within the 3 s that Discord gives."""
        if (request.content_length or 0) > limits.BODY:
            return web.Response(status=413, text="That is too long for an interaction.")
        body = await request.read()
        if not self._signed(request, body):
            return web.Response(status=401, text="The signature is not Discord's, or too old.")
        try:
            payload = json.loads(body)
            if payload["type"] == PING:
                return web.json_response({"type": PONG})
            if not self._connection.reachable.is_set():
                return _refusal(AWAY)
            interaction = self._connection.client().interaction(payload)
        except (ValueError, LookupError, TypeError, AttributeError):
            return web.Response(status=400, text="That is no interaction.")
        if interaction.type is discord.InteractionType.autocomplete:
            self._intake.launch(self._interactions.suggest(interaction))
            return _taken()
        try:
            event = await self._intake.keep(interaction)
        except Unavailable as error:
            return _refusal(unkept(error))
        if event is None:
            return web.Response(status=409, text="This interaction came before.")
        self._intake.launch(self._intake.carry_out(event, interaction))
        return _taken()

    def _signed(self, request: web.Request, body: bytes) -> bool:
        """Whether Discord signed it, and has just done so."""
        stamp = request.headers.get("X-Signature-Timestamp", "")
        if not (
            stamp.isascii()
            and stamp.isdecimal()
            and len(stamp) < _LONG
            and abs(self._clock() - int(stamp)) <= limits.STALE
        ):
            return False
        try:
            self._key.verify(bytes.fromhex(request.headers.get("X-Signature-Ed25519", "")), stamp.encode() + body)
        except (InvalidSignature, ValueError):
            return False
        return True


def _taken() -> web.Response:
    return web.Response(status=202)


def _refusal(text: str) -> web.Response:
    """What the person alone sees."""
    told: dict[str, Any] = {"type": MESSAGE, "data": {"content": text, "flags": EPHEMERAL}}
    return web.json_response(told)
