"""Rules, budgets, use and the audit log in words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from core.asks import Platform
from core.governance import Budget, Change, Policy, Rule, Spending, Spent, Subject, Who
from core.present.governing import (
    access_text,
    amount_text,
    audit_text,
    budget_text,
    budgets_text,
    confirmation_text,
    retention_text,
    share_text,
    spent_text,
    usage_text,
)

NOW = datetime(2026, 11, 30, 20, 40, tzinfo=UTC)
ANN = Who(user="U1", channel="C1")


def rule(number: int, effect: str, right: str, kind: str = "user", id_: str = "U1") -> Rule:
    subject = Subject.model_validate({"kind": kind, "id": id_})
    return Rule.model_validate({"number": number, "effect": effect, "right": right, "subject": subject})


@pytest.mark.parametrize("platform", list(Platform))
def test_every_platform_has_words_for_who_administers(platform: Platform) -> None:
    text = access_text(Policy(), ANN, platform, "")
    assert text.count("- ") == 4
    assert "Rules" not in text


def test_rules_change_what_holds_by_default() -> None:
    rules = (rule(3, "allow", "ask"), rule(5, "allow", "admin", "role", "R1"), rule(6, "block", "save"))
    lines = access_text(Policy(rules=rules), ANN, Platform.DISCORD, "/consortium").splitlines()
    assert "- ask (to ask): only whom a rule allows; administrators too" in lines
    assert "- save (to save and remove consortia): everybody" in lines
    assert lines[4].endswith("who has Manage Server here, and whom a rule allows")
    for line in ("3. `user:U1` may ask", "5. `role:R1` may admin", "6. `user:U1` may not save"):
        assert line in lines
    assert "Take one back: `/consortium access lift 3` (administrators)" in lines
    assert lines[-1] == "You may here: ask."


def test_who_may_nothing_is_told_so() -> None:
    blocked = tuple(rule(n, "block", right) for n, right in enumerate(("ask", "save"), 1))
    assert access_text(Policy(rules=blocked), ANN, Platform.SLACK, "").endswith("You may here: nothing.")


@pytest.mark.parametrize(
    ("budget", "text"),
    [
        ({"scope": "user", "period": "day", "tokens": 20_000}, "each person, a day: 20,000 tokens"),
        ({"scope": "channel", "period": "month", "dollars": 5}, "each channel, a month: $5"),
        (
            {"scope": "channel", "period": "day", "subject": "C1", "tokens": 1, "dollars": 0.5},
            "`channel:C1`, a day: 1 tokens and $0.50",
        ),
        ({"scope": "workspace", "period": "day"}, "all together, a day: no limit"),
        ({"scope": "workspace", "period": "day", "tokens": 0}, "all together, a day: 0 tokens"),
    ],
)
def test_a_budget_in_words(budget: dict[str, Any], text: str) -> None:
    assert budget_text(Budget.model_validate(budget)) == text


def test_what_is_used_of_a_budget_is_at_least_what_is_known() -> None:
    both = Budget(scope="user", period="day", tokens=1000, dollars=2)
    spent = Spent(runs=2, tokens=620, dollars=0.5, unpriced=1, uncounted=1)
    assert share_text(both, spent, NOW) == (
        "at least 620 of 1,000 tokens (62%), at least $0.50 of $2 (25%); whole again at 00:00 UTC (in 3 h 20 min)"
    )
    month = Budget(scope="workspace", period="month", tokens=0)
    assert share_text(month, Spent(), NOW).startswith("0 of 0 tokens (100%)")


def test_budgets_of_others_stand_without_what_they_used() -> None:
    mine, other = (Budget(scope="user", period="day", tokens=10, subject=who) for who in (None, "U9"))
    lines = budgets_text(Policy(), [(mine, Spent(tokens=5)), (other, None)], NOW, "/consortium").splitlines()
    assert lines[1].startswith("- each person, a day: 10 tokens; used by you: 5 of 10 tokens (50%)")
    assert lines[2] == "- `user:U9`, a day: 10 tokens"


def test_from_which_cost_on_one_is_asked_twice() -> None:
    assert confirmation_text(None, None) == "Nobody is asked twice before a run, whatever it may use."
    assert confirmation_text(0.5, 5000).endswith("may use 5,000 tokens, or $0.50, or more.")
    assert "price is unknown are not covered" in confirmation_text(0.5, None)
    assert amount_text(None, None) == "no limit"


@pytest.mark.parametrize(
    ("spent", "text"),
    [
        ({}, "nothing"),
        ({"runs": 1, "tokens": 1234, "dollars": 0.0123}, "1 run, 1,234 tokens, $0.01"),
        ({"runs": 2, "tokens": 1, "dollars": 0.0012, "unpriced": 1}, "2 runs, 1 tokens, at least $0.0012"),
        ({"runs": 2, "tokens": 0, "uncounted": 3, "unpriced": 3}, "2 runs, at least 0 tokens, cost unknown"),
        ({"runs": 1, "tokens": 7}, "1 run, 7 tokens, $0"),
    ],
)
def test_use_in_words(spent: dict[str, Any], text: str) -> None:
    assert spent_text(Spent.model_validate(spent)) == text


def test_use_has_a_line_for_each_scope_and_period_with_the_budget_below() -> None:
    spending = Spending(of={"user/day": Spent(runs=1, tokens=10), "workspace/month": Spent(runs=9, tokens=90)})
    budget = Budget(scope="user", period="day", tokens=100)
    lines = usage_text(spending, [budget], NOW, private=False).splitlines()
    assert [line for line in lines if line.startswith("- ")] == [
        "- You, today: 1 run, 10 tokens, $0",
        "- You, this month: nothing",
        "- This channel, today: nothing",
        "- This channel, this month: nothing",
        "- All together, today: nothing",
        "- All together, this month: 9 runs, 90 tokens, $0",
    ]
    assert lines[2] == "  budget: 10 of 100 tokens (10%); whole again at 00:00 UTC (in 3 h 20 min)"


def test_how_long_runs_are_kept() -> None:
    assert retention_text(None) == "Runs of this workspace are kept until somebody deletes them."
    assert retention_text(1) == "Runs of this workspace are deleted 1 day after they ended."
    assert retention_text(90) == "Runs of this workspace are deleted 90 days after they ended."


def test_the_audit_log_names_who_and_what() -> None:
    changes = [
        Change(at=NOW, by="U1", name="Ann", action="rule", detail="allow save\nuser:U2"),
        Change(at=NOW, by="retention", name="", action="retention", detail="x" * 500),
    ]
    assert audit_text(changes, 2).splitlines() == [
        "**Audit log**, page 2",
        "- 2026-11-30 20:40 UTC · Ann (`U1`)",
        "  rule: allow save user:U2",
        "- 2026-11-30 20:40 UTC · `retention`",
        f"  retention: {'x' * 199}…",
    ]
    assert audit_text([], 1) == "Nothing has been changed here yet."
    assert audit_text([], 2) == "The audit log has no page 2."
