"""The front door: whatever a person writes, taps or fills in, on any platform, arrives here as a command.

The service drops what was delivered before, and hands each command to the desk that knows of it. A question that passes
all checks is stored as a pending run and handed to the job engine; whoever shows the run follows its events. Nothing
here waits for a model.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager

from core.asks import DIRECT, Ask, Platform
from core.cards import Form, Option, Reply, Result
from core.catalog import Catalog
from core.commands import actions, values
from core.commands.grammar import help_text, parse_message
from core.commands.values import AskCommand, Command
from core.delivery import Presenter
from core.errors import BadForm, Duplicate, NotFound
from core.service.administration import AdminDesk
from core.service.asks import AskDesk
from core.service.handover import Attempt, Handover
from core.service.inbound import Inbound
from core.service.office import Handlers, Office
from core.service.panels import PanelDesk
from core.service.preferences import PreferenceDesk
from core.service.records import RecordDesk
from core.service.stopping import StopDesk
from core.service.welcome import Occasion, examples, welcome
from core.setup import ConsortiumSpec
from core.stores import Draft, Kept
from core.telemetry.metrics import EVENTS
from core.types import Run

__all__ = ["Inbound", "Occasion", "Office", "Service"]


class Service:
    """One per process; holds no state of any run."""

    def __init__(self, office: Office) -> None:
        self._office, self._handover = office, Handover(office)
        self._asks, self._stops = AskDesk(office), StopDesk(office)
        self._records, self._panels = RecordDesk(office), PanelDesk(office)
        desks = (self._asks, self._stops, self._records, self._panels, PreferenceDesk(office), AdminDesk(office))
        self._handlers: Handlers = {command: handler for desk in desks for command, handler in desk.handlers.items()}

    async def aclose(self) -> None:
        """End what is under way."""
        await self._stops.aclose()

    @property
    def catalog(self) -> Catalog:
        """What the models file says."""
        return self._office.catalog

    # --- what people do -----------------------------------------------------------------------------

    async def handle(self, command: Command, inbound: Inbound) -> Result:
        """Carry out a command. Raises ConsortiumError; Duplicate when the platform has delivered the event before."""
        return await self._first_time(inbound) or await self._carry_out(command, inbound)

    async def press(self, action: str, inbound: Inbound) -> Result:
        """A button was tapped. Raises like :meth:`handle`."""
        return await self.handle(actions.decode(action), inbound)

    async def submit(self, action: str, filled: actions.Values, inbound: Inbound) -> Result:
        """A form was filled in. Raises like :meth:`handle`, and BadForm where something in it is wrong."""
        return await self.handle(actions.submitted(action, filled), inbound)

    async def follow_up(self, text: str, inbound: Inbound, *, named: bool = False) -> Run | Reply | None:
        """A message in a thread goes on from the run there, or ends it where it says no more than "stop". None when
        the thread is not ours. ``named``: a button names the thread, so that not all who have one are in it; they go on
        from what they may see. Raises like :meth:`handle`."""
        latest = await self._office.history.thread_runs(inbound.where, limit=1)
        if not latest or (named and not await self._may_go_on(latest[0].id, inbound)):
            return None
        if begun := await self._first_time(inbound):
            return begun
        if parse_message(text) == values.StopCommand():
            return await self._stops.stop(values.StopCommand(), inbound)
        return await self._asks.ask(AskCommand(text=text), inbound)

    async def suggest(self, kind: str, typed: str, inbound: Inbound) -> list[Option]:
        """What fits what somebody is typing; see :meth:`core.service.panels.PanelDesk.suggest`."""
        return await self._panels.suggest(kind, typed, inbound)

    async def keep_form(self, error: BadForm, inbound: Inbound) -> str:
        """For platforms that have closed a form by now: keeps what was filled in; returns the action that opens it
        again."""
        draft = Draft(person=inbound.asker.id, body=error.form.model_dump_json())
        return actions.encode(values.Reopen(draft=await self._office.drafts.keep(draft)))

    def welcome(self, occasion: Occasion, prefix: str) -> Reply:
        """What newcomers are told: what this is, questions to begin with, what is stored."""
        return welcome(self.catalog, occasion, prefix)

    # --- runs ---------------------------------------------------------------------------------------

    async def setup(self) -> tuple[str, ConsortiumSpec]:
        """What the operator asks when they name nothing."""
        name, setup, _ = await self._office.default(None)
        return name, setup

    async def long(self, run: Run) -> bool:
        """Whether the asker wants the whole text of answers at once."""
        return (await self._office.sessions.load(run.ask.asker, run.ask.where)).long

    def pending_run(self, ask: Ask) -> Run:
        """The run that an ask begins as."""
        return self._asks.pending_run(ask)

    async def deliver(self, run: Run, presenter: Presenter) -> None:
        """Show a run to its end; see :meth:`core.service.handover.Handover.deliver`."""
        await self._handover.deliver(run, presenter)

    async def thread_opened(self, run: Run, thread: str) -> Run:
        """The run's conversation now has a thread of its own: remember it, for follow-ups and after a restart."""
        where = run.ask.where.model_copy(update={"thread": thread})
        await self._office.history.set_thread(run.id, thread)
        return run.model_copy(update={"ask": run.ask.model_copy(update={"where": where})})

    # --- between processes --------------------------------------------------------------------------

    async def keep(self, event: Kept) -> bool:
        """Store an event before it is acknowledged. False: it is here already. Raises Unavailable."""
        kept = await self._handover.keep(event)
        if not kept:
            EVENTS.add(platform=event.platform, result="duplicate")
        return kept

    async def see_through(
        self,
        event: Kept,
        attempt: Attempt,
        pauses: Sequence[float],
        *,
        replayed: bool = False,
        put_off: Callable[[], None] = lambda: None,
    ) -> None:
        """Carry an event out, and again; see :meth:`core.service.handover.Handover.see_through`."""
        await self._handover.see_through(event, attempt, pauses, replayed=replayed, put_off=put_off)

    async def done(self, event: Kept) -> None:
        """An event has been dealt with."""
        await self._handover.done(event)

    async def orphans(self, platform: Platform) -> list[Kept]:
        """Events that processes left behind, to be carried out as replayed."""
        return await self._handover.orphans(platform)

    async def adopt(self, platform: Platform, shown: Collection[str]) -> list[Run]:
        """Runs that this process has to show from now on; see :meth:`core.service.handover.Handover.adopt`."""
        return await self._handover.adopt(platform, shown)

    async def requeue(self) -> None:
        """Queue whatever is not over once more. Raises Unavailable."""
        await self._handover.requeue()

    async def claim(self, name: str) -> bool:
        """Whether something is for this process alone, among all; until it is dropped. Raises Unavailable."""
        return await self._office.claims.take(name)

    async def unclaim(self, name: str) -> None:
        """Leave it to others. Raises Unavailable."""
        await self._office.claims.drop(name)

    def turn(self, name: str) -> AbstractAsyncContextManager[None]:
        """One at a time among all processes, for the block. Raises Unavailable when it does not come to that."""
        return self._office.turn(name)

    # --- inside -------------------------------------------------------------------------------------

    async def _first_time(self, inbound: Inbound) -> Run | None:
        """The run that an event which is replayed has begun already. Raises Duplicate when the platform has delivered
        this event before."""
        if inbound.replayed:
            return await self._asks.begun(inbound)
        new = not inbound.event_ids or await self._office.duplicates.first(*inbound.event_ids)
        EVENTS.add(platform=inbound.where.platform, result="taken" if new else "duplicate")
        if not new:
            raise Duplicate("This event is being handled already.")
        return None

    async def _may_go_on(self, run_id: str, inbound: Inbound) -> bool:
        """In a direct channel all see what is asked there; elsewhere what is private is its asker's alone."""
        direct = inbound.where.workspace == DIRECT
        return direct or await self._office.history.visible(run_id, inbound.asker, inbound.where) is not None

    async def _carry_out(self, command: Command, inbound: Inbound) -> Result:
        """Hand a command to its desk."""
        match command:
            case values.HelpCommand():
                return Reply(text=help_text(inbound.prefix, command.topic))
            case values.ExamplesCommand():
                return examples(self.catalog, command.domain)
            case values.ShowCommand():
                return await self._show(command.what, inbound)
            case values.Reopen():
                return await self._reopen(command, inbound)
        return await self._handlers[type(command)](command, inbound)

    async def _show(self, what: str, inbound: Inbound) -> Reply:
        """A run by its id, else a consortium by its name."""
        found = await self._records.show(what, inbound) or await self._panels.show(what, inbound)
        if found is None:
            raise NotFound(
                f"There is no run and no consortium `{what[:40].replace('`', '')}` that you can see here. "
                "`history` lists your runs, `list` the consortia."
            )
        return found

    async def _reopen(self, command: values.Reopen, inbound: Inbound) -> Form:
        body = await self._office.drafts.take(command.draft, inbound.asker, again=True)
        try:
            return Form.model_validate(json.loads(body or ""))
        except ValueError:  # none, an ask to be confirmed, or of another version
            raise NotFound("What you filled in is not kept any more. Please open the form anew.") from None
