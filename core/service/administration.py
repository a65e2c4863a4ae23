"""Rules, budgets, retention and the audit log; and what was used."""

from __future__ import annotations

import re
from datetime import timedelta

from core.asks import Person
from core.cards import Button, Reply
from core.commands.actions import encode
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
from core.commands.words import short
from core.errors import BadInput, NotAllowed, NotFound
from core.governance import Budget, Policy, Rule, Spent, Subject, applicable, may
from core.present.governing import (
    access_text,
    audit_text,
    budget_text,
    budgets_text,
    confirmation_text,
    retention_text,
    rule_text,
    usage_text,
)
from core.present.lists import written
from core.service.inbound import Inbound
from core.service.office import Handlers, Office

PAGE = 15
"""Entries on a page of the audit log."""

COUNTED = 1000
"""Runs up to which it is told how many a retention concerns now."""


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
        office, now = self._office, self._office.clock()
        policy = await office.governance.policy(inbound.where)
        spending = await office.governance.spending(inbound.where, inbound.asker, now)
        budgets = applicable(policy, inbound.who)
        return Reply(text=usage_text(spending, budgets, now, private=inbound.where.private))

    # --- who may do what ----------------------------------------------------------------------------

    async def access(self, command: AccessCommand | ChangeAccess | LiftRule, inbound: Inbound) -> Reply:
        """Show or change who may do what. Raises NotAllowed, BadInput or NotFound."""
        if isinstance(command, AccessCommand):
            return Reply(text=await self._access(inbound))
        await self._office.check(inbound, "admin")
        if isinstance(command, LiftRule):
            done = await self._lift(command.number, inbound)
        else:
            done = await self._add(command, inbound)
        return Reply(text=f"{done}\n\n{await self._access(inbound)}")

    async def _access(self, inbound: Inbound) -> str:
        policy = await self._office.governance.policy(inbound.where)
        return access_text(policy, inbound.who, inbound.where.platform, inbound.prefix)

    async def _add(self, command: ChangeAccess, inbound: Inbound) -> str:
        office, subject = self._office, subject_of(command.subject)
        policy = await office.governance.policy(inbound.where)
        rule = Rule(effect=command.effect, right=command.right, subject=subject)
        others = tuple(r for r in policy.rules if (r.right, r.subject) != (rule.right, rule.subject))
        after = policy.model_copy(update={"rules": (*others, rule)})
        _keep_administering(after, inbound)
        closed = command.effect == "allow" and not any(
            r.effect == "allow" and r.right == command.right for r in policy.rules
        )
        number = await office.governance.add_rule(inbound.where, rule, inbound.asker)
        done = f"Rule {number} holds now: {rule_text(rule)}."
        if closed and command.right in ("ask", "save"):
            back = written(inbound.prefix, f"access lift {number}")
            done += (
                f" So far everybody could; from now on only those whom a rule allows, and administrators. Undo: {back}"
            )
        return done

    async def _lift(self, number: int, inbound: Inbound) -> str:
        office = self._office
        policy = await office.governance.policy(inbound.where)
        kept = tuple(rule for rule in policy.rules if rule.number != number)
        _keep_administering(policy.model_copy(update={"rules": kept}), inbound)
        lifted = await office.governance.lift_rule(inbound.where, number, inbound.asker)
        if lifted is None:
            raise NotFound(f"There is no rule {number}; {written(inbound.prefix, 'access')} lists them.")
        return f"Rule {number} is lifted: {rule_text(lifted)}."

    # --- how much -----------------------------------------------------------------------------------

    async def budget(self, command: BudgetCommand | SetBudget | SetConfirmation, inbound: Inbound) -> Reply:
        """Show or set budgets. Raises NotAllowed or BadInput."""
        office, where = self._office, inbound.where
        if isinstance(command, BudgetCommand):
            return Reply(text=await self._budgets(inbound))
        await office.check(inbound, "admin")
        if isinstance(command, SetConfirmation):
            await office.governance.set_confirmation(
                where, inbound.asker, dollars=command.dollars, tokens=command.tokens
            )
            return Reply(text=confirmation_text(command.dollars, command.tokens))
        subject = subject_of(command.subject, command.scope).id if command.subject else None
        budget = Budget(
            scope=command.scope,
            period=command.period,
            subject=subject,
            tokens=command.tokens,
            dollars=command.dollars,
        )
        await office.governance.set_budget(where, budget, inbound.asker)
        return Reply(text=f"This holds now: {budget_text(budget)}.\n\n{await self._budgets(inbound)}")

    async def _budgets(self, inbound: Inbound) -> str:
        """All budgets; what others have used of theirs is for administrators."""
        office, now = self._office, self._office.clock()
        policy = await office.governance.policy(inbound.where)
        mine, all_ = applicable(policy, inbound.who), may(policy, inbound.who, "admin")
        spending = await office.governance.spending(inbound.where, inbound.asker, now)
        used: list[tuple[Budget, Spent | None]] = []
        for budget in policy.budgets:
            spent = None
            if budget in mine:
                spent = spending.at(budget.scope, budget.period)
            elif all_ and budget.subject is not None:
                spent = await self._spent(budget, inbound)
            used.append((budget, spent))
        return budgets_text(policy, used, now, inbound.prefix)

    async def _spent(self, budget: Budget, inbound: Inbound) -> Spent:
        """What somebody else, or another channel, has used."""
        asker, where = inbound.asker, inbound.where
        if budget.scope == "user":
            asker = Person(id=str(budget.subject))
        else:
            where = where.model_copy(update={"channel": str(budget.subject), "thread": None})
        spending = await self._office.governance.spending(where, asker, self._office.clock())
        return spending.at(budget.scope, budget.period)

    # --- for how long, and who changed what ---------------------------------------------------------

    async def retention(self, command: SetRetention, inbound: Inbound) -> Reply:
        """Show or set after how many days runs are deleted. Raises NotAllowed."""
        office, where = self._office, inbound.where
        if command.show:
            policy = await office.governance.policy(where)
            return Reply(text=retention_text(policy.retention_days))
        await office.check(inbound, "admin")
        await office.governance.set_retention(where, inbound.asker, command.days)
        text = retention_text(command.days)
        if command.days is not None:
            before = office.clock() - timedelta(days=command.days)
            due = len(await office.history.expired(where.platform, where.workspace, before, COUNTED))
            many = f"at least {due:,}" if due == COUNTED else f"{due:,}"
            back = written(inbound.prefix, "retention off")
            text += (
                f" That long ago ended {many} {'run' if due == 1 else 'runs'}; what is due goes within the hour, for "
                f"good. Undo before that: {back}"
                if due
                else " Nothing is that old yet."
            )
        return Reply(text=text)

    async def audit(self, command: AuditCommand, inbound: Inbound) -> Reply:
        """A page of the audit log (administrators). Raises NotAllowed."""
        office, page = self._office, command.page
        await office.check(inbound, "admin")
        changes = await office.governance.audit(inbound.where, PAGE + 1, (page - 1) * PAGE)
        row = [("Newer", page - 1)] * (page > 1) + [("Older", page + 1)] * (len(changes) > PAGE)
        buttons = tuple(Button(label=label, action=encode(AuditCommand(page=to))) for label, to in row)
        return Reply(text=audit_text(changes[:PAGE], page), buttons=(buttons,) if buttons else ())


def _keep_administering(after: Policy, inbound: Inbound) -> None:
    """Nobody takes the administration from themselves, so that the last one who has it keeps it. Raises NotAllowed."""
    if not may(after, inbound.who, "admin"):
        raise NotAllowed(
            "With that you could not administer here any more, so it stays as it is. Another administrator can do it."
        )


_ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_MENTIONS = {
    "user": re.compile(rf"<@!?({_ID})(?:\|[^>]*)?>|user:({_ID})"),
    "role": re.compile(rf"<@&({_ID})>|<!subteam\^({_ID})(?:\|[^>]*)?>|role:({_ID})"),
    "channel": re.compile(rf"<#({_ID})(?:\|[^>]*)?>|channel:({_ID})"),
}


def subject_of(text: str, kind: str | None = None) -> Subject:
    """Whom a rule or budget is about, as typed or as platforms write a mention. ``kind`` is the one that is wanted.

    Raises BadInput.
    """
    wanted = text.strip().strip("`")
    head, colon, rest = wanted.partition(":")
    wanted = f"{head.lower()}:{rest.strip()}" if colon and head.lower() in _MENTIONS else wanted
    if colon and rest.strip().startswith("<"):
        wanted = rest.strip()  # "user:<@U1>"
    for found, pattern in _MENTIONS.items():
        if match := pattern.fullmatch(wanted):
            if kind is not None and found != kind:
                raise BadInput(f"A {kind}'s budget names a {kind}; `{short(text)}` is a {found}.")
            return Subject.model_validate({"kind": found, "id": next(filter(None, match.groups()))})
    if wanted.startswith("@"):
        raise BadInput(
            f"I cannot tell who `{short(text)}` is. Choose the name from the list that opens as you type it, or write "
            "the id: `user:ID` or `role:ID`."
        )
    raise BadInput(
        f"`{short(text)}` is nobody that I know of. Name somebody with `@`, a channel with `#`, or write `user:ID`, "
        "`role:ID` or `channel:ID`."
    )
