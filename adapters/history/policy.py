"""What holds in a workspace: its own rules before those of its platform, and those before what holds everywhere.

What holds in more than one workspace is stored once, with the workspace (and the platform) :data:`EVERYWHERE`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, RowMapping, Table, and_, or_, select

from adapters.history.database import fetch
from adapters.history.schema import EVERYWHERE, budgets, policies, rules
from core.governance import Budget, Policy, Rule, Subject

LIFTED = "lifted"
"""The effect of a rule that holds everywhere but not in this workspace."""

Place = tuple[str, str]
"""Platform and workspace."""

BySubject = Mapping[tuple[str, str, str], RowMapping]


def policy_of(place: Place, connection: Connection) -> Policy:
    """All that holds in a workspace: rules by number, budgets by scope, period and subject."""
    told = _in_order(policies, place, connection)
    confirming = [row for row in told if row["confirms"]][-1:]
    retaining = [row for row in told if row["retains"]][-1:]
    return Policy(
        rules=tuple(in_force(rules_by_subject(place, connection))),
        budgets=tuple(_budgets(_in_order(budgets, place, connection))),
        confirm_dollars=confirming[0]["confirm_dollars"] if confirming else None,
        confirm_tokens=confirming[0]["confirm_tokens"] if confirming else None,
        retention_days=retaining[0]["retention_days"] if retaining else None,
    )


def rules_by_subject(place: Place, connection: Connection) -> BySubject:
    """The rule that counts, or that it was lifted, by right and subject."""
    return {(row["right"], row["kind"], row["subject"]): row for row in _in_order(rules, place, connection)}


def in_force(found: BySubject) -> list[Rule]:
    """The rules that were not lifted, by number."""
    there = [
        Rule(
            number=row["number"],
            effect=row["effect"],
            right=row["right"],
            subject=Subject(kind=row["kind"], id=row["subject"]),
        )
        for row in found.values()
        if row["effect"] != LIFTED
    ]
    return sorted(there, key=lambda rule: rule.number)


def _budgets(rows: Iterable[RowMapping]) -> Iterable[Budget]:
    nearest = {(row["scope"], row["period"], row["subject"]): row for row in rows}
    for (scope, period, subject), row in sorted(nearest.items()):
        if row["tokens"] is not None or row["dollars"] is not None:
            yield Budget(
                scope=scope, period=period, subject=subject or None, tokens=row["tokens"], dollars=row["dollars"]
            )


def _in_order(table: Table, place: Place, connection: Connection) -> Sequence[RowMapping]:
    """The rows of a table that say something of a workspace, what goes before others last."""
    platform, workspace = place
    here = and_(table.c.platform == platform, table.c.workspace.in_([workspace, EVERYWHERE]))
    anywhere = and_(table.c.platform == EVERYWHERE, table.c.workspace == EVERYWHERE)
    found = fetch(select(table).where(or_(here, anywhere)), connection)
    return sorted(found, key=lambda row: (row["platform"] != EVERYWHERE, row["workspace"] != EVERYWHERE))
