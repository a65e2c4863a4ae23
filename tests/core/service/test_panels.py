"""Consortia and models."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.history import SqlHistory
from adapters.state.state import State
from core.asks import DIRECT, Person, Platform, ThreadRef
from core.cards import Button, Form, Option, Reply
from core.commands import actions
from core.commands.grammar import parse
from core.commands.values import (
    AskCommand,
    AuditCommand,
    ChannelDefault,
    LeaderboardCommand,
    ListConsortia,
    ModelsCommand,
    RemoveConsortium,
    ResetModel,
    SaveConsortium,
    ShowCommand,
    UseConsortium,
)
from core.errors import BadForm, BadInput, NotAllowed, NotFound, user_text
from core.service.saving import limits_of, limits_text
from core.setup import ConsortiumSpec
from core.types import Ballot, Camp, Member, Response, Round, Run, Verdict, VerdictSource
from tests.core.fakes import catalog
from tests.core.service.conftest import ANN, BOB, CHANNEL, Desk, inbound

MINE = catalog(members=["b", "k"], strategy="voting", params={"lead": 2}).consortia["default"]
BOSS: dict[str, Any] = {"manages": True, "moderates": True}
SIDE = CHANNEL.model_copy(update={"channel": "C2"})
PAGE = ThreadRef(platform=Platform.WEB, workspace="local", channel="U1", private=True)
TERMINAL = PAGE.model_copy(update={"platform": Platform.CLI})
STRANGE = (
    CHANNEL.model_copy(update={"workspace": "T2"}),
    CHANNEL.model_copy(update={"platform": Platform.DISCORD}),
    ThreadRef(platform=Platform.DISCORD, workspace=DIRECT, channel="D1", private=True),
    ThreadRef(platform=Platform.DISCORD, workspace=DIRECT, channel="D2", private=True),
    PAGE,
)
"""Places that have nothing to do with the channel, nor with each other."""


def labels(reply: Reply) -> list[list[str]]:
    return [[button.label for button in row] for row in reply.buttons]


def button(reply: Reply, label: str) -> Button:
    return next(button for row in reply.buttons for button in row if button.label == label)


# --- models ---------------------------------------------------------------------------------------------


async def fail(desk: Desk, model: str, times: int) -> None:
    for _ in range(times):
        ticket = await desk.office.breakers.admit(model)
        assert ticket
        await desk.office.breakers.report(model, ticket, ok=False)


async def test_models_are_shown_with_how_they_are_doing(desk: Desk) -> None:
    await fail(desk, "a", 3)
    run = await desk.ask()
    for seconds, member in [(1.0, "b"), (2.0, "b"), (9.0, "b")]:
        outcome = Response(member=Member(id=f"{member}{seconds}", model=member), text="x", seconds=seconds)
        await desk.history.record_outcome(run.id, 1, outcome)
    lines = (await desk.say(ModelsCommand())).splitlines()
    assert lines[1].startswith("- **a** (a at here): resting after failures, tried again in ")
    assert lines[3] == "- **b** (b at here): ready (not called lately)"
    assert lines[4].startswith("  half of the answers within 2.0 s, 19 of 20 within ")
    assert lines[4].endswith("; 3 calls")
    assert lines[lines.index("- **c** (c at here): ready (not called lately)") + 1] == (
        "  time unknown: no calls on record"
    )


async def test_administrators_can_have_a_resting_model_tried_again(desk: Desk) -> None:
    await fail(desk, "a", 3)
    assert labels(await desk.reply(ModelsCommand())) == [["Consortia", "Leaderboard"]]
    reply = await desk.reply(ModelsCommand(), **BOSS)
    assert labels(reply)[0] == ["Try a again"]
    with pytest.raises(NotAllowed):
        await desk.service.press(reply.buttons[0][0].action, inbound(BOB))
    said = await desk.service.press(reply.buttons[0][0].action, inbound(**BOSS))
    assert isinstance(said, Reply)
    assert said.text.startswith("**a** is asked again from now on. Before, it was resting after failures")
    assert (await desk.office.breakers.state("a")).state == "closed"
    assert "model a, which was open" in await desk.say(AuditCommand(), **BOSS)
    with pytest.raises(NotFound, match="There is no model `zz`"):
        await desk.do(ResetModel(model="zz"), **BOSS)


# --- consortia ------------------------------------------------------------------------------------------


async def test_consortia_are_listed_with_a_button_each(desk: Desk) -> None:
    await desk.history.consortia.save("Mine", MINE, CHANNEL)
    reply = await desk.reply(ListConsortia())
    lines = reply.text.splitlines()
    assert lines[1:3] == ["- **default** (in use here)", "  a:2, b, c; arbiter j"]
    assert lines[3:5] == ["- **Mine** (saved)", "  b, k; arbiter j; strategy voting"]
    assert labels(reply) == [["default", "Mine"], ["Save a new one", "Models", "Leaderboard"]]
    await desk.do(UseConsortium(name="Mine"))
    assert labels(await desk.reply(ListConsortia()))[0] == ["Mine", "default"]


async def test_a_consortium_is_shown_with_all_that_is_set_of_it(desk: Desk) -> None:
    spec = {
        **MINE.model_dump(),
        "description": "For hard ones.",
        "judging": "rank",
        "both_orders": True,
        "roles": {"b": "Rawlsian"},
        "system": "Be brief.",
        "min_iterations": 1,
        "max_iterations": 3,
    }
    await desk.history.consortia.save("Mine", ConsortiumSpec.model_validate(spec), CHANNEL)
    reply = await desk.reply(ShowCommand(what="mine"))
    head, *lines = reply.text.splitlines()
    assert head.startswith("**Mine** (saved ")
    assert lines == [
        "For hard ones.",
        "- Members: b, k",
        "- Arbiter: j; k can stand in; it ranks the answers; it judges twice, in opposite orders",
        "- Strategy: voting (lead 2)",
        "- Rounds: 1 to 3; another one while confidence is below 0.80",
        "- Time: 120 s; once 66% have answered, the rest is not waited for long",
        "- Roles: b as Rawlsian",
        "- Instructions: Be brief.",
    ]
    assert labels(reply) == [["Use it here", "Edit", "Remove", "Leaderboard"]]
    of_file = await desk.reply(ShowCommand(what="default"))
    assert of_file.text.startswith("**default** (stands in the models file)")
    assert of_file.text.endswith("You ask it in this channel.")
    assert labels(of_file) == [["Edit", "Leaderboard"]]


async def test_a_consortium_that_cannot_be_asked_any_more_says_why(desk: Desk) -> None:
    await desk.history.consortia.save("old", MINE.model_copy(update={"members": ("gone",)}), CHANNEL)
    assert "- members: no model 'gone'" in await desk.say(ShowCommand(what="old"))


async def test_whoever_may_not_save_has_no_buttons_for_it(desk: Desk) -> None:
    await desk.say(parse("access allow save user:U9"), **BOSS)
    await desk.history.consortia.save("Mine", MINE, CHANNEL)
    assert labels(await desk.reply(ShowCommand(what="Mine"))) == [["Use it here", "Leaderboard"]]
    assert labels(await desk.reply(ListConsortia()))[1] == ["Models", "Leaderboard"]
    for text in ("save", "save x a,b", "remove Mine"):
        with pytest.raises(NotAllowed, match="You may not save or remove"):
            await desk.do(parse(text))


# --- saving ---------------------------------------------------------------------------------------------


async def test_a_consortium_is_saved_as_it_is_typed(desk: Desk) -> None:
    reply = await desk.reply(parse("save ethics A,b:2 --strategy voting --confidence 0.9 --rounds 2"))
    assert reply.text.startswith("Saved.\n\n**ethics** (saved ")
    assert "Everybody here can ask it: `/consortium ask --consortium ethics` and a question." in reply.text
    saved = await desk.history.consortia.get("ethics", CHANNEL)
    assert saved
    setup = saved.setup
    assert (setup.members, setup.strategy, setup.confidence_threshold) == (("a", "b:2"), "voting", 0.9)
    assert (setup.min_iterations, setup.max_iterations) == (1, 2)
    assert setup.arbiter == "j", "one that judges elsewhere and is no member"
    assert (await desk.ask(consortium="ethics")).panel[1].id == "b 1"
    assert "consortium ethics: a, b:2; arbiter j; strategy voting" in await desk.say(AuditCommand(), **BOSS)


async def test_what_is_not_named_stays_as_it_was(desk: Desk) -> None:
    await desk.history.consortia.save("Mine", MINE, CHANNEL)
    assert "It takes the place of the one of that name" in await desk.say(parse("save mine a,b"))
    (saved,) = await desk.history.consortia.all(CHANNEL)
    assert saved.setup == MINE.model_copy(update={"members": ("a", "b")})


async def test_one_of_the_file_is_gone_before_and_can_be_had_back(desk: Desk) -> None:
    assert "It goes before the one of that name in the models file" in await desk.say(parse("save default b,k"))
    assert len((await desk.ask()).panel) == 2
    removed = await desk.say(RemoveConsortium(name="default", confirmed=True))
    assert removed.startswith("**default** is removed; the one of that name in the models file is asked again.")
    assert len((await desk.ask()).panel) == 4
    with pytest.raises(NotAllowed, match="`default` stands in the models file: only the operator of this service"):
        await desk.do(RemoveConsortium(name="Default"))


def filled(form: Form, **changes: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return {field.name: tuple(filter(None, field.value)) for field in form.inputs} | changes


async def test_the_form_of_a_new_one(desk: Desk) -> None:
    form = await desk.form(SaveConsortium())
    kinds = {field.name: (field.kind, field.value) for field in form.inputs}
    assert kinds == {
        "name": ("line", ("",)),
        "members": ("choices", ()),
        "arbiter": ("choice", ("",)),
        "strategy": ("choice", ("default",)),
        "limits": ("line", ("confidence 0.8, rounds 1-3, deadline 120, quorum 0.66",)),
    }
    values = filled(form, name=("new",), members=("a", "c"), limits=("rounds 2-4; quorum 0,5",))
    reply = await desk.service.submit(form.action, values, inbound())
    assert isinstance(reply, Reply)
    saved = await desk.history.consortia.get("new", CHANNEL)
    assert saved
    assert (saved.setup.members, saved.setup.min_iterations, saved.setup.quorum) == (("a", "c"), 2, 0.5)
    assert saved.setup.arbiter not in ("a", "c")


async def test_the_form_of_one_that_is_there_has_what_it_has_and_keeps_what_it_does_not_show(desk: Desk) -> None:
    await desk.history.consortia.save(
        "Mine", MINE.model_copy(update={"roles": {"b": "Rawlsian"}, "system": "Brief."}), CHANNEL
    )
    shown = await desk.reply(ShowCommand(what="Mine"))
    form = await desk.service.press(button(shown, "Edit").action, inbound())
    assert isinstance(form, Form)
    by_name = {field.name: field for field in form.inputs}
    assert by_name["members"].value == ("b", "k")
    assert (by_name["arbiter"].value, by_name["strategy"].value) == (("j",), ("voting",))
    await desk.service.submit(form.action, filled(form, members=("a", "b", "k")), inbound())
    (saved,) = await desk.history.consortia.all(CHANNEL)
    assert saved.setup.members == ("a", "b", "k")
    assert (saved.setup.params, saved.setup.roles, saved.setup.system) == ({"lead": 2}, {"b": "Rawlsian"}, "Brief.")


async def test_members_with_several_seats_are_typed(desk: Desk) -> None:
    form = await desk.form(SaveConsortium(name="default"))
    members = form.inputs[1]
    assert (members.kind, members.value) == ("line", ("a:2, b, c",))
    await desk.service.submit(form.action, filled(form, members=("a:3, k",)), inbound())
    saved = await desk.history.consortia.get("default", CHANNEL)
    assert saved
    assert saved.setup.members == ("a:3", "k")


async def test_too_many_models_for_a_list_are_typed(state: State, history: SqlHistory) -> None:
    many = catalog([f"m{n}" for n in range(26)], members=["m0", "m1"], arbiter="m2", arbiter_fallbacks=[])
    form = await Desk(state, history, models=many).form(SaveConsortium())
    assert [field.kind for field in form.inputs[1:3]] == ["line", "line"]


@pytest.mark.parametrize(
    ("fields", "problems"),
    [
        ({"name": "custom"}, {"name": "Panels that are put together for one ask are called `custom`"}),
        ({"name": "my panel"}, {"name": "`my panel` cannot be its name"}),
        ({"name": "x" * 41}, {"name": "cannot be its name"}),
        ({"name": None}, {"name": "Give it a name."}),
        ({"members": ("a", "llama")}, {"members": "There is no model `llama`"}),
        ({"members": ("a:99",)}, {"members": "a panel has 1 to 12 members, this one has 99"}),
        ({"members": ("a:0",)}, {"members": "`a:0` is no member"}),
        ({"members": (), "strategy": "voting"}, {"members": "Name at least one member."}),
        ({"arbiter": "jj"}, {"arbiter": "There is no model `jj`. Did you mean `j`?"}),
        ({"strategy": "votin"}, {"strategy": "Did you mean `voting`?"}),
        ({"limits": "confidence 8"}, {"limits": "confidence: input should be less than or equal to 1"}),
        ({"limits": "rounds 4-2"}, {"limits": "min_iterations (4) must not exceed max_iterations (2)"}),
        ({"limits": "speed 9"}, {"limits": "`speed 9` is no limit; write e.g. `confidence 0.8"}),
        (
            {"name": "a b", "members": ("zz",), "limits": "rounds 1.5"},
            {"name": "cannot be", "members": "There is no model `zz`", "limits": "rounds are whole numbers"},
        ),
    ],
)
async def test_what_is_wrong_is_told_by_input_and_the_form_is_as_it_was_filled_in(
    desk: Desk, fields: dict[str, Any], problems: dict[str, str]
) -> None:
    command = SaveConsortium.model_validate({"name": "new", "members": ("a", "b"), **fields})
    with pytest.raises(BadForm) as raised:
        await desk.do(command)
    told = raised.value.problems
    assert list(told) == list(problems)
    for name, problem in problems.items():
        assert problem in told[name]
        assert problem in user_text(raised.value)
    by_name = {field.name: ", ".join(field.value) for field in raised.value.form.inputs}
    assert by_name["name"] == (command.name or "")
    assert by_name["members"] == ", ".join(command.members)
    assert command.limits in by_name["limits"]
    assert await desk.history.consortia.all(CHANNEL) == []


async def test_a_form_that_a_platform_has_closed_is_opened_again_as_it_was(desk: Desk) -> None:
    form = await desk.form(SaveConsortium())
    with pytest.raises(BadForm) as raised:
        await desk.service.submit(form.action, filled(form, name=("a b",), members=("a",)), inbound())
    again = await desk.service.press(await desk.service.keep_form(raised.value, inbound()), inbound())
    assert again == raised.value.form


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", {}),
        ("confidence 0.8", {"confidence_threshold": 0.8}),
        ("Confidence: 0,75;deadline=60 s", {"confidence_threshold": 0.75, "deadline": 60.0}),
        ("rounds 3", {"min_iterations": 1, "max_iterations": 3}),
        ("rounds 2 to 3, quorum 1", {"min_iterations": 2, "max_iterations": 3, "quorum": 1.0}),
    ],
)
def test_limits_are_read_as_people_write_them(text: str, fields: dict[str, Any]) -> None:
    assert limits_of(text) == fields


@pytest.mark.parametrize(
    "text", ["0.8", "confidence", "confidence high", "confidence 0.8-0.9", "rounds one", "x" * 999]
)
def test_what_is_no_limit_is_told(text: str) -> None:
    with pytest.raises(BadInput, match=r"write e\.g\. `confidence 0\.8, rounds 1-3, deadline 120, quorum 0\.66`"):
        limits_of(text)


def test_limits_are_read_back_as_they_are_shown() -> None:
    fields = {"confidence_threshold": 0.75, "min_iterations": 2, "max_iterations": 4, "deadline": 90.5, "quorum": 0.5}
    setup = ConsortiumSpec.model_validate({"members": ["a"], "arbiter": "b", **fields})
    assert limits_of(limits_text(setup)) == fields


# --- removing, and a channel's default ------------------------------------------------------------------


async def test_what_is_removed_can_be_saved_again(desk: Desk) -> None:
    await desk.history.consortia.save("Mine", MINE, CHANNEL)
    asked = await desk.reply(RemoveConsortium(name="mine"))
    assert asked.text.startswith("Remove **Mine**, for everybody here?")
    assert await desk.history.consortia.get("Mine", CHANNEL), "nothing is done before that is confirmed"
    reply = await desk.service.press(button(asked, "Remove it").action, inbound())
    assert isinstance(reply, Reply)
    assert reply.text.startswith("**Mine** is removed.")
    assert await desk.history.consortia.all(CHANNEL) == []
    form = await desk.service.press(button(reply, "Save it again").action, inbound())
    assert isinstance(form, Form)
    await desk.service.submit(form.action, filled(form), inbound())
    (saved,) = await desk.history.consortia.all(CHANNEL)
    assert (saved.name, saved.setup.members, saved.setup.strategy) == ("Mine", ("b", "k"), "voting")
    log = await desk.say(AuditCommand(), **BOSS)
    assert "remove: consortium Mine" in log
    with pytest.raises(NotFound, match=r"There is no saved consortium `min`\. Did you mean `Mine`"):
        await desk.do(RemoveConsortium(name="min"))


# --- whose a consortium is -----------------------------------------------------------------------------


async def test_what_a_workspace_saves_is_its_own(desk: Desk) -> None:
    await desk.do(parse("save ethics a,b"))
    for place in STRANGE:
        assert "ethics" not in await desk.say(ListConsortia(), where=place)
        assert "ethics" not in [o.value for o in await desk.service.suggest("consortium", "", inbound(ANN, place))]
        for command in (
            AskCommand(text="Is it so?", consortium="ethics"),
            UseConsortium(name="ethics"),
            ShowCommand(what="ethics"),
            RemoveConsortium(name="ethics", confirmed=True),
            LeaderboardCommand(consortium="ethics"),
            ChannelDefault(name="ethics"),
        ):
            with pytest.raises(NotFound) as raised:
                await desk.do(command, where=place, **BOSS)
            assert "ethics" not in user_text(raised.value).replace("`ethics`", "", 1), "no hint tells of it either"
        await desk.do(parse("save ethics c,k"), where=place)
        assert len((await desk.ask(where=place, consortium="ethics")).panel) == 2
    assert [m.id for m in (await desk.ask(BOB, SIDE, consortium="ethics")).panel] == ["a", "b"]


async def test_the_operators_are_for_everybody_and_for_the_operator_alone_to_remove(desk: Desk) -> None:
    for operator in (None, PAGE, TERMINAL):
        await desk.history.consortia.save("Jury", MINE, operator)
        assert (await desk.ask(consortium="jury")).ask.setup == MINE
        shown = await desk.reply(ShowCommand(what="jury"))
        assert "The operator saved it, for everybody." in shown.text
        assert ["Remove"] not in [[each.label] for row in shown.buttons for each in row]
        with pytest.raises(NotAllowed, match="`Jury` is for everybody: only the operator of this service can remove"):
            await desk.do(RemoveConsortium(name="jury", confirmed=True), **BOSS)
        assert await desk.service.suggest("saved", "", inbound()) == []
        await desk.do(RemoveConsortium(name="jury", confirmed=True), where=PAGE, **BOSS)
        with pytest.raises(NotFound):
            await desk.ask(consortium="jury")


async def test_a_workspaces_own_goes_before_the_operators_there(desk: Desk) -> None:
    await desk.history.consortia.save("Jury", MINE, None)
    assert "It goes before the one of that name that the operator saved" in await desk.say(parse("save jury a,b"))
    assert [m.id for m in (await desk.ask(consortium="jury")).panel] == ["a", "b"]
    assert (await desk.ask(where=STRANGE[0], consortium="jury")).ask.setup == MINE
    removed = await desk.say(RemoveConsortium(name="jury", confirmed=True))
    assert removed.startswith("**jury** is removed; the one of that name that the operator saved is asked again.")
    assert (await desk.ask(consortium="jury")).ask.setup == MINE


async def test_what_takes_a_choice_back_is_no_name(desk: Desk) -> None:
    with pytest.raises(BadForm) as raised:
        await desk.do(parse("save None a,b"))
    assert raised.value.problems == {"name": "`None` takes a choice back, as in `use none`; take another name."}


async def test_what_has_gone_is_told_in_the_list(desk: Desk) -> None:
    await desk.history.consortia.save("Mine", MINE, CHANNEL)
    await desk.do(ChannelDefault(name="Mine"), moderates=True)
    await desk.history.consortia.remove("Mine", CHANNEL)
    listed = await desk.say(ListConsortia())
    assert listed.endswith(
        "Mine, the default of this channel, is not there any more, so default is asked. "
        "`/consortium channel-default none` takes the choice back."
    )
    assert "- **default** (in use here)" in listed


async def test_a_channels_default_is_for_those_who_moderate_it(desk: Desk) -> None:
    await desk.history.consortia.save("Mine", MINE, CHANNEL)
    with pytest.raises(NotAllowed, match="Only those who moderate this channel"):
        await desk.do(ChannelDefault(name="mine"))
    reply = await desk.reply(ChannelDefault(name="mine"), moderates=True)
    assert "In this channel **Mine** is asked by all" in reply.text
    assert reply.text.endswith("Undo: `/consortium channel-default none`")
    assert (await desk.ask(BOB)).consortium == "Mine"
    assert (await desk.ask(BOB, CHANNEL.model_copy(update={"channel": "C2"}))).consortium == "default"
    assert "Mine" in await desk.say(AuditCommand(), **BOSS)
    back = await desk.say(parse("channel-default none"), moderates=True)
    assert back == "This channel has no default of its own any more; **default** is asked."
    assert (await desk.ask(BOB)).consortium == "default"


# --- who has done how well ------------------------------------------------------------------------------


async def voted(desk: Desk, *answers: str, consortium: str = "default", where: ThreadRef = CHANNEL) -> Run:
    """A run of which the first of the answers was that of most."""
    run = await desk.ask(where=where, consortium=consortium, question_type="number")
    members = [member for member in run.panel if not member.id.endswith("2")]
    by_answer: dict[str, list[Member]] = {}
    for member, answer in zip(members, answers, strict=True):
        by_answer.setdefault(answer, []).append(member)
    camps = tuple(
        Camp(answer=answer, normal=answer, members=tuple(who), weight=len(who)) for answer, who in by_answer.items()
    )
    verdict = Verdict(
        source=VerdictSource.VOTE,
        judge=members[0],
        synthesis=f"Final answer: {answers[0]}",
        ballot=Ballot(basis="final answers", camps=camps),
    )
    outcomes = tuple(Response(member=m, text=a, seconds=1.0) for m, a in zip(members, answers, strict=True))
    for outcome in outcomes:
        await desk.history.record_outcome(run.id, 1, outcome)
    await desk.history.record_round(run.id, Round(number=1, outcomes=outcomes, verdict=verdict))
    return run


async def test_before_anything_was_compared_nothing_is_made_up(desk: Desk) -> None:
    assert (await desk.say(LeaderboardCommand())).startswith("Nothing yet: models are compared where")
    assert (await desk.say(LeaderboardCommand(consortium="DEFAULT"))).startswith("Nothing yet of default:")
    with pytest.raises(NotFound, match="There is no consortium `zzz`"):
        await desk.do(LeaderboardCommand(consortium="zzz"))


async def test_models_are_ranked_by_consortium(desk: Desk) -> None:
    await desk.history.consortia.save("Mine", MINE, CHANNEL)
    runs = [await voted(desk, "4", "4", "5") for _ in range(3)]
    await voted(desk, "4", "4", consortium="Mine")
    await desk.history.lessons.label(runs[0].id, answer="4")
    await desk.history.lessons.feedback(runs[1].id, ANN, True)
    await desk.history.lessons.feedback(runs[1].id, BOB, False)
    reply = await desk.reply(LeaderboardCommand(consortium="default"))
    lines = reply.text.splitlines()
    assert lines[0] == "**default**"
    assert [line[:4] for line in lines if line[:2] in ("1.", "2.", "3.")] == ["1. a", "2. b", "3. c"]
    assert lines[2] == "   right in 1 of 1", "the others of a and b were tied each time"
    assert "   agreed in 0 of 3 votes, right in 0 of 1" in lines
    assert "- Answers found good: 1 of 2" in lines
    assert "Mine" not in reply.text
    both = await desk.reply(LeaderboardCommand())
    assert "**Mine**" in both.text
    assert sorted(labels(both)[0]) == ["Mine", "default"]


async def test_a_workspace_sees_no_record_of_what_only_others_ask(desk: Desk) -> None:
    for place, answers in ((CHANNEL, ("4", "4")), (STRANGE[0], ("4", "5"))):
        await desk.history.consortia.save("ethics", MINE, place)
        run = await voted(desk, *answers, consortium="ethics", where=place)
        await desk.history.lessons.feedback(run.id, ANN, place == CHANNEL)
        await voted(desk, "4", "4", "5", where=place)
    await desk.history.consortia.save("secret", MINE, STRANGE[0])
    await voted(desk, "4", "4", consortium="secret", where=STRANGE[0])
    seen = await desk.say(LeaderboardCommand())
    assert "secret" not in seen
    assert "agreed in 1 of 1 votes" in seen.partition("**ethics**")[2], "no vote of the other one of that name"
    assert "- Answers found good: 1 of 1" in seen
    assert "agreed in 0 of 2 votes" in seen.partition("**default**")[2].partition("**ethics**")[0]
    assert labels(await desk.reply(LeaderboardCommand()))[0] == ["default", "ethics"]
    with pytest.raises(NotFound):
        await desk.do(LeaderboardCommand(consortium="secret"))
    everything = await desk.say(LeaderboardCommand(), where=PAGE, **BOSS)
    assert "**secret**" in everything
    assert "- Answers found good: 1 of 2" in everything


async def test_however_many_there_are_buttons_stay_within_what_platforms_show(
    state: State, history: SqlHistory
) -> None:
    models = [f"{n:02}".ljust(40, "m") for n in range(20)]
    desk = Desk(state, history, models=catalog(models, members=models[:2], arbiter=models[2], arbiter_fallbacks=[]))
    setup = desk.office.catalog.consortia["default"]
    for n in range(20):
        await desk.history.consortia.save(f"{n:02}".ljust(40, "c"), setup, CHANNEL)
        await fail(desk, models[n], 3)
        await desk.history.lessons.feedback((await desk.ask(consortium=f"{n:02}".ljust(40, "c"))).id, ANN, True)
    for command in (ListConsortia(), ModelsCommand(), LeaderboardCommand(), ShowCommand(what="00".ljust(40, "c"))):
        reply = await desk.reply(command, **BOSS)
        assert 1 <= len(reply.buttons) <= 5
        for row in reply.buttons:
            assert 1 <= len(row) <= 5
            assert all(len(each.label) <= 40 and len(each.action) <= actions.MOST for each in row)
    assert len(labels(await desk.reply(ModelsCommand(), **BOSS))) == 4, "some can be tried again"


# --- what fits what is being typed ----------------------------------------------------------------------


async def suggested(desk: Desk, kind: str, typed: str = "", by: Person = ANN) -> list[Option]:
    return await desk.service.suggest(kind, typed, inbound(by))


async def test_what_fits_comes_best_first(desk: Desk) -> None:
    await desk.history.consortia.save("Mine", MINE, CHANNEL)
    assert [option.value for option in await suggested(desk, "consortium")] == ["default", "Mine"]
    assert [option.value for option in await suggested(desk, "consortium", "MI")] == ["Mine"]
    assert [option.value for option in await suggested(desk, "saved")] == ["Mine"]
    assert [option.value for option in await suggested(desk, "model")] == ["a", "b", "c", "j", "k"]
    assert [option.value for option in await suggested(desk, "arbiter", "j")] == ["j"]
    assert (await suggested(desk, "domain", "law"))[0] == Option(value="law", label="law", about="Think of it.")
    roles = [option.value for option in await suggested(desk, "role", "ra")]
    assert roles[0] == "Rawlsian"
    assert "Generator" in roles, "it has the letters further on"
    assert (await suggested(desk, "strategy", "vot"))[0].value == "voting"
    assert [option.value for option in await suggested(desk, "command", "form")] == ["settings", "type", "save"]
    assert await suggested(desk, "command", "zzz") == []
    assert await suggested(desk, "colour") == []


async def test_runs_are_ones_own_with_date_and_question(desk: Desk) -> None:
    run = await desk.ask(text="Is it " + "very " * 50 + "so?")
    await desk.ask(BOB, text="Something else?")
    (option,) = await suggested(desk, "run")
    assert option.value == run.id
    assert option.label.startswith("2026-03-01 Is it very")
    assert len(option.label) <= 75
    assert await suggested(desk, "run", "else") == []
    assert [o.value for o in await suggested(desk, "run", "very")] == [run.id]


async def test_there_are_25_at_the_most(desk: Desk) -> None:
    for number in range(30):
        await desk.history.consortia.save(f"c{number}", MINE, CHANNEL)
        await desk.ask()
    assert len(await suggested(desk, "consortium")) == len(await suggested(desk, "run")) == 25


async def test_simulated_models_are_marked_wherever_they_are_named(state: State, history: SqlHistory) -> None:
    simulated = {"x": "optimist", "y": "skeptic"}
    models = {key: {"provider": "simulated", "name": name} for key, name in simulated.items()}
    spec = {"members": ["x:2"], "arbiter": "y"}
    desk = Desk(
        state, history, models=type(catalog()).model_validate({"models": models, "consortia": {"default": spec}})
    )
    assert [option.label for option in await suggested(desk, "model")] == ["x (simulated)", "y (simulated)"]
    assert [option.label for option in await suggested(desk, "consortium")] == ["default (simulated)"]
    run = await desk.ask()
    assert (await suggested(desk, "run"))[0].label == "2026-03-01 Is it so? (simulated)"
    assert run.simulated
    assert "  x:2 (simulated); arbiter y (simulated)" in (await desk.say(ListConsortia())).splitlines()
    shown = await desk.say(ShowCommand(what="default"))
    assert "- Members: x:2 (simulated)" in shown
    assert "- Arbiter: y (simulated)" in shown
    assert "- **x** (simulated): ready" in await desk.say(ModelsCommand())
