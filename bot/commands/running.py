"""The long-running processes: ``serve``, ``worker``, ``demo``."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from bot.commands.base import configured, logs_of, run_long


def serve(
    work: Annotated[bool, typer.Option(help="Carry out runs in this process too.")] = True,
) -> None:
    """Hold Slack, Discord and the page, and carry out runs.

    What is not configured is left out; the page is always there.

    Examples:

    \b
      consortium serve
      PORT=9000 consortium serve --no-work
    """
    from bot.processes import serve as hold

    settings, catalog = configured()
    run_long(hold(settings, catalog, work=work), logs_of(settings, catalog))


def worker() -> None:
    """Carry out runs that other processes take in.

    Examples:

    \b
      REDIS_URL=redis://127.0.0.1:6379/0 consortium worker
    """
    from bot.processes import worker as carry

    settings, catalog = configured()
    run_long(carry(settings, catalog), logs_of(settings, catalog))


def demo(
    question: Annotated[str, typer.Argument(help="What to ask first.")] = "Should remote work be the default?",
    stay: Annotated[bool, typer.Option(help="Serve the page afterwards.")] = True,
) -> None:
    """Ask one question here, then serve the page.

    Needs no key: members are then simulated.

    Examples:

    \b
      consortium demo
      consortium demo --no-stay "Is water wet?"
    """
    from bot.processes import demo as present

    settings, catalog = configured()
    logs = replace(logs_of(settings, catalog), level="WARNING", json=False)
    run_long(present(settings.hasty, catalog, question=question, stay=stay), logs)
