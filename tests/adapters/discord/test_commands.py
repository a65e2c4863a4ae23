"""The slash commands as Discord lists and offers them, what is made of them, and what loading the adapter costs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from adapters.discord import limits
from adapters.discord.commands import SUBS, Invocation, payloads, slash_help
from adapters.discord.library import Route, point_at
from core.commands import values
from core.commands.grammar import COMMANDS
from core.commands.values import Command
from core.errors import BadInput, UnknownCommand
from tests.emulators.discord.commands import _characters, _problems

SLASH, MENU = payloads()


def walk(options: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for option in options:
        yield option
        yield from walk(option.get("options", []))


def used(words: str, **given: Any) -> Command:
    """What comes of a slash command with options."""
    kinds = {option.name: option.kind for sub in SUBS if sub.words == words for option in sub.options}
    options = [{"name": name, "type": kinds.get(name, 3), "value": value} for name, value in given.items()]
    for number, word in enumerate(reversed(words.split())):
        options = [{"name": word, "type": 2 if number else 1, "options": options}]
    return Invocation({"options": options}).command()


def test_every_command_of_the_grammar_is_there() -> None:
    listed = {option["name"] for option in SLASH["options"]}
    assert listed == set(COMMANDS) - {"audit"}
    [access] = [option for option in SLASH["options"] if option["name"] == "access"]
    assert [option["name"] for option in access["options"]] == ["list", "allow", "block", "lift", "audit"]


def test_discord_takes_them() -> None:
    assert [problem for command in (SLASH, MENU) for problem in _problems(command, ())] == []
    assert len(SLASH["options"]) <= 25
    assert _characters(SLASH) <= 4000, "half of what Discord takes"


def test_every_name_and_description_is_there_and_fits() -> None:
    for part in walk(SLASH["options"]):
        assert 1 <= len(part["description"]) <= limits.DESCRIPTION
        assert part["name"] == part["name"].lower()
        assert len(part["name"]) <= 32


CASES: list[tuple[str, dict[str, Any], Command]] = [
    ("stop", {}, values.StopCommand()),
    ("stop", {"run": "abc"}, values.StopCommand(run="abc")),
    ("examples", {"domain": "science"}, values.ExamplesCommand(domain="science")),
    ("help", {"command": "ask"}, values.HelpCommand(topic="ask")),
    ("history", {"search": "two words", "page": 3}, values.HistoryCommand(search="two words", page=3)),
    ("show", {"what": "deep"}, values.ShowCommand(what="deep")),
    ("delete", {"run": "abc"}, values.DeleteRun(run="abc")),
    ("export", {}, values.ExportCommand()),
    ("forget-me", {}, values.ForgetMe()),
    ("usage", {}, values.UsageCommand()),
    ("settings", {}, values.SettingsCommand()),
    ("use", {"consortium": "deep"}, values.UseConsortium(name="deep")),
    ("use", {"consortium": "none"}, values.UseConsortium()),
    ("strategy", {"strategy": "voting"}, values.SetStrategy(name="voting")),
    ("domain", {}, values.SetDomain()),
    ("type", {"type": "yes-no"}, values.SetType(question_type="yes-no")),
    ("type", {"type": "none"}, values.SetType()),
    ("roles list", {}, values.RolesCommand()),
    ("roles assign", {"model": "a", "role": "a nurse"}, values.AssignRole(model="a", role="a nurse")),
    ("roles clear", {}, values.ClearRoles()),
    ("roles shuffle", {"roles": "a, b"}, values.ShuffleRoles(roles="a, b")),
    ("list", {}, values.ListConsortia()),
    ("save", {}, values.SaveConsortium()),
    ("save", {"name": "mine"}, values.SaveConsortium(name="mine")),
    (
        "save",
        {"name": "mine", "members": "a, b:2", "arbiter": "c", "strategy": "voting", "confidence": "0.8"},
        values.SaveConsortium(
            name="mine", members=("a", "b:2"), arbiter="c", strategy="voting", limits="confidence 0.8"
        ),
    ),
    ("remove", {"consortium": "mine"}, values.RemoveConsortium(name="mine")),
    ("channel-default", {}, values.ChannelDefault()),
    ("models list", {}, values.ModelsCommand()),
    ("models reset", {"model": "a"}, values.ResetModel(model="a")),
    ("leaderboard", {"consortium": "deep"}, values.LeaderboardCommand(consortium="deep")),
    ("access list", {}, values.AccessCommand()),
    (
        "access allow",
        {"right": "save", "role": "7"},
        values.ChangeAccess(effect="allow", right="save", subject="role:7"),
    ),
    (
        "access block",
        {"right": "ask", "channel": "9"},
        values.ChangeAccess(effect="block", right="ask", subject="channel:9"),
    ),
    ("access lift", {"number": 2}, values.LiftRule(number=2)),
    ("access audit", {"page": 2}, values.AuditCommand(page=2)),
    ("budget list", {}, values.BudgetCommand()),
    (
        "budget set",
        {"scope": "user", "period": "day", "amount": "20k tokens", "user": "5"},
        values.SetBudget(scope="user", period="day", tokens=20_000, subject="user:5"),
    ),
    (
        "budget set",
        {"scope": "workspace", "period": "month", "amount": "$5"},
        values.SetBudget(scope="workspace", period="month", dollars=5),
    ),
    ("budget confirm", {"amount": "off"}, values.SetConfirmation()),
    ("retention", {}, values.SetRetention(show=True)),
    ("retention", {"days": "90"}, values.SetRetention(days=90)),
]


@pytest.mark.parametrize(("words", "given", "command"), CASES)
def test_what_is_used_becomes_a_command(words: str, given: dict[str, Any], command: Command) -> None:
    assert used(words, **given) == command


def test_an_ask_has_all_its_options() -> None:
    given = {"question": "Why?", "type": "number", "models": "a, b:2", "charts": False, "arbiter": "c", "domain": "d"}
    assert used("ask", **given) == values.AskCommand(
        text="Why?", question_type="number", models=("a", "b:2"), charts=False, arbiter="c", domain="d"
    )


def test_every_sub_command_is_walked_here() -> None:
    assert {sub.words for sub in SUBS} - {words for words, _, _ in CASES} == {"ask"}


@pytest.mark.parametrize(
    ("words", "given", "said"),
    [
        ("access allow", {"right": "ask"}, "choose a user, a role or a channel"),
        ("access allow", {"right": "ask", "user": "1", "role": "2"}, "one only"),
        ("budget set", {"scope": "user", "period": "day", "amount": "5", "channel": "1"}, "a user for a user's"),
        ("budget confirm", {"amount": "5 tokens a day"}, "is no amount"),
        ("budget confirm", {"amount": "lots"}, "Write an amount"),
        ("retention", {"days": "soon"}, "number of days"),
    ],
)
def test_what_cannot_be_meant_is_told(words: str, given: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        used(words, **given)


def test_a_command_of_an_earlier_version_is_told() -> None:
    with pytest.raises(UnknownCommand, match="gone"):
        used("invent")


def test_options_that_take_names_are_completed() -> None:
    completed = {part["name"] for part in walk(SLASH["options"]) if part.get("autocomplete")}
    names = {"consortium", "domain", "strategy", "arbiter", "model", "role", "run", "what", "command"}
    assert completed == names


def test_what_is_typed_says_what_may_be_offered() -> None:
    options = [{"name": "question", "type": 3, "value": "Why?"}]
    options.append({"name": "consortium", "type": 3, "value": "de", "focused": True})
    typing = Invocation({"options": [{"name": "ask", "type": 1, "options": options}]}).typing()
    assert typing == (("consortium",), "de")


def test_the_help_lists_every_sub_command_and_every_option() -> None:
    assert "`/consortium ask question: …`" in slash_help(None)
    assert len(slash_help(None)) < 1500
    assert "`/consortium budget set scope: …" in slash_help("administer")
    told = slash_help("all")
    assert all(f"`{sub.usage}`" in told for sub in SUBS)
    for command in COMMANDS:
        about = slash_help(command)
        mine = [sub for sub in SUBS if sub.usage in about]
        assert mine
        assert all(f"`{option.name}`" in about for sub in mine for option in sub.options)


def test_addresses_are_put_back() -> None:
    before = Route.BASE
    undo = point_at("http://127.0.0.1:1/api/v10/", None)
    assert Route("GET", "/x").url == "http://127.0.0.1:1/api/v10/x"
    undo()
    assert before == Route.BASE


def test_the_package_alone_loads_no_library() -> None:
    code = "import sys, adapters.discord; sys.exit('discord' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
