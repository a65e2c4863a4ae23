"""A run as the page shows it. However far it is, it has one and the same shape, so that a page which is opened
late, or finds its server again, only has to draw what it is told last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapters.web.markdown import html, inline_html
from core.delivery import RunView
from core.palette import seat_colour, text_on
from core.present import FAILED_BECAUSE, answer_text, progress_text
from core.types import Chart, Member, Outcome, Response, Run, RunStatus

Json = dict[str, Any]

LONGEST_ROLE = 60
"""Characters of a role beside its member; the footer has all of it."""


def run_json(run: Run, charts: Sequence[Chart] = (), note: str | None = None) -> Json:
    """A run as it is stored. ``note`` says why there are no charts."""
    if run.answered_at is not None and run.verdict is not None:
        return _frame(run, **_answer(run), **_pictures(run, charts, note))
    rounds = run.rounds[-1:]
    view = RunView(panel=run.panel, outcomes={o.member.id: o for r in rounds for o in r.outcomes})
    if run.status in (RunStatus.PENDING, RunStatus.RUNNING):
        return progress_json(run, view)
    return _frame(run, **_failed(run, view))


def progress_json(run: Run, view: RunView) -> Json:
    """A run that is under way."""
    headline, _, _ = progress_text(view).partition("\n")
    if view.judge:
        headline = f"{view.judge.label} is weighing the answers"
    return _frame(
        run,
        headline=inline_html(headline),
        members=[_member(m, view.outcomes.get(m.id), seat) for seat, m in enumerate(view.panel)],
        body=html.__wrapped__(view.text),  # changes all the time, not worth remembering
    )


def panel_json(panel: Sequence[Member]) -> list[Json]:
    """The members of a panel that has not been asked yet."""
    return [{"id": m.id, "label": m.label, **_seat(seat)} for seat, m in enumerate(panel)]


def _frame(run: Run, **parts: Any) -> Json:
    over = run.status not in (RunStatus.PENDING, RunStatus.RUNNING)
    known = {"id": run.id, "thread": run.ask.where.thread, "question": run.ask.text, "status": run.status}
    empty = {"body": "", "asides": [], "footer": "", "charts": [], "charts_follow": False, "note": None}
    return {**known, "over": over, "answered": run.answered_at is not None, **empty, **parts}


def _answer(run: Run) -> Json:
    """The answer, and behind each member what it holds."""
    text = answer_text(run)
    decided = run.deciding_round
    if decided is None or decided.verdict is None:
        raise ValueError("the run has no verdict")
    positions = decided.verdict.positions
    lines = {p.member.id: (p.stance.value, line) for p, line in zip(positions, text.views, strict=True)}
    missing = dict(zip((f.member.id for f in decided.failures), text.failures, strict=False))
    seats = {m.id: seat for seat, m in enumerate(run.panel)}
    members = []
    for outcome in decided.outcomes:
        member = outcome.member
        shown = _member(member, outcome, seats.get(member.id, 0))
        if member.id in lines:
            stance, line = lines[member.id]
            shown |= {"state": stance, "line": _line(member, line)}
        elif member.id in missing:
            shown |= {"line": _line(member, missing[member.id])}
        members.append(shown)
    return {
        "headline": inline_html(text.headline),
        "body": html(text.body),
        "members": members,
        "asides": [inline_html(line) for line in text.failures[len(decided.failures) :]],
        "footer": html(text.footer),
    }


def _failed(run: Run, view: RunView) -> Json:
    """A run without an answer: the first line says so, the rest says why unless the members' lines do."""
    first, _, rest = (run.error or "There is no answer.").partition("\n")
    members = [_member(m, view.outcomes.get(m.id), seat) for seat, m in enumerate(view.panel)]
    for shown in members:
        outcome = view.outcomes.get(shown["id"])
        if outcome and not isinstance(outcome, Response):
            shown["line"] = _line(outcome.member, f"{outcome.member.label}: {outcome.detail}")
    return {
        "headline": inline_html(first),
        "members": members if view.outcomes else [],
        "body": "" if view.outcomes else html(rest),
    }


def _member(member: Member, outcome: Outcome | None, seat: int) -> Json:
    """A member while its run goes on."""
    state, meta, said = "thinking", "thinking …", None
    if isinstance(outcome, Response):
        state, meta, said = "answered", f"{outcome.seconds:.1f} s", html(outcome.text)
    elif outcome is not None:
        state, meta = "failed", FAILED_BECAUSE[outcome.kind]
    line, role = _line(member, member.label), member.role
    if role and len(role) > LONGEST_ROLE:
        role = f"{role[: LONGEST_ROLE - 1].rstrip()}…"
    return {"id": member.id, "state": state, "line": line, "role": role, "meta": meta, "html": said, **_seat(seat)}


def _line(member: Member, markdown: str) -> str:
    """A line about a member that begins with its name, the name set off."""
    rest = markdown.removeprefix(member.label)
    space = " " if rest.startswith(" ") else ""
    return f"<b>{inline_html(member.label)}</b>{space}{inline_html(rest)}"


def _seat(seat: int) -> Json:
    colour = seat_colour(seat)
    return {"seat": seat + 1, "colour": colour, "ink": text_on(colour)}


def _pictures(run: Run, charts: Sequence[Chart], note: str | None) -> Json:
    return {
        "charts": [
            {
                "url": f"/api/runs/{run.id}/charts/{chart.filename}",
                "title": chart.title,
                "alt": chart.alt,
                "width": chart.width,
                "height": chart.height,
            }
            for chart in charts
        ],
        "charts_follow": run.ask.charts and not charts and not note and run.status is RunStatus.RUNNING,
        "note": note,
    }
