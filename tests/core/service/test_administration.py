"""Rules, budgets, retention, the audit log, and what was used."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from core.asks import Platform, ThreadRef
from core.cards import Reply
from core.commands import actions
from core.commands.grammar import parse
from core.commands.values import AccessCommand, AuditCommand, BudgetCommand, SetRetention, UsageCommand
from core.errors import BadInput, NotAllowed, NotFound
from core.governance import Estimate, Subject
from core.service.administration import PAGE, subject_of
from core.types import Bill, RunStatus
from tests.core.service.conftest import BOB, CHANNEL, DIRECT, Desk, inbound

BOSS: dict[str, Any] = {"manages": True}
"""Who manages the workspace on the platform."""


async def told(desk: Desk, text: str, **fields: Any) -> str:
    """What is said to something typed; by default by Ann, who manages the workspace."""
    return await desk.say(parse(text), **{**BOSS, **fields})


# --- who may do what ------------------------------------------------------------------------------------


async def test_everybody_sees_who_may_do_what(desk: Desk) -> None:
    lines = (await desk.say(AccessCommand(), BOB)).splitlines()
    assert "- ask (to ask): everybody" in lines
    assert "- admin (to change rules, budgets and how long runs are kept): owners and admins of this workspace" in lines
    assert lines[-1] == "You may here: ask and save."
    assert (await desk.say(AccessCommand(), moderates=True)).endswith("You may here: ask, save and moderate.")
    assert (await desk.say(AccessCommand(), **BOSS)).endswith("You may here: ask, save, moderate and admin.")


async def test_only_administrators_change_rules(desk: Desk) -> None:
    changes = ("access allow save user:U9", "access lift 1", "budget user day 5 tokens", "budget confirm $1")
    for text in (*changes, "retention 3", "audit"):
        with pytest.raises(NotAllowed, match="Only administrators"):
            await desk.say(parse(text), BOB)
    assert (await desk.governance.policy(CHANNEL)).rules == ()


async def test_a_right_that_is_given_to_somebody_is_no_longer_everybodys_and_that_is_told(desk: Desk) -> None:
    said = await told(desk, "access allow save <@U2|bob>")
    assert said.startswith(
        "Rule 1 holds now: `user:U2` may save. So far everybody could; from now on only those whom a rule allows, and "
        "administrators. Undo: `/consortium access lift 1`"
    )
    assert "1. `user:U2` may save" in said.splitlines()
    assert "So far" not in await told(desk, "access allow save role:R1")
    with pytest.raises(NotAllowed, match="You may not save"):
        await desk.say(parse("save mine a,b"))
    assert "Saved." in await desk.say(parse("save mine a,b"), BOB)
    assert (await told(desk, "access lift 1")).startswith("Rule 1 is lifted: `user:U2` may save.")
    with pytest.raises(NotFound, match="There is no rule 1; `/consortium access` lists them"):
        await told(desk, "access lift 1")


async def test_who_is_blocked_is_told_and_sees_it(desk: Desk) -> None:
    await told(desk, "access block ask channel:C1")
    with pytest.raises(NotAllowed, match="You may not ask here"):
        await desk.ask(BOB)
    assert (await desk.ask(BOB, CHANNEL.model_copy(update={"channel": "C2"}))).id
    assert (await desk.say(AccessCommand(), BOB)).endswith("You may here: save.")


@pytest.mark.parametrize("text", ["access block admin user:U1", "access block admin channel:C1"])
async def test_nobody_takes_the_administration_from_themselves(desk: Desk, text: str) -> None:
    with pytest.raises(NotAllowed, match="you could not administer here any more"):
        await told(desk, text)
    assert (await desk.governance.policy(CHANNEL)).rules == ()


async def test_the_last_rule_by_which_somebody_administers_stays(desk: Desk) -> None:
    await told(desk, "access allow admin user:U2")
    with pytest.raises(NotAllowed, match="you could not administer"):
        await desk.say(parse("access lift 1"), BOB)
    with pytest.raises(NotAllowed, match="you could not administer"):
        await desk.say(parse("access block admin user:U2"), BOB)
    assert "Rule 2" in await desk.say(parse("access allow admin role:R7"), BOB)
    assert "lifted" in await desk.say(parse("access lift 1"), BOB, roles=("R7",))


async def test_on_the_page_and_the_command_line_the_person_is_the_operator(desk: Desk) -> None:
    here = ThreadRef(platform=Platform.WEB, workspace="local", channel="page", private=True)
    assert "the operator, which is you" in await desk.say(AccessCommand(), where=here, **BOSS)


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("<@U123>", "user:U123"),
        ("<@U123|ana>", "user:U123"),
        ("<@!456>", "user:456"),
        ("`user:u-1.x`", "user:u-1.x"),
        ("USER: U1", "user:U1"),
        ("user:<@U1>", "user:U1"),
        ("<@&789>", "role:789"),
        ("<!subteam^S1|@team>", "role:S1"),
        ("role:789", "role:789"),
        ("<#C1|general>", "channel:C1"),
        ("channel:C1", "channel:C1"),
    ],
)
def test_who_is_meant(text: str, subject: str) -> None:
    assert str(subject_of(text)) == subject
    assert subject_of(text, subject.partition(":")[0]) == subject_of(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("@ana", "I cannot tell who `@ana` is"),
        ("everybody", "`everybody` is nobody that I know of"),
        ("user:", "nobody that I know of"),
        ("user:a b", "nobody that I know of"),
        ("<@U1", "nobody that I know of"),
        ("user:" + "x" * 65, "nobody that I know of"),
        ("<!channel>", "nobody that I know of"),
    ],
)
def test_whom_nobody_knows(text: str, problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        subject_of(text)


def test_a_budget_of_a_channel_names_no_user() -> None:
    with pytest.raises(BadInput, match="A channel's budget names a channel; `<@U1>` is a user"):
        subject_of("<@U1>", "channel")
    assert subject_of("<#C1>", "channel") == Subject(kind="channel", id="C1")


# --- how much -------------------------------------------------------------------------------------------


async def used(desk: Desk, tokens: int, cost: float, unpriced: int = 0, **ask: Any) -> None:
    """A run that has used so much."""
    run = await desk.ask(**ask)
    await desk.governance.reserve(run, Estimate(calls=4, tokens=1))
    bill = Bill(calls=4, prompt_tokens=tokens, cost=cost, unpriced=unpriced)
    await desk.governance.settle(run.id, bill)
    await desk.history.update_run(run.model_copy(update={"status": RunStatus.DONE}))


async def test_budgets_are_set_listed_with_their_use_and_taken_back(desk: Desk) -> None:
    assert "There are no budgets here." in await desk.say(BudgetCommand())
    await used(desk, 5000, 0.25)
    said = await told(desk, "budget user day 20000 tokens")
    assert said.startswith("This holds now: each person, a day: 20,000 tokens.")
    await told(desk, "budget workspace month $5")
    await told(desk, "budget user month 1000 tokens <@U2>")
    await told(desk, "budget channel day 100 tokens <#C7>")
    lines = (await desk.say(BudgetCommand())).splitlines()
    assert (
        "- each person, a day: 20,000 tokens; used by you: 5,000 of 20,000 tokens (25%); "
        "whole again at 00:00 UTC (in 12 h)"
    ) in lines
    assert (
        "- all together, a month: $5; used: $0.25 of $5 (5%); whole again on 1 April, 00:00 UTC (in 30 days)" in lines
    )
    assert "- `user:U2`, a month: 1,000 tokens" in lines, "what others used is not for everybody"
    for administrators in ("`user:U2`, a month: 1,000 tokens; used: 0", "`channel:C7`, a day: 100 tokens; used: 0"):
        assert administrators in await told(desk, "budget")
    await told(desk, "budget user day off")
    assert "each person" not in await desk.say(BudgetCommand())


async def test_a_budget_names_who_it_is_for(desk: Desk) -> None:
    with pytest.raises(BadInput, match="A user's budget names a user; `<#C1>` is a channel"):
        await told(desk, "budget user day $5 <#C1>")
    assert (await desk.governance.policy(CHANNEL)).budgets == ()


async def test_from_which_cost_on_one_is_asked_twice(desk: Desk) -> None:
    assert "Nobody is asked twice" in await desk.say(BudgetCommand())
    said = "You are asked twice before a run that may use $0.50, or more."
    covers = await told(desk, "budget confirm $0.5")
    assert covers.startswith(f"{said} Runs whose price is unknown are not covered")
    assert covers in (await desk.say(BudgetCommand())).splitlines()
    assert "50,000 tokens, or $0.50, or more" in await told(desk, "budget confirm $0.50 50k tokens")
    assert "may use 50,000 tokens, or more" in await told(desk, "budget confirm 50k tokens")
    assert "Nobody is asked twice" in await told(desk, "budget confirm off")


async def test_use_is_told_of_oneself_the_channel_and_all(desk: Desk) -> None:
    assert "- You, today: nothing" in await desk.say(UsageCommand())
    await used(desk, 5000, 0.25)
    await used(desk, 1000, 0.5, unpriced=2, by=BOB)
    await used(desk, 10, 0.0, unpriced=4, by=BOB, where=CHANNEL.model_copy(update={"channel": "C2"}))
    await told(desk, "budget channel day $10")
    lines = (await desk.say(UsageCommand())).splitlines()
    assert "- You, today: 1 run, 5,000 tokens, $0.25" in lines
    assert "- This channel, this month: 2 runs, 6,000 tokens, at least $0.75" in lines
    at = lines.index("- This channel, today: 2 runs, 6,000 tokens, at least $0.75")
    assert lines[at + 1] == "  budget: at least $0.75 of $10 (8%); whole again at 00:00 UTC (in 12 h)"
    assert "- All together, today: 3 runs, 6,010 tokens, at least $0.75" in lines
    assert "- You, today: 2 runs, 1,010 tokens, at least $0.50" in (await desk.say(UsageCommand(), BOB)).splitlines()
    assert "This channel" not in await desk.say(UsageCommand(), where=DIRECT)


# --- for how long, and who changed what -----------------------------------------------------------------


async def test_how_long_runs_are_kept(desk: Desk) -> None:
    assert await desk.say(SetRetention(show=True)) == "Runs of this workspace are kept until somebody deletes them."
    run = await desk.ask()
    await desk.history.update_run(run.model_copy(update={"status": RunStatus.DONE, "ended_at": desk.now}))
    assert (await told(desk, "retention 5")).endswith("5 days after they ended. Nothing is that old yet.")
    desk.now += timedelta(days=2)
    said = await told(desk, "retention 1")
    assert said.startswith("Runs of this workspace are deleted 1 day after they ended. That long ago ended 1 run;")
    assert "Undo before that: `/consortium retention off`" in said
    assert "1 day after" in await desk.say(SetRetention(show=True), BOB)
    assert "kept until somebody" in await told(desk, "retention off")


async def test_administrators_read_what_was_changed_page_by_page(desk: Desk) -> None:
    assert await told(desk, "audit") == "Nothing has been changed here yet."
    for number in range(PAGE + 1):
        await told(desk, f"access block ask user:X{number}")
    first = await desk.reply(AuditCommand(), **BOSS)
    assert f"user:X{PAGE}" in first.text
    assert "Ann (`U1`)" in first.text
    assert first.text.count("UTC") == PAGE
    ((older,),) = first.buttons
    second = await desk.service.press(older.action, inbound(**BOSS))
    assert isinstance(second, Reply)
    assert second.text.startswith("**Audit log**, page 2")
    assert second.text.count("UTC") == 1
    assert "user:X0" in second.text
    assert [button.label for row in second.buttons for button in row] == ["Newer"]
    assert actions.decode(second.buttons[0][0].action) == AuditCommand(page=1)
    assert await told(desk, "audit 9") == "The audit log has no page 9."
