"""A run as the page shows it. However far it is, it has one and the same shape, so that a page which is opened
late, or finds its server again, only has to draw what it is told last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.web.markdown import html, inline_html
from core.delivery import RunView
from core.present.answers import answer_text
from core.present.figures import FAILED_BECAUSE
from core.present.progress import progress_text
from core.study.palette import seat_colour, text_on
from core.types import Ballot, Chart, Member, Outcome, Response, Round, Run, RunStatus, Verdict

Json = dict[str, Any]

LONGEST_ROLE = 60
"""Characters of a role beside its member; the footer has all of it."""


def run_json(run: Run, charts: Sequence[Chart] = (), note: str | None = None) -> Json:
    """A run as it is stored. ``note`` says why there are no charts."""
    if run.answered_at is not None and run.verdict is not None:
        return _frame(run, **_answer(run), **_pictures(run, charts, note))
    view = RunView(panel=run.panel)
    if run.rounds:
        last = run.rounds[-1]
        view = RunView(
            panel=run.panel, round=last.number, kind=last.kind, outcomes={o.member.id: o for o in last.outcomes}
        )
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
        members=_under_way(run, view),
        body=html.__wrapped__(view.text),  # changes all the time, not worth remembering
    )


def panel_json(panel: Sequence[Member]) -> list[Json]:
    """The members of a panel that has not been asked yet."""
    return [{"id": m.id, "label": m.label, **_seat(seat)} for seat, m in enumerate(panel)]


def _under_way(run: Run, view: RunView) -> list[Json]:
    """The whole panel in its order, those too whom this round does not ask (any more, or yet)."""
    asked = {m.id: m for m in view.panel}
    shown = []
    for seat, member in enumerate(_whole(run, view)):
        if member.id in asked:
            shown.append(_member(asked[member.id], view.outcomes.get(member.id), seat))
        else:
            shown.append(_member(member, None, seat) | {"state": "unasked", "meta": "not asked in this round"})
    return shown


def _whole(run: Run, view: RunView) -> tuple[Member, ...]:
    """The panel; where a round has members that it does not know, these behind it."""
    known = {m.id for m in run.panel}
    return (*run.panel, *(m for m in view.panel if m.id not in known))


def _frame(run: Run, **parts: Any) -> Json:
    over = run.status not in (RunStatus.PENDING, RunStatus.RUNNING)
    known = {"id": run.id, "thread": run.ask.where.thread, "question": run.ask.text, "status": run.status}
    empty = {"body": "", "asides": [], "footer": "", "charts": [], "charts_follow": False, "note": None}
    empty |= {"sure": None, "votes": None}
    return {**known, "over": over, "answered": run.answered_at is not None, **empty, **parts}


def _answer(run: Run) -> Json:
    """The answer, how sure it is, how the members voted, and behind each member what it holds."""
    text, verdict = answer_text(run), run.verdict
    if verdict is None:
        raise ValueError("the run has no verdict")
    lines = {p.member.id: (p.stance.value, line) for p, line in zip(verdict.positions, text.views, strict=True)}
    members = [_decided(run, member, seat, lines) for seat, member in enumerate(run.panel)]
    told = {line for outcome in _answers(run).outcomes if (line := _why_missing(outcome))}
    headline, _, sure = text.headline.partition(_SURE)
    return {
        "headline": inline_html(headline + "." if sure else text.headline),
        "sure": _sure(verdict, _SURE.strip(" .") + " " + sure) if sure else None,
        "votes": _votes(verdict.ballot, run) if verdict.ballot else None,
        "body": html(text.body),
        "members": members,
        "asides": [inline_html(line) for line in text.failures if line not in told],
        "footer": html(text.footer),
    }


_SURE = ". Confidence "
"""Where the headline of the core turns to how sure the answer is, which has a line of its own on the page."""


def _answers(run: Run) -> Round:
    """The round of answers that the decision is about: the one decided, or the one that was reviewed in it."""
    decided = run.deciding_round
    upto = [r for r in run.rounds if r.kind == "answers" and (decided is None or r.number <= decided.number)]
    return upto[-1]


def _decided(run: Run, member: Member, seat: int, lines: Mapping[str, tuple[str, str]]) -> Json:
    """A member of an answered run: what it holds, or why it gave nothing, or that it was not asked any more."""
    about = _answers(run)
    rounds = [r for r in run.rounds if r.kind == "answers" and r.number <= about.number]
    given = [(r.number, o) for r in reversed(rounds) for o in r.outcomes if o.member.id == member.id]
    if not given:
        return _member(member, None, seat) | {"state": "unasked", "meta": "not asked"}
    number, outcome = given[0]
    shown = _member(outcome.member, outcome, seat)
    if number < about.number:
        shown |= {"state": "left", "meta": f"left after round {number}"}
    if member.id in lines:
        stance, line = lines[member.id]
        shown |= {"state": stance, "line": _line(member, line)}
    elif why := _why_missing(outcome):
        shown |= {"line": _line(member, why)}
    return shown


def _why_missing(outcome: Outcome) -> str:
    """The core's line on a member that gave nothing."""
    return "" if isinstance(outcome, Response) else f"{outcome.member.label}: {outcome.detail}"


def _sure(verdict: Verdict, text: str) -> Json:
    """How sure the answer is, in words and for a bar; ``own`` is the arbiter's own figure."""
    return {"html": inline_html(text), "value": verdict.confidence, "own": verdict.stated}


def _votes(ballot: Ballot, run: Run) -> Json:
    """The camps, the heaviest first, each with the seats of those in it."""
    seats = {m.id: seat for seat, m in enumerate(run.panel)}
    total = sum(camp.weight for camp in ballot.camps) or 1
    return {
        "basis": ballot.basis,
        "camps": [
            {
                "html": inline_html(camp.answer),
                "share": round(camp.weight / total, 4),
                "members": [{"label": m.label, **_seat(seats.get(m.id, 0))} for m in camp.members],
            }
            for camp in ballot.camps
        ],
        "abstained": [m.label for m in ballot.abstained],
    }


def _failed(run: Run, view: RunView) -> Json:
    """A run without an answer: the first line says so, the rest says why unless the members' lines do."""
    first, _, rest = (run.error or "There is no answer.").partition("\n")
    members = _under_way(run, view)
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
