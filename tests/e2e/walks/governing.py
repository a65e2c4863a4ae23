"""Walks of administrators, and of those who are refused; and how the bot is met for the first time."""

from __future__ import annotations

from tests.e2e.walks.catalogue import walk
from tests.e2e.walks.hand import Hand

QUESTION = "Should remote work be the default?"


@walk("/access", "AccessCommand", "ChangeAccess", "LiftRule")
async def who_is_blocked_is_refused(hand: Hand) -> None:
    assert "Only administrators" in await hand.said("access block", right="ask", who=hand.ben)
    blocked = await hand.said("access block", by=hand.boss, right="ask", who=hand.ben)
    number = blocked.partition("Rule ")[2].partition(" ")[0]
    assert "may not ask here" in await hand.said("ask", by=hand.ben, question=QUESTION)
    assert "Rules" in await hand.said("access", by=hand.boss)
    await hand.asked(QUESTION)
    assert "lifted" in await hand.said("access lift", by=hand.boss, number=int(number))
    await hand.asked(QUESTION, by=hand.ben)
    allowed = await hand.said("access allow", by=hand.boss, right="moderate", who=hand.ben)
    number = allowed.partition("Rule ")[2].partition(" ")[0]
    assert "no default" in await hand.said("channel-default", by=hand.ben)
    await hand.said("access lift", by=hand.boss, number=int(number))


@walk("/budget", "/usage", "BudgetCommand", "SetBudget", "UsageCommand")
async def a_budget_that_is_used_up_refuses(hand: Hand) -> None:
    await hand.asked(QUESTION, consortium="rubbish")
    assert "token" in await hand.said("usage")
    await hand.said("budget user day", by=hand.boss, amount="1 tokens")
    refused = await hand.said("ask", question=QUESTION, consortium="rubbish")
    assert "budget" in refused.lower()
    assert "1 token" in await hand.said("budget")
    await hand.said("budget user day", by=hand.boss, amount="off")
    await hand.asked(QUESTION, consortium="rubbish")
    await hand.said("budget workspace month", by=hand.boss, amount="$5000")
    await hand.said("budget workspace month", by=hand.boss, amount="off")


@walk("/retention", "/audit", "SetRetention", "AuditCommand", "tap:audit")
async def retention_is_set_and_all_changes_are_on_record(hand: Hand) -> None:
    assert "kept until" in await hand.said("retention")
    assert "Only administrators" in await hand.said("retention", days=9)
    for days in range(100, 121):
        assert f"{days} days" in await hand.said("retention", by=hand.boss, days=days)
    await hand.said("retention", by=hand.boss, days="off")
    first = await (await hand.use("audit", by=hand.boss)).told()
    assert "120 days" in first.text
    older = await (await hand.tap(first, "Older", by=hand.boss)).told()
    assert older.text != first.text
    assert "Only administrators" in await hand.said("audit")


@walk("/help", "HelpCommand", "by:welcome", "tap:help", "tap:settings", "tap:examples", "tap:example")
async def newcomers_are_welcomed(hand: Hand) -> None:
    assert "asks a panel" in await hand.said("help")
    hello = await hand.welcomed()
    assert "panel of language models" in hello.text
    assert "settings" in (await (await hand.tap(hello, "Help")).told()).text
    assert (await (await hand.tap(hello, "More examples")).told()).text
    await (await hand.tap(hello, "Settings")).form()
    await hand.tap(hello, "example")
