"""What others must not reach by guessing ids, forging buttons, or being an administrator elsewhere."""

from __future__ import annotations

from typing import get_args

import pytest

from core.asks import Person, Platform, ThreadRef
from core.cards import Reply
from core.commands import actions
from core.commands.values import AskCommand, Command
from core.errors import Refused
from core.setup import ConsortiumSpec
from core.types import Run, RunStatus
from tests.core.conftest import history, state, valkey_url
from tests.core.service.conftest import ANN, CHANNEL, DIRECT, Desk, desk, inbound

__all__ = ["desk", "history", "state", "valkey_url"]

EVE = Person(id="U666", name="Eve")
SECRET = "the merger with Initech"
FOREIGN = CHANNEL.model_copy(update={"workspace": "T2"})
PLACES: dict[str, ThreadRef] = {
    "the same direct message": DIRECT,
    "another channel": CHANNEL.model_copy(update={"channel": "C2"}),
    "her direct message": DIRECT.model_copy(update={"channel": "D2"}),
    "another workspace": FOREIGN,
    "another platform": CHANNEL.model_copy(update={"platform": Platform.DISCORD}),
    "the page": CHANNEL.model_copy(update={"platform": Platform.WEB}),
}
NAMING = sorted(verb for verb, (_, fields) in actions._VERBS.items() if {"run", "draft", "what"} & set(fields))
"""Buttons that name a thing of somebody's."""


async def asked(desk: Desk) -> Run:
    run = await desk.do(AskCommand(text=f"Should we go on with {SECRET}?"), ANN, DIRECT)
    assert isinstance(run, Run)
    return run


def forged(verb: str, thing: str) -> list[str]:
    """The button with that id, as somebody may write it who has read the code: confirmed, pages turned."""
    _, fields = actions._VERBS[verb]
    return [f"{verb}:{thing}", *([f"{verb}:{thing}:1"] if len(fields) > 1 else [])]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("verb", [verb for verb in NAMING if verb not in ("confirm", "discard", "reopen")])
async def test_a_guessed_id_of_a_run_shows_and_changes_nothing(desk: Desk, verb: str, place: str) -> None:
    run = await asked(desk)
    for action in forged(verb, run.id):
        # An administrator elsewhere is nobody here; the same direct message is only ever hers by a forged payload.
        manages = PLACES[place].workspace != CHANNEL.workspace
        with pytest.raises(Refused) as refused:
            await desk.service.press(action, inbound(EVE, PLACES[place], manages=manages))
        assert SECRET not in str(refused.value)
    assert await desk.history.run(run.id) == run
    assert [ask.id for ask in desk.queue.asks] == [run.id]


async def test_a_forged_follow_up_goes_on_from_nothing_private(desk: Desk) -> None:
    """Threads of a channel that are private, named by whoever is in the channel."""
    there = CHANNEL.model_copy(update={"thread": "7", "private": True})
    run = await desk.do(AskCommand(text=SECRET), ANN, there)
    assert isinstance(run, Run)
    from_outside = there.model_copy(update={"private": False})
    assert await desk.service.follow_up("What did she say?", inbound(EVE, from_outside), named=True) is None
    assert [ask.id for ask in desk.queue.asks] == [run.id]
    assert isinstance(await desk.service.follow_up("And then?", inbound(ANN, there), named=True), Run)


async def test_an_administrator_stops_others_runs_here_without_being_shown_them(desk: Desk) -> None:
    run = await asked(desk)
    desk.queue.waits = True
    reply = await desk.service.press(f"stop:{run.id}", inbound(EVE, CHANNEL, manages=True))
    assert isinstance(reply, Reply)
    ended = await desk.history.run(run.id)
    assert ended is not None
    assert ended.status is RunStatus.CANCELLED


@pytest.mark.parametrize("verb", ["confirm", "discard", "reopen"])
async def test_what_waits_for_somebody_is_not_for_others(desk: Desk, verb: str) -> None:
    await desk.governance.set_confirmation(DIRECT, ANN, dollars=None, tokens=1)
    held = await desk.reply(AskCommand(text=f"What of {SECRET}?"), ANN, DIRECT)
    [confirm, _] = held.buttons[0]
    draft = confirm.action.partition(":")[2]
    for place in PLACES.values():
        with pytest.raises(Refused) as refused:
            await desk.service.press(f"{verb}:{draft}", inbound(EVE, place, manages=True))
        assert SECRET not in str(refused.value)
    assert isinstance(await desk.service.press(confirm.action, inbound(ANN, DIRECT)), Run), "it waits for her still"


@pytest.mark.parametrize(
    "action",
    [
        "",
        ":",
        "confirm",
        "stop:x:y:z",
        "answers:" + "a" * 200,
        "drop:runs",
        "__init__",
        "delete:..%2f..",
        "show:%00",
        "answers:\n",
    ],
)
async def test_buttons_that_were_never_made_are_refused_in_words(desk: Desk, action: str) -> None:
    with pytest.raises(Refused) as refused:
        await desk.service.press(action, inbound(EVE, CHANNEL))
    assert str(refused.value)
    assert "Traceback" not in str(refused.value)


async def test_somebody_who_knows_an_event_cannot_have_its_run(desk: Desk) -> None:
    """Ids of runs follow from those of events: who makes one up gets what they may see, which is nothing."""
    event = ("slack:event:Ev1",)
    run = await desk.do(AskCommand(text=SECRET), ANN, DIRECT, event_ids=event)
    assert isinstance(run, Run)
    assert inbound(EVE, event_ids=event).run_id == run.id
    with pytest.raises(Refused):
        await desk.do(AskCommand(text="Mine?"), EVE, FOREIGN, event_ids=event)


def test_no_command_takes_an_address() -> None:
    """Where models are asked stands in the operator's file; nothing that people write leads elsewhere."""
    names = {name for command in get_args(Command) for name in command.model_fields}
    assert not {name for name in names if any(word in name for word in ("url", "host", "address", "endpoint", "proxy"))}
    assert not {name for name in ConsortiumSpec.model_fields if "url" in name or "provider" in name}
