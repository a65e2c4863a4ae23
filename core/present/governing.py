"""Rules, budgets, use and the audit log in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from core.asks import Platform
from core.governance import (
    PERIODS,
    RIGHTS,
    Budget,
    Change,
    Period,
    Policy,
    Right,
    Rule,
    Scope,
    Spending,
    Spent,
    Who,
    dollars_text,
    ends,
    levels,
    may,
    until,
)
from core.present.figures import listed, short
from core.present.lists import written

MEANS: dict[Right, str] = {
    "ask": "to ask",
    "save": "to save and remove consortia",
    "moderate": "to set a channel's default",
    "admin": "to change rules, budgets and how long runs are kept",
}
"""What each right is for."""

_EACH: dict[Scope, str] = {"user": "each person", "channel": "each channel", "workspace": "all together"}
_OF: dict[Scope, str] = {"user": "You", "channel": "This channel", "workspace": "All together"}
_IN: dict[Period, str] = {"day": "today", "month": "this month"}


# --- who may do what ------------------------------------------------------------------------------------


def access_text(policy: Policy, who: Who, platform: Platform, prefix: str) -> str:
    """Who may do what here, by default and by which rules; and what ``who`` may."""
    lines = ["**Who may do what here**"]
    lines += [f"- {right} ({MEANS[right]}): {_by_default(policy, right, platform)}" for right in RIGHTS]
    if policy.rules:
        lines += ["", "**Rules** (a block goes before everything)"]
        lines += [f"{rule.number}. {rule_text(rule)}" for rule in policy.rules]
        lines += ["", f"Take one back: {written(prefix, f'access lift {policy.rules[0].number}')} (administrators)"]
    mine = [right for right in RIGHTS if may(policy, who, right)]
    lines += ["", f"You may here: {listed(mine) if mine else 'nothing'}."]
    return "\n".join(lines)


def rule_text(rule: Rule) -> str:
    """ "`user:U1` may save", "`role:R1` may not ask"."""
    return f"`{rule.subject}` {'may' if rule.effect == 'allow' else 'may not'} {rule.right}"


def _by_default(policy: Policy, right: Right, platform: Platform) -> str:
    allowed = any(rule.effect == "allow" and rule.right == right for rule in policy.rules)
    manage = MANAGERS[platform]
    match right:
        case "admin":
            return f"{manage}{', and whom a rule allows' if allowed else ''}"
        case "moderate":
            return f"{MODERATORS[platform]}{', and whom a rule allows' if allowed else ''}; administrators too"
    return "only whom a rule allows; administrators too" if allowed else "everybody"


MANAGERS = {
    Platform.SLACK: "owners and admins of this workspace",
    Platform.DISCORD: "who has Manage Server here",
    Platform.WEB: "the operator, which is you",
    Platform.CLI: "the operator, which is you",
}
"""Who administers without any rule."""

MODERATORS = {
    Platform.SLACK: "who manages the channel on Slack",
    Platform.DISCORD: "who has Manage Channels there",
    Platform.WEB: "the operator, which is you",
    Platform.CLI: "the operator, which is you",
}
"""Who sets a channel's default without any rule."""


# --- how much -------------------------------------------------------------------------------------------


def budgets_text(policy: Policy, used: Sequence[tuple[Budget, Spent | None]], now: datetime, prefix: str) -> str:
    """The budgets, with what was used of each where that is told, and from which cost on one is asked twice."""
    if used:
        lines = ["**Budgets here**", *(_budget_line(budget, spent, now) for budget, spent in used)]
    else:
        lines = ["There are no budgets here."]
    lines += ["", confirmation_text(policy.confirm_dollars, policy.confirm_tokens), ""]
    example = written(prefix, "budget user day 20000 tokens")
    lines.append(f"Administrators set one, e.g. {example}, and take it back with `off` in place of the amount.")
    return "\n".join(lines)


def _budget_line(budget: Budget, spent: Spent | None, now: datetime) -> str:
    line = f"- {budget_text(budget)}"
    if spent is None:
        return line
    mine = " by you" if budget.scope == "user" and budget.subject is None else ""
    where = " in this channel" if budget.scope == "channel" and budget.subject is None else ""
    return f"{line}; used{mine}{where}: {share_text(budget, spent, now)}"


def budget_text(budget: Budget) -> str:
    """ "each person, a day: 20,000 tokens and $5"."""
    who = f"`{budget.scope}:{budget.subject}`" if budget.subject else _EACH[budget.scope]
    return f"{who}, a {budget.period}: {amount_text(budget.tokens, budget.dollars)}"


def amount_text(tokens: int | None, dollars: float | None) -> str:
    """ "20,000 tokens and $5", "no limit"."""
    parts = [] if tokens is None else [f"{tokens:,} tokens"]
    parts += [] if dollars is None else [dollars_text(dollars)]
    return " and ".join(parts) or "no limit"


def share_text(budget: Budget, spent: Spent, now: datetime) -> str:
    """How much of a budget is used, and when it is whole again."""
    used = ", ".join(f"{level.text} ({level.share:.0%})" for level in levels(budget, spent))
    return f"{used}; whole again {until(ends(budget.period, now), now)}"


def confirmation_text(dollars: float | None, tokens: int | None) -> str:
    """From which estimate on one is asked twice, and of what a threshold in dollars knows nothing."""
    if dollars is None and tokens is None:
        return "Nobody is asked twice before a run, whatever it may use."
    amount = amount_text(tokens, dollars).replace(" and ", ", or ")
    text = f"You are asked twice before a run that may use {amount}, or more."
    if tokens is not None:
        return text
    return (
        f"{text} Runs whose price is unknown are not covered: give an amount in tokens too, e.g. "
        f"`budget confirm {dollars_text(dollars or 0)} 50000 tokens`."
    )


def usage_text(spending: Spending, budgets: Iterable[Budget], now: datetime, *, private: bool) -> str:
    """What a person, their channel and all together have used, against the budgets that are about them."""
    lines = ["**Used so far**"]
    about = {(budget.scope, budget.period): budget for budget in budgets}
    scopes: tuple[Scope, ...] = ("user", "workspace") if private else ("user", "channel", "workspace")
    for scope in scopes:
        for period in PERIODS:
            spent = spending.at(scope, period)
            lines.append(f"- {_OF[scope]}, {_IN[period]}: {spent_text(spent)}")
            if budget := about.get((scope, period)):
                lines.append(f"  budget: {share_text(budget, spent, now)}")
    lines += ["", "Days and months are UTC. Runs that go on count by their estimate."]
    return "\n".join(lines)


def spent_text(spent: Spent) -> str:
    """ "3 runs, 1,234 tokens, at least $0.0123"."""
    if not spent.runs:
        return "nothing"
    tokens = f"{'at least ' if spent.uncounted else ''}{spent.tokens:,} tokens"
    if spent.unpriced:
        cost = f"at least {dollars_text(spent.dollars)}" if spent.dollars else "cost unknown"
    else:
        cost = dollars_text(spent.dollars)
    return f"{spent.runs} {'run' if spent.runs == 1 else 'runs'}, {tokens}, {cost}"


# --- for how long, and who changed what -----------------------------------------------------------------


def retention_text(days: int | None) -> str:
    """How long runs are kept."""
    if days is None:
        return "Runs of this workspace are kept until somebody deletes them."
    return f"Runs of this workspace are deleted {days} {'day' if days == 1 else 'days'} after they ended."


def audit_text(changes: Sequence[Change], page: int) -> str:
    """A page of the audit log, newest first."""
    if not changes:
        return "Nothing has been changed here yet." if page == 1 else f"The audit log has no page {page}."
    lines = [f"**Audit log**{f', page {page}' if page > 1 else ''}"]
    for change in changes:
        who = f"{change.name} (`{change.by}`)" if change.name else f"`{change.by}`"
        lines.append(f"- {change.at:%Y-%m-%d %H:%M} UTC · {who}")
        lines.append(f"  {change.action}: {short(change.detail, 200)}")
    return "\n".join(lines)
