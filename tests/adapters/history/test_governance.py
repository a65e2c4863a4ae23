"""Rules, budgets, the audit log and what channels ask by default."""

from __future__ import annotations

import asyncio

import pytest

from adapters.history import SqlHistory
from core.asks import Person, Platform, ThreadRef
from core.catalog import GovernanceSpec
from core.errors import ConfigError
from core.governance import Budget, Rule
from core.stores import Governance
from tests.adapters.history.samples import CHANNEL, START, new_run

ROOT = Person(id="U-root", name="Root")
ELSEWHERE = CHANNEL.model_copy(update={"workspace": "T2"})
ON_DISCORD = ThreadRef(platform=Platform.DISCORD, workspace="T1", channel="C1")


def rule(right: str = "save", who: str = "user:U1", effect: str = "allow", number: int = 0) -> Rule:
    kind, _, id_ = who.partition(":")
    subject = {"kind": kind, "id": id_}
    return Rule.model_validate({"number": number, "effect": effect, "right": right, "subject": subject})


async def rules(governance: Governance, where: ThreadRef = CHANNEL) -> list[str]:
    policy = await governance.policy(where)
    return [f"{r.number} {r.effect} {r.right} {r.subject}" for r in policy.rules]


async def audit(governance: Governance, where: ThreadRef = CHANNEL) -> list[str]:
    return [f"{c.name}: {c.action} {c.detail}" for c in await governance.audit(where, 100, 0)]


async def test_numbers_are_small_per_workspace_and_never_given_twice(history: SqlHistory) -> None:
    governance: Governance = history.governance
    assert [await governance.add_rule(CHANNEL, rule(who=f"user:U{i}"), ROOT) for i in (1, 2, 3)] == [1, 2, 3]
    assert await governance.add_rule(ELSEWHERE, rule(), ROOT) == 1
    assert await governance.lift_rule(CHANNEL, 3, ROOT) == rule(who="user:U3", number=3)
    assert await governance.lift_rule(CHANNEL, 3, ROOT) is None
    assert await governance.lift_rule(ELSEWHERE, 2, ROOT) is None
    assert await governance.add_rule(CHANNEL, rule(who="user:U3"), ROOT) == 4
    assert await rules(governance) == ["1 allow save user:U1", "2 allow save user:U2", "4 allow save user:U3"]
    assert await rules(governance, ELSEWHERE) == ["1 allow save user:U1"]
    assert await rules(governance, ON_DISCORD) == []


async def test_a_rule_takes_the_place_of_one_with_the_same_right_and_subject(history: SqlHistory) -> None:
    governance = history.governance
    await governance.add_rule(CHANNEL, rule("ask"), ROOT)
    assert await governance.add_rule(CHANNEL, rule("ask", effect="block"), ROOT) == 2
    assert await governance.add_rule(CHANNEL, rule("ask", effect="block"), ROOT) == 2
    await governance.add_rule(CHANNEL, rule("ask", who="role:U1"), ROOT)
    assert await rules(governance) == ["2 block ask user:U1", "3 allow ask role:U1"]
    assert len(await audit(governance)) == 3, "nothing changed the second time"


async def test_processes_that_add_rules_at_once_give_different_numbers(url: str) -> None:
    async with SqlHistory(url) as one, SqlHistory(url) as two:
        both = [
            h.governance.add_rule(CHANNEL, rule(who=f"user:{n}{i}"), ROOT)
            for i in range(10)
            for n, h in (("a", one), ("b", two))
        ]
        assert sorted(await asyncio.gather(*both)) == list(range(1, 21))
        assert len((await one.governance.policy(ELSEWHERE)).rules) == 0


async def test_every_change_is_in_the_audit_log(history: SqlHistory) -> None:
    governance = history.governance
    await governance.add_rule(CHANNEL, rule(), ROOT)
    await governance.lift_rule(CHANNEL, 1, ROOT)
    await governance.lift_rule(CHANNEL, 1, ROOT)
    await governance.set_budget(CHANNEL, Budget(scope="user", period="day", subject="U1", tokens=9, dollars=0.5), ROOT)
    await governance.set_budget(CHANNEL, Budget(scope="workspace", period="month"), ROOT)
    await governance.set_confirmation(CHANNEL, ROOT, dollars=2, tokens=None)
    await governance.set_retention(CHANNEL, ROOT, None)
    await governance.set_channel_default(CHANNEL, "jury", ROOT)
    await governance.set_channel_default(CHANNEL, None, ROOT)
    await governance.note(CHANNEL, ROOT, "delete", "run-1")
    assert await audit(governance) == [
        "Root: delete run-1",
        "Root: channel default C1: none",
        "Root: channel default C1: jury",
        "Root: retention off",
        "Root: confirm $2",
        "Root: budget workspace month: off",
        "Root: budget user day of U1: 9 tokens, $0.5",
        "Root: access lifted 1: allow save user:U1",
        "Root: access 1: allow save user:U1",
    ]
    assert await audit(governance, ELSEWHERE) == []
    second = await governance.audit(CHANNEL, 1, 1)
    assert [(c.by, c.action) for c in second] == [("U-root", "channel default")]


async def test_the_audit_log_has_the_time(url: str) -> None:
    async with SqlHistory(url, clock=lambda: START) as history:
        await history.governance.note(CHANNEL, ROOT, "delete", "run-1")
        assert [change.at for change in await history.governance.audit(CHANNEL, 1, 0)] == [START]


async def test_budgets_are_set_replaced_and_taken_back(history: SqlHistory) -> None:
    governance = history.governance
    each = Budget(scope="user", period="day", tokens=100)
    anns = Budget(scope="user", period="day", subject="U-ann", tokens=5, dollars=0.25)
    whole = Budget(scope="workspace", period="month", dollars=20)
    for budget in (whole, anns, each.model_copy(update={"tokens": 1}), each):
        await governance.set_budget(CHANNEL, budget, ROOT)
    assert (await governance.policy(CHANNEL)).budgets == (each, anns, whole)
    assert (await governance.policy(ELSEWHERE)).budgets == ()
    await governance.set_budget(CHANNEL, Budget(scope="user", period="day"), ROOT)
    assert (await governance.policy(CHANNEL)).budgets == (anns, whole)


async def test_what_was_read_serves_for_a_second_and_own_changes_show_at_once(url: str) -> None:
    now = [0.0]
    async with SqlHistory(url) as one, SqlHistory(url, monotonic=lambda: now[0]) as two:
        assert (await rules(two.governance), await two.governance.channel_default(CHANNEL)) == ([], None)
        await one.governance.add_rule(CHANNEL, rule(), ROOT)
        await one.governance.set_channel_default(CHANNEL, "jury", ROOT)
        now[0] = 0.9
        assert (await rules(two.governance), await two.governance.channel_default(CHANNEL)) == ([], None)
        now[0] = 1.0
        assert await rules(two.governance) == ["1 allow save user:U1"]
        assert await two.governance.channel_default(CHANNEL) == "jury"
        assert await two.governance.channel_default(CHANNEL.model_copy(update={"channel": "C2"})) is None
        await two.governance.lift_rule(CHANNEL, 1, ROOT)
        assert await rules(two.governance) == []


# --- what the models file says --------------------------------------------------------------------------

SPEC = GovernanceSpec(
    admin=("slack:user:U1", "discord:role:456"),
    block=("slack:channel:C9",),
    budgets=("user day 20k tokens", "user day $3 9 tokens slack:user:U7", "workspace month $50"),
    confirm="$0.50 50000 tokens",
    retention_days=90,
)


async def test_the_file_holds_in_every_workspace_of_the_platform(history: SqlHistory) -> None:
    governance = history.governance
    await governance.seed(SPEC)
    for where in (CHANNEL, ELSEWHERE):
        policy = await governance.policy(where)
        assert policy.rules == (rule("admin", number=1), rule("ask", "channel:C9", "block", number=2))
        assert policy.budgets == (
            Budget(scope="user", period="day", tokens=20_000),
            Budget(scope="user", period="day", subject="U7", tokens=9, dollars=3),
            Budget(scope="workspace", period="month", dollars=50),
        )
        assert (policy.confirm_dollars, policy.confirm_tokens, policy.retention_days) == (0.5, 50_000, 90)
    discord = await governance.policy(ON_DISCORD)
    assert (discord.rules, len(discord.budgets)) == ((rule("admin", "role:456", number=1),), 2)
    assert "consortium.toml: access 1: allow admin user:U1" in await audit(governance)
    assert "consortium.toml: retention 90 days" in await audit(governance, ON_DISCORD)


async def test_what_administrators_change_of_the_file_stays_changed_in_their_workspace(url: str) -> None:
    async with SqlHistory(url) as history:
        governance = history.governance
        await governance.seed(SPEC)
        await governance.lift_rule(CHANNEL, 2, ROOT)
        await governance.set_budget(CHANNEL, Budget(scope="workspace", period="month"), ROOT)
        await governance.set_confirmation(CHANNEL, ROOT, dollars=None, tokens=None)
        await governance.set_retention(CHANNEL, ROOT, None)
    async with SqlHistory(url) as history:
        governance = history.governance
        before = len(await audit(governance))
        await governance.seed(SPEC)
        assert len(await audit(governance)) == before
        policy = await governance.policy(CHANNEL)
        assert policy.rules == (rule("admin", number=1),)
        assert [budget.scope for budget in policy.budgets] == ["user", "user"]
        assert (policy.confirm_dollars, policy.retention_days) == (None, None)
        elsewhere = await governance.policy(ELSEWHERE)
        assert (len(elsewhere.rules), len(elsewhere.budgets)) == (2, 3)
        assert (elsewhere.confirm_dollars, elsewhere.retention_days) == (0.5, 90)


async def test_a_later_entry_of_the_file_is_taken_over_with_a_number_of_its_own(history: SqlHistory) -> None:
    governance = history.governance
    for i in range(3):
        await governance.add_rule(ELSEWHERE, rule(who=f"user:E{i}"), ROOT)
    await governance.seed(GovernanceSpec(admin=("slack:user:U1",), budgets=("user day 5 tokens",)))
    assert await rules(governance) == ["4 allow admin user:U1"]
    assert await governance.add_rule(CHANNEL, rule(), ROOT) == 5
    await governance.seed(GovernanceSpec(admin=("slack:user:U1", "slack:user:U2"), budgets=("user day 6 tokens",)))
    assert await rules(governance) == ["4 allow admin user:U1", "5 allow save user:U1", "6 allow admin user:U2"]
    assert [budget.tokens for budget in (await governance.policy(CHANNEL)).budgets] == [6]
    await governance.add_rule(CHANNEL, rule("admin", "user:U2", "block"), ROOT)
    assert await governance.lift_rule(CHANNEL, 7, ROOT) is not None
    assert await rules(governance) == ["4 allow admin user:U1", "5 allow save user:U1"], "it was replaced, and stays so"


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        (GovernanceSpec(admin=("slack:U1",)), "governance.admin: 'slack:U1' names nobody"),
        (GovernanceSpec(block=("teams:user:U1",)), "governance.block: 'teams:user:U1'"),
        (GovernanceSpec(save=("slack:user:",)), "governance.save: 'slack:user:'"),
        (GovernanceSpec(budgets=("user week 5",)), "governance.budgets: 'user week 5'"),
        (GovernanceSpec(budgets=("confirm $5",)), "governance.budgets: 'confirm .5' is no budget"),
        (GovernanceSpec(budgets=("user day $5 slack:channel:C1",)), "name a user, not a channel"),
        (GovernanceSpec(confirm="a lot"), "governance.confirm: 'a lot'"),
        (GovernanceSpec(confirm="$5 each"), "governance.confirm: '.5 each'"),
    ],
)
async def test_an_entry_that_is_wrong_is_named_and_nothing_is_taken_over(
    history: SqlHistory, spec: GovernanceSpec, named: str
) -> None:
    right = spec.model_copy(update={"ask": ("slack:user:U1",)})
    with pytest.raises(ConfigError, match=named):
        await history.governance.seed(right)
    assert await rules(history.governance) == []


async def test_processes_that_start_at_once_take_the_file_over_once(url: str) -> None:
    async with SqlHistory(url) as one, SqlHistory(url) as two:
        await asyncio.gather(*(h.governance.seed(SPEC) for h in (one, two)))
        assert len(await audit(one.governance)) == 7
        assert await rules(one.governance) == await rules(two.governance)


async def test_retentions(history: SqlHistory) -> None:
    governance = history.governance
    for where in (CHANNEL, ELSEWHERE, ON_DISCORD):
        await history.open_run(new_run(where=where))
    await governance.set_retention(ELSEWHERE, ROOT, 7)
    assert await governance.retentions() == [(Platform.SLACK, "T2", 7)]
    await governance.seed(SPEC)
    await governance.set_retention(ON_DISCORD, ROOT, None)
    assert await governance.retentions() == [(Platform.SLACK, "T1", 90), (Platform.SLACK, "T2", 7)]
