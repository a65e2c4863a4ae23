"""What the models file says of rules and budgets, taken over into the database: each entry once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from adapters.history.access import setting
from adapters.history.hand import Hand
from adapters.history.policy import Place
from adapters.history.schema import EVERYWHERE
from adapters.history.statements import Statements
from core.asks import Person, Platform
from core.catalog import GovernanceSpec
from core.commands.administration import PARSERS, amount
from core.commands.values import SetBudget
from core.errors import BadInput, ConfigError
from core.governance import RIGHTS, Budget, Right, Rule, Subject

T = TypeVar("T")

_TAKEN = "governance of the file"
_FILE = Person(id="", name="consortium.toml")
_ANYWHERE = (EVERYWHERE, EVERYWHERE)
_KINDS = ("user", "role", "channel")
_PLATFORMS = tuple(platform.value for platform in Platform)


@dataclass(frozen=True)
class Seed:
    """One entry of the file: where it holds, and what it does with a :class:`Hand`."""

    entry: str
    place: Place
    act: Callable[[Hand, Connection], object]


@dataclass(frozen=True)
class Seeds:
    """All entries of the file."""

    all: tuple[Seed, ...]

    @classmethod
    def of(cls, spec: GovernanceSpec) -> Seeds:
        """Raises :class:`core.errors.ConfigError` for an entry that is wrong, naming it."""
        return cls((*_rules(spec), *_budgets(spec), *_rest(spec)))

    def sow(self, do: Statements, now: datetime, connection: Connection) -> None:
        """Carry out those that were not carried out before, and remember them."""
        Hand(do, _ANYWHERE, _FILE, now).lock(connection)
        taken: list[str] = json.loads(setting(_TAKEN, connection) or "[]")
        new = {seed.entry: seed for seed in self.all if seed.entry not in taken}
        for seed in new.values():
            seed.act(Hand(do, seed.place, _FILE, now), connection)
        if new:
            connection.execute(do.put_setting, {"key": _TAKEN, "value": json.dumps([*taken, *new])})


def _rules(spec: GovernanceSpec) -> Iterator[Seed]:
    for right in RIGHTS:
        entries: tuple[str, ...] = getattr(spec, right)
        for entry in entries:
            yield _rule(right, "allow", right, entry)
    for entry in spec.block:
        yield _rule("block", "block", "ask", entry)


def _rule(field: str, effect: str, right: Right, entry: str) -> Seed:
    name = f"governance.{field}: {entry!r}"
    platform, subject = _subject(name, entry)
    rule = Rule.model_validate({"effect": effect, "right": right, "subject": subject})
    return Seed(f"{field} {entry}", (platform, EVERYWHERE), lambda hand, connection: hand.add_rule(rule, connection))


def _subject(name: str, entry: str) -> tuple[str, Subject]:
    """Platform and subject of "slack:user:U123"."""
    platform, kind, id_ = [*entry.strip().split(":", 2), "", ""][:3]
    if platform not in _PLATFORMS or kind not in _KINDS or not id_ or len(id_.split()) != 1:
        raise ConfigError(
            f"{name} names nobody. Write platform, kind and id, e.g. slack:user:U0123, discord:role:456 or "
            f"slack:channel:C0123 (platforms: {', '.join(_PLATFORMS)}; kinds: {', '.join(_KINDS)})."
        )
    return platform, Subject.model_validate({"kind": kind, "id": id_})


def _budgets(spec: GovernanceSpec) -> Iterator[Seed]:
    for entry in spec.budgets:
        name = f"governance.budgets: {entry!r}"
        given = _read(name, PARSERS["budget"], entry)
        if not isinstance(given, SetBudget):
            raise ConfigError(f"{name} is no budget. Write e.g. user day 20000 tokens or workspace month $50.")
        place, subject = _ANYWHERE, None
        if given.subject is not None:
            platform, who = _subject(name, given.subject)
            if who.kind != given.scope:
                raise ConfigError(f"{name} is a budget of a {given.scope}: name a {given.scope}, not a {who.kind}.")
            place, subject = (platform, EVERYWHERE), who.id
        budget = Budget(**given.model_dump(include={"scope", "period", "tokens", "dollars"}), subject=subject)
        yield Seed(f"budget {entry}", place, partial(_set_budget, budget))


def _set_budget(budget: Budget, hand: Hand, connection: Connection) -> None:
    hand.set_budget(budget, connection)


def _rest(spec: GovernanceSpec) -> Iterator[Seed]:
    if spec.confirm is not None:
        name = f"governance.confirm: {spec.confirm!r}"
        tokens, dollars, rest = _read(name, amount, spec.confirm.strip())
        if rest:
            raise ConfigError(f"{name} is no amount. Write e.g. $0.50, $0.50 50000 tokens or off.")
        yield Seed(
            f"confirm {spec.confirm}",
            _ANYWHERE,
            lambda hand, connection: hand.set_confirmation(dollars, tokens, connection),
        )
    if (days := spec.retention_days) is not None:
        yield Seed(f"retention {days}", _ANYWHERE, lambda hand, connection: hand.set_retention(days, connection))


def _read(name: str, parser: Callable[[str], T], text: str) -> T:
    try:
        return parser(text)
    except BadInput as error:
        raise ConfigError(f"{name}: {error}") from error
