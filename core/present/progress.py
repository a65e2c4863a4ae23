"""A run while it goes on."""

from __future__ import annotations

from core.cards import Button, Card, Section, Tone
from core.commands.actions import encode
from core.commands.values import StopCommand
from core.delivery import RunView
from core.present.figures import FAILED_BECAUSE, short
from core.present.shortening import closed
from core.types import Failure, Member, Response, RunStatus


def progress_card(view: RunView, now: float) -> Card:
    """The state of a run, a line a member, and the answer as far as it is written. ``now`` is the view's clock's."""
    lines = [member_state(member, view, now) for member in view.panel]
    if view.judge:
        lines.append(_judge_state(view.judge, view, now))
    going_on = view.run_id and view.ended is None
    stop = Button(label="Stop", action=encode(StopCommand(run=view.run_id)), style="danger") if going_on else None
    return Card(
        tone=Tone.RUNNING,
        status=head(view),
        body=closed(view.text),
        sections=(Section(title="Members", lines=tuple(lines)),) if lines else (),
        buttons=((stop,),) if stop else (),
    )


def head(view: RunView) -> str:
    """ "Asking 4 members · 2 done · round 2 of at most 3"."""
    if view.place is not None:
        return f"Waiting for its turn · {_before(view.place)}"
    one = len(view.panel) == 1
    many = f"{len(view.panel)} {'member' if one else 'members'}"
    doing = f"{many} {'ranks' if one else 'rank'} each other's answers" if view.kind == "reviews" else f"Asking {many}"
    parts = [doing, f"{len(view.outcomes)} done"]
    if view.max_rounds > 1 and view.round > 1:
        parts.append(f"round {view.round} of at most {view.max_rounds}")
    return " · ".join(parts)


def _before(place: int) -> str:
    match place:
        case 0:
            return "it is the next"
        case 1:
            return "1 question goes before it"
        case _:
            return f"{place:,} questions go before it"


def member_state(member: Member, view: RunView, now: float) -> str:
    """One member's state in a line: waiting for so many seconds, answered after so many, or why not; of a run that has
    ended, that it was stopped."""
    role = f" as {short(member.role, 60)}" if member.role else ""
    match view.outcomes.get(member.id):
        case Response() as response:
            return f"✅ {member.label}{role}: answered in {response.seconds:.1f} s"
        case Failure() as failure:
            return f"❌ {member.label}{role}: {FAILED_BECAUSE[failure.kind]}"
        case _ if unanswered := unanswered_text(view.ended):
            return f"⏹️ {member.label}{role}: {unanswered}"
        case _:
            if view.place is not None:
                return f"⏳ {member.label}{role}: not asked yet"
            return f"⏳ {member.label}{role}: thinking{_since(view.asked.get(member.id), now)}"


def unanswered_text(ended: RunStatus | None) -> str:
    """What became of who had not answered when the run ended; empty while it goes on."""
    if ended is None:
        return ""
    return "stopped" if ended is RunStatus.CANCELLED else "no answer"


def _judge_state(judge: Member, view: RunView, now: float) -> str:
    if unanswered := unanswered_text(view.ended):
        return f"⏹️ {judge.label}, weighing the answers: {unanswered}"
    return f"✍️ {judge.label} is weighing the answers{_since(view.judging_since, now)}"


def _since(begun: float | None, now: float) -> str:
    return "" if begun is None else f", {max(0.0, now - begun):.0f} s"
