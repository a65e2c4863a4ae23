from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.commands import actions, values
from core.commands.actions import MOST, decode, encode, submitted
from core.commands.values import Command
from core.errors import Refused, UnknownCommand

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


def coded() -> st.SearchStrategy[Command]:
    """Any command that has a coded form, with whatever it may say."""

    def of(made: type[Any], fields: tuple[str, ...]) -> st.SearchStrategy[Any]:
        kinds = {name: made.model_fields[name].annotation for name in fields}
        by_kind = {bool: st.booleans(), int: st.integers(1, 10_000), str: TEXTS, str | None: st.none() | TEXTS}
        return st.builds(made, **{name: by_kind[kind] for name, kind in kinds.items()})

    return st.one_of(*(of(made, fields) for made, fields in actions._VERBS.values()))


@given(coded())
def test_what_a_button_carries_is_what_it_said(command: Command) -> None:
    try:
        action = encode(command)
    except ValueError as error:
        assert "at most 100" in str(error)  # noqa: PT017 - it may or may not be raised
        return
    assert len(action) <= MOST
    assert action.isascii()
    assert decode(action) == command


@given(st.text(max_size=120) | st.lists(st.sampled_from([*actions._VERBS, ":", "r1", "1", "0", "-1", "%", "%FF"])))
def test_no_action_breaks_the_reading(made_up: str | list[str]) -> None:
    action = made_up if isinstance(made_up, str) else "".join(made_up)
    for filled in ({}, {"members": ("a, b",), "reason": ("",), "show": ("x",), "strategy": ("a" * 500,)}):
        with suppress(Refused):
            submitted(action, filled)
    with suppress(Refused):
        decode(action)


@pytest.mark.parametrize(
    "action",
    [
        "",
        "sing",
        "answers",
        "answers:r1:0",
        "answers:r1:x",
        "answers:r1:1:2",
        "history:-1",
        "example:policy:0",
        "a" * 101,
    ],
)
def test_what_no_button_of_ours_says_is_refused(action: str) -> None:
    with pytest.raises(UnknownCommand, match="Write `help`"):
        decode(action)


@pytest.mark.parametrize(
    "command",
    [
        values.AskCommand(text="Why?"),
        values.AskAgain(run="r1", consortium="ethics"),
        values.SaveConsortium(name="ethics", members=("a",)),
        values.ShowCommand(what="x" * 120),
        values.StopCommand(run=""),
    ],
    ids=lambda command: type(command).__name__,
)
def test_a_command_that_no_button_can_carry_whole_is_an_error_of_ours(command: Command) -> None:
    with pytest.raises(ValueError, match=r"has no coded form|does not say all|at most"):
        encode(command)


@pytest.mark.parametrize(
    ("opener", "filled", "command"),
    [
        (
            values.AskAgain(run="r1"),
            {"strategy": ("voting",), "consortium": ("",)},
            values.AskAgain(run="r1", chosen=True, strategy="voting"),
        ),
        (
            values.SettingsCommand(),
            {"domain": ("policy",), "question_type": ("yes-no",), "show": ("charts", "long")},
            values.ChangeSettings(domain="policy", question_type="yes-no", show=("charts", "long")),
        ),
        (
            values.SaveConsortium(name="old"),
            {"members": ("a", "b:2, c"), "arbiter": (" j ",)},
            values.SaveConsortium(name="old", members=("a", "b:2", "c"), arbiter="j"),
        ),
        (
            values.FeedbackReason(run="r1"),
            {"reason": (" Too long. ",)},
            values.FeedbackReason(run="r1", reason="Too long."),
        ),
    ],
    ids=["again", "settings", "save", "reason"],
)
def test_a_form_that_is_filled_in(opener: Command, filled: actions.Values, command: Command) -> None:
    assert submitted(encode(opener), filled) == command


def test_a_form_with_what_cannot_be_chosen_is_refused() -> None:
    with pytest.raises(Refused, match="open it again"):
        submitted("settings", {"question_type": ("essay",)})
    with pytest.raises(Refused, match="open it again"):
        submitted("answers:r1", {})
