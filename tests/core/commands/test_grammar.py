from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.catalog import BUILT_IN_ROLES
from core.commands.grammar import COMMANDS, USAGES, help_text, parse, parse_message, split_roles
from core.commands.values import (
    AskCommand,
    AssignRole,
    ClearRoles,
    Command,
    HelpCommand,
    HistoryCommand,
    ModelsCommand,
    RolesCommand,
    ShuffleRoles,
)
from core.errors import BadInput, Refused, UnknownCommand

QUESTION = "Should remote work be the default?"


@pytest.mark.parametrize(
    ("typed", "command"),
    [
        ("", HelpCommand()),
        ("help", HelpCommand()),
        ("HELP roles", HelpCommand()),
        (f"ask {QUESTION}", AskCommand(text=QUESTION)),
        (f"Ask   {QUESTION}  ", AskCommand(text=QUESTION)),
        (f'ask "{QUESTION}"', AskCommand(text=QUESTION)),
        (f"ask “{QUESTION}”", AskCommand(text=QUESTION)),
        ('ask "yes" or "no"', AskCommand(text='"yes" or "no"')),
        (f"ask\n{QUESTION}", AskCommand(text=QUESTION)),
        ("ask\tWhy?\n\n```\ncode  with  spaces\n```", AskCommand(text="Why?\n\n```\ncode  with  spaces\n```")),
        (QUESTION, AskCommand(text=QUESTION)),
        ("ask --consortium quick Why now?", AskCommand(text="Why now?", consortium="quick")),
        ("ask --consortium=quick Why now?", AskCommand(text="Why now?", consortium="quick")),
        ("ask —domain policy Why now?", AskCommand(text="Why now?", domain="policy")),  # as phones write it
        ("ask --no-charts\nWhy now?", AskCommand(text="Why now?", charts=False)),
        (
            "ask --no-charts --domain policy --consortium quick Why --domain?",
            AskCommand(text="Why --domain?", charts=False, domain="policy", consortium="quick"),
        ),
        ("ask -5 + 3 is what?", AskCommand(text="-5 + 3 is what?")),
        ("history", HistoryCommand()),
        ("history 3", HistoryCommand(page=3)),
        ("roles", RolesCommand()),
        ("roles list", RolesCommand()),
        ("roles assign llama Virtue Ethicist", AssignRole(model="llama", role="Virtue Ethicist")),
        ('roles  assign  llama  "a tired nurse"', AssignRole(model="llama", role="a tired nurse")),
        ("roles clear", ClearRoles()),
        ("roles clear llama", ClearRoles(model="llama")),
        ("roles shuffle Utilitarian, Rawlsian", ShuffleRoles(roles="Utilitarian, Rawlsian")),
        ("models", ModelsCommand()),
    ],
)
def test_what_is_typed_becomes_a_command(typed: str, command: Command) -> None:
    assert parse(typed) == command


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("ask", "There is no question"),
        ("ask --no-charts", "There is no question"),
        ('ask ""', "There is no question"),
        ("ask --consortium", "needs a name"),
        ("ask --color red Why?", "`--consortium name`, `--domain name` and `--no-charts`"),
        ("history 0", "write `history` or `history 2`"),
        ("history two", "`two` is not a page"),
        ("history 99999999999999999999", "is not a page"),
        ("roles give llama Rawlsian", "`assign`, `clear` and `shuffle`"),
        ("roles assign llama", "e.g. `roles assign llama Utilitarian`"),
        ("roles assign llama " + "x" * 501, "at most 500 characters"),
        ("roles shuffle", "e.g. `roles shuffle"),
        ("models now", "takes nothing behind it"),
    ],
)
def test_a_command_that_is_off_is_told_how_to_write_it(typed: str, hint: str) -> None:
    with pytest.raises(BadInput) as refusal:
        parse(typed)
    assert hint in str(refusal.value)


def test_an_unknown_command_names_the_nearest() -> None:
    with pytest.raises(UnknownCommand, match=r"`histroy`\. Did you mean `history`"):
        parse("histroy")
    with pytest.raises(UnknownCommand, match="Write `help`"):
        parse("sing")


def test_words_of_people_are_quoted_on_one_short_line() -> None:
    with pytest.raises(UnknownCommand) as refusal:
        parse("`" + "x" * 500)
    assert "```" not in str(refusal.value).replace("`help`", "").replace("`ask`", "")
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    ("said", "command"),
    [
        ("history 2", HistoryCommand(page=2)),
        ("help", HelpCommand()),
        ("", HelpCommand()),
        (f"ask --no-charts {QUESTION}", AskCommand(text=QUESTION, charts=False)),
        (QUESTION, AskCommand(text=QUESTION)),
        ("Why?", AskCommand(text="Why?")),
        ("history of Rome, in short", AskCommand(text="history of Rome, in short")),
        ("help me choose a laptop", AskCommand(text="help me choose a laptop")),
        ("Models are trained how?", AskCommand(text="Models are trained how?")),
        ("roles of women in Rome", AskCommand(text="roles of women in Rome")),
        ("rules of chess", AskCommand(text="rules of chess")),
    ],
)
def test_a_mention_is_a_command_only_as_a_whole(said: str, command: Command) -> None:
    assert parse_message(said) == command


def test_every_command_is_in_the_help_once_and_can_be_written_as_the_help_says() -> None:
    usages = [usage.usage for usage in USAGES]
    assert len(set(usages)) == len(usages)
    assert tuple(dict.fromkeys(u.name for u in USAGES)) == COMMANDS
    text = help_text("/panel")
    for usage in USAGES:
        assert text.count(f"- `/panel {usage.usage}`: {usage.does}") == 1
        written = usage.usage.replace("[page]", "2").replace("[", "").replace("]", "").replace("name", "x")
        assert not isinstance(parse(written), HelpCommand) or usage.name == "help"


def test_the_help_without_a_prefix_has_no_stray_blank() -> None:
    assert "`ask [" in help_text("")


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("Utilitarian, Rawlsian", ("Utilitarian", "Rawlsian")),
        ("a tired nurse, “a lawyer”,", ("a tired nurse", "a lawyer")),
        ("virtue ethicist Rawlsian", ("virtue ethicist", "Rawlsian")),
        ("Rawlsianism Libertarian", ("Rawlsianism", "Libertarian")),
        ('"tired nurse" pirate', ("tired nurse", "pirate")),
        ("“tired nurse” pirate", ("tired nurse", "pirate")),
    ],
)
def test_roles_to_deal(typed: str, names: tuple[str, ...]) -> None:
    assert split_roles(typed, BUILT_IN_ROLES) == names


@given(st.text(max_size=80) | st.lists(st.sampled_from([*COMMANDS, "--no-charts", "--domain=x", "\n", '"', "--", "2"])))
def test_nothing_that_is_typed_breaks_the_grammar(typed: str | list[str]) -> None:
    text = typed if isinstance(typed, str) else " ".join(typed)
    with suppress(Refused):
        parse(text)
    command = parse_message(text)
    assert not isinstance(command, AskCommand) or command.text or not text.strip()
