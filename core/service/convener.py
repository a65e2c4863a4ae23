"""Who is asked: the panel that an ask names, the one of its thread, the one of an earlier run; and what it changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from core import convening, strategies
from core.asks import ThreadRef
from core.commands.grammar import ADDRESSED
from core.commands.values import AskCommand
from core.errors import BadInput
from core.service.inbound import Inbound
from core.service.office import CUSTOM, Office, required
from core.setup import ConsortiumSpec
from core.stores import Session
from core.types import Run

LOOKED_BACK = 20
"""How many runs of a thread are looked at for one that the whole panel was asked in."""


@dataclass(frozen=True)
class Panel:
    """A consortium as it is asked once: by that name, with that set-up, and perhaps one member of it alone.

    ``notes`` are for the run.
    """

    name: str
    setup: ConsortiumSpec
    addressed: str | None = None
    notes: tuple[str, ...] = ()


class Convener:
    """Finds the panel of an ask."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def named(self, command: AskCommand, session: Session, inbound: Inbound) -> Panel:
        """The consortium that the command names, else what the person asks here. Raises NotFound."""
        office = self._office
        if command.consortium:
            return Panel(*await office.setup(command.consortium, inbound.where))
        name, setup, notes = await office.chosen(inbound, session)
        return Panel(name, setup, notes=notes)

    async def of_thread(self, where: ThreadRef) -> Panel | None:
        """The panel that a thread was asked with last, as it was then; None without one that can still be asked."""
        if where.thread is None:
            return None
        for row in reversed(await self._office.history.thread_runs(where, limit=LOOKED_BACK)):
            run = await self._office.history.run(row.id)
            if run and run.ask.setup and run.ask.addressed is None:
                usable = not convening.problems(self._office.catalog, run.ask.setup)
                return Panel(run.consortium, run.ask.setup) if usable else None
        return None

    async def of_run(self, run: Run, consortium: str | None, where: ThreadRef) -> Panel:
        """The panel that a run was asked with, or that consortium in its place, as it is seen there.

        Raises BadInput, NotFound.
        """
        if consortium or run.ask.setup is None:
            return Panel(*await self._office.setup(consortium or run.consortium, where))
        if problems := convening.problems(self._office.catalog, run.ask.setup):
            raise BadInput("This cannot be asked as before: " + "; ".join(problems))
        return Panel(run.consortium, run.ask.setup, run.ask.addressed)

    def addressed(self, panel: Panel, text: str, roles: Mapping[str, str]) -> tuple[Panel, str]:
        """The one member that a text is addressed to ("ask mistral: why?"), and what it is asked; else all as it was.

        A member alone needs no strategy and no second round.
        """
        found = ADDRESSED.fullmatch(text)
        if found is None:
            return panel, text
        seats = self._office.catalog.panel(panel.setup, roles)
        name = found["member"].lower()
        seat = next((m for m in seats if m.id.lower() == name), None) or next(
            (m for m in seats if m.model.lower() == name), None
        )
        if seat is None:
            return panel, text
        alone = panel.setup.model_copy(update={"strategy": "default", "params": {}, "min_iterations": 1})
        return replace(panel, setup=alone, addressed=seat.id), found["text"]

    def changed(self, panel: Panel, command: AskCommand, strategy: str | None) -> Panel:
        """The panel with what the command changes, and by ``strategy`` (the session's) where the command names none.

        Raises BadInput, NotFound.
        """
        if strategy and not command.strategy and (problems := strategies.problems(strategy, {})):
            raise BadInput(f"Your setting does not work any more: {'; '.join(problems)}. `strategy off` takes it back.")
        given: dict[str, Any] = {
            "members": command.models,
            "arbiter": command.arbiter and required("model", command.arbiter, self._office.catalog.models),
            "strategy": command.strategy or strategy,
            "params": command.params,
            "judging": command.judging,
        }
        changes = {field: value for field, value in given.items() if value}
        if command.both_orders is not None:
            changes["both_orders"] = command.both_orders
        if not changes:
            return panel
        name = CUSTOM if command.models else panel.name
        return replace(panel, name=name, setup=convening.changed(self._office.catalog, panel.setup, changes))

    def roles(self, command: AskCommand) -> dict[str, str]:
        """The command's roles by the proper names of models and roles. Raises NotFound."""
        models = self._office.catalog.models
        return {required("model", key, models): self._office.role(role) for key, role in command.roles.items()}
