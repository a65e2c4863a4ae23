"""Rules, budgets, retention and the audit log; and what was used."""

from __future__ import annotations

from core.cards import Reply
from core.commands.values import (
    AccessCommand,
    AuditCommand,
    BudgetCommand,
    ChangeAccess,
    LiftRule,
    SetBudget,
    SetConfirmation,
    SetRetention,
    UsageCommand,
)
from core.service.inbound import Inbound
from core.service.office import Handlers, Office


class AdminDesk:
    """For administrators; everybody may see what holds for them."""

    def __init__(self, office: Office) -> None:
        self._office = office

    @property
    def handlers(self) -> Handlers:
        """Which command is for whom."""
        return {
            UsageCommand: self.usage,
            AccessCommand: self.access,
            ChangeAccess: self.access,
            LiftRule: self.access,
            BudgetCommand: self.budget,
            SetBudget: self.budget,
            SetConfirmation: self.budget,
            SetRetention: self.retention,
            AuditCommand: self.audit,
        }

    async def usage(self, command: UsageCommand, inbound: Inbound) -> Reply:
        """What the person, the channel and the workspace have used, against their budgets."""
        raise NotImplementedError

    async def access(self, command: AccessCommand | ChangeAccess | LiftRule, inbound: Inbound) -> Reply:
        """Show or change who may do what."""
        raise NotImplementedError

    async def budget(self, command: BudgetCommand | SetBudget | SetConfirmation, inbound: Inbound) -> Reply:
        """Show or set budgets."""
        raise NotImplementedError

    async def retention(self, command: SetRetention, inbound: Inbound) -> Reply:
        """Show or set after how many days runs are deleted."""
        raise NotImplementedError

    async def audit(self, command: AuditCommand, inbound: Inbound) -> Reply:
        """A page of the audit log (administrators)."""
        raise NotImplementedError
