"""Runs on record: ``runs``, ``run``, ``charts``, ``export``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

import typer

from bot.commands.base import Json, Since, configured, listed, read_since, run, settings

if TYPE_CHECKING:
    from core.ports import History, RunSummary
    from core.types import Run

RunId = Annotated[str, typer.Argument(help="The run's id, or its first characters.")]

LEAST_PREFIX = 3
"""Characters of an id that are looked for; fewer fit too many runs."""

_LOOKED_AT = 1000


def runs(
    search: Annotated[str | None, typer.Option(help="A text in question, answer or id.")] = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, the newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """List the runs on record, the newest first.

    Those of all platforms and people.

    Examples:

    \b
      consortium runs
      consortium runs --since 2d --search "remote work"
      consortium runs --limit 100 --json
    """
    moment = read_since(since)
    run(_runs(search or "", moment, limit, as_json))


async def _runs(text: str, since: datetime | None, limit: int, as_json: bool) -> None:
    from bot.records import open_history
    from bot.tables import Table, print_json, print_table

    async with open_history(settings()) as history:
        found = await history.search(text=text, since=since, limit=limit)
    if as_json:
        print_json(found)
    elif found:
        columns = ("run", "when (UTC)", "from", "consortium", "sure", "question", "answer")
        print_table(Table(columns, [_line(row) for row in found], right=frozenset({"sure"})))
    else:
        print("No runs yet." if not text and since is None else "No such runs.")


def _line(row: RunSummary) -> tuple[str | None, ...]:
    """A run in a line; of one that did not come to its end, how it stands in place of how sure its answer is."""
    from bot.tables import short
    from core.types import RunStatus

    known = None if row.confidence is None else f"{row.confidence:.2f}"
    sure = known if row.status is RunStatus.DONE else row.status.value
    answer = None if row.answer is None else short(row.answer, 60) + (" (simulated)" if row.simulated else "")
    when = f"{row.created_at:%Y-%m-%d %H:%M}"
    place = row.where.platform.value
    return (row.id, when, place, row.consortium, sure, short(row.question, 50), answer)


def run_(run_id: RunId, as_json: Json = False) -> None:
    """Show everything about one run.

    The ask and the set-up, every round with its answers, votes and verdict, the bill and the times.

    Examples:

    \b
      consortium run 3f2a
      consortium run 3f2a9c4be01d --json
    """
    run(_run(run_id, as_json))


async def _run(run_id: str, as_json: bool) -> None:
    from bot.commands.trace import trace
    from bot.records import open_history
    from bot.tables import print_json, printable

    async with open_history(settings()) as history:
        found = await find_run(history, run_id)
    if as_json:
        print_json(found)
    else:
        print(printable("\n".join(trace(found))))


async def find_run(history: History, run_id: str) -> Run:
    """A run by its id or the first characters of it. Raises NotFound, BadInput when several begin so."""
    from core.errors import BadInput, NotFound

    run_id = run_id.strip()
    if found := await history.run(run_id):
        return found
    rows = await history.search(text=run_id, limit=_LOOKED_AT) if len(run_id) >= LEAST_PREFIX else []
    ids = [row.id for row in rows if row.id.startswith(run_id.lower())]
    if len(ids) > 1:
        raise BadInput(f"ID {run_id}: {len(ids)} runs begin so ({listed(ids)}); write more of it")
    stored = await history.run(ids[0]) if ids else None
    if stored is None:
        short = f", or at least {LEAST_PREFIX} characters of it" if len(run_id) < LEAST_PREFIX else ""
        raise NotFound(f"ID {run_id[:60]}: no such run is on record; see consortium runs for their ids{short}")
    return stored


def charts(
    run_id: RunId,
    charts_dir: Annotated[Path | None, typer.Option(help="Where charts go; DATA_DIR/charts when left out.")] = None,
    as_json: Json = False,
) -> None:
    """Draw all charts of a run.

    Likeness, emotions, polarity, radar and drift over the rounds. Prints where each is, and what it shows in words.

    Examples:

    \b
      consortium charts 3f2a
      consortium charts 3f2a --charts-dir .
    """
    run(_charts(run_id, charts_dir, as_json))


async def _charts(run_id: str, folder: Path | None, as_json: bool) -> None:
    from bot.commands.drawing import open_studio
    from bot.console import store_charts
    from bot.records import open_history
    from bot.tables import print_json
    from core.errors import BadInput

    in_force, catalog = configured()
    async with open_history(in_force) as history:
        found = await find_run(history, run_id)
    if not found.answers:
        raise BadInput(f"ID {found.id}: nobody answered in this run, so there is nothing to draw")
    async with open_studio(catalog) as studio:
        analysis = found.analysis or (await studio.study(found.answers, found.panel, charts=False)).analysis
        drawn = await studio.draw(found.rounds, analysis, found.panel)
    paths = store_charts(found.id, drawn, folder or in_force.data_dir / "charts")
    if as_json:
        rows = [{"kind": c.kind, "path": str(p), "alt": c.alt} for c, p in zip(drawn, paths, strict=True)]
        print_json({"run": found.id, "charts": rows})
        return
    for chart, path in zip(drawn, paths, strict=True):
        print(f"{chart.title}: {path}\n  {chart.alt}")
    if not drawn:
        print("Only one member answered: there is nothing to compare.")


# --- export ---------------------------------------------------------------------------------------------


def export(
    since: Since = None,
    output: Annotated[Path | None, typer.Option(help="A file to write; standard output when left out.")] = None,
    kind: Annotated[
        Literal["runs", "messages"], typer.Option("--format", help="Whole runs, or question and answer for training.")
    ] = "runs",
    as_json: Annotated[
        bool, typer.Option("--json", help="Makes no difference: the export is JSON, a line each.")
    ] = True,
) -> None:
    """Write runs as JSON, a line each.

    The oldest first. With --format messages there is a line for each answered run: its messages, as chat models are
    trained on them, and its id; "simulated" is there where no language model wrote the answer.

    Examples:

    \b
      consortium export > runs.jsonl
      consortium export --since 2026-11-01 --output november.jsonl
      consortium export --format messages --output training.jsonl
    """
    moment = read_since(since)
    run(_export(moment, output, kind))


async def _export(since: datetime | None, output: Path | None, kind: str) -> None:
    from bot.records import open_history
    from core.errors import BadInput

    try:
        target: TextIO = output.open("w", encoding="utf-8") if output else sys.stdout
    except OSError as error:
        raise BadInput(f"--output {output}: cannot be written ({error.strerror}); write another path") from None
    count = 0
    try:
        async with open_history(settings()) as history:
            async for one in history.export(since):
                for line in _lines(one, kind):
                    target.write(line + "\n")
                    count += 1
        target.flush()
    finally:
        if output:
            target.close()
    if output:
        print(f"Wrote {count:,} {'run' if count == 1 else 'runs'} to {output}.", file=sys.stderr)


def _lines(one: Run, kind: str) -> Iterator[str]:
    if kind == "runs":
        yield one.model_dump_json()
    elif one.verdict:
        yield json.dumps(messages_of(one, one.verdict.synthesis), ensure_ascii=False)


def messages_of(one: Run, answer: str) -> dict[str, Any]:
    """An answered run as training data for chat models."""
    said = [("user", one.ask.text), ("assistant", answer)]
    system = one.ask.system or (one.ask.setup.system if one.ask.setup else None)
    turns = [("system", system), *said] if system else said
    line: dict[str, Any] = {"messages": [{"role": role, "content": text} for role, text in turns], "run": one.id}
    return {**line, "simulated": True} if one.simulated else line
