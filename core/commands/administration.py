"""The commands of administrators: access, budgets, confirmation, retention, the audit log."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import get_args

from core.commands.values import (
    AccessCommand,
    AuditCommand,
    BudgetCommand,
    ChangeAccess,
    Command,
    LiftRule,
    SetBudget,
    SetConfirmation,
    SetRetention,
)
from core.commands.words import first_word, page_of, short
from core.errors import BadInput
from core.governance import RIGHTS, Period, Right, Scope

USAGES = (
    ("access", "access", "who may do what here"),
    ("access", "access allow ask|save|moderate|admin who", "give a right to @somebody, a role or a channel"),
    ("access", "access block ask|save|moderate|admin who", "take a right away"),
    ("access", "access lift number", "take a rule back"),
    ("budget", "budget", "what may be used here, and from which cost on you are asked twice"),
    (
        "budget",
        "budget user|channel day|month amount [who]",
        "set one for each, or for one: `20000 tokens`, `$5`, `$5 20000 tokens`, `off`",
    ),
    ("budget", "budget workspace day|month amount", "set what all together may use"),
    ("budget", "budget confirm amount", "ask twice before a run that may use more; or `off`"),
    ("retention", "retention [days|off]", "delete runs of this workspace after so many days"),
    ("audit", "audit [page]", "what administrators have changed"),
)
"""As (command, how it is written, what it does)."""

MOST_WORDS = {"access": 4, "budget": 9, "retention": 2, "audit": 1}

_WHO = (
    "Say who: `@somebody`, `user:ID`, `role:ID` or `channel:ID`, e.g. `access allow save @ana` or "
    "`access block ask channel:C0123`."
)


def _access(rest: str) -> Command:
    verb, rest = first_word(rest)
    match verb.lower():
        case "" | "list" | "show":
            return AccessCommand()
        case "allow" | "block" as effect:
            right, subject = first_word(rest)
            if right.lower() not in RIGHTS:
                raise BadInput(f"There is no right `{short(right)}`; there are {', '.join(f'`{r}`' for r in RIGHTS)}.")
            if not subject:
                raise BadInput(_WHO)
            return ChangeAccess(effect="allow" if effect == "allow" else "block", right=_right(right), subject=subject)
        case "lift" | "remove":
            if not rest.isdecimal() or len(rest) > 9:
                raise BadInput("Write the rule's number, as `access` lists it, e.g. `access lift 3`.")
            return LiftRule(number=int(rest))
    raise BadInput(f"`access {short(verb)}` is not a command; there are `access`, `allow`, `block` and `lift`.")


def _right(word: str) -> Right:
    return next(right for right in RIGHTS if right == word.lower())


def _budget(rest: str) -> Command:
    first, rest = first_word(rest)
    if not first:
        return BudgetCommand()
    if first.lower() == "confirm":
        tokens, dollars, left = amount(rest)
        if left:
            raise BadInput(
                "Write e.g. `budget confirm $0.50`, `budget confirm $0.50 50000 tokens` or `budget confirm off`."
            )
        return SetConfirmation(tokens=tokens, dollars=dollars)
    period, rest = first_word(rest)
    scopes, periods = get_args(Scope), get_args(Period)
    if first.lower() not in scopes or period.lower() not in periods:
        raise BadInput(
            "Write e.g. `budget user day 20000 tokens`, `budget channel month $20` or `budget workspace day off`."
        )
    tokens, dollars, who = amount(rest)
    if who and first.lower() == "workspace":
        raise BadInput("A workspace's budget is for all; name nobody.")
    return SetBudget(
        scope=first.lower(),  # type: ignore[arg-type]  # checked above
        period=period.lower(),  # type: ignore[arg-type]
        tokens=tokens,
        dollars=dollars,
        subject=who or None,
    )


_AMOUNT = re.compile(
    r"(?:(?P<off>off|none)|\$\s?(?P<dollars>\d[\d_.,']*)|(?P<number>\d[\d_.,']*)(?P<kilo>k|m)?\s*(?P<unit>tokens?|dollars?|usd|\$)?)"
    r",?(?:\s+|$)",
    re.IGNORECASE,
)


_JOINED = re.compile(r"(?:and|or|\+|,)\s+", re.IGNORECASE)


def amount(text: str) -> tuple[int | None, float | None, str]:
    """Tokens, dollars, and what follows: one of them, or both in any order; neither for "off". Raises BadInput."""
    tokens, dollars, rest = _one_amount(text)
    if tokens is None and dollars is None:
        return None, None, rest
    more = rest[found.end() :] if (found := _JOINED.match(rest)) else rest
    if (second := _AMOUNT.match(more)) and not second["off"] and _has_unit(second):
        more_tokens, more_dollars, after = _one_amount(more)
        if (more_tokens is None) != (tokens is None):
            tokens = more_tokens if tokens is None else tokens
            return tokens, more_dollars if dollars is None else dollars, after
        raise BadInput("Write one amount in tokens and one in dollars at the most, e.g. `$5 20000 tokens`.")
    return tokens, dollars, rest


def _has_unit(found: re.Match[str]) -> bool:
    """Whether an amount says of what; a bare number behind another amount may be somebody's id."""
    return bool(found["dollars"] or found["unit"])


def _one_amount(text: str) -> tuple[int | None, float | None, str]:
    found = _AMOUNT.match(text)
    if not found:
        raise BadInput("Write an amount: `20000 tokens`, `$5`, `$5 20000 tokens` or `off`.")
    rest = text[found.end() :].strip()
    if found["off"]:
        return None, None, rest
    if found["dollars"]:
        return None, _dollars(found["dollars"]), rest
    kilo = {"": 1, "k": 1_000, "m": 1_000_000}[(found["kilo"] or "").lower()]
    if not (found["unit"] or "tokens").lower().startswith("token"):
        return None, kilo * _dollars(found["number"]), rest
    digits = re.sub(r"[_.,']", "", found["number"])
    if len(digits) > _DIGITS:
        raise BadInput(_TOO_MUCH)
    return int(digits) * kilo, None, rest


_DIGITS = 12
_TOO_MUCH = f"An amount has at most {_DIGITS} digits."


def _dollars(text: str) -> float:
    """ "5", "0.50", "0,50", "1_000". Raises BadInput."""
    number = re.sub(r"[_']", "", text).replace(",", ".").rstrip(".")
    if number.count(".") > 1:
        raise BadInput(f"`{short(text)}` is no amount; write e.g. `$1200.50`, without marks between the thousands.")
    if len(number) > _DIGITS:
        raise BadInput(_TOO_MUCH)
    return float(number)


def _retention(rest: str) -> Command:
    word = rest.lower().removesuffix("days").removesuffix("day").strip()
    if not word:
        return SetRetention(show=True)
    if word in ("off", "none"):
        return SetRetention()
    if not word.isdecimal() or len(word) > 5 or not 1 <= int(word) <= 36_500:
        raise BadInput("Write a number of days, e.g. `retention 90`, or `retention off`.")
    return SetRetention(days=int(word))


PARSERS: dict[str, Callable[[str], Command]] = {
    "access": _access,
    "budget": _budget,
    "retention": _retention,
    "audit": lambda rest: AuditCommand(page=page_of(rest, "audit") if rest else 1),
}
