"""Asking: what is checked before a run is queued, follow-ups, asking again, confirming what may be dear, and Stop."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from core import convening
from core.asks import Ask, Platform
from core.cards import Form, Reply
from core.commands.values import AskAgain, AskCommand, AskExample, Confirm, Discard, StopCommand
from core.errors import BadInput, Unavailable
from core.service.inbound import Inbound
from core.service.office import CUSTOM, Handlers, Office, known, required
from core.setup import ConsortiumSpec
from core.types import Run, RunStatus

UNDELIVERED = timedelta(hours=1)
"""How old a run may be whose answer is still posted after a restart."""

MAX_QUESTION = 12_000
"""Characters of a question: more is refused rather than cut."""


class AskDesk:
    """Takes questions in. Nothing here waits for a model."""

    def __init__(self, office: Office) -> None:
        self._office = office

    @property
    def handlers(self) -> Handlers:
        """Which command is for whom."""
        return {
            AskCommand: self.ask,
            AskExample: self.example,
            AskAgain: self.again,
            Confirm: self.confirm,
            Discard: self.discard,
            StopCommand: self.stop,
        }

    async def ask(
        self, command: AskCommand, inbound: Inbound, panel: tuple[str, ConsortiumSpec] | None = None
    ) -> Run | Reply:
        """Store a run as pending and queue it; ``panel`` goes before what command and session name.

        A Reply asks for confirmation, where the run may be dear. Raises NotAllowed, OverBudget, RateLimited, BadInput,
        NotFound or Unavailable.
        """
        office = self._office
        await office.check(inbound, "ask")
        text = command.text.strip()
        if not text:
            raise BadInput("There is no question. Write e.g. `ask Should remote work be the default?`")
        if len(text) > MAX_QUESTION:
            raise BadInput(f"A question has at most {MAX_QUESTION:,} characters; this one has {len(text):,}.")
        session = await office.session(inbound)
        if panel is None:
            panel = await (office.setup(command.consortium) if command.consortium else office.chosen(inbound, session))
        name, setup = panel
        if changed := self._changed(setup, command):
            name, setup = CUSTOM if command.models else name, changed
        domain = known("domain", command.domain or session.domain, office.catalog.all_domains)
        await office.limits.spend(inbound.asker, inbound.where)
        ask = Ask(
            id=office.new_id(),
            text=text,
            asked_at=office.clock(),
            asker=inbound.asker,
            where=inbound.where,
            consortium=name,
            setup=setup,
            domain=domain,
            question_type=command.question_type or session.question_type,
            system=command.system,
            roles={**session.roles, **self._roles_of(command)},
            charts=session.charts if command.charts is None else command.charts,
            event_ids=inbound.event_ids,
        )
        run = self.pending_run(ask)
        await office.history.open_run(run)
        try:
            await office.jobs.submit(ask)
        except Unavailable as error:  # nobody will work on it, so nobody must wait for it
            ended = {"status": RunStatus.FAILED, "error": str(error), "ended_at": office.clock()}
            await office.history.update_run(run.model_copy(update=ended))
            await office.history.mark_delivered(run.id)  # the asker is told now
            raise
        return run

    async def follow_up(self, text: str, inbound: Inbound) -> Run | Reply | None:
        """A message in a thread: goes on from the run there, with its panel, or with the one member it is addressed to
        ("ask mistral: why?"). None when the thread is not ours."""
        office = self._office
        earlier = await office.history.thread_runs(inbound.where, limit=1) if inbound.where.thread else []
        if not earlier:
            return None
        panel = earlier[-1].consortium
        if panel != CUSTOM and (panel in office.catalog.consortia or await office.consortia.get(panel)):
            return await self.ask(AskCommand(text=text, consortium=panel), inbound)
        return await self.ask(AskCommand(text=text), inbound, await self._asked(earlier[-1].id))

    async def example(self, command: AskExample, inbound: Inbound) -> Run | Reply:
        """Ask an example question."""
        raise NotImplementedError

    async def again(self, command: AskAgain, inbound: Inbound) -> Run | Reply | Form:
        """The form that asks with what to ask again, or the run that comes of it."""
        raise NotImplementedError

    async def confirm(self, command: Confirm, inbound: Inbound) -> Run | Reply:
        """Ask what was held back."""
        raise NotImplementedError

    async def discard(self, command: Discard, inbound: Inbound) -> Reply:
        """Forget what was held back."""
        raise NotImplementedError

    async def stop(self, command: StopCommand, inbound: Inbound) -> Reply:
        """End a run of the asker's own; administrators may end any of their workspace."""
        raise NotImplementedError

    def pending_run(self, ask: Ask) -> Run:
        """The run that an ask begins as."""
        name = ask.consortium or "default"
        catalog = self._office.catalog
        return Run(
            id=ask.id,
            ask=ask,
            consortium=name,
            panel=catalog.panel(ask.setup or catalog.consortia[name], ask.roles),
            created_at=ask.asked_at,
        )

    async def undelivered(self, platform: Platform) -> list[Run]:
        """What was asked there within the last hour and has not been delivered, oldest first.

        Those of which there is no more than the ask are queued once more, should that not have been reached.
        """
        office = self._office
        runs = await office.history.undelivered(platform, office.clock() - UNDELIVERED)
        for run in runs:
            if run.status is RunStatus.PENDING:
                await office.jobs.submit(run.ask)
        return runs

    async def _asked(self, run_id: str) -> tuple[str, ConsortiumSpec] | None:
        """The consortium that a run was asked with; None when it cannot be asked any more."""
        run = await self._office.history.run(run_id)
        setup = run.ask.setup if run else None
        usable = setup and not convening.problems(self._office.catalog, setup)
        return (run.consortium, setup) if run and setup and usable else None

    def _changed(self, setup: ConsortiumSpec, command: AskCommand) -> ConsortiumSpec | None:
        """The set-up with what the command changes; None when it changes nothing. Raises BadInput, NotFound."""
        given: dict[str, Any] = {
            "members": command.models,
            "arbiter": command.arbiter and required("model", command.arbiter, self._office.catalog.models),
            "strategy": command.strategy,
            "params": command.params,
            "judging": command.judging,
        }
        changes = {field: value for field, value in given.items() if value}
        if command.both_orders is not None:
            changes["both_orders"] = command.both_orders
        return convening.changed(self._office.catalog, setup, changes) if changes else None

    def _roles_of(self, command: AskCommand) -> dict[str, str]:
        """The command's roles by the proper names of models and roles. Raises NotFound."""
        models = self._office.catalog.models
        return {required("model", key, models): self._office.role(role) for key, role in command.roles.items()}
