"""What one administrator changes, inside one transaction: each method changes rules and writes the audit log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, delete, func, insert, select, text

from adapters.history.database import fetch
from adapters.history.policy import LIFTED, Place, in_force, rules_by_subject
from adapters.history.rows import Row
from adapters.history.schema import EVERYWHERE, changes, channels, policies
from adapters.history.statements import Statements
from core.asks import Person
from core.governance import Budget, Rule

_LOCK = 0x434F4E54
"""PostgreSQL's advisory lock for changes: numbers are given one after the other."""


@dataclass(frozen=True)
class Hand:
    """Whoever changes something: where, who, when. Its methods run on a connection in a transaction."""

    do: Statements
    place: Place
    by: Person
    at: datetime

    def lock(self, connection: Connection) -> None:
        """Wait for other processes; on SQLite the transaction holds the file's one write lock."""
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})

    def note(self, action: str, detail: str, connection: Connection) -> None:
        """Write into the audit log."""
        row = {**self._keys, "at": self.at, "by": self.by.id, "name": self.by.name, "action": action, "detail": detail}
        connection.execute(insert(changes), row)

    def add_rule(self, rule: Rule, connection: Connection) -> int:
        """Add a rule in place of one with the same right and subject; the same rule again keeps its number."""
        self.lock(connection)
        there = rules_by_subject(self.place, connection).get(_subject(rule))
        if there and there["effect"] == rule.effect:
            return int(there["number"])
        number = self._next_number(connection)
        self._put_rule(rule, rule.effect, number, connection)
        self.note("access", f"{number}: {_words(rule)}", connection)
        return number

    def lift_rule(self, number: int, connection: Connection) -> Rule | None:
        """Take a rule back; one that holds everywhere stays in the other workspaces."""
        self.lock(connection)
        found = next(
            (rule for rule in in_force(rules_by_subject(self.place, connection)) if rule.number == number), None
        )
        if found is None:
            return None
        self._put_rule(found, LIFTED, number, connection)
        self.note("access", f"lifted {number}: {_words(found)}", connection)
        return found

    def set_budget(self, budget: Budget, connection: Connection) -> None:
        """Set a budget; without an amount it says that there is none, even where one holds everywhere."""
        self.lock(connection)
        row = budget.model_dump() | {"subject": budget.subject or ""}
        connection.execute(self.do.put_budget, {**self._keys, **row})
        of = f" of {budget.subject}" if budget.subject else ""
        self.note("budget", f"{budget.scope} {budget.period}{of}: {_amount(budget.tokens, budget.dollars)}", connection)

    def set_confirmation(self, dollars: float | None, tokens: int | None, connection: Connection) -> None:
        """From which estimate runs are asked for twice."""
        self.lock(connection)
        self._put_policy(connection, confirms=True, confirm_dollars=dollars, confirm_tokens=tokens)
        self.note("confirm", _amount(tokens, dollars), connection)

    def set_retention(self, days: int | None, connection: Connection) -> None:
        """After how many days runs are deleted."""
        self.lock(connection)
        self._put_policy(connection, retains=True, retention_days=days)
        self.note("retention", "off" if days is None else f"{days} days", connection)

    def set_channel_default(self, channel: str, name: str | None, connection: Connection) -> None:
        """What a channel asks when nothing is named."""
        self.lock(connection)
        if name is None:
            platform, workspace = self.place
            here = and_(channels.c.platform == platform, channels.c.workspace == workspace)
            connection.execute(delete(channels).where(here, channels.c.channel == channel))
        else:
            connection.execute(self.do.put_channel, {**self._keys, "channel": channel, "consortium": name})
        self.note("channel default", f"{channel}: {name or 'none'}", connection)

    @property
    def _keys(self) -> Row:
        return dict(zip(("platform", "workspace"), self.place, strict=True))

    def _put_rule(self, rule: Rule, effect: str, number: int, connection: Connection) -> None:
        right, kind, subject = _subject(rule)
        row = {"right": right, "kind": kind, "subject": subject, "effect": effect, "number": number}
        connection.execute(self.do.put_rule, {**self._keys, **row})

    def _next_number(self, connection: Connection) -> int:
        """Unlike that of any rule there was here: a rule that is to hold everywhere comes after all of the platform."""
        platform, workspace = self.place
        query = select(func.max(policies.c.last_rule)).where(policies.c.platform == platform)
        if workspace != EVERYWHERE:
            query = query.where(policies.c.workspace.in_([workspace, EVERYWHERE]))
        number = int(connection.execute(query).scalar() or 0) + 1
        self._put_policy(connection, last_rule=number)
        return number

    def _put_policy(self, connection: Connection, **given: object) -> None:
        platform, workspace = self.place
        query = select(policies).where(policies.c.platform == platform, policies.c.workspace == workspace)
        found = fetch(query, connection)
        new: Row = dict.fromkeys(policies.c.keys()) | {"last_rule": 0, "confirms": False, "retains": False}
        connection.execute(self.do.put_policy, {**(found[0] if found else new), **self._keys, **given})


def _subject(rule: Rule) -> tuple[str, str, str]:
    return rule.right, rule.subject.kind, rule.subject.id


def _words(rule: Rule) -> str:
    return f"{rule.effect} {rule.right} {rule.subject}"


def _amount(tokens: int | None, dollars: float | None) -> str:
    """As it is typed."""
    amounts = [] if tokens is None else [f"{tokens} tokens"]
    amounts += [] if dollars is None else [f"${dollars:.10g}"]
    return ", ".join(amounts) or "off"
