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
from core.errors import OverBudget

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
    """What a run may use at the most in so many rounds, before it is asked. ``dollars`` is None where a price is
    unknown."""

    calls: int
    tokens: int
    dollars: float | None = None
    rounds: int = 1


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


def until(then: datetime, now: datetime) -> str:
    """When that is, for people: "at 00:00 UTC (in 3 h 20 min)", "on 1 April, 00:00 UTC (in 12 days)"."""
    minutes = max(1, -(-int((then - now).total_seconds()) // 60))
    hours, rest = divmod(minutes, 60)
    if hours >= 48:
        wait = f"{round(hours / 24)} days"
    else:
        wait = " ".join([f"{hours} h"] * (hours > 0) + [f"{rest} min"] * (rest > 0))
    day = "at" if then - now <= timedelta(days=1) else f"on {then.day} {then:%B},"
    return f"{day} {then:%H:%M} UTC (in {wait})"


def applicable(policy: Policy, who: Who) -> list[Budget]:
    """The budgets that somebody asks on. One of their own goes before the one for everybody, and so with channels."""
    named = {"user": who.user, "channel": who.channel, "workspace": None}
    found: dict[tuple[Scope, Period], Budget] = {}
    for budget in policy.budgets:
        if budget.subject is None:
            found.setdefault((budget.scope, budget.period), budget)
        elif budget.subject == named[budget.scope]:
            found[budget.scope, budget.period] = budget
    return [found[scope, period] for scope in SCOPES for period in PERIODS if (scope, period) in found]


class Level(Value):
    """How far one amount of a budget is used up: 1 is all of it. ``text`` is e.g. "at least $4.20 of $5"."""

    share: float
    text: str


def levels(budget: Budget, spent: Spent) -> list[Level]:
    """How far a budget is used up: its tokens, its dollars, or both."""
    found = []
    if budget.tokens is not None:
        least = "at least " if spent.uncounted else ""
        share = spent.tokens / budget.tokens if budget.tokens else 1.0
        found.append(Level(share=share, text=f"{least}{spent.tokens:,} of {budget.tokens:,} tokens"))
    if budget.dollars is not None:
        least = "at least " if spent.unpriced else ""
        share = spent.dollars / budget.dollars if budget.dollars else 1.0
        text = f"{least}{dollars_text(spent.dollars)} of {dollars_text(budget.dollars)}"
        found.append(Level(share=share, text=text))
    return found


def dollars_text(amount: float) -> str:
    """ "$5", "$0.25", "$0.0012"."""
    if amount == round(amount):
        return f"${amount:,.0f}"
    return f"${amount:.4f}" if amount < 0.01 else f"${amount:,.2f}"


def check(policy: Policy, spending: Spending, who: Who, now: datetime) -> list[str]:
    """What somebody should know of the budgets that the next run goes on, from :data:`WARN_AT` on.

    ``spending`` has what was used, and what runs that go on may use. A budget that is used up refuses whatever comes
    next; the run that uses it up is carried to its end. Raises OverBudget, of several for the one that lasts longest.
    """
    warnings: list[str] = []
    refusals: list[OverBudget] = []
    for budget in applicable(policy, who):
        resets = ends(budget.period, now)
        for level in levels(budget, spending.at(budget.scope, budget.period)):
            used = f"{_HAS_USED[budget.scope]} {level.text} {_IN[budget.period]}"
            again = f"whole again {until(resets, now)}"
            if level.share >= 1:
                text = f"{used}: that budget is used up, and {again}. An administrator can raise it with `budget`."
                refusals.append(OverBudget(text, resets))
            elif level.share >= WARN_AT:
                warnings.append(f"{used}; that budget is {again}.")
    if refusals:
        raise max(refusals, key=lambda refusal: refusal.resets_at)
    return warnings


_HAS_USED: dict[Scope, str] = {
    "user": "You have used",
    "channel": "This channel has used",
    "workspace": "This workspace has used",
}
_IN: dict[Period, str] = {"day": "today", "month": "this month"}


def asks_twice(policy: Policy, estimate: Estimate) -> bool:
    """Whether a run is to be confirmed before it is asked: it may cost, or use, as much as that or more.

    Where a price is unknown tokens alone decide, so a threshold in dollars wants one in tokens beside it.
    """
    most_dollars, most_tokens = policy.confirm_dollars, policy.confirm_tokens
    dear = most_dollars is not None and estimate.dollars is not None and estimate.dollars >= most_dollars
    return dear or (most_tokens is not None and estimate.tokens >= most_tokens)
