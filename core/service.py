"""The front door: whatever a person writes on any platform arrives here as a command and leaves as a reply.

Asks are checked (duplicates, limits, names), stored as pending and handed to the job engine; whoever shows
the run follows its events. Nothing here waits for a model.
"""

from __future__ import annotations

import difflib
import random
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, overload

from core import convening
from core.asks import Ask, Person, Platform, ThreadRef, Value
from core.catalog import Catalog
from core.commands import (
    AskCommand,
    AssignRole,
    ClearRoles,
    Command,
    HelpCommand,
    HistoryCommand,
    ModelsCommand,
    RolesCommand,
    ShuffleRoles,
    help_text,
    split_roles,
)
from core.errors import BadInput, Duplicate, NotFound, Unavailable
from core.ports import Breakers, Consortia, Duplicates, History, Jobs, Limits, Sessions
from core.present import history_text, models_text, roles_text
from core.setup import ConsortiumSpec
from core.types import Member, Run, RunStatus

PAGE = 10
"""Lines on a page of history."""

CUSTOM = "custom"
"""What a panel is called that somebody put together for one ask."""

UNDELIVERED = timedelta(hours=1)
"""How old a run may be whose answer is still posted after a restart."""

MAX_QUESTION = 12_000
"""Characters of a question: more is refused rather than cut."""


class Inbound(Value):
    """Who wrote, where, and the platform's ids of the event (for dropping what is delivered twice)."""

    asker: Person
    where: ThreadRef
    event_ids: tuple[str, ...] = ()
    prefix: str = "/consortium"


class Reply(Value):
    """A text in Markdown for the asker alone."""

    text: str


class Service:
    """One per process; holds no state of any run."""

    def __init__(
        self,
        catalog: Catalog,
        *,
        history: History,
        consortia: Consortia,
        sessions: Sessions,
        limits: Limits,
        duplicates: Duplicates,
        breakers: Breakers,
        jobs: Jobs,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
        rng: random.Random,
    ) -> None:
        self.catalog = catalog
        self._history, self._consortia = history, consortia
        self._sessions, self._limits = sessions, limits
        self._duplicates, self._breakers, self._jobs = duplicates, breakers, jobs
        self._clock, self._new_id, self._rng = clock, new_id, rng

    @overload
    async def handle(self, command: AskCommand, inbound: Inbound) -> Run: ...
    @overload
    async def handle(self, command: Command, inbound: Inbound) -> Reply | Run: ...
    async def handle(self, command: Command, inbound: Inbound) -> Reply | Run:
        """Carry out a command: a Run to be shown when it asks, else a Reply. Raises ConsortiumError."""
        await self._first_time(inbound)
        match command:
            case AskCommand():
                return await self._ask(command, inbound)
            case HelpCommand():
                return Reply(text=help_text(inbound.prefix))
            case ModelsCommand():
                return await self._models(inbound)
            case HistoryCommand():
                return await self._history_page(command.page, inbound)
            case RolesCommand() | AssignRole() | ClearRoles() | ShuffleRoles():
                return await self._roles(command, inbound)

    async def follow_up(self, text: str, inbound: Inbound) -> Run | None:
        """A message in a thread: goes on from the run there, with its panel. None when the thread is not ours."""
        earlier = await self._history.thread_runs(inbound.where, limit=1) if inbound.where.thread else []
        if not earlier:
            return None
        await self._first_time(inbound)
        panel = earlier[-1].consortium
        if panel != CUSTOM and (panel in self.catalog.consortia or await self._consortia.get(panel)):
            return await self._ask(AskCommand(text=text, consortium=panel), inbound)
        return await self._ask(AskCommand(text=text), inbound, await self._asked(earlier[-1].id))

    async def _asked(self, run_id: str) -> tuple[str, ConsortiumSpec] | None:
        """The consortium that a run was asked with; None when it cannot be asked any more."""
        run = await self._history.run(run_id)
        setup = run.ask.setup if run else None
        return (run.consortium, setup) if run and setup and not convening.problems(self.catalog, setup) else None

    async def _first_time(self, inbound: Inbound) -> None:
        """Raises Duplicate when the platform has delivered this event before."""
        if inbound.event_ids and not await self._duplicates.first(*inbound.event_ids):
            raise Duplicate("This event is being handled already.")

    async def _ask(self, command: AskCommand, inbound: Inbound, panel: tuple[str, ConsortiumSpec] | None = None) -> Run:
        """Store a run as pending and queue it; ``panel`` goes before what command and session name.

        Raises RateLimited, BadInput, NotFound or Unavailable.
        """
        text = command.text.strip()
        if not text:
            raise BadInput("There is no question. Write e.g. `ask Should remote work be the default?`")
        if len(text) > MAX_QUESTION:
            raise BadInput(f"A question has at most {MAX_QUESTION:,} characters; this one has {len(text):,}.")
        session = await self._sessions.load(inbound.asker, inbound.where)
        name, setup = panel or await self.setup(command.consortium or session.consortium)
        if changed := self._changed(setup, command):
            name, setup = CUSTOM if command.models else name, changed
        domain = self._known("domain", command.domain or session.domain, self.catalog.all_domains)
        await self._limits.spend(inbound.asker, inbound.where)
        ask = Ask(
            id=self._new_id(),
            text=text,
            asked_at=self._clock(),
            asker=inbound.asker,
            where=inbound.where,
            consortium=name,
            setup=setup,
            domain=domain,
            question_type=command.question_type,
            system=command.system,
            roles={**session.roles, **self._roles_of(command)},
            charts=command.charts,
            event_ids=inbound.event_ids,
        )
        run = self.pending_run(ask)
        await self._history.open_run(run)
        try:
            await self._jobs.submit(ask)
        except Unavailable as error:  # nobody will work on it, so nobody must wait for it
            ended = {"status": RunStatus.FAILED, "error": str(error), "ended_at": self._clock()}
            await self._history.update_run(run.model_copy(update=ended))
            await self._history.mark_delivered(run.id)  # the asker is told now
            raise
        return run

    async def setup(self, name: str | None = None) -> tuple[str, ConsortiumSpec]:
        """A consortium by name, or the one that is asked when none is named. A saved one goes before one of the file.

        Raises NotFound.
        """
        wanted = (name or await self._consortia.default() or "default").strip("`")
        if saved := await self._consortia.get(wanted):
            return saved.name, saved.setup
        names = [*self.catalog.consortia, *(s.name for s in await self._consortia.all())]
        found = self._required("consortium", wanted, names)
        return found, self.catalog.consortia[found]

    def _changed(self, setup: ConsortiumSpec, command: AskCommand) -> ConsortiumSpec | None:
        """The set-up with what the command changes; None when it changes nothing. Raises BadInput, NotFound."""
        given: dict[str, Any] = {
            "members": command.models,
            "arbiter": command.arbiter and self._required("model", command.arbiter, self.catalog.models),
            "strategy": command.strategy,
            "params": command.params,
            "judging": command.judging,
        }
        changes = {field: value for field, value in given.items() if value}
        if command.both_orders is not None:
            changes["both_orders"] = command.both_orders
        return convening.changed(self.catalog, setup, changes) if changes else None

    def _roles_of(self, command: AskCommand) -> dict[str, str]:
        """The command's roles by the proper names of models and roles. Raises NotFound."""
        models = self.catalog.models
        return {self._required("model", key, models): self._role(role) for key, role in command.roles.items()}

    async def undelivered(self, platform: Platform) -> list[Run]:
        """What was asked there within the last hour and has not been delivered, oldest first.

        Those of which there is no more than the ask are queued once more, should that not have been reached.
        """
        runs = await self._history.undelivered(platform, self._clock() - UNDELIVERED)
        for run in runs:
            if run.status is RunStatus.PENDING:
                await self._jobs.submit(run.ask)
        return runs

    async def thread_opened(self, run: Run, thread: str) -> Run:
        """The run's conversation now has a thread of its own: remember it, for follow-ups and after a restart."""
        where = run.ask.where.model_copy(update={"thread": thread})
        await self._history.set_thread(run.id, thread)
        session = await self._sessions.load(run.ask.asker, where)
        await self._sessions.save(run.ask.asker, where, session.model_copy(update={"active_thread": thread}))
        return run.model_copy(update={"ask": run.ask.model_copy(update={"where": where})})

    def pending_run(self, ask: Ask) -> Run:
        """The run that an ask begins as."""
        name = ask.consortium or "default"
        return Run(
            id=ask.id,
            ask=ask,
            consortium=name,
            panel=self.catalog.panel(ask.setup or self.catalog.consortia[name], ask.roles),
            created_at=ask.asked_at,
        )

    # --- commands that answer at once ---------------------------------------------------------------

    async def _models(self, inbound: Inbound) -> Reply:
        session = await self._sessions.load(inbound.asker, inbound.where)
        states = {key: await self._breakers.state(key) for key in self.catalog.models}
        mine, _ = await self.setup(session.consortium)
        saved = {s.name: s.setup for s in await self._consortia.all()}
        return Reply(text=models_text(self.catalog, states, mine, saved))

    async def _history_page(self, page: int, inbound: Inbound) -> Reply:
        rows = await self._history.page(inbound.asker, inbound.where, PAGE + 1, (page - 1) * PAGE)
        return Reply(text=history_text(rows[:PAGE], page, more=len(rows) > PAGE, prefix=inbound.prefix))

    async def _roles(self, command: Command, inbound: Inbound) -> Reply:
        session = await self._sessions.load(inbound.asker, inbound.where)
        _, setup = await self.setup(session.consortium)
        panel = self.catalog.panel(setup)
        roles, note = session.roles, None
        match command:
            case AssignRole():
                model = self._required("model", command.model, self.catalog.models)
                roles = {**roles, model: self._role(command.role)}
                if model not in {member.model for member in panel}:
                    note = f"`{model}` is not on this panel: the role waits until it is asked."
            case ClearRoles(model=None):
                roles = {}
            case ClearRoles(model=str(name)):
                model = self._required("model", name, self.catalog.models)
                if model not in roles:
                    raise NotFound(f"`{model}` has no role here.")
                roles = {key: role for key, role in roles.items() if key != model}
            case ShuffleRoles():
                roles, note = self._deal(command.roles, panel)
        if roles != session.roles or isinstance(command, ShuffleRoles):
            await self._sessions.save(inbound.asker, inbound.where, session.model_copy(update={"roles": roles}))
        return Reply(text=roles_text(self.catalog.all_roles, roles, panel, note))

    def _deal(self, text: str, panel: Iterable[Member]) -> tuple[dict[str, str], str | None]:
        dealt = [self._role(name) for name in split_roles(text, self.catalog.all_roles)]
        models = list(dict.fromkeys(member.model for member in panel))
        self._rng.shuffle(models)
        over = dealt[len(models) :]
        note = f"The panel has {len(models)} models; not dealt: {', '.join(over)}." if over else None
        return dict(zip(models, dealt, strict=False)), note

    def _role(self, name: str) -> str:
        """A known role by its proper name, whatever its case; anything else stands as free text, on one line."""
        name = " ".join(name.split())
        return next((known for known in self.catalog.all_roles if known.lower() == name.lower()), name)

    def _known(self, what: str, name: str | None, names: Iterable[str]) -> str | None:
        return None if name is None else self._required(what, name, names)

    @staticmethod
    def _required(what: str, name: str, names: Iterable[str]) -> str:
        by_lower = {known.lower(): known for known in names}
        if found := by_lower.get(name.strip("`").lower()):
            return found
        near = difflib.get_close_matches(name.lower(), by_lower, n=1)
        hint = f" Did you mean `{by_lower[near[0]]}`?" if near else f" There are: {', '.join(by_lower.values())}."
        raise NotFound(f"There is no {what} `{name[:40].replace('`', '')}`.{hint}")
