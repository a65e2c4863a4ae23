"""What happens on Discord, stored before anybody is told that we have it: it outlives the process that heard it.

An event is kept, carried out, and done with. One that its process leaves behind is carried out by another, which does
not know how far the first had come: a question that was asked is not asked again, and what stands is not posted again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

import aiohttp

from adapters.discord.connection import Connection
from adapters.discord.gateway import PAYLOAD
from adapters.discord.inbound import REPLAYED, Heard, mentions
from adapters.discord.interactions import Interactions, log_error
from adapters.discord.library import Interaction, discord
from adapters.discord.limits import Timing
from adapters.discord.messages import Messages
from adapters.discord.replies import refuse, reply
from adapters.discord.shows import Shows
from core.asks import Platform
from core.errors import Unavailable, user_text
from core.service import Inbound, Service
from core.service.handover import Attempt
from core.stores import Kept
from core.telemetry import get_logger

log = get_logger(__name__)

INTERACTION, MESSAGE = "interaction", "message"
"""Kinds of events that are kept: an interaction as Discord sent it, a message as :class:`Heard`."""


class Intake:
    """Takes events in; ``tasks`` are those at work."""

    def __init__(
        self,
        connection: Connection,
        service: Service,
        interactions: Interactions,
        messages: Messages,
        shows: Shows,
        timing: Timing,
    ) -> None:
        self._connection, self._service, self._timing = connection, service, timing
        self._interactions, self._messages, self._shows = interactions, messages, shows
        self.tasks = shows.tasks
        self._at_work: set[str] = set()

    @property
    def coming(self) -> set[str]:
        """Ids of runs that events at work begin, or go on with."""
        return {Inbound.model_construct(event_ids=(event,)).run_id or "" for event in self._at_work}

    # --- what is heard ------------------------------------------------------------------------------

    async def interaction(self, interaction: Interaction) -> None:
        """Something was used, tapped or filled in."""
        try:
            event = await self.keep(interaction)
        except Unavailable as error:
            await refuse(interaction, unkept(error), self._timing)
            return
        if event is not None:
            await self.carry_out(event, interaction)

    async def keep(self, interaction: Interaction) -> Kept | None:
        """Store an interaction; None where it is here already. Raises Unavailable within some two seconds."""
        payload = dict(interaction.extras[PAYLOAD])
        token = payload.pop("token")  # last, so that no excerpt shows it
        body = json.dumps({**payload, "token": token})
        return await self._keep(Kept(id=str(interaction.id), platform=Platform.DISCORD, kind=INTERACTION, body=body))

    async def carry_out(self, event: Kept, interaction: Interaction, *, replayed: bool = False) -> None:
        """Answer an interaction that was kept."""

        async def work(*, replayed: bool, last: bool) -> None:
            now = interaction
            if now.client.is_closed():  # an interaction lives and dies with its client
                now = self._connection.client().interaction(now.extras[PAYLOAD])
            if replayed:
                now.extras[REPLAYED] = True
            await self._interactions.handle(now, last=last)

        await self._see_through(event, work, replayed=replayed)

    async def message(self, message: discord.Message, *, late: bool = False) -> None:
        """Somebody wrote; ``late``, while nobody was connected."""
        try:
            heard = await self._messages.hear(message, late=late)
        except (discord.DiscordException, aiohttp.ClientError, OSError) as error:
            log_error(error, message.id)
            if message.guild is None or mentions(message, self._connection.me()):  # else it may not be for us
                await reply(self._shows.spot(message.channel.id, message.id), user_text(error), self._timing)
            return
        if heard is None:
            return
        body = heard.model_dump_json()
        try:
            event = await self._keep(Kept(id=str(message.id), platform=Platform.DISCORD, kind=MESSAGE, body=body))
        except Unavailable as error:
            if heard.mentioned:  # else it may have been for somebody else
                await self._messages.tell(heard, unkept(error))
            return
        if event is not None:
            await self._answer(event, heard, replayed=False)

    async def _answer(self, event: Kept, heard: Heard, *, replayed: bool) -> None:
        async def work(*, replayed: bool, last: bool) -> None:
            inbound = heard.inbound.model_copy(update={"replayed": replayed})
            await self._messages.handle(heard.model_copy(update={"inbound": inbound}), last=last)

        await self._see_through(event, work, replayed=replayed)

    # --- what is left behind ------------------------------------------------------------------------

    async def take_over(self) -> None:
        """Carry out, in tasks of their own, what other processes have left behind."""
        for event in await self._service.orphans(Platform.DISCORD):
            log.info("event taken over", kind=event.kind, event_id=event.id)
            self._at_work.add(event.id)
            self.launch(self._again(event))

    def launch(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something in a task of its own."""
        task = asyncio.create_task(work, name="discord event")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _again(self, event: Kept) -> None:
        try:
            if event.kind == MESSAGE:
                await self._answer(event, Heard.model_validate_json(event.body), replayed=True)
            else:
                interaction = self._connection.client().interaction(json.loads(event.body))
                await self.carry_out(event, interaction, replayed=True)
        except (ValueError, LookupError, TypeError) as error:  # of another version
            log.error("event not understood", kind=event.kind, event_id=event.id, error=type(error).__name__)
            self._at_work.discard(event.id)
            await self._service.done(event)

    # --- inside -------------------------------------------------------------------------------------

    async def _keep(self, event: Kept) -> Kept | None:
        try:
            return event if await self._service.keep(event) else None
        except Unavailable as error:
            log.warning("event not kept", kind=event.kind, event_id=event.id, error=str(error))
            self.launch(self._service.done(event))  # it may be stored all the same, but whoever sent it is told
            raise

    async def _see_through(self, event: Kept, work: Attempt, *, replayed: bool) -> None:
        """Carry an event out, again after pauses while something that is needed is away."""
        self._at_work.add(event.id)
        try:
            await self._service.see_through(event, work, self._timing.patience, replayed=replayed)
        finally:
            self._at_work.discard(event.id)


def unkept(error: Unavailable) -> str:
    """What somebody is told whose event could not be stored."""
    return f"{error} Nothing of this has been taken in; please try again in a minute."
