"""The command line: every command by topic, and the one place where an error ends a program with a line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from bot.commands import asking, backup, checks, consortia, joining, learning, overview, running, runs
from bot.commands.base import spare_collections

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter

__all__ = ["app", "main", "spare_collections"]

COMMANDS: dict[str, dict[str, Callable[..., Any]]] = {
    "Ask": {
        "ask": asking.ask,
        "models": overview.models,
        "strategies": overview.strategies,
    },
    "Consortia": {
        "save": consortia.save,
        "update": consortia.update,
        "list": consortia.list_,
        "show": consortia.show,
        "remove": consortia.remove,
        "default": consortia.default,
    },
    "Runs": {
        "runs": runs.runs,
        "run": runs.run_,
        "charts": runs.charts,
        "export": runs.export,
    },
    "Learn": {
        "leaderboard": learning.leaderboard,
        "calibrate": learning.calibrate,
    },
    "Operate": {
        "manifest": joining.manifest,
        "invite": joining.invite,
        "key": joining.key,
        "doctor": checks.doctor,
        "backup": backup.backup,
        "restore": backup.restore,
        "serve": running.serve,
        "worker": running.worker,
        "demo": running.demo,
    },
}
"""The commands by topic."""


class _ByTopic(TyperGroup):
    """Help that lists commands by topic in a pipe too, where there are no frames around them."""

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        for topic, commands in COMMANDS.items():
            with formatter.section(topic):
                width = formatter.width - 20
                formatter.write_dl([(name, self.commands[name].get_short_help_str(width)) for name in commands])

    def list_commands(self, ctx: Context) -> list[str]:
        return [name for commands in COMMANDS.values() for name in commands]


app = typer.Typer(
    name="consortium",
    cls=_ByTopic,
    help="Ask a panel of language models one question and get one honest answer.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich" if sys.stdout is not None and sys.stdout.isatty() else None,
    pretty_exceptions_enable=False,
)
for topic, commands in COMMANDS.items():
    for name, command in commands.items():
        app.command(name, rich_help_panel=topic)(command)


def main() -> None:
    """Run the command line. Errors that we know end it with a line, not with a stack trace."""
    try:
        app(standalone_mode=True)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whoever read has gone: the last flush must not fail again
        sys.exit(141)
    except Exception as error:  # noqa: BLE001 - told in a line, with its trace for those who ask for it
        from core.errors import ConsortiumError  # not before there is one: help needs no value of ours

        lines = str(error).splitlines() if isinstance(error, ConsortiumError) else _ours(error)
        for line in lines:
            print(f"consortium: {line}", file=sys.stderr)
        sys.exit(2)


def _ours(error: Exception) -> list[str]:
    """An error that nobody foresaw. Its stack trace is for those who asked for one."""
    if _debugging():
        raise error
    what = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".removesuffix(": ")
    return [f"Something went wrong on our side ({what}); LOG_LEVEL=DEBUG shows where."]


def _debugging() -> bool:
    from bot.settings import load_settings

    with suppress(Exception):
        return load_settings().log_level == "DEBUG"
    return False


def _version(wanted: bool) -> None:
    if wanted:
        print(f"consortium {version('consortium-bot')}")
        raise typer.Exit


@app.callback()
def _common(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    """Ask a panel of language models one question and get one honest answer."""
