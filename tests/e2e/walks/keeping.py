"""Walks through what is kept: settings, consortia, runs."""

from __future__ import annotations

from core.commands.values import StopCommand
from tests.e2e.walks.catalogue import walk
from tests.e2e.walks.hand import Hand, run_id

QUESTION = "Should remote work be the default?"


@walk("/settings", "SettingsCommand", "ChangeSettings", "form:settings")
async def settings_are_one_form(hand: Hand) -> None:
    form = await (await hand.use("settings")).form()
    told = await (await hand.fill(form, {"consortium": "council", "show": ["long"]})).told()
    assert "council" in told.text
    place = await hand.asked(QUESTION, charts=False)
    assert (await hand.run_of(place)).consortium == "council"
    assert (await hand.run_of(await hand.asked(QUESTION, by=hand.ben))).consortium == "default"


@walk("/use", "/strategy", "/domain", "/type", "UseConsortium", "SetStrategy", "SetDomain", "SetType", "tap:use")
async def settings_are_commands_too(hand: Hand) -> None:
    chosen = await (await hand.use("use", consortium="council")).told()
    assert "council" in chosen.text
    await (await hand.tap(chosen, "Undo")).told()
    assert "voting" in await hand.said("strategy", strategy="voting")
    assert "science" in await hand.said("domain", domain="science")
    assert "yes-no" in await hand.said("type", type="yes-no")
    run = await hand.run_of(await hand.asked(QUESTION))
    assert (run.consortium, run.ask.domain, run.ask.question_type) == ("default", "science", "yes-no")
    assert run.ask.setup
    assert run.ask.setup.strategy == "voting"


@walk("/roles", "RolesCommand", "AssignRole", "ClearRoles", "ShuffleRoles")
async def roles_are_given_dealt_and_taken(hand: Hand) -> None:
    assert "Utilitarian" in await hand.said("roles")
    await hand.said("roles assign", model="optimist", role="Rawlsian")
    answer = await hand.answer(await hand.asked(QUESTION))
    assert "optimist (simulated) as Rawlsian" in answer.text
    dealt = await hand.said("roles shuffle", roles="Rawlsian, Libertarian")
    assert ": Libertarian" in dealt
    assert "no role" in await hand.said("roles clear")


@walk(
    "/save", "/list", "/show", "/remove", "SaveConsortium", "ListConsortia", "ShowCommand", "RemoveConsortium",
    "Reopen", "tap:save", "tap:show", "tap:use", "tap:remove", "tap:reopen", "tap:leaderboard", "tap:list",
    "tap:models", "form:save",
)  # fmt: skip
async def a_consortium_is_saved_used_and_removed(hand: Hand) -> None:
    form = await (await hand.use("save")).form()
    filled = {"name": "pair", "members": ["optimist", "skeptic"], "arbiter": "arbiter", "strategy": "voting"}
    saved = await (await hand.fill(form, filled)).told()
    assert "Saved" in saved.text
    await (await hand.tap(saved, "Use it here")).told()
    run = await hand.run_of(await hand.asked(QUESTION))
    assert (run.consortium, [member.id for member in run.panel]) == ("pair", ["optimist", "skeptic"])
    listed = await (await hand.use("list")).told()
    shown = await (await hand.tap(listed, "pair")).told()
    edited = await (await hand.tap(shown, "Edit")).form()
    await (await hand.fill(edited, {"strategy": "council"})).told()
    assert "council" in await hand.said("show", what="pair")
    await (await hand.tap(shown, "Leaderboard")).told()
    sure = await (await hand.use("remove", consortium="pair")).told()
    removed = await (await hand.tap(sure, "Remove it")).told()
    again = await (await hand.tap(removed, "Save it again")).form()
    assert "pair" in (await (await hand.fill(again, {})).told()).text
    await hand.said("save", name="trio", members="optimist,skeptic,pragmatist", strategy="voting")
    shown = await (await hand.use("show", what="trio")).told()
    sure = await (await hand.tap(shown, "Remove")).told()
    gone = await (await hand.tap(sure, "Remove it")).told()
    assert "Consortia" in gone.actions
    listed = await (await hand.tap(gone, "list")).told()
    assert "trio" not in listed.text
    assert "**optimist**" in (await (await hand.tap(listed, "models")).told()).text


@walk("/channel-default", "ChannelDefault")
async def a_channel_has_a_default(hand: Hand) -> None:
    assert "Only those who moderate" in await hand.said("channel-default", consortium="council")
    assert "council" in await hand.said("channel-default", by=hand.boss, consortium="council")
    assert (await hand.run_of(await hand.asked(QUESTION, by=hand.ben))).consortium == "council"
    assert "no default" in await hand.said("channel-default", by=hand.boss)


@walk("/models", "/leaderboard", "ModelsCommand", "ResetModel", "LeaderboardCommand", "tap:reset", "tap:leaderboard")
async def models_are_looked_at_and_tried_again(hand: Hand) -> None:
    for _ in range(5):
        ticket = await hand.core.office.breakers.admit("lost")
        if ticket:
            await hand.core.office.breakers.report("lost", ticket, ok=False)
    assert "reset" not in str((await (await hand.use("models")).told()).actions), "for administrators alone"
    shown = await (await hand.use("models", by=hand.boss)).told()
    assert "asked again" in (await (await hand.tap(shown, "reset", by=hand.boss)).told()).text
    assert "Only administrators" in await hand.said("models reset", model="lost")
    assert "asked again" in await hand.said("models reset", by=hand.boss, model="lost")
    await hand.asked(QUESTION)
    assert "optimist" in await hand.said("leaderboard")
    assert "optimist" in (await (await hand.tap(shown, "leaderboard", by=hand.boss)).told()).text


@walk("/history", "/show", "HistoryCommand", "ShowCommand", "tap:history", "tap:show")
async def history_is_searched_and_turned_over(hand: Hand) -> None:
    drinks = ("tea", "milk", "beer", "wine", "mead", "juice", "cider", "cocoa", "coffee", "water", "whey")
    for number, drink in enumerate(drinks):
        if number % 2:
            await hand.move()
        last = await hand.ask(f"Should {drink} be free?")
    first = await (await hand.use("history")).told()
    assert "Should whey be free" in first.text
    assert "Should tea be free" not in first.text
    second = await (await hand.tap(first, "Older")).told()
    assert "Should tea be free" in second.text
    assert "Should tea be free" in (await (await hand.tap(second, "11")).told()).text
    assert "Should tea" not in (await (await hand.tap(second, "Newer")).told()).text
    found = await hand.said("history", search="juice")
    assert "Should juice be free" in found
    assert "whey" not in found
    assert "Should whey" in await hand.said("show", what=run_id(await hand.answer(last)))
    assert "not asked anything" in await hand.said("history", by=hand.ben)


@walk("/delete", "DeleteRun", "tap:delete")
async def a_run_is_deleted_once_confirmed(hand: Hand) -> None:
    place = await hand.asked(QUESTION)
    run = await hand.run_of(place)
    assert "Only administrators" in await hand.said("delete", by=hand.ben, run=run.id)
    shown = await (await hand.use("show", what=run.id)).told()
    sure = await (await hand.tap(shown, "Delete")).told()
    assert await hand.core.history.run(run.id)
    await (await hand.tap(sure, "Delete it")).told()
    assert await hand.core.history.run(run.id) is None
    other = await hand.run_of(await hand.asked("And at night?"))
    sure = await (await hand.use("delete", run=other.id)).told()
    await (await hand.tap(sure, "delete")).told()
    assert await hand.core.history.run(other.id) is None
    assert "no run" in (await (await hand.tap(await hand.answer(place), "answers")).told()).text


@walk("/export", "/forget-me", "ExportCommand", "ForgetMe", "tap:export", "tap:forget-me")
async def all_of_mine_is_exported_and_forgotten(hand: Hand) -> None:
    await hand.asked(QUESTION)
    theirs = await hand.run_of(await hand.asked("And tea?", by=hand.ben))
    assert "1 run " in await hand.said("export")
    sure = await (await hand.use("forget-me")).told()
    assert "1 run " in (await (await hand.tap(sure, "Export it first")).told()).text
    await (await hand.tap(sure, "Delete it all")).told()
    assert "not asked anything" in await hand.said("history")
    assert await hand.core.history.run(theirs.id)


@walk("by:own extras", on=("slack",))
async def slacks_own_stop(hand: Hand) -> None:
    place = await hand.direct("ask --consortium held Why wait?")
    await hand.wait(lambda: hand.running(place))
    slack = hand.slack  # type: ignore[attr-defined]
    await slack.stop_session(*place, user=hand.ana)
    hand.did |= {"by:own extras", StopCommand.__name__}
    await hand.wait(lambda: not hand.running(place) and "topped" in hand.shown(place)[0].text)


@walk("by:own extras", on=("discord",))
async def discord_completes_what_is_typed(hand: Hand) -> None:
    await hand.said("save", name="typed", members="optimist,skeptic")
    run = await hand.run_of(await hand.asked(QUESTION))
    emu, channel = hand.emu, hand.channel  # type: ignore[attr-defined]

    async def offered(words: str, focused: str, letters: str) -> list[str]:
        choices = await emu.autocomplete(
            hand.ana, f"consortium {words}", {focused: letters}, focused=focused, channel_id=channel, timeout=20
        )
        return [choice["value"] for choice in choices]

    hand.did.add("by:own extras")
    assert await offered("ask", "consortium", "typ") == ["typed"]
    assert "typed" in await offered("remove", "consortium", "")
    assert await offered("roles assign", "model", "tim") == ["optimist"]
    assert run.id in await offered("show", "what", "")
    assert await offered("delete", "run", "") == [run.id]
    sure = await (await hand.use("remove", consortium="typed")).told()
    await (await hand.tap(sure, "Remove it")).told()
