"""Who may do what, and how much of it: the rules of a workspace, and what follows from them. Nothing here does I/O.

Rules and budgets are kept in the database (:class:`core.ports.Governance`), seeded from the models file and changed in
chat. Where no rule allows a right to anybody, everybody has it, except that only those who manage the workspace on
their platform administer, and only those who manage a channel there set its default. A block goes before everything.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field

from core.asks import Value

Right = Literal["ask", "save", "moderate", "admin"]
"""To ask; to save and remove consortia; to set a channel's default; to change rules, budgets and retention."""

RIGHTS: tuple[Right, ...] = ("ask", "save", "moderate", "admin")

Scope = Literal["user", "channel", "workspace"]
SCOPES: tuple[Scope, ...] = ("user", "channel", "workspace")

Period = Literal["day", "month"]
PERIODS: tuple[Period, ...] = ("day", "month")
"""Both in UTC, from midnight and from the first of the month."""

WARN_AT = 0.8
"""The share of a budget from which on the asker is warned."""


class Subject(Value):
    """Whom a rule is about, by the platform's id."""

    kind: Literal["user", "role", "channel"]
    id: str

    def __str__(self) -> str:
        """ "user:U123", as it is typed."""
        return f"{self.kind}:{self.id}"


class Rule(Value):
    """One line of who may do what. ``number`` is what people name it by; 0 while it is not stored yet."""

    number: int = 0
    effect: Literal["allow", "block"]
    right: Right
    subject: Subject


class Budget(Value):
    """How much may be used in a period. ``subject`` None: each user, each channel, or the whole workspace.

    Calls whose price is unknown count by their tokens alone, so a budget in dollars wants one in tokens beside it.
    """

    scope: Scope
    period: Period
    subject: str | None = None
    tokens: int | None = Field(default=None, ge=0)
    dollars: float | None = Field(default=None, ge=0)


class Spent(Value):
    """What was used, as far as it is known: ``unpriced`` counts calls whose cost is not, ``uncounted`` those whose
    tokens are not."""

    runs: int = 0
    tokens: int = 0
    dollars: float = 0.0
    unpriced: int = 0
    uncounted: int = 0


class Spending(Value):
    """What a person, a channel and a workspace have used today and this month."""

    of: dict[str, Spent] = Field(default_factory=dict, description="by 'scope/period'")

    def at(self, scope: Scope, period: Period) -> Spent:
        """What was used in that scope and period."""
        return self.of.get(f"{scope}/{period}", Spent())


class Estimate(Value):
    """What a run may use at the most, before it is asked. ``dollars`` is None where a price is unknown."""

    calls: int
    tokens: int
    dollars: float | None = None


class Policy(Value):
    """The rules of one workspace. ``confirm_*``: from which estimate a run is asked for twice."""

    rules: tuple[Rule, ...] = ()
    budgets: tuple[Budget, ...] = ()
    confirm_dollars: float | None = None
    confirm_tokens: int | None = None
    retention_days: int | None = None


class Change(Value):
    """One entry of the audit log: who changed what."""

    at: datetime
    by: str
    name: str
    action: str
    detail: str


class Who(Value):
    """A person as rules see them: by id, roles, the channel they are in, and what the platform says of them."""

    user: str
    channel: str
    roles: tuple[str, ...] = ()
    manages: bool = False
    moderates: bool = False

    def meets(self, subject: Subject) -> bool:
        """Whether a rule about ``subject`` is about them."""
        match subject.kind:
            case "user":
                return subject.id == self.user
            case "role":
                return subject.id in self.roles
            case "channel":
                return subject.id == self.channel


def may(policy: Policy, who: Who, right: Right) -> bool:
    """Whether somebody has a right. Who administers has every other one, unless blocked from it by name."""
    about_them = [rule for rule in policy.rules if who.meets(rule.subject)]
    if any(rule.effect == "block" and rule.right == right for rule in about_them):
        return False
    if any(rule.effect == "allow" and rule.right in (right, "admin") for rule in about_them):
        return True
    if who.manages:
        return True
    if right == "admin":
        return False
    if right == "moderate":
        return who.moderates
    return not any(rule.effect == "allow" and rule.right == right for rule in policy.rules)


def begins(period: Period, now: datetime) -> datetime:
    """When the period that ``now`` is in has begun."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight if period == "day" else midnight.replace(day=1)


def ends(period: Period, now: datetime) -> datetime:
    """When the period that ``now`` is in is over, and budgets are whole again."""
    begun = begins(period, now)
    return begun + timedelta(days=1) if period == "day" else (begun + timedelta(days=32)).replace(day=1)
