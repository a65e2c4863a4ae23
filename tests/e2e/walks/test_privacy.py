"""What is asked in one workspace, or in private, is for nobody else to see: not by names, not by forged buttons."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from bot.app import Core, open_core
from core.asks import DIRECT, Person, Platform, ThreadRef
from core.cards import Form, Reply
from core.commands import actions, values
from core.commands.values import Command
from core.errors import ConsortiumError
from core.service import Inbound
from core.types import Run
from tests.e2e.slack.stage import catalog, settings_in

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(60)]

SECRET = "Is the merger with Acme off?"
ANN, BEN = Person(id="U1", name="Ann"), Person(id="U2", name="Ben")
PLATFORMS = (Platform.SLACK, Platform.DISCORD)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def core(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Core]:
    async with open_core(settings_in(tmp_path_factory.mktemp("data")), catalog(), pace=0) as running:
        yield running


def place(platform: Platform, workspace: str = "W1", channel: str = "C1", **more: Any) -> ThreadRef:
    return ThreadRef(platform=platform, workspace=workspace, channel=channel, **more)


def direct(platform: Platform, person: Person = ANN) -> ThreadRef:
    """Somebody's direct messages, as the platform's adapter names them."""
    workspace, channel = ("W1" if platform is Platform.SLACK else DIRECT), f"D{person.id}"
    return place(platform, workspace, channel, thread=channel, private=True)


async def answered(core: Core, where: ThreadRef, by: Person = ANN, text: str = SECRET) -> Run:
    asked = values.AskCommand(text=text, charts=False)
    run = await core.service.handle(asked, Inbound(asker=by, where=where, manages=True))
    assert isinstance(run, Run)
    async for _ in core.events.follow(run.id):
        pass
    stored = await core.history.run(run.id)
    assert stored
    assert stored.verdict
    return stored


async def told(core: Core, command: Command, inbound: Inbound) -> str:
    """All that comes of a command in words, forms and refusals included."""
    try:
        result = await core.service.handle(command, inbound)
    except ConsortiumError as error:
        return str(error)
    match result:
        case Reply():
            downloaded = result.download.data.decode() if result.download else ""
            return f"{result.text} {result.buttons} {downloaded}"
        case Form():
            return result.model_dump_json()
    return f"something came of it: {result!r}"


def looks(run: str) -> list[Command]:
    """Every command that names a run: those of buttons, of forms, and those that are typed."""
    return [
        values.ShowAnswers(run=run),
        values.ShowDissent(run=run),
        values.ShowCharts(run=run),
        values.AskAgain(run=run),
        values.AskAgain(run=run, chosen=True),
        values.Resize(run=run, long=True),
        values.Feedback(run=run, good=True),
        values.Feedback(run=run, good=False),
        values.FeedbackReason(run=run, reason="no"),
        values.StopCommand(run=run),
        values.ShowCommand(what=run),
        values.DeleteRun(run=run),
        values.DeleteRun(run=run, confirmed=True),
    ]


async def test_every_button_that_names_a_run_is_tried() -> None:
    naming = {verb for verb, (_, fields) in actions._VERBS.items() if "run" in fields or "what" in fields}
    assert naming == {actions._BY_TYPE[type(look)][0] for look in looks("a")}


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("who", [BEN, ANN], ids=["somebody else", "the same id"])
async def test_another_workspace_sees_nothing(core: Core, platform: Platform, who: Person) -> None:
    run = await answered(core, place(platform))
    there = Inbound(asker=who, where=place(platform, "W2"), manages=True, moderates=True)
    for command in looks(run.id):
        said = await told(core, command, there)
        assert "no run" in said or "no consortium" in said or "not on record" in said, command
        assert SECRET not in said
    for command in (
        values.HistoryCommand(), values.HistoryCommand(search="merger"), values.ExportCommand(), values.UsageCommand(),
        values.AuditCommand(), values.BudgetCommand(), values.AccessCommand(),
    ):  # fmt: skip
        said = await told(core, command, there)
        assert SECRET not in said
        assert run.id not in said
    assert run.id not in str(await core.service.suggest("run", "", there))
    assert await core.history.run(run.id) == run, "nor is anything done to it"


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_what_is_set_and_saved_in_a_workspace_stays_there(core: Core, platform: Platform) -> None:
    boss = Inbound(asker=ANN, where=place(platform, "W3"), manages=True, moderates=True)
    saved = values.SaveConsortium(name="merger", members=("optimist", "skeptic"), arbiter="arbiter")
    await core.service.handle(saved, boss)
    await core.service.handle(values.SetRetention(days=77), boss)
    block = values.ChangeAccess(effect="block", right="ask", subject="user:U2")
    await core.service.handle(block, boss)
    await core.service.handle(values.SetBudget(scope="user", period="day", tokens=4321), boss)
    there = Inbound(asker=BEN, where=place(platform, "W4"), manages=True, moderates=True)
    seen = [
        await told(core, command, there)
        for command in (
            values.ListConsortia(), values.ShowCommand(what="merger"), values.LeaderboardCommand(),
            values.SaveConsortium(), values.SettingsCommand(), values.AuditCommand(), values.AccessCommand(),
            values.BudgetCommand(), values.UsageCommand(), values.SetRetention(show=True),
        )
    ]  # fmt: skip
    seen += [str(await core.service.suggest(kind, "", there)) for kind in ("consortium", "saved")]
    for said in seen:
        assert "**merger**" not in said
        assert "'merger'" not in said
        assert "U2" not in said
        assert "4,321" not in said
        assert "77" not in said
    await answered(core, place(platform, "W4"), BEN)


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_what_is_asked_in_private_is_for_its_asker_and_stays_in_private(core: Core, platform: Platform) -> None:
    secret = "Will I be fired?"
    run = await answered(core, direct(platform), text=secret)
    elsewhere = [
        Inbound(asker=BEN, where=place(platform)),
        Inbound(asker=BEN, where=direct(platform, BEN)),
        Inbound(asker=BEN, where=direct(platform)),
        Inbound(asker=ANN, where=place(platform)),
    ]
    for inbound in elsewhere:
        for command in (*looks(run.id), values.HistoryCommand(), values.HistoryCommand(search="fired")):
            said = await told(core, command, inbound)
            assert secret not in said, (command, inbound)
            assert "something came" not in said, (command, inbound)
        assert run.id not in str(await core.service.suggest("run", "", inbound))
    assert await core.history.run(run.id) == run
    at_home = Inbound(asker=ANN, where=direct(platform))
    assert secret in await told(core, values.HistoryCommand(), at_home)
    assert secret in await told(core, values.ShowCommand(what=run.id), at_home)


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_what_waits_for_somebody_is_theirs(core: Core, platform: Platform) -> None:
    """Confirming, discarding and opening again go by a draft's id, which another person may have."""
    where = place(platform, "W5")
    boss = Inbound(asker=ANN, where=where, manages=True)
    await core.service.handle(values.SaveConsortium(name="x", members=("optimist",), arbiter="arbiter"), boss)
    removed = await core.service.handle(values.RemoveConsortium(name="x", confirmed=True), boss)
    assert isinstance(removed, Reply)
    [again] = [b for row in removed.buttons for b in row if b.action.startswith("reopen:")]
    draft, ben = again.action.partition(":")[2], Inbound(asker=BEN, where=where, manages=True)
    tried = (values.Reopen(draft=draft), values.Confirm(draft=draft), values.Discard(draft=draft))
    theirs = [await told(core, command, ben) for command in tried]
    assert not [said for said in theirs if "optimist" in said or "something came" in said]
    assert "optimist" in await told(core, actions.decode(again.action), boss)


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_in_a_channel_others_look_but_do_not_touch(core: Core, platform: Platform) -> None:
    where = place(platform, "W6")
    run = await answered(core, where)
    ben = Inbound(asker=BEN, where=where)
    assert "optimist" in await told(core, values.ShowAnswers(run=run.id), ben)
    for command in (values.DeleteRun(run=run.id, confirmed=True), values.StopCommand(run=run.id)):
        assert "Only" in await told(core, command, ben)
    assert SECRET not in await told(core, values.HistoryCommand(), ben)
    assert SECRET not in await told(core, values.ExportCommand(), ben)
    other_channel = Inbound(asker=BEN, where=place(platform, "W6", "C2"))
    assert "no run" in await told(core, values.ShowAnswers(run=run.id), other_channel)
