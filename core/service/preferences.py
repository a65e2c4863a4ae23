"""What a person has set in a channel: roles, consortium, strategy, domain, type; and the form for all of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from core import convening, strategies
from core.cards import Button, Form, Input, Option, Reply
from core.commands.actions import encode
from core.commands.grammar import TYPES, split_roles
from core.commands.values import (
    AssignRole,
    ChangeSettings,
    ClearRoles,
    RolesCommand,
    SetDomain,
    SetStrategy,
    SettingsCommand,
    SetType,
    ShowCommand,
    ShuffleRoles,
    UseConsortium,
)
from core.errors import BadForm, NotFound, Refused
from core.present.lists import FIELDS, consortium_options, option, roles_text, settings_text, written
from core.service.inbound import Inbound
from core.service.office import Handlers, Office, known, required
from core.service.saving import MOST_OPTIONS
from core.setup import ConsortiumSpec
from core.stores import Session
from core.types import Member


class PreferenceDesk:
    """Reads and writes sessions."""

    def __init__(self, office: Office) -> None:
        self._office = office

    @property
    def handlers(self) -> Handlers:
        """Which command is for whom."""
        return {
            RolesCommand: self.roles,
            AssignRole: self.roles,
            ClearRoles: self.roles,
            ShuffleRoles: self.roles,
            UseConsortium: self.use,
            SetStrategy: self.set,
            SetDomain: self.set,
            SetType: self.set,
            SettingsCommand: self.form,
            ChangeSettings: self.change,
        }

    async def roles(self, command: RolesCommand | AssignRole | ClearRoles | ShuffleRoles, inbound: Inbound) -> Reply:
        """Show, assign, clear or shuffle roles."""
        office = self._office
        session = await office.session(inbound)
        setup = (await office.chosen(inbound, session)).setup
        panel = office.catalog.panel(setup)
        roles, note = session.roles, None
        match command:
            case AssignRole():
                model = required("model", command.model, office.catalog.models)
                roles = {**roles, model: office.role(command.role)}
                if model not in {member.model for member in panel}:
                    note = f"`{model}` is not on this panel: the role waits until it is asked."
            case ClearRoles(model=None):
                roles = {}
            case ClearRoles(model=str(name)):
                model = required("model", name, office.catalog.models)
                if model not in roles:
                    raise NotFound(f"`{model}` has no role here.")
                roles = {key: role for key, role in roles.items() if key != model}
            case ShuffleRoles():
                roles, note = self._deal(command.roles, panel)
        if roles != session.roles or isinstance(command, ShuffleRoles):
            await office.sessions.save(inbound.asker, inbound.where, session.model_copy(update={"roles": roles}))
        return Reply(text=roles_text(office.catalog.all_roles, roles, panel, note))

    def _deal(self, text: str, panel: Iterable[Member]) -> tuple[dict[str, str], str | None]:
        dealt = [self._office.role(name) for name in split_roles(text, self._office.catalog.all_roles)]
        models = list(dict.fromkeys(member.model for member in panel))
        self._office.rng.shuffle(models)
        over = dealt[len(models) :]
        note = f"The panel has {len(models)} models; not dealt: {', '.join(over)}." if over else None
        return dict(zip(models, dealt, strict=False)), note

    async def use(self, command: UseConsortium, inbound: Inbound) -> Reply:
        """Choose a consortium."""
        office = self._office
        session = await office.session(inbound)
        if command.name is None:
            session = session.model_copy(update={"consortium": None})
            name, setup, notes = await office.chosen(inbound, session)
            text = "\n\n".join([f"You ask **{name}** here from now on, the default of this channel.", *notes])
        else:
            name, setup = await office.setup(command.name, inbound.where)
            session = session.model_copy(update={"consortium": name})
            undo = written(inbound.prefix, "use none")
            text = f"You ask **{name}** here from now on, for yourself. Undo: {undo}"
        session, note = self._fitting(session, setup)
        await office.sessions.save(inbound.asker, inbound.where, session)
        look = Button(label=f"What is {name}?"[:40], action=encode(ShowCommand(what=name)))
        undo_button = Button(label="Undo", action=encode(UseConsortium()))
        return Reply(
            text="\n\n".join(filter(None, [text, note])),
            buttons=((look, *([undo_button] if command.name else []), SETTINGS),),
        )

    async def set(self, command: SetStrategy | SetDomain | SetType, inbound: Inbound) -> Reply:
        """Set one thing, or take it back."""
        office = self._office
        session = await office.session(inbound)
        change: dict[str, Any]
        match command:
            case SetStrategy(name=None):
                change, text = {"strategy": None}, "Your questions here are decided as their consortium says."
            case SetStrategy(name=str(name)):
                strategy = self._strategy(name, (await office.chosen(inbound, session)).setup)
                change = {"strategy": strategy}
                text = f"Your questions here are decided by **{strategy}** from now on: {_summary(strategy)}."
            case SetDomain(name=None):
                change, text = {"domain": None}, "Your questions here are about nothing in particular."
            case SetDomain(name=str(name)):
                domain = required("domain", name, office.catalog.all_domains)
                change, text = {"domain": domain}, f"Your questions here are about **{domain}** from now on."
            case SetType(question_type=None):
                change, text = {"question_type": None}, "Answers to your questions here have whatever form fits."
            case SetType(question_type=kind):
                change = {"question_type": kind}
                text = f"Answers to your questions here have the form **{kind}** from now on."
        await office.sessions.save(inbound.asker, inbound.where, session.model_copy(update=change))
        for field, value in change.items():
            if value is not None:
                text += f" Undo: {written(inbound.prefix, f'{UNDONE_BY[field]} none')}"
        return Reply(text=text, buttons=((SETTINGS,),))

    async def form(self, command: SettingsCommand, inbound: Inbound) -> Form:
        """All of it as a form; a consortium that is gone is chosen no more in it."""
        session = await self._office.session(inbound)
        _, _, notes = await self._office.chosen(inbound, session)
        if session.consortium is not None:
            try:
                await self._office.setup(session.consortium, inbound.where)
            except NotFound:
                session = session.model_copy(update={"consortium": None})
        return await self._form(session, inbound, notes)

    async def change(self, command: ChangeSettings, inbound: Inbound) -> Reply:
        """Take over what was filled in. Raises BadForm."""
        office = self._office
        problems: dict[str, str] = {}
        session = (await office.session(inbound)).model_copy(
            update={
                "consortium": command.consortium,
                "domain": command.domain,
                "strategy": command.strategy,
                "question_type": command.question_type,
                "charts": "charts" in command.show,
                "long": "long" in command.show,
            }
        )
        name, setup, notes = await office.chosen(inbound, session)
        try:
            if command.consortium is not None:
                await office.setup(command.consortium, inbound.where)
        except NotFound as error:
            problems["consortium"] = str(error)
        else:
            if command.strategy:
                try:
                    self._strategy(command.strategy, setup)
                except Refused as error:
                    problems["strategy"] = str(error)
        try:
            known("domain", command.domain, office.catalog.all_domains)
        except NotFound as error:
            problems["domain"] = str(error)
        if problems:
            raise BadForm(problems, await self._form(session, inbound))
        await office.sessions.save(inbound.asker, inbound.where, session)
        text = settings_text(session, f"**{name}**", own=command.consortium is not None, notes=notes)
        return Reply(text=text, buttons=((SETTINGS,),))

    async def _form(self, session: Session, inbound: Inbound, notes: Iterable[str] = ()) -> Form:
        """The form with what is set, and what there is to choose."""
        office = self._office
        asked = consortium_options(await office.all_consortia(inbound.where), office.catalog)
        default = (await office.chosen(inbound, session.model_copy(update={"consortium": None}))).name
        domains = [option(name, text) for name, text in office.catalog.all_domains.items()]
        decided = [option(strategy.name, strategy.summary) for strategy in strategies.describe()]
        kinds = [option(kind) for kind in TYPES]
        return Form(
            action=encode(SettingsCommand()),
            title="Your settings here",
            intro=" ".join(["For you alone, in this channel.", *notes]),
            inputs=(
                _choice("consortium", session.consortium, f"as in this channel: {default}", asked),
                _choice("domain", session.domain, "none in particular", domains),
                _choice("strategy", session.strategy, "that of the consortium", decided),
                _choice("question_type", session.question_type, "any", kinds),
                Input(
                    name="show",
                    label=FIELDS["show"][0],
                    hint=FIELDS["show"][1],
                    kind="choices",
                    value=tuple(shown for shown in ("charts", "long") if getattr(session, shown)),
                    options=(
                        Option(value="charts", label="charts with every answer"),
                        Option(value="long", label="the whole answer at once"),
                    ),
                ),
            ),
        )

    def _strategy(self, name: str, setup: ConsortiumSpec) -> str:
        """A strategy's proper name. Raises NotFound, or BadInput where the consortium cannot be decided by it."""
        strategy = required("strategy", name, strategies.known())
        convening.changed(self._office.catalog, setup, {"strategy": strategy})
        return strategy

    def _fitting(self, session: Session, setup: ConsortiumSpec) -> tuple[Session, str | None]:
        """The session without a strategy that does not go with the consortium, and a note on it."""
        if session.strategy is not None:
            try:
                self._strategy(session.strategy, setup)
            except Refused:
                note = f"Your strategy {session.strategy} does not go with it and is taken back."
                return session.model_copy(update={"strategy": None}), note
        return session, None


UNDONE_BY = {"strategy": "strategy", "domain": "domain", "question_type": "type"}
"""The command that sets each field of a session."""

SETTINGS = Button(label="Settings", action=encode(SettingsCommand()))


def _summary(strategy: str) -> str:
    return next(d.summary for d in strategies.describe() if d.name == strategy)


def _choice(name: str, value: str | None, none: str, options: Iterable[Option]) -> Input:
    """A choice of which one is that nothing is chosen. What is chosen stands in it even where it is gone by now, and
    among the first where there are more than some platforms can show."""
    there = list(options)
    if value is not None and value not in {choice.value for choice in there}:
        there.insert(0, option(value, label=f"{value} (not there any more)"))
    if len(there) >= MOST_OPTIONS:
        there.sort(key=lambda choice: choice.value != value)
    there.insert(0, option("", label=none))
    label, hint = FIELDS[name]
    return Input(name=name, label=label, hint=hint, kind="choice", value=(value or "",), options=tuple(there))
