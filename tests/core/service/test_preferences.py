"""What people set."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.history import SqlHistory
from adapters.state.state import State
from core.cards import Form, Reply
from core.commands import actions
from core.commands.grammar import parse
from core.commands.values import (
    AskCommand,
    AssignRole,
    ChangeSettings,
    ChannelDefault,
    ClearRoles,
    RolesCommand,
    SettingsCommand,
    ShowCommand,
    ShuffleRoles,
    UseConsortium,
)
from core.errors import BadForm, NotFound, user_text
from core.stores import Session
from core.types import Run
from tests.core.fakes import catalog
from tests.core.service.conftest import ANN, BOB, CHANNEL, Desk, inbound

MINE = catalog(members=["b", "k"], strategy="voting").consortia["default"]


async def session(desk: Desk) -> Session:
    """What Ann has set in the channel."""
    return await desk.sessions.load(ANN, CHANNEL)


def filled(form: Form, **changes: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """What a platform sends when a form is submitted with what stands in it, but for some inputs."""
    return {field.name: tuple(filter(None, field.value)) for field in form.inputs} | changes


# --- roles ----------------------------------------------------------------------------------------------


async def test_roles_belong_to_a_person_in_a_channel_and_go_with_the_run(desk: Desk) -> None:
    assert "- a: Rawlsian" in await desk.say(AssignRole(model="A", role="rawlsian"))
    await desk.say(AssignRole(model="b", role="a tired\n  nurse"))
    run = await desk.ask()
    assert [m.role for m in run.panel] == ["Rawlsian", "Rawlsian", "a tired nurse", None]
    assert run.ask.roles == {"a": "Rawlsian", "b": "a tired nurse"}
    elsewhere = CHANNEL.model_copy(update={"channel": "C2"})
    for other in (await desk.ask(BOB), await desk.ask(where=elsewhere)):
        assert other.ask.roles == {}
    thread = CHANNEL.model_copy(update={"thread": "1.2"})
    assert (await desk.ask(where=thread)).ask.roles == run.ask.roles


async def test_roles_are_listed_with_what_there_is(desk: Desk) -> None:
    text = await desk.say(RolesCommand())
    for name in ("Utilitarian", "Deontologist", "Virtue Ethicist", "Libertarian", "Rawlsian", "Precautionary"):
        assert f"- {name}: " in text
    assert "- a: no role" in text


async def test_roles_are_cleared_one_or_all(desk: Desk) -> None:
    for model in "abc":
        await desk.do(AssignRole(model=model, role="Rawlsian"))
    await desk.do(ClearRoles(model="b"))
    assert (await desk.ask()).ask.roles == {"a": "Rawlsian", "c": "Rawlsian"}
    with pytest.raises(NotFound, match="`b` has no role here"):
        await desk.do(ClearRoles(model="b"))
    await desk.do(ClearRoles())
    assert (await desk.ask()).ask.roles == {}


async def test_roles_go_to_models_that_exist_and_wait_off_the_panel(desk: Desk) -> None:
    with pytest.raises(NotFound, match="There is no model `llama`"):
        await desk.do(AssignRole(model="llama", role="x"))
    assert "`k` is not on this panel" in await desk.say(AssignRole(model="k", role="Rawlsian"))


async def test_roles_are_dealt_by_chance_each_to_one_model(desk: Desk) -> None:
    await desk.do(AssignRole(model="a", role="old"))
    dealt = set()
    for _ in range(20):
        await desk.do(ShuffleRoles(roles="utilitarian Rawlsian"))
        roles = (await desk.sessions.load(ANN, CHANNEL)).roles
        assert sorted(roles.values()) == ["Rawlsian", "Utilitarian"]
        dealt.add(tuple(sorted(roles.items())))
    assert len(dealt) > 2
    assert "not dealt: four." in await desk.say(ShuffleRoles(roles="one, two, three, four"))


# --- one thing at a time --------------------------------------------------------------------------------


async def test_a_consortium_is_chosen_and_taken_back(desk: Desk) -> None:
    await desk.history.consortia.save("Mine", MINE, CHANNEL)
    reply = await desk.reply(UseConsortium(name="mine"))
    assert reply.text == "You ask **Mine** here from now on, for yourself. Undo: `/consortium use none`"
    assert [actions.decode(button.action) for button in reply.buttons[0]] == [
        ShowCommand(what="Mine"),
        UseConsortium(),
        SettingsCommand(),
    ]
    assert (await desk.ask()).consortium == "Mine"
    assert (await desk.ask(BOB)).consortium == "default"
    undone = await desk.say(parse("use none"))
    assert undone == "You ask **default** here from now on, the default of this channel."
    assert (await desk.ask()).consortium == "default"
    with pytest.raises(NotFound, match="Did you mean `Mine`"):
        await desk.do(UseConsortium(name="min"))


async def test_without_a_choice_of_ones_own_the_channels_default_is_asked(desk: Desk) -> None:
    await desk.history.consortia.save("Mine", MINE, CHANNEL)
    await desk.do(ChannelDefault(name="mine"), moderates=True)
    assert "**Mine**" in await desk.say(UseConsortium())
    assert (await desk.ask()).consortium == "Mine"


@pytest.mark.parametrize(
    ("typed", "field", "value", "undo"),
    [
        ("strategy VOTING", "strategy", "voting", "strategy none"),
        ("domain LAW", "domain", "law", "domain none"),
        ("type yes/no", "question_type", "yes-no", "type none"),
    ],
)
async def test_one_thing_is_set_and_taken_back_as_the_reply_says(
    desk: Desk, typed: str, field: str, value: str, undo: str
) -> None:
    said = await desk.say(parse(typed))
    assert f"**{value}** from now on" in said
    assert said.endswith(f"Undo: `/consortium {undo}`")
    assert getattr(await session(desk), field) == value
    ask = (await desk.ask()).ask
    assert value in (ask.domain, ask.question_type, ask.setup and ask.setup.strategy)
    said = await desk.say(parse(undo))
    assert "Undo" not in said
    assert await session(desk) == Session()


async def test_what_is_not_there_is_not_set(desk: Desk) -> None:
    for typed, problem in [
        ("strategy votin", "There is no strategy `votin`. Did you mean `voting`?"),
        ("domain laww", "There is no domain `laww`. Did you mean `law`?"),
    ]:
        with pytest.raises(NotFound) as raised:
            await desk.do(parse(typed))
        assert user_text(raised.value) == problem
    assert await session(desk) == Session()


async def test_what_is_set_leaves_the_rest_alone(desk: Desk) -> None:
    for typed in ("roles assign a Rawlsian", "domain law", "type number", "use none", "strategy voting"):
        await desk.do(parse(typed))
    assert await session(desk) == Session(
        roles={"a": "Rawlsian"}, domain="law", question_type="number", strategy="voting"
    )


# --- all of it ------------------------------------------------------------------------------------------


async def test_the_form_shows_what_is_set_and_what_there_is(desk: Desk) -> None:
    await desk.history.consortia.save("Mine", MINE, CHANNEL)
    await desk.sessions.save(ANN, CHANNEL, Session(consortium="Mine", domain="law", long=True, charts=False))
    form = await desk.form(SettingsCommand())
    assert {field.name: field.value for field in form.inputs} == {
        "consortium": ("Mine",),
        "domain": ("law",),
        "strategy": ("",),
        "question_type": ("",),
        "show": ("long",),
    }
    by_name = {field.name: {option.value: option.label for option in field.options} for field in form.inputs}
    assert by_name["consortium"] == {
        "": "as in this channel: default",
        "default": "default",
        "Mine": "Mine",
    }
    assert {"", "default", "voting", "debate"} <= set(by_name["strategy"])
    assert set(by_name["question_type"]) == {"", "open", "yes-no", "choice", "number"}
    assert len(form.title) <= 24
    assert all(len(option.label) <= 75 for field in form.inputs for option in field.options)


async def test_a_form_as_it_came_changes_nothing(desk: Desk) -> None:
    before = Session(roles={"a": "Rawlsian"}, domain="law", strategy="voting", question_type="number", long=True)
    await desk.sessions.save(ANN, CHANNEL, before)
    form = await desk.form(SettingsCommand())
    await desk.service.submit(form.action, filled(form), inbound())
    assert await session(desk) == before


async def test_what_was_filled_in_holds_and_is_summed_up(desk: Desk) -> None:
    await desk.history.consortia.save("Mine", MINE, CHANNEL)
    await desk.do(AssignRole(model="b", role="Rawlsian"))
    form = await desk.form(SettingsCommand())
    values = filled(form, consortium=("Mine",), domain=("law",), question_type=("yes-no",), show=("long",))
    reply = await desk.service.submit(form.action, values, inbound())
    assert isinstance(reply, Reply)
    assert reply.text.splitlines() == [
        "**Set for you in this channel**",
        "- Consortium: **Mine**",
        "- Domain: law",
        "- Strategy: that of the consortium",
        "- Type of question: yes-no",
        "- Show: the whole answer at once, without charts",
        "- Roles: b as Rawlsian",
    ]
    run = await desk.ask()
    assert (run.consortium, run.ask.domain, run.ask.charts) == ("Mine", "law", False)
    assert await desk.service.long(run)
    back = await desk.service.submit(form.action, filled(form), inbound())
    assert isinstance(back, Reply)
    assert "- Consortium: **default** (the default here)" in back.text.splitlines()
    assert await session(desk) == Session(roles={"b": "Rawlsian"})


async def test_what_cannot_be_is_told_by_input_and_nothing_is_stored(desk: Desk) -> None:
    with pytest.raises(BadForm) as raised:
        await desk.do(ChangeSettings(consortium="gone", domain="laww", strategy="voting", show=("long",)))
    assert raised.value.problems == {
        "consortium": "There is no consortium `gone`. There are: default.",
        "domain": "There is no domain `laww`. Did you mean `law`?",
    }
    again = {field.name: field for field in raised.value.form.inputs}
    assert (again["consortium"].value, again["show"].value) == (("gone",), ("long",))
    assert "gone (not there any more)" in {option.label for option in again["consortium"].options}
    assert await session(desk) == Session()
    with pytest.raises(BadForm) as raised:
        await desk.do(ChangeSettings(strategy="votin"))
    assert list(raised.value.problems) == ["strategy"]


async def test_what_has_gone_is_not_asked_and_that_is_said(desk: Desk) -> None:
    await desk.history.consortia.save("Ours", MINE, CHANNEL)
    await desk.history.consortia.save("Mine", MINE, CHANNEL)
    await desk.do(UseConsortium(name="Mine"))
    await desk.do(ChannelDefault(name="Ours"), moderates=True)
    await desk.history.consortia.remove("Mine", CHANNEL)
    mine = "Mine, which you chose here, is not there any more, so Ours is asked. `/consortium use none` takes the"
    run = await desk.ask()
    assert (run.consortium, run.ask.setup) == ("Ours", MINE)
    (note,) = run.notes
    assert note.startswith(mine)
    stored = await desk.history.run(run.id)
    assert stored
    assert stored.notes == run.notes
    assert (await desk.ask(BOB)).notes == ()
    assert (await desk.ask(consortium="default")).notes == ()
    await desk.history.consortia.remove("Ours", CHANNEL)
    run = await desk.ask()
    assert run.consortium == "default"
    assert [note.partition(",")[0] for note in run.notes] == ["Mine", "Ours"]
    assert "Ours, the default of this channel, is not there" in await desk.say(UseConsortium())
    assert "- a: no role" in await desk.say(parse("roles")), "those of the default"


async def test_what_has_gone_is_said_before_a_question_is_confirmed_too(desk: Desk) -> None:
    await desk.history.consortia.save("Mine", MINE, CHANNEL)
    await desk.do(UseConsortium(name="Mine"))
    await desk.history.consortia.remove("Mine", CHANNEL)
    await desk.governance.set_confirmation(CHANNEL, ANN, dollars=None, tokens=1)
    asked = await desk.reply(AskCommand(text="Is it so?"))
    assert "Mine, which you chose here, is not there any more" in asked.text
    run = await desk.service.press(asked.buttons[0][0].action, inbound())
    assert isinstance(run, Run)
    assert len(run.notes) == 1


async def test_default_is_a_name(desk: Desk) -> None:
    await desk.history.consortia.save("Mine", MINE, CHANNEL)
    await desk.do(ChannelDefault(name="Mine"), moderates=True)
    await desk.do(parse("use default"))
    assert (await session(desk)).consortium == "default"
    assert (await desk.ask()).consortium == "default"
    await desk.do(parse("strategy default"))
    assert (await session(desk)).strategy == "default"
    await desk.do(parse("strategy off"))
    await desk.do(parse("use none"))
    assert await session(desk) == Session()


async def test_a_consortium_that_is_gone_can_be_replaced_in_the_form(desk: Desk) -> None:
    await desk.history.consortia.save("Mine", MINE, CHANNEL)
    await desk.do(UseConsortium(name="Mine"))
    await desk.do(ChannelDefault(name="Mine"), moderates=True)
    await desk.history.consortia.remove("Mine", CHANNEL)
    form = await desk.form(SettingsCommand())
    assert form.inputs[0].value == ("",)
    assert form.inputs[0].options[0].label == "as in this channel: default"
    assert "Mine, which you chose here, is not there any more, so default is asked." in form.intro
    summed_up = await desk.service.submit(form.action, filled(form), inbound())
    assert isinstance(summed_up, Reply)
    assert "- Consortium: **default** (the default here)" in summed_up.text
    assert "Mine, the default of this channel, is not there any more" in summed_up.text
    await desk.service.submit(form.action, filled(form, consortium=("default",)), inbound())
    assert (await desk.ask()).consortium == "default"


async def test_what_is_chosen_stands_among_the_first_of_many(desk: Desk) -> None:
    for number in range(30):
        await desk.history.consortia.save(f"c{number:02}", MINE, CHANNEL)
    await desk.do(UseConsortium(name="c29"))
    asked = (await desk.form(SettingsCommand())).inputs[0]
    assert [option.value for option in asked.options[:3]] == ["", "c29", "default"]
    assert len(asked.options) == 32


async def test_the_form_tells_of_simulated_consortia(state: State, history: SqlHistory) -> None:
    simulated: dict[str, Any] = {"provider": "simulated", "name": "optimist"}
    models = {"x": simulated, "y": {**simulated, "name": "skeptic"}}
    of_file = catalog().model_validate({"models": models, "consortia": {"default": {"members": ["x"], "arbiter": "y"}}})
    form = await Desk(state, history, models=of_file).form(SettingsCommand())
    assert [option.label for option in form.inputs[0].options[1:]] == ["default (simulated)"]
