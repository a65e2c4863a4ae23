"""What follows from what people write, tap and fill in: to the service, then into the thread or to the person alone.

An ask by slash command runs in this order: is the bot in the channel (else the asker is told to invite it, and
nothing is spent), then ``service.handle`` (limits refuse here, before anything is posted), then the message that
opens the thread.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from adapters.slack.api import Api
from adapters.slack.blocks import carried_by, form_view, input_names
from adapters.slack.inbound import Identity, Said, carried
from adapters.slack.people import People
from adapters.slack.places import Places
from adapters.slack.showing import Showing
from adapters.slack.telling import NOT_KEPT, Ear, Telling, cannot_post
from core.cards import Card, Form, Input, Redraw, Reply, Result
from core.commands import actions, values
from core.commands.grammar import parse, parse_message
from core.commands.values import AskCommand, asks, opens_form
from core.errors import BadForm, BadInput
from core.ports import History
from core.service import Service
from core.types import Run

ASK_ABOUT = "ask_about_message"
"""The callback_id of the shortcut on messages, and the action of its form."""

WHAT_ABOUT = "What do you make of this?"
"""What is asked about a message, or about files that came without words, where the person asks nothing else."""

_TOO_LATE = (
    "I was away when you wanted something of me here, and for long: I have left it undone. Please try again, if you "
    "still want it."
)

_QUOTED = 1_500
"""Characters of a message that a question about it quotes; a modal carries 3,000."""

QUOTE = "quote"
"""The message that a form about one carries, or shows to be sent along."""

Answer = asyncio.Future[dict[str, Any] | None]
"""What a modal is told when it is submitted; None: to close."""


class Conversation:
    """Carries out what people do."""

    def __init__(
        self, me: Identity, api: Api, service: Service, history: History, people: People, places: Places,
        telling: Telling, showing: Showing,
    ) -> None:  # fmt: skip
        self._me, self._api, self._service, self._history = me, api, service, history
        self._people, self._places, self._telling, self._showing = people, places, telling, showing

    # --- words --------------------------------------------------------------------------------------

    async def on_command(self, said: Said) -> None:
        """Carry out a slash command that has been acknowledged."""
        ear = self._telling.ear(said)
        async with self._telling.told(ear):
            command = parse(said.text)
            if not asks(command):
                await self._give(await self._service.handle(command, await self._people.inbound(said)), said, ear)
                return
            async with self._telling.waiting(ear) as waited:
                if await self._may_post(said, ear):
                    inbound = await self._people.inbound(said)
                    await self._give(await self._service.handle(command, inbound), said, waited)

    async def concerns(self, said: Said) -> bool:
        """Whether a message is for us: nothing is kept of what is not. Raises Unavailable."""
        return said.addressed or bool(await self._history.thread_runs(said.where, limit=1))

    async def on_message(self, said: Said) -> None:
        """Answer a mention, a direct message, or what is written in a thread of ours."""
        ear = self._telling.ear(said)
        async with self._telling.told(ear):
            if not said.addressed:
                text = said.text or (WHAT_ABOUT if said.files else "")
                result = await self._service.follow_up(text, await self._people.inbound(said))
                if result is not None:
                    await self._give(result, said, ear)
                return
            command = parse_message(said.text) if said.text or not said.files else AskCommand(text=WHAT_ABOUT)
            if opens_form(command):
                await self._telling.offer(ear, actions.encode(command))
                return
            await self._give(await self._service.handle(command, await self._people.inbound(said)), said, ear)

    async def on_stop(self, said: Said) -> None:
        """Slack's own Stop was pressed in a thread."""
        ear = self._telling.ear(said)
        async with self._telling.told(ear):
            inbound = await self._people.inbound(said)
            await self._give(await self._service.handle(values.StopCommand(), inbound), said, ear)

    # --- taps and forms -----------------------------------------------------------------------------

    async def on_click(self, said: Said) -> None:
        """Do what a button says."""
        if not said.channel:  # in the app's home: what comes of it goes into the direct messages
            async with self._telling.told(Ear(said.user, said.user, again=said.again)):
                said = replace(said, channel=await self._api.direct(said.user), private=True, prefix="")
            if not said.channel:
                return
        ear = self._telling.ear(said)
        async with self._telling.told(ear):
            if asks(actions.decode(said.text)):
                if not await self._may_post(said, ear):
                    return
                said = replace(said, event_ids=(*said.event_ids, *said.taps))
            result = await self._service.press(said.text, await self._people.inbound(said))
            await self._give(result, said, ear, quote=True)

    async def on_submission(self, said: Said, filled: actions.Values, view: Mapping[str, Any], answer: Answer) -> None:
        """Take in a form. ``answer`` is given what the modal is to show, unless that took too long: it is then closed,
        and what is wrong is told in the thread, with a button that opens the form again."""
        ear = self._telling.ear(said)
        async with self._telling.told(ear), _closing(answer):
            try:
                result = await self._submitted(said, filled, view)
            except BadForm as bad:
                if answer.done() or not bad.problems or not bad.problems.keys() <= set(input_names(view)):
                    raise
                answer.set_result({"response_action": "errors", "errors": dict(bad.problems)})
                return
            said = replace(said, trigger=None)
            if isinstance(result, Form) and not answer.done():
                answer.set_result({"response_action": "update", "view": form_view(result, carried(said))})
                return
            close(answer)
            await self._give(result, said, ear, quote=True)

    async def _submitted(self, said: Said, filled: actions.Values, view: Mapping[str, Any]) -> Result:
        inbound = await self._people.inbound(said)
        if said.text == ASK_ABOUT:
            asked = "".join(filled.get("question", ())).strip() or WHAT_ABOUT
            quote = "".join(filled.get(QUOTE, ())) or str(carried_by(view).get(QUOTE, ""))
            quoted = "\n".join(f"> {line}" for line in quote.split("\n"))
            return await self._service.handle(AskCommand(text=f"{asked}\n\n{quoted}"), inbound)
        return await self._service.submit(said.text, filled, inbound)

    async def on_shortcut(self, said: Said) -> None:
        """Ask what is to be asked about a message."""
        ear = self._telling.ear(said)
        async with self._telling.told(ear):
            if not await self._may_post(said, ear):
                return
            if not said.text.strip():
                raise BadInput("There are no words in this message that I could ask about.")
            quote = said.text[:_QUOTED]
            while len(json.dumps(quote, ensure_ascii=False)) > _QUOTED + 500:
                quote = quote[: len(quote) * 3 // 4]
            only = "" if quote == said.text else f"Only its first {len(quote):,} characters are quoted.\n"
            field = Input(
                name="question", label="Your question", kind="lines", value=(WHAT_ABOUT,), required=True,
                max_length=2_000, hint="The panel sees your question and the message.",
            )  # fmt: skip
            form = Form(action=ASK_ABOUT, title="Ask the consortium", inputs=(field,), submit="Ask", intro=only)
            if said.trigger is None:  # it opens by another tap, which knows nothing of the message
                about = Input(
                    name=QUOTE, label="The message", kind="lines", value=(quote,), required=True, max_length=2_000
                )
                form = form.model_copy(update={"inputs": (field, about)})
            else:
                lines = "\n".join(f"> {line}" for line in quote.split("\n"))
                form = form.model_copy(update={"intro": f"{only}The answer comes in the message's thread.\n\n{lines}"})
            await self._telling.open_form(said, form, {QUOTE: quote})

    # --- what does not come to that -----------------------------------------------------------------

    async def refuse(self, said: Said) -> None:
        """Tell somebody that what they want could not be taken in."""
        await self._telling.refuse(said, NOT_KEPT)

    async def soothe(self, said: Said) -> None:
        """Tell somebody that what they want takes longer."""
        await self._telling.soothe(said)

    async def late(self, said: Said) -> None:
        """Tell somebody that what they wanted long ago was left undone."""
        await self._telling.refuse(said, _TOO_LATE)

    # --- inside -------------------------------------------------------------------------------------

    async def _may_post(self, said: Said, ear: Ear) -> bool:
        """Whether the bot can answer there; else the person is told what to do."""
        if (await self._places.look(said.channel)).joined is not False:
            return True
        await self._telling.tell(ear, Card(body=cannot_post("channel_not_found", said.channel, self._me.name)))
        return False

    async def _give(self, result: Result, said: Said, ear: Ear, *, quote: bool = False) -> None:
        """Show what came of it."""
        match result:
            case Run():
                await self._showing.show(result, ear, quote=quote, again=said.replayed)
            case Reply():
                await self._telling.reply(ear, result)
            case Form():
                await self._telling.open_form(said, result)
            case Redraw():
                await self._showing.redraw(result, ear, fleeting=said.fleeting)


def close(answer: Answer) -> None:
    """Have the modal close, unless it was told something else."""
    if not answer.done():
        answer.set_result(None)


@asynccontextmanager
async def _closing(answer: Answer) -> AsyncIterator[None]:
    """However it ends, the modal is told."""
    try:
        yield
    finally:
        close(answer)
