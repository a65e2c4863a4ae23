"""What people set."""

from __future__ import annotations

import pytest

from core.commands.values import (
    AssignRole,
    ClearRoles,
    RolesCommand,
    ShuffleRoles,
)
from core.errors import NotFound
from tests.core.service.conftest import ANN, BOB, CHANNEL, Desk


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
