"""Runs, replies and forms as the page shows them. However far a run is, it has one and the same shape, so that a page
which is opened late, or finds its server again, only has to draw what it is told last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapters.web.markdown import html, inline_html
from core.cards import Button, Card, Form, Input, Reply
from core.delivery import RunView
from core.present import wording
from core.present.answers import answer_card, failed_card
from core.present.figures import FAILED_BECAUSE
from core.present.progress import progress_card, unanswered_text
from core.study.palette import seat_colour, text_on
from core.types import Failure, Member, Outcome, Response, Run, Stance

Json = dict[str, Any]

LONGEST_ROLE = 60
"""Characters of a role beside its member; the footer has all of it."""

_STANCES = {Stance.AGREES: "agrees", Stance.PARTLY: "agrees in part", Stance.DISAGREES: "disagrees"}


# --- runs -----------------------------------------------------------------------------------------------


def run_json(run: Run, *, long: bool = False, note: str | None = None) -> Json:
    """A run as it is stored, its answer short or ``long``. ``note`` says why there are no charts."""
    if run.answered_at is not None and run.verdict is not None:
        card = answer_card(run, long=long)
        members = [_decided(run, member, seat) for seat, member in enumerate(run.panel)]
        return _frame(run, card, html(card.body), members, long=long, note=note)
    view = RunView(run_id=run.id, panel=run.panel)
    if run.rounds:
        last = run.rounds[-1]
        view.round, view.kind, view.outcomes = last.number, last.kind, {o.member.id: o for o in last.outcomes}
    if not run.status.over:
        return progress_json(run, view)
    card = failed_card(run, run.error or "There is no answer.")
    members = _under_way(run, view) if run.rounds else []
    for member in members:
        if member["state"] == "thinking":
            member |= {"state": "unasked", "meta": unanswered_text(run.status)}
    return _frame(run, card, html(card.body), members)


def progress_json(run: Run, view: RunView) -> Json:
    """A run that is under way."""
    card = progress_card(view, view.clock())
    body = html.__wrapped__(view.text)  # changes all the time, not worth remembering
    judge = f"{view.judge.label} is weighing the answers" if view.judge else card.status
    shown = card.model_copy(update={"status": judge, "sections": ()})  # members have lines of their own here
    return _frame(run, shown, body, _under_way(run, view), round=view.round)


def panel_json(panel: Sequence[Member]) -> list[Json]:
    """The members of a panel that has not been asked yet."""
    return [{"id": m.id, "label": m.label, **_seat(seat)} for seat, m in enumerate(panel)]


def _frame(run: Run, card: Card, body: str, members: list[Json], **parts: Any) -> Json:
    return {
        "id": run.id,
        "thread": run.ask.where.thread,
        "question": run.ask.text,
        "asked_at": run.ask.asked_at.isoformat(),
        "attachments": [{"name": a.name, "shortened": a.shortened} for a in run.ask.attachments],
        "status": run.status,
        "over": run.status.over,
        "answered": run.answered_at is not None,
        "tone": card.tone,
        "headline": _headline(card.status),
        "details": inline_html(card.details),
        "body": body,
        "sections": [{"title": s.title, "lines": [inline_html(line) for line in s.lines]} for s in card.sections],
        "footer": [inline_html(line) for line in card.footer],
        "buttons": _rows(card.buttons),
        "opinion": [_button(button) for button in (card.good, card.bad) if button],
        "members": members,
        "round": len(run.rounds),
        "long": False,
        "note": None,
        **parts,
    }


def _headline(status: str) -> str:
    """The line's first part, which says most, set off from the rest."""
    first, mark, rest = status.partition(" · ")
    return f"<strong>{inline_html(first)}</strong>{mark}{inline_html(rest)}"


def _under_way(run: Run, view: RunView) -> list[Json]:
    """The whole panel in its order, those too whom this round does not ask (any more, or yet)."""
    asked = {m.id: m for m in view.panel}
    shown = []
    for seat, member in enumerate(_whole(run, view)):
        if member.id in asked:
            since = view.asked.get(member.id)
            shown.append(_member(asked[member.id], view.outcomes.get(member.id), seat))
            shown[-1]["seconds"] = None if since is None else max(0.0, view.clock() - since)
            if view.place is not None:
                shown[-1] |= {"state": "unasked", "meta": "not asked yet"}
        else:
            shown.append(_member(member, None, seat) | {"state": "unasked", "meta": "not asked in this round"})
    return shown


def _whole(run: Run, view: RunView) -> tuple[Member, ...]:
    """The panel; where a round has members that it does not know, these behind it."""
    known = {m.id for m in run.panel}
    return (*run.panel, *(m for m in view.panel if m.id not in known))


def _decided(run: Run, member: Member, seat: int) -> Json:
    """A member of an answered run: how it stands to the answer, or why it gave nothing, or that it was not asked."""
    about, verdict = wording.answers_round(run), run.verdict
    number = about.number if about else 0
    rounds = [r for r in run.rounds if r.kind == "answers" and r.number <= number]
    given = [(r.number, o) for r in reversed(rounds) for o in r.outcomes if o.member.id == member.id]
    if not given:
        return _member(member, None, seat) | {"state": "unasked", "meta": "not asked"}
    asked_in, outcome = given[0]
    shown = _member(outcome.member, outcome, seat)
    if asked_in < number:
        return shown | {"state": "left", "meta": f"left after round {asked_in}"}
    stances = {p.member.id: p.stance for p in verdict.positions} if verdict else {}
    stance = stances.get(member.id)
    if stance is None or isinstance(outcome, Failure):
        return shown
    if verdict and member.id in wording.abstained(verdict):
        return shown | {"meta": "did not vote"}
    return shown | {"state": stance.value, "meta": _STANCES[stance]}


def _member(member: Member, outcome: Outcome | None, seat: int) -> Json:
    """A member while its run goes on."""
    state, meta = "thinking", ""
    if isinstance(outcome, Response):
        state, meta = "answered", f"{outcome.seconds:.1f} s"
    elif outcome is not None:
        state, meta = "failed", FAILED_BECAUSE[outcome.kind]
    role = member.role
    if role and len(role) > LONGEST_ROLE:
        role = f"{role[: LONGEST_ROLE - 1].rstrip()}…"
    known = {"id": member.id, "label": member.label, "state": state, "role": role, "meta": meta, "seconds": None}
    return {**known, **_seat(seat)}


def _seat(seat: int) -> Json:
    colour = seat_colour(seat)
    return {"seat": seat + 1, "colour": colour, "ink": text_on(colour)}


# --- replies and forms ----------------------------------------------------------------------------------


def reply_json(reply: Reply, pictures: Sequence[str] = (), download: str | None = None) -> Json:
    """A reply; ``pictures`` and ``download`` are where its pictures and its file are fetched."""
    return {
        "type": "reply",
        "html": html(reply.text),
        "buttons": _rows(reply.buttons),
        "pictures": [
            {"url": url, "title": chart.title, "alt": chart.alt, "width": chart.width, "height": chart.height}
            for url, chart in zip(pictures, reply.pictures, strict=True)
        ],
        "download": {"url": download, "filename": reply.download.filename, "bytes": len(reply.download.data)}
        if reply.download and download
        else None,
    }


def form_json(form: Form) -> Json:
    """A form to fill in."""
    return {
        "action": form.action,
        "title": form.title,
        "intro": html(form.intro),
        "submit": form.submit,
        "inputs": [_input(field) for field in form.inputs],
    }


def _input(field: Input) -> Json:
    options = [{"value": o.value, "label": o.label, "about": o.about} for o in field.options]
    kept = field.model_dump(include={"name", "label", "kind", "value", "required", "hint", "max_length"})
    return {**kept, "options": options}


def _rows(rows: Sequence[Sequence[Button]]) -> list[list[Json]]:
    return [[_button(button) for button in row] for row in rows]


def _button(button: Button) -> Json:
    return {"label": button.label, "action": button.action, "style": button.style, "emoji": button.emoji}
