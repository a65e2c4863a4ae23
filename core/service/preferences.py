"""What a person has set in a channel: roles, consortium, strategy, domain, type; and the form for all of it."""

from __future__ import annotations

from collections.abc import Iterable

from core.cards import Form, Reply
from core.commands.grammar import split_roles
from core.commands.values import (
    AssignRole,
    ChangeSettings,
    ClearRoles,
    RolesCommand,
    SetDomain,
    SetStrategy,
    SettingsCommand,
    SetType,
    ShuffleRoles,
    UseConsortium,
)
from core.errors import NotFound
from core.present.lists import roles_text
from core.service.inbound import Inbound
from core.service.office import Handlers, Office, required
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
        _, setup = await office.chosen(inbound, session)
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
        raise NotImplementedError

    async def set(self, command: SetStrategy | SetDomain | SetType, inbound: Inbound) -> Reply:
        """Set one thing."""
        raise NotImplementedError

    async def form(self, command: SettingsCommand, inbound: Inbound) -> Form:
        """All of it as a form."""
        raise NotImplementedError

    async def change(self, command: ChangeSettings, inbound: Inbound) -> Reply:
        """Take over what was filled in."""
        raise NotImplementedError
