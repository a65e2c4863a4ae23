"""Rules, budgets and what was spent."""

from __future__ import annotations

from adapters.history import SqlHistory
from core.catalog import GovernanceSpec
from core.governance import Budget, Estimate, Rule, Subject
from core.stores import Governance
from core.types import Bill
from tests.adapters.history.samples import ANN, CHANNEL, new_run

ROOT = ANN.model_copy(update={"id": "U-root"})


def rule(right: str = "save", who: str = "user:U1", effect: str = "allow") -> Rule:
    kind, _, id_ = who.partition(":")
    return Rule.model_validate({"effect": effect, "right": right, "subject": {"kind": kind, "id": id_}})


async def test_rules_are_numbered_and_lifted(history: SqlHistory) -> None:
    governance: Governance = history.governance
    assert [await governance.add_rule(CHANNEL, rule(who=f"user:U{i}"), ROOT) for i in (1, 2, 3)] == [1, 2, 3]
    assert await governance.lift_rule(CHANNEL, 3, ROOT) == rule(who="user:U3").model_copy(update={"number": 3})
    assert await governance.lift_rule(CHANNEL, 3, ROOT) is None
    assert await governance.add_rule(CHANNEL, rule(who="user:U4"), ROOT) == 4
    policy = await governance.policy(CHANNEL)
    assert [(r.number, str(r.subject)) for r in policy.rules] == [(1, "user:U1"), (2, "user:U2"), (4, "user:U4")]
    assert policy.rules[0].subject == Subject(kind="user", id="U1")


async def test_spending(history: SqlHistory) -> None:
    run = new_run()
    await history.governance.reserve(run, Estimate(calls=3, tokens=1000, dollars=0.5))
    spending = await history.governance.spending(CHANNEL, ANN, run.created_at)
    assert (spending.at("user", "day").tokens, spending.at("workspace", "month").dollars) == (1000, 0.5)
    await history.governance.settle(run.id, Bill(calls=2, prompt_tokens=10, completion_tokens=5, cost=0.25))
    spending = await history.governance.spending(CHANNEL, ANN, run.created_at)
    assert (spending.at("user", "day").tokens, spending.at("channel", "month").dollars) == (15, 0.25)
    assert spending.at("user", "day").runs == 1


async def test_seed(history: SqlHistory) -> None:
    spec = GovernanceSpec(
        admin=("slack:user:U1",), budgets=("user day 20k tokens",), confirm="$0.50", retention_days=90
    )
    await history.governance.seed(spec)
    await history.governance.seed(spec)
    policy = await history.governance.policy(CHANNEL)
    assert policy.rules == (rule("admin").model_copy(update={"number": 1}),)
    assert policy.budgets == (Budget(scope="user", period="day", tokens=20_000),)
    assert (policy.confirm_dollars, policy.retention_days) == (0.5, 90)
    assert len(await history.governance.audit(CHANNEL, 10, 0)) == 4
