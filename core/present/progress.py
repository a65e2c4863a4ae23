"""A run while it goes on."""

from __future__ import annotations

from core.delivery import RunView
from core.present.figures import FAILED_BECAUSE, short
from core.types import Failure, Member, Response


def progress_text(view: RunView) -> str:
    """The state of a run while it goes on, a line a member."""
    done = len(view.outcomes)
    doing = "rank each other's answers" if view.kind == "reviews" else ""
    many = f"{len(view.panel)} {'members' if len(view.panel) > 1 else 'member'}"
    head = f"**{many} {doing}** · {done} done" if doing else f"**Asking {many}** · {done} done"
    if view.max_rounds > 1 and view.round > 1:
        head += f" · round {view.round} of at most {view.max_rounds}"
    lines = [head, *(f"- {member_state(m, view)}" for m in view.panel)]
    if view.judge:
        lines.append(f"- ✍️ {view.judge.label} is weighing the answers")
    if view.text:
        lines += ["", view.text]
    return "\n".join(lines)


def member_state(member: Member, view: RunView) -> str:
    """One member's state in a line: waiting, answered after so many seconds, or why not."""
    role = f" as {short(member.role, 60)}" if member.role else ""
    match view.outcomes.get(member.id):
        case Response() as response:
            return f"✅ {member.label}{role}: answered in {response.seconds:.1f} s"
        case Failure() as failure:
            return f"❌ {member.label}{role}: {FAILED_BECAUSE[failure.kind]}"
        case _:
            return f"⏳ {member.label}{role}: thinking"
