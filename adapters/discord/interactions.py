"""Everything that people use, tap and fill in: acknowledged in time, carried out, answered where it belongs."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from adapters.discord import limits
from adapters.discord.commands import MENU, Invocation, slash_help
from adapters.discord.files import Files, attached_to
from adapters.discord.forms import filled
from adapters.discord.inbound import REPLAYED, TAPPED, check_may_answer, from_interaction, taps
from adapters.discord.layout import Page, error_pages, reply_pages
from adapters.discord.library import Interaction, discord
from adapters.discord.limits import Timing
from adapters.discord.posting import persist
from adapters.discord.render import cut
from adapters.discord.replies import (
    acknowledge,
    forget_response,
    holds,
    open_form,
    refuse,
    tell_directly,
    whisper,
    whisper_instead,
)
from adapters.discord.shows import Shows
from adapters.discord.visiting import FOLLOW, visiting
from core.attachments import Upload
from core.cards import Button, Form, Input, Option, Redraw, Reply, Result
from core.commands import actions, values
from core.commands.values import AskCommand, Command, HelpCommand, asks, opens_form
from core.errors import BadForm, Duplicate, Refused, Unavailable, UnknownCommand, user_text
from core.service import Inbound, Service
from core.telemetry import get_logger
from core.types import Run

log = get_logger(__name__)

ABOUT = "about"
"""What begins the action of the form that asks about a message; the message's id is behind it."""

SAME, ASKING, LATE = "same", "asking", "late"
"""Mark an interaction that is answered by changing the message that was tapped, one that asks members, and one that
was taken over too late to be answered where it was used."""

WONDER = "What do you make of this?"


class Interactions:
    """Answers interactions. What a button or a form means is in its action; all that is kept between them is who has
    just tapped what."""

    def __init__(self, service: Service, shows: Shows, files: Files, timing: Timing) -> None:
        self._service, self._shows, self._files, self._timing = service, shows, files, timing
        self._taps: OrderedDict[tuple[object, ...], datetime] = OrderedDict()

    async def handle(self, interaction: Interaction, *, last: bool) -> None:
        """Answer one, whatever comes of it.

        A question that meets an outage raises Unavailable, unless it is the ``last`` time that it is tried: its asker
        sees that something is under way. So does whatever comes to the end of its client, which another takes the place
        of.
        """
        data: Mapping[str, Any] = interaction.data or {}
        try:
            match interaction.type:
                case discord.InteractionType.application_command if data.get("type", 1) == 1:
                    await self._use(interaction, Invocation(data))
                case discord.InteractionType.application_command if data.get("name") == MENU:
                    await self._ask_about(interaction, data)
                case discord.InteractionType.component:
                    await self._tap(interaction, data["custom_id"])
                case discord.InteractionType.modal_submit:
                    await self._submit(interaction, data)
                case _:
                    raise UnknownCommand("I do not know what that is; write `help` to see what there is.")
        except Duplicate:
            if REPLAYED in interaction.extras and visiting(interaction) and not last:
                raise Unavailable("Another process is about to leave this to us.") from None  # only we can show it
            log.info("interaction dropped: it came twice")
            if TAPPED in interaction.extras and REPLAYED not in interaction.extras:
                await forget_response(interaction, self._timing)
        except Exception as error:
            if isinstance(error, Unavailable) and ASKING in interaction.extras and not last:
                raise
            if interaction.client.is_closed() and not last:
                raise Unavailable("The connection to Discord is made anew.") from error
            await self._refuse(interaction, error)

    # --- what was done ------------------------------------------------------------------------------

    async def _use(self, interaction: Interaction, invocation: Invocation) -> None:
        files = tuple(self._files.of_option(attached) for attached in invocation.files())
        await self._carry_out(interaction, invocation.command(), files=files)

    async def _tap(self, interaction: Interaction, action: str) -> None:
        if action.startswith(f"{FOLLOW}:"):
            await open_form(interaction, _follow_up_form(action))
            return
        command = actions.decode(action)
        if asks(command) and REPLAYED not in interaction.extras:
            if self._twice(interaction, action):
                await acknowledge(interaction, "same")
                return
            interaction.extras[TAPPED] = taps(interaction, action)
        await self._carry_out(interaction, command)

    def _twice(self, interaction: Interaction, action: str) -> bool:
        """Whether a nervous finger has just tapped the same button. Taps that come to different processes are told
        apart later."""
        tap, at = (interaction.user.id, interaction.message and interaction.message.id, action), interaction.created_at
        last = self._taps.pop(tap, None)
        self._taps[tap] = at
        if len(self._taps) > limits.TAPS:
            self._taps.popitem(last=False)
        return last is not None and at - last < limits.DOUBLE_TAP

    async def _submit(self, interaction: Interaction, data: Mapping[str, Any]) -> None:
        action, values_ = data["custom_id"], filled(data["components"])
        begins, _, rest = action.partition(":")
        if begins == FOLLOW:
            await self._follow_up(interaction, rest, values_["text"][0])
        elif begins == ABOUT:
            if not await self._acknowledge_ask(interaction):  # before the message is fetched, which may take long
                return
            target = await self._target(interaction, int(rest))
            files = self._files.uploads(attached_to(target)) if target else ()
            await self._carry_out(interaction, AskCommand(text=values_["text"][0]), files=files, target=target)
        else:
            await self._carry_out(interaction, actions.submitted(action, values_))

    async def _ask_about(self, interaction: Interaction, data: Mapping[str, Any]) -> None:
        """The entry in a message's menu: a form with the message quoted, to be worded before it is asked."""
        message = data["resolved"]["messages"][data["target_id"]]
        author = message["author"].get("global_name") or message["author"]["username"]
        said = cut(message["content"].strip(), limits.FORM_TEXT - 200)
        text = f"{WONDER}\n\n{author} wrote:\n{said}" if said else WONDER
        question = Input(
            name="text", label="Question", kind="lines", value=(text,), required=True, max_length=limits.FORM_TEXT
        )
        action = f"{ABOUT}:{data['target_id']}"
        await open_form(interaction, Form(action=action, title=MENU, inputs=(question,), submit="Ask"))

    async def _target(self, interaction: Interaction, message_id: int) -> discord.Message | None:
        """The message that a question is about, where we may read it."""
        if visiting(interaction) or not isinstance(interaction.channel, discord.abc.Messageable):
            return None
        try:
            async with asyncio.timeout(self._timing.form):
                return await interaction.channel.fetch_message(message_id)
        except (discord.HTTPException, TimeoutError, OSError):
            return None

    async def _follow_up(self, interaction: Interaction, thread: str, text: str) -> None:
        """A follow-up where the bot reads nothing: what it goes on from is named by the form."""
        if not await self._acknowledge_ask(interaction):
            return
        run = await self._service.follow_up(text, _in_thread(from_interaction(interaction), thread), named=True)
        if run is None:
            raise Refused("That conversation is not on record any more; please ask anew.")
        await self._answer(interaction, run, public=True)

    # --- carrying it out ----------------------------------------------------------------------------

    async def _carry_out(
        self,
        interaction: Interaction,
        command: Command,
        *,
        files: Sequence[Upload] = (),
        target: discord.Message | None = None,
    ) -> None:
        inbound, public = from_interaction(interaction, files), asks(command)
        if opens_form(command):
            await self._fill_in(interaction, command, inbound)
        elif isinstance(command, values.Resize):
            interaction.extras[SAME] = True
            if await acknowledge(interaction, "same"):
                result = await self._service.handle(command, inbound)
                if isinstance(result, Redraw):
                    await self._shows.redraw(result, interaction)
        elif await (self._acknowledge_ask(interaction) if public else acknowledge(interaction, "asker")):
            if public and visiting(interaction):
                inbound = _in_thread(inbound, str(interaction.id))
            elif public:
                check_may_answer(interaction.app_permissions, inbound.where)
            await self._answer(interaction, await self._handle(command, inbound), public=public, target=target)

    async def _acknowledge_ask(self, interaction: Interaction) -> bool:
        """The same for a question, which another process may have begun: it is asked whether it can be answered as it
        would have been or not, where there is a channel for that."""
        interaction.extras[ASKING] = True
        if holds(interaction) and await acknowledge(interaction, "all"):
            return True
        late = REPLAYED in interaction.extras and not visiting(interaction)
        if late:
            interaction.extras[LATE] = True
        return late

    async def _handle(self, command: Command, inbound: Inbound) -> Result:
        result = await self._service.handle(command, inbound)
        return Reply(text=slash_help(command.topic)) if isinstance(command, HelpCommand) else result

    async def _fill_in(self, interaction: Interaction, command: Command, inbound: Inbound) -> None:
        """Open a form. Discord wants it at once: one that takes longer is offered by a button."""
        work = asyncio.ensure_future(self._service.handle(command, inbound))
        try:
            await asyncio.wait({work}, timeout=self._timing.form)
            if not work.done() and not await acknowledge(interaction, "asker"):
                return
            result = await work
        finally:
            work.cancel()
        if isinstance(result, Form) and not interaction.response.is_done():
            await open_form(interaction, result)
        elif await acknowledge(interaction, "asker"):
            await self._answer(interaction, offer(result, command), public=False)

    async def _answer(
        self, interaction: Interaction, result: Result, *, public: bool, target: discord.Message | None = None
    ) -> None:
        match result:
            case Run() as run:
                await self._shows.by_interaction(run, interaction, target.id if target else None)
            case Reply() as reply if LATE in interaction.extras:
                await self._tell_directly(interaction, reply_pages(reply))
            case Reply() as reply if public:
                await whisper_instead(interaction, reply, self._timing)
            case Reply() as reply:
                await whisper(interaction, reply, self._timing)
            case _:
                log.error("nothing can be made of this here", result=type(result).__name__)

    async def _refuse(self, interaction: Interaction, error: Exception) -> None:
        """Tell the asker alone what went wrong; a form that was not filled in right can be opened again."""
        log_error(error, interaction.id)
        rows: tuple[tuple[Button, ...], ...] = ()
        if isinstance(error, BadForm):
            with suppress(Unavailable):  # what is wrong can be said without
                action = await self._service.keep_form(error, from_interaction(interaction))
                rows = ((Button(label="Fill it in again", action=action, style="primary"),),)
        if LATE in interaction.extras:
            await self._tell_directly(interaction, error_pages(user_text(error, str(interaction.id)), rows))
            return
        same = SAME in interaction.extras  # then the first response is the tapped message, not ours to take back
        await refuse(interaction, user_text(error, str(interaction.id)), self._timing, keep=same, rows=rows)

    async def _tell_directly(self, interaction: Interaction, pages: Sequence[Page]) -> None:
        spot = self._shows.spot(interaction.channel_id or 0, interaction.id)
        await tell_directly(spot, interaction.user.id, pages, self._timing)

    # --- while somebody types -----------------------------------------------------------------------

    async def suggest(self, interaction: Interaction) -> None:
        """Offer what fits. Trouble offers nothing: what was typed is checked when it is sent."""
        data: Mapping[str, Any] = interaction.data or {}
        kinds, typed = Invocation(data).typing()
        found: list[Option] = []
        try:
            inbound = from_interaction(interaction)
            for kind in kinds:
                found += await self._service.suggest(kind, typed, inbound)
            await self._offer(interaction, found)
        except Exception as error:  # noqa: BLE001 - nobody waits for it
            log.warning("nothing suggested", error=type(error).__name__, detail=str(error)[:200])

    async def _offer(self, interaction: Interaction, found: Sequence[Option]) -> None:
        fitting = [option for option in found if 1 <= limits.size(option.value) <= limits.CHOICE]
        choices = [
            discord.app_commands.Choice(name=cut(option.label, limits.CHOICE), value=option.value)
            for option in fitting[: limits.CHOICES]
        ]

        def send() -> Awaitable[object]:
            return interaction.response.autocomplete(choices)

        await persist(send, self._timing)


def offer(result: Result, command: Command) -> Result:
    """A form, where none can be opened, as a button that opens it."""
    if not isinstance(result, Form):
        return result
    button = Button(label=result.title, action=actions.encode(command), style="primary")
    return Reply(text=result.intro or "This is filled in as a form:", buttons=((button,),))


def log_error(error: BaseException, event: int) -> None:
    """Note what somebody was told."""
    if isinstance(error, Refused):
        log.info("refused", event_id=event, reason=type(error).__name__)
    else:
        log.error("not carried out", event_id=event, exc_info=error)


def _in_thread(inbound: Inbound, thread: str) -> Inbound:
    return inbound.model_copy(update={"where": inbound.where.model_copy(update={"thread": thread})})


def _follow_up_form(action: str) -> Form:
    text = Input(
        name="text",
        label="What do you want to know?",
        kind="lines",
        required=True,
        max_length=limits.FORM_TEXT,
        hint='Write "ask model: …" to ask one member alone.',
    )
    return Form(action=action, title="Follow up", inputs=(text,), submit="Ask")
