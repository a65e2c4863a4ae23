"""Where the bot is no member: somebody has it installed for themselves, and all goes through their interaction."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Sequence

from adapters.discord import limits
from adapters.discord.gateway import PAYLOAD, VISITING, Client
from adapters.discord.layout import Page, few, mark
from adapters.discord.library import Interaction, discord
from adapters.discord.limits import Timing
from adapters.discord.posting import Record, persist
from core.cards import Button
from core.telemetry import get_logger

log = get_logger(__name__)

FOLLOW = "follow"
"""What begins the action of the button that opens the form for a follow-up; the thread's id is behind it."""


def visiting(interaction: Interaction) -> bool:
    """Whether the bot is no member there: it opens no threads and reads nothing."""
    return bool(interaction.extras[VISITING])


def follow_up_button(thread: str) -> Button:
    """Goes on from an answer there: what people write reaches nobody."""
    return Button(label="Follow up", action=f"{FOLLOW}:{thread}")


class Visit:
    """Shows a run in the response to an interaction: progress and the beginning of the answer in the first message,
    the rest in further ones, of which Discord takes five within a quarter of an hour. ``client`` gives that of the
    moment, ``standing`` are the messages of the run that stand already."""

    def __init__(
        self,
        subject: str,
        interaction: Interaction,
        client: Callable[[], Client],
        timing: Timing,
        record: Record,
        standing: Collection[str],
    ) -> None:
        self._subject, self._asked, self._client, self._timing = subject, interaction, client, timing
        self._record, self._standing = record, set(standing)
        self._begun = bool(self._standing)
        self._left = limits.FOLLOWUPS - max(0, len(self._standing) - 1)
        self._until = interaction.created_at.timestamp() + limits.TOKEN_HOLDS

    def fitting(self, pages: Sequence[Page]) -> list[Page]:
        """So many of an answer's messages as there may be, one left for the charts."""
        return few(pages, limits.FOLLOWUPS)

    async def put(self, key: str, page: Page) -> None:
        """Show a message, once. Raises discord.HTTPException or what the connection raised."""
        if key in self._standing:
            return
        if not self._begun:
            await self._edit(key, page)
            self._begun = True
        elif self._left:
            files = [enclosure.file() for enclosure in page.enclosures]
            await self._interaction().followup.send(view=page.view(mark(self._subject, key)), files=files)
            self._left -= 1
        else:
            log.warning("no further message may follow", key=key)
        self._standing.add(key)
        await self._record.note(key, self._asked.id)

    async def change(self, key: str, page: Page) -> None:
        """Show a state that goes when something is put."""
        if not self._begun and time.time() < self._until:
            await self._edit(key, page)

    async def drop(self, key: str) -> None:
        """Nothing: what is put stands in its place."""

    def _interaction(self) -> Interaction:
        """It lives and dies with its client, of which a run may outlive several."""
        if self._asked.client.is_closed():
            self._asked = self._client().interaction(self._asked.extras[PAYLOAD])
        return self._asked

    async def _edit(self, key: str, page: Page) -> None:
        def edit() -> Awaitable[discord.InteractionMessage]:
            files = [enclosure.file() for enclosure in page.enclosures]
            view = page.view(mark(self._subject, key))
            return self._interaction().edit_original_response(view=view, attachments=files)

        await persist(edit, self._timing)
