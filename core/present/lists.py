"""Lists: history, roles, models and consortia."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from core.catalog import Catalog
from core.ports import BreakerState, RunSummary
from core.present.figures import short
from core.setup import ConsortiumSpec
from core.types import Member, RunStatus


def history_text(rows: Sequence[RunSummary], page: int, *, more: bool, prefix: str) -> str:
    """A page of somebody's history."""
    if not rows:
        if page > 1:
            return f"There is no page {page} in your history."
        return f"You have not asked anything yet. Write `{f'{prefix} ask'.strip()}` and a question."
    lines = [f"**Your questions**{f', page {page}' if page > 1 else ''}"]
    for row in rows:
        lines.append(f"- {row.created_at:%Y-%m-%d %H:%M} UTC · **{short(row.question, 150)}** · `{row.id}`")
        lines.append(f"  {_outcome(row)}")
    if more:
        lines.append(f"\nOlder ones: `{f'{prefix} history {page + 1}'.strip()}`")
    return "\n".join(lines)


def _outcome(row: RunSummary) -> str:
    if row.status in (RunStatus.PENDING, RunStatus.RUNNING) and row.answer is None:
        return "still running"
    if row.answer is None:
        return "no answer"
    sure = "confidence unknown" if row.confidence is None else f"confidence {row.confidence:.2f}"
    label = ", simulated" if row.simulated else ""
    return f"{short(row.answer, 200)} ({sure}{label})"


def roles_text(known: Mapping[str, str], mine: Mapping[str, str], panel: Iterable[Member], note: str | None) -> str:
    """The roles in force for a person in a channel, and the ones there are."""
    panel = list(panel)
    simulated = {m.model for m in panel if m.simulated}
    models = list(dict.fromkeys([*(m.model for m in panel), *mine]))
    lines = ["**Your roles in this channel**"]
    for model in models:
        role = short(mine[model], 120) if model in mine else "no role"
        lines.append(f"- {model}{' (simulated)' if model in simulated else ''}: {role}")
    if note:
        lines += ["", note]
    lines += ["", "**Roles there are** (any other text works too)"]
    lines += [f"- {name}: {short(text, 160)}" for name, text in known.items()]
    return "\n".join(lines)


def models_text(
    catalog: Catalog, states: Mapping[str, BreakerState], mine: str, saved: Mapping[str, ConsortiumSpec]
) -> str:
    """Models with their breakers, and consortia (of the file, and saved ones) with their members."""
    lines = ["**Models**"]
    for key, model in catalog.models.items():
        where = "simulated" if model.provider == "simulated" else f"{model.name} at {model.provider}"
        lines.append(f"- {key} ({where}): {breaker_text(states[key])}")
    lines += ["", "**Consortia**"]
    for name, spec in {**catalog.consortia, **saved}.items():
        yours = " (in use here)" if name == mine else ""
        how = "" if spec.strategy == "default" else f"; strategy {spec.strategy}"
        lines.append(f"- {name}{yours}: {', '.join(spec.members)}; arbiter {spec.arbiter}{how}")
    return "\n".join(lines)


def breaker_text(state: BreakerState) -> str:
    """A breaker's state in words."""
    if state.state == "open":
        wait = f", tried again in {state.retry_in:.0f} s" if state.retry_in is not None else ""
        return f"resting after failures{wait}"
    if state.state == "half_open":
        return "being tried again"
    if not state.calls:
        return "ready (not called lately)"
    return f"ready ({state.failure_rate:.0%} of the last {state.calls} calls failed)"
