"""The command line: ``consortium ask``, ``serve``, ``worker``, ``demo``, ``models``."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Coroutine
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from core.errors import ConsortiumError

app = typer.Typer(
    name="consortium",
    help="Ask a panel of language models one question and get one honest answer.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line. Errors that we know end it with a line, not with a stack trace."""
    try:
        app(standalone_mode=True)
    except ConsortiumError as error:
        for line in str(error).splitlines():
            print(f"consortium: {line}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"consortium {version('consortium-bot')}")
        raise typer.Exit


@app.callback()
def _common(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    """Ask a panel of language models one question and get one honest answer."""


@app.command()
def ask(
    question: Annotated[
        list[str] | None, typer.Argument(help="The question; from standard input when left out.")
    ] = None,
    consortium: Annotated[str | None, typer.Option(help="Which consortium to ask.")] = None,
    domain: Annotated[str | None, typer.Option(help="The field that the question belongs to.")] = None,
    charts: Annotated[bool, typer.Option(help="Draw the charts.")] = True,
    charts_dir: Annotated[Path | None, typer.Option(help="Where charts go; DATA_DIR/charts when left out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole run as JSON.")] = False,
) -> None:
    """Ask the panel and print its answer.

    Examples: `consortium ask "Should remote work be the default?"`,
    `consortium ask --consortium quick --json "Is 91 prime?"`,
    `cat question.txt | consortium ask`
    """
    text = " ".join(question or []) or ("" if sys.stdin.isatty() else sys.stdin.read())
    _run(_ask(text, consortium, domain, charts, charts_dir, as_json), log_level="WARNING")


async def _ask(
    text: str, consortium: str | None, domain: str | None, charts: bool, charts_dir: Path | None, as_json: bool
) -> None:
    from bot.app import open_core
    from bot.config import load_catalog
    from bot.console import ConsolePresenter, JsonPresenter
    from bot.processes import ask_in_terminal
    from bot.settings import load_settings
    from core.commands import AskCommand

    settings = load_settings().hasty
    command = AskCommand(text=text, consortium=consortium, domain=domain, charts=charts)
    # A queue of its own: another process with other models must not take this run.
    async with open_core(settings, load_catalog(settings), queue=f"cli-{os.getpid()}") as core:
        folder = charts_dir or settings.data_dir / "charts"
        presenter = JsonPresenter(folder) if as_json else ConsolePresenter(folder)
        run = await ask_in_terminal(core, command, presenter)
    if as_json:
        print(run.model_dump_json(indent=2))
    presenter.check()


@app.command()
def serve(
    work: Annotated[bool, typer.Option(help="Carry out runs in this process too.")] = True,
) -> None:
    """Hold Slack, Discord and the page, and carry out runs.

    What is not configured is left out; the page is always there. Example: `PORT=9000 consortium serve`
    """
    from bot.processes import serve as run

    settings, catalog = _configured()
    _run(run(settings, catalog, work=work), log_level=settings.log_level, json=settings.log_json)


@app.command()
def worker() -> None:
    """Carry out runs that other processes take in.

    Example: `REDIS_URL=redis://127.0.0.1:6379/0 consortium worker`
    """
    from bot.processes import worker as run

    settings, catalog = _configured()
    _run(run(settings, catalog), log_level=settings.log_level, json=settings.log_json)


@app.command()
def demo(
    question: Annotated[str, typer.Argument(help="What to ask first.")] = "Should remote work be the default?",
    stay: Annotated[bool, typer.Option(help="Serve the page afterwards.")] = True,
) -> None:
    """Ask one question here, then serve the page. Needs no key: members are then simulated.

    Examples: `consortium demo`, `consortium demo --no-stay "Is water wet?"`
    """
    from bot.processes import demo as run

    settings, catalog = _configured()
    _run(run(settings.hasty, catalog, question=question, stay=stay), log_level="WARNING")


@app.command()
def models() -> None:
    """Show the models and consortia that are configured, with the state of each breaker."""
    _run(_models(), log_level="WARNING")


async def _models() -> None:
    from bot.app import open_core
    from core.present import models_text

    settings, catalog = _configured()
    async with open_core(settings, catalog, work=False) as core:
        states = {key: await core.state.breakers().state(key) for key in catalog.models}
    print(models_text(catalog, states, "default").replace("**", ""))


def _configured() -> tuple[Any, Any]:
    from bot.config import load_catalog
    from bot.settings import load_settings

    settings = load_settings()
    return settings, load_catalog(settings)


def _run(main: Coroutine[Any, Any, None], *, log_level: str, json: bool = False) -> None:
    """Run to the end, on uvloop where it is installed."""
    from core.telemetry import configure

    configure(json=json, level=log_level)
    _allow_many_connections()
    try:
        import uvloop
    except ImportError:
        factory = asyncio.new_event_loop
    else:
        factory = uvloop.new_event_loop
    spare_collections()
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


def spare_collections() -> None:
    """Collect garbage rarely, and never what has been imported by now: whole collections hold up the event loop."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


def _allow_many_connections() -> None:
    """Raise this process's limit of open files, each connection being one, as far as the system lets it."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
