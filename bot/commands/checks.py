"""``consortium doctor``: whether everything that is configured works, and what to do where it does not."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from bot.commands.base import Json, run

if TYPE_CHECKING:
    from bot.commands.probes import Finding


def doctor(
    calls: Annotated[bool, typer.Option(help="Make short calls to the models, which may cost.")] = True,
    skip: Annotated[list[str] | None, typer.Option(help="Leave out a check, by the name it is shown with.")] = None,
    as_json: Json = False,
) -> None:
    """Check that everything that is configured works.

    Settings, models file, database, Redis, models, arbiters, embeddings, charts, tokens of Slack and Discord.
    A line each: what works, what does not and how to put it right, what is not set or was skipped. Ends with 1 when
    anything is wrong.

    Examples:

    \b
      consortium doctor
      consortium doctor --no-calls
      consortium doctor --skip slack --skip embeddings
      consortium doctor --json
    """
    run(_doctor(calls, skip or [], as_json), log_level="CRITICAL")


async def _doctor(calls: bool, skip: Sequence[str], as_json: bool) -> None:
    from bot.commands.probes import examine
    from bot.tables import print_json

    findings = await examine(calls=calls, skip=skip)
    if as_json:
        print_json([finding.as_json() for finding in findings])
    else:
        _print(findings)
    if any(finding.ok is False for finding in findings):
        raise typer.Exit(1)


def _print(findings: Sequence[Finding]) -> None:
    from bot.tables import printable

    wide = max(len(finding.name) for finding in findings)
    for finding in findings:
        mark = {True: "✓", False: "✗", None: "-"}[finding.ok]
        says = printable("; ".join(finding.says.splitlines()))
        print(f"{_coloured(mark)} {finding.name:<{wide}}  {says}")
        if finding.fix:
            print(f"  {'':<{wide}}  to do: {printable(finding.fix)}")
    wrong = sum(finding.ok is False for finding in findings)
    print(f"\n{wrong} {'thing is' if wrong == 1 else 'things are'} wrong." if wrong else "\nAll is well.", flush=True)


def _coloured(mark: str) -> str:
    colour = {"✓": "32", "✗": "31"}.get(mark)
    return f"\x1b[{colour}m{mark}\x1b[0m" if colour and sys.stdout.isatty() else mark
