"""What earlier runs teach: ``leaderboard`` and ``calibrate``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from bot.commands.base import Json, as_text, configured, piped, run, settings

if TYPE_CHECKING:
    from adapters.history import SqlHistory
    from bot.tables import Table
    from core.ports import Sample, Standing
    from core.votes.confidence import Calibration

ENOUGH = 20
"""Labelled runs below which the built-in calibration is kept."""


def leaderboard(
    consortium: Annotated[str | None, typer.Option(help="Of this consortium only.")] = None, as_json: Json = False
) -> None:
    """Show how the models have done.

    Their agreement with the others, their accuracy where runs are labelled, and the weight of their votes.
    Reliability is what the weight of a vote is made of, with the interval in which it lies with 95 %.

    Examples:

    \b
      consortium leaderboard
      consortium leaderboard --consortium careful --json
    """
    run(_leaderboard(consortium, as_json))


async def _leaderboard(consortium: str | None, as_json: bool) -> None:
    from bot.records import open_history
    from bot.tables import print_json, print_table
    from core.votes.ranking import ranked

    in_force, catalog = configured()
    async with open_history(in_force) as history:
        if consortium:
            consortium = await _name(history, [*catalog.consortia], consortium)
        standings = await history.lessons.standings(consortium)
    rows = ranked(standings)
    if as_json:
        print_json([_as_json(standing, weight) for standing, weight in rows])
    elif rows:
        print_table(_table(rows))
    else:
        print(
            f"Nothing yet{f' of {consortium}' if consortium else ''}: members are compared where they state a final "
            "answer, as to questions of the types yes-no, choice and number."
        )


async def _name(history: SqlHistory, of_file: Sequence[str], name: str) -> str:
    """A consortium's proper name; one that is gone may still have a record, so any name will do."""
    saved = [s.name for s in await history.consortia.all(None)]
    recorded = [s.consortium for s in await history.lessons.standings()]
    return next((known for known in (*saved, *of_file, *recorded) if known.lower() == name.lower()), name)


def _as_json(standing: Standing, weight: float) -> dict[str, Any]:
    record = standing.record
    return {
        "consortium": standing.consortium,
        "model": standing.model,
        **record.model_dump(),
        "reliability": record.reliability if record.known else None,
        "interval": record.interval if record.known else None,
        "weight": weight,
    }


def _table(rows: Sequence[tuple[Standing, float]]) -> Table:
    from bot.tables import Table

    figures = ("compared", "agreed", "labelled", "right", "reliability", "95 %", "weight")
    return Table(("consortium", "model", *figures), [_row(*row) for row in rows], right=frozenset(figures))


def _row(standing: Standing, weight: float) -> tuple[str | None, ...]:
    record = standing.record
    low, high = record.interval
    return (
        standing.consortium,
        standing.model,
        str(record.compared),
        f"{record.agreed / record.compared:.0%}" if record.compared else None,
        str(record.labelled),
        f"{record.correct / record.labelled:.0%}" if record.labelled else None,
        f"{record.reliability:.2f}" if record.known else None,
        f"{low:.2f} to {high:.2f}" if record.known else None,
        f"{weight:.2f}",
    )


# --- calibration ----------------------------------------------------------------------------------------


class Label(NamedTuple):
    """A run whose result is known: its right answer, or whether its answer was good."""

    run: str
    answer: str | None
    good: bool | None


def calibrate(
    labels: Annotated[
        Path | None,
        typer.Option(help='Labels, a line each: {"run": id, "answer": "42"} or "good": true; - for standard input.'),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help=f"Even with fewer than {ENOUGH} labelled runs.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be; store nothing.")] = False,
    reset: Annotated[bool, typer.Option("--reset", help="Go back to the built-in calibration.")] = False,
    as_json: Json = False,
) -> None:
    """Fit the confidence to runs whose results are known.

    Labels come from a file or standard input, or were stored before. They are stored first; should any line be bad,
    none is. The table that turns agreement into confidence is then fitted to all labelled runs and put into force.

    Examples:

    \b
      echo '{"run": "3f2a9c4be01d", "answer": "42"}' | consortium calibrate
      consortium calibrate --labels labels.jsonl
      consortium calibrate --dry-run
      consortium calibrate --reset
    """
    from core.errors import BadInput

    if reset and (labels or dry_run or force):
        raise BadInput("--reset: goes with none of the other options; write consortium calibrate --reset")
    path = None if labels == Path("-") else labels
    text = "" if reset else _file(path) if path else piped()
    found = read_labels(text, str(path or "standard input"))
    run(_reset(as_json) if reset else _calibrate(found, force, dry_run, as_json))


def _file(path: Path) -> str:
    from core.errors import BadInput

    try:
        return as_text(path.read_bytes(), f"--labels {path}")
    except OSError as error:
        raise BadInput(
            f"--labels {path}: cannot be read ({error.strerror}); write the path of a readable file"
        ) from None


def read_labels(text: str, where: str) -> list[Label]:
    """Labels from JSON lines. Raises BadInput with a line for each that is bad."""
    from core.errors import BadInput

    found, bad = [], []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            found.append(_label(line))
        except ValueError as error:
            bad.append(f"{where}, line {number}: {error}")
    if bad:
        raise BadInput("\n".join([*bad, "Nothing was stored."]))
    return found


def _label(line: str) -> Label:
    """One label. Raises ValueError with what is wrong."""
    try:
        fields = json.loads(line)
    except ValueError:
        raise ValueError('is no JSON; write e.g. {"run": "3f2a9c4be01d", "answer": "42"}') from None
    if not isinstance(fields, dict) or not isinstance(fields.get("run"), str):
        raise ValueError('names no run; write e.g. {"run": "3f2a9c4be01d", "answer": "42"}')
    if unknown := set(fields) - {"run", "answer", "good"}:
        raise ValueError(f"has unknown keys ({', '.join(sorted(unknown))}); there are run, answer and good")
    answer, good = fields.get("answer"), fields.get("good")
    if (answer is None) == (good is None):
        raise ValueError('needs either "answer", the right one, or "good", true or false')
    if good is not None and not isinstance(good, bool):
        raise ValueError('has a "good" that is neither true nor false')
    if isinstance(answer, dict | list) or (answer is not None and not str(answer).strip()):
        raise ValueError('has an "answer" that is no text or number')
    return Label(fields["run"], _worded(answer), good)


def _worded(answer: Any) -> str | None:
    return None if answer is None else "yes" if answer is True else "no" if answer is False else str(answer)


async def _reset(as_json: bool) -> None:
    from bot.records import open_history
    from bot.tables import print_json

    async with open_history(settings()) as history:
        await history.lessons.set_calibration(None)
    if as_json:
        print_json({"calibration": "built-in"})
    else:
        print("The built-in calibration is in force.")


async def _calibrate(labels: Sequence[Label], force: bool, dry_run: bool, as_json: bool) -> None:
    from bot.records import open_history
    from bot.tables import print_json
    from core.votes.confidence import Calibration

    async with open_history(settings()) as history:
        await _store(history, labels, dry_run)
        samples = await history.lessons.samples()
        pairs = [(sample.agreement, sample.right) for sample in samples]
        before = (await history.lessons.experience("")).calibration
        after = Calibration.fitted(pairs) if samples else before
        fits = bool(samples) and (force or len(samples) >= ENOUGH)
        if fits and not dry_run:
            await history.lessons.set_calibration(after)
    report = {
        "labels": len(labels),
        "stored": not dry_run,
        "labelled": len(samples),
        "error": {"before": before.error(pairs), "after": after.error(pairs)},
        "in_force": fits and not dry_run,
    }
    if as_json:
        print_json({**report, "calibration": after})
    else:
        _tell(report, samples, before, after, enough=fits)


async def _store(history: SqlHistory, labels: Sequence[Label], dry_run: bool) -> None:
    """Store all labels, or none where a run is not on record. Raises BadInput."""
    from core.errors import BadInput

    gone = [label.run for label in labels if await history.run(label.run) is None]
    if gone:
        lines = [f"{run_id[:60]}: no such run is on record; see consortium runs for their ids" for run_id in gone]
        raise BadInput("\n".join([*lines, "Nothing was stored."]))
    for label in labels if not dry_run else ():
        await history.lessons.label(label.run, answer=label.answer, good=label.good)


def _tell(
    report: dict[str, Any], samples: Sequence[Sample], before: Calibration, after: Calibration, *, enough: bool
) -> None:
    from bot.tables import print_table

    if report["labels"]:
        print(f"Labels {'stored' if report['stored'] else 'read, not stored (--dry-run)'}: {report['labels']}.")
    print(f"Labelled runs that have an agreement to learn from: {len(samples)}.")
    if not samples:
        print("Nothing to fit: the calibration stays as it is.")
        return
    print_table(_knots(samples, before, after))
    errors = report["error"]
    print(f"Calibration error (ten bins): {_figure(errors['before'])} before, {_figure(errors['after'])} after.")
    if not enough:
        print(f"Too few to go by: at least {ENOUGH} are needed, so it stays as it is; --force takes them all the same.")
    else:
        print("In force now." if report["in_force"] else "Not put into force (--dry-run).")


def _figure(error: float | None) -> str:
    return "unknown" if error is None else f"{error:.3f}"


def _knots(samples: Sequence[Sample], before: Calibration, after: Calibration) -> Table:
    """What confidence each agreement that was seen gives, before and after, beside how often it was right."""
    from bot.tables import Table

    seen: Counter[tuple[int, float]] = Counter()
    right: Counter[tuple[int, float]] = Counter()
    agreements = {}
    for sample in samples:
        key = (sample.agreement.total, sample.agreement.agree)
        seen[key] += 1
        right[key] += sample.right
        agreements[key] = sample.agreement
    rows = [
        (
            f"{agree:g} of {total}",
            str(seen[total, agree]),
            f"{right[total, agree] / seen[total, agree]:.0%}",
            _percent(before.confidence(agreements[total, agree])),
            _percent(after.confidence(agreements[total, agree])),
        )
        for total, agree in sorted(seen, reverse=True)
    ]
    figures = ("runs", "right", "confidence before", "after")
    return Table(("agreement", *figures), rows, right=frozenset(figures))


def _percent(confidence: float | None) -> str | None:
    return None if confidence is None else f"{confidence:.0%}"
