"""The slash commands as Discord would list and offer them, and what loading the adapter costs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from adapters.discord import limits
from adapters.discord.commands import Interaction, Tree, choices, named
from adapters.discord.library import Route, discord, point_at
from core.catalog import Catalog
from core.commands.grammar import COMMANDS
from core.commands.values import Command

CATALOG = Catalog.model_validate(
    {
        "models": {"pragmatist": {"provider": "simulated", "name": "pragmatist"}},
        "consortia": {"default": {"members": ["pragmatist"], "arbiter": "pragmatist"}},
    }
)


async def _unused(*_: object) -> None:
    raise AssertionError("nothing is invoked here")


@pytest.fixture
def listed() -> list[dict[str, Any]]:
    async def handle(interaction: Interaction, command: Command) -> None:
        await _unused(interaction, command)

    tree = Tree(discord.Client(intents=discord.Intents.none()), CATALOG, handle, _unused)
    return [command.to_dict(tree) for command in tree.get_commands()]


def walk(options: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for option in options:
        yield option
        yield from walk(option.get("options", []))


def test_every_command_of_the_grammar_is_there(listed: list[dict[str, Any]]) -> None:
    [group] = listed
    assert group["name"] == "consortium"
    assert {option["name"] for option in group["options"]} == set(COMMANDS)
    [roles] = [option for option in group["options"] if option["name"] == "roles"]
    assert [option["name"] for option in roles["options"]] == ["list", "assign", "clear", "shuffle"]


def test_every_name_and_description_is_there_and_fits(listed: list[dict[str, Any]]) -> None:
    for part in walk(listed):
        assert 1 <= len(part["description"]) <= limits.DESCRIPTION
        assert part["name"] == part["name"].lower()
        assert len(part["name"]) <= 32


def test_options_that_take_names_are_completed(listed: list[dict[str, Any]]) -> None:
    completed = {part["name"] for part in walk(listed) if part.get("autocomplete")}
    assert completed == {"consortium", "domain", "model", "role"}


def test_choices_hold_what_was_typed_best_first() -> None:
    found = named(["unsure", "Sure", "other"], " SUR")
    assert [choice.value for choice in found] == ["Sure", "unsure"]


def test_choices_keep_to_the_limits() -> None:
    many = {f"value {n}": "label " * 30 for n in range(40)}
    found = choices({"x" * 101: "label too", **many}, "label")
    assert len(found) == limits.CHOICES
    assert all(len(choice.name) <= limits.CHOICE and len(choice.value) <= limits.CHOICE for choice in found)


def test_addresses_are_put_back() -> None:
    before = Route.BASE
    undo = point_at("http://127.0.0.1:1/api/v10/", None)
    assert Route("GET", "/x").url == "http://127.0.0.1:1/api/v10/x"
    undo()
    assert before == Route.BASE


def test_the_package_alone_loads_no_library() -> None:
    code = "import sys, adapters.discord; sys.exit('discord' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
