"""The whole tree of commands: each tells what it does, with examples that its own parser takes."""

from __future__ import annotations

import inspect
import re
import shlex
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from bot import cli

TREE: Any = get_command(cli.app)
NAMES = [name for commands in cli.COMMANDS.values() for name in commands]
LONG_RUNNING = {"serve", "worker", "demo"}
JSON_ANYWAY = {"manifest"}


def example_lines(text: str) -> list[str]:
    return re.findall(r"^\s+((?:.*\| )?(?:[A-Z_]+=\S+ )?consortium .*)$", text.partition("Examples:")[2], re.MULTILINE)


def test_commands_are_named_once_and_all_are_there() -> None:
    assert len(NAMES) == len(set(NAMES))
    assert set(NAMES) == set(TREE.commands)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_explains_itself_with_examples(name: str) -> None:
    shown = CliRunner().invoke(cli.app, [name, "--help"])
    assert shown.exit_code == 0
    first = inspect.cleandoc(TREE.commands[name].callback.__doc__).splitlines()[0]
    assert first[0].isupper()
    assert first.endswith(".")
    assert example_lines(shown.output), "an Examples part"
    assert not set(shown.output) & set("╭│─╮\x1b"), "plain in a pipe"


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_explained(name: str) -> None:
    assert [p.name for p in TREE.commands[name].params if not getattr(p, "help", None)] == []


@pytest.mark.parametrize("name", sorted(set(NAMES) - LONG_RUNNING - JSON_ANYWAY))
def test_every_command_that_ends_gives_json(name: str) -> None:
    assert "--json" in {option for p in TREE.commands[name].params for option in p.opts}


@pytest.mark.parametrize("name", NAMES)
def test_examples_can_be_written_as_they_stand(name: str) -> None:
    text = inspect.cleandoc(TREE.commands[name].callback.__doc__)
    for line in example_lines(text):
        words = shlex.split(re.split(r" > | \| (?!consortium)", line)[0].partition("consortium ")[2])
        command = TREE.commands[words[0]]
        with command.make_context(words[0], words[1:]) as context:
            assert context.params is not None


def test_help_lists_the_commands_by_topic() -> None:
    shown = CliRunner().invoke(cli.app, ["--help"], terminal_width=100).output
    for topic, commands in cli.COMMANDS.items():
        section = shown.partition(f"{topic}:\n")[2].partition("\n\n")[0]
        assert [line.split()[0] for line in section.splitlines()] == list(commands)
        assert "..." not in section, "short enough for its line"
