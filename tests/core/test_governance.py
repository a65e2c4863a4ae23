from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.errors import OverBudget
from core.governance import (
    RIGHTS,
    Budget,
    Estimate,
    Policy,
    Right,
    Rule,
    Spending,
    Spent,
    Subject,
    Who,
    applicable,
    asks_twice,
    begins,
    check,
    ends,
    levels,
    may,
    until,
)

NOW = datetime(2026, 3, 31, 20, 40, tzinfo=UTC)
ANN = Who(user="U1", channel="C1", roles=("R1",))
ADMIN = Who(user="U9", channel="C1", manages=True)


def rule(effect: Any, right: Right, kind: Any, id_: str) -> Rule:
    return Rule(effect=effect, right=right, subject=Subject(kind=kind, id=id_))


# --- rights ---------------------------------------------------------------------------------------------


def test_without_rules_everybody_asks_and_saves_and_the_platform_says_who_else_may_what() -> None:
    moderator = Who(user="U3", channel="C1", moderates=True)
    may_do = {name: [r for r in RIGHTS if may(Policy(), who, r)] for name, who in
              {"ann": ANN, "moderator": moderator, "admin": ADMIN}.items()}  # fmt: skip
    assert may_do == {"ann": ["ask", "save"], "moderator": ["ask", "save", "moderate"], "admin": list(RIGHTS)}


@pytest.mark.parametrize(("kind", "id_"), [("user", "U1"), ("role", "R1"), ("channel", "C1")])
def test_an_allowance_shuts_out_all_others_and_a_block_goes_before_it(kind: Any, id_: str) -> None:
    allowed = Policy(rules=(rule("allow", "ask", kind, id_),))
    other = Who(user="U2", channel="C2", roles=("R2",))
    assert may(allowed, ANN, "ask")
    assert not may(allowed, other, "ask")
    assert may(allowed, ADMIN, "ask")
    blocked = Policy(rules=(*allowed.rules, rule("block", "ask", "user", "U1"), rule("block", "ask", "user", "U9")))
    assert not may(blocked, ANN, "ask")
    assert not may(blocked, ADMIN, "ask"), "a block goes before everything"
    assert may(blocked, ADMIN, "admin")


def test_who_is_made_an_administrator_may_everything() -> None:
    policy = Policy(rules=(rule("allow", "admin", "role", "R1"), rule("allow", "ask", "user", "U5")))
    assert [r for r in RIGHTS if may(policy, ANN, r)] == list(RIGHTS)


# --- time -----------------------------------------------------------------------------------------------


def test_periods_begin_and_end_in_utc() -> None:
    assert (begins("day", NOW), ends("day", NOW)) == (
        datetime(2026, 3, 31, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
    )  # fmt: skip
    assert (begins("month", NOW), ends("month", NOW)) == (
        datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
    )  # fmt: skip
    assert ends("month", datetime(2026, 12, 5, tzinfo=UTC)) == datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("wait", "text"),
    [
        (timedelta(hours=3, minutes=20), "at 00:00 UTC (in 3 h 20 min)"),
        (timedelta(seconds=5), "at 20:40 UTC (in 1 min)"),
        (timedelta(hours=2), "at 22:40 UTC (in 2 h)"),
        (timedelta(days=12), "on 12 April, 20:40 UTC (in 12 days)"),
    ],
)
def test_when_a_budget_is_whole_again_is_said_as_a_time_and_a_wait(wait: timedelta, text: str) -> None:
    assert until(NOW + wait, NOW) == text


# --- budgets --------------------------------------------------------------------------------------------


def test_a_budget_of_ones_own_goes_before_the_one_for_everybody_of_that_scope_and_period() -> None:
    everybody = Budget(scope="user", period="day", tokens=100)
    anns = Budget(scope="user", period="day", subject="U1", tokens=500)
    monthly = Budget(scope="user", period="month", tokens=900)
    here = Budget(scope="channel", period="day", subject="C1", dollars=1)
    there = Budget(scope="channel", period="day", subject="C2", dollars=2)
    for budgets in ((anns, everybody, monthly, here, there), (there, here, monthly, everybody, anns)):
        policy = Policy(budgets=budgets)
        assert applicable(policy, ANN) == [anns, monthly, here]
        assert applicable(policy, ANN.model_copy(update={"user": "U2"})) == [everybody, monthly, here]


def used(scope_and_period: str = "user/day", **fields: Any) -> Spending:
    return Spending(of={scope_and_period: Spent(**fields)})


def test_a_budget_is_refused_once_it_is_used_up_and_says_when_it_is_whole() -> None:
    policy = Policy(budgets=(Budget(scope="user", period="day", tokens=20_000),))
    assert check(policy, used(tokens=15_999), ANN, NOW) == []
    warned = ["You have used 16,000 of 20,000 tokens today; that budget is whole again at 00:00 UTC (in 3 h 20 min)."]
    assert check(policy, used(tokens=16_000), ANN, NOW) == warned
    assert len(check(policy, used(tokens=19_999), ANN, NOW)) == 1
    with pytest.raises(OverBudget) as refusal:
        check(policy, used(tokens=20_000), ANN, NOW)
    assert str(refusal.value) == (
        "You have used 20,000 of 20,000 tokens today: that budget is used up, and whole again at 00:00 UTC "
        "(in 3 h 20 min). An administrator can raise it with `budget`."
    )
    assert refusal.value.resets_at == datetime(2026, 4, 1, tzinfo=UTC)


def test_of_several_budgets_that_are_used_up_the_one_that_lasts_longest_is_told() -> None:
    budgets = (Budget(scope="workspace", period="month", dollars=5), Budget(scope="user", period="day", tokens=0))
    spending = Spending(of={"workspace/month": Spent(dollars=5.0)})
    early = datetime(2026, 3, 10, tzinfo=UTC)
    with pytest.raises(OverBudget, match=r"This workspace has used \$5 of \$5 this month: .*on 1 April, .*22 days"):
        check(Policy(budgets=budgets), spending, ANN, early)


def test_what_is_not_known_of_a_budget_is_said() -> None:
    both = Budget(scope="channel", period="month", tokens=1000, dollars=5)
    texts = [level.text for level in levels(both, Spent(tokens=10, dollars=4.2, unpriced=3, uncounted=1))]
    assert texts == ["at least 10 of 1,000 tokens", "at least $4.20 of $5"]
    assert [level.text for level in levels(both, Spent(tokens=10, dollars=0.0012))] == [
        "10 of 1,000 tokens", "$0.0012 of $5"
    ]  # fmt: skip
    warnings = check(Policy(budgets=(both,)), used("channel/month", dollars=4.2, unpriced=1), ANN, NOW)
    assert warnings == [
        "This channel has used at least $4.20 of $5 this month; that budget is whole again at 00:00 UTC "
        "(in 3 h 20 min)."
    ]


# --- confirmation ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dollars", "tokens", "twice"),
    [(0.5, 10, True), (0.49, 10, False), (0.0, 999, False), (0.0, 1000, True), (None, 999, False), (None, 1000, True)],
)
def test_a_run_is_confirmed_from_a_cost_or_a_size_on(dollars: float | None, tokens: int, twice: bool) -> None:
    policy = Policy(confirm_dollars=0.5, confirm_tokens=1000)
    assert asks_twice(policy, Estimate(calls=1, tokens=tokens, dollars=dollars)) is twice
    assert not asks_twice(Policy(), Estimate(calls=1, tokens=tokens, dollars=dollars))
