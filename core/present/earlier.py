"""Answers and progress as text alone, for surfaces that do not lay out cards yet."""

from __future__ import annotations

from collections.abc import Sequence

from core.asks import Value
from core.delivery import RunView
from core.present.figures import FAILED_BECAUSE, cost_text, listed, short, tokens_text, verb
from core.types import (
    Failure,
    Member,
    Position,
    Response,
    Run,
    Stance,
    Verdict,
    VerdictSource,
)
from core.votes.confidence import word


class AnswerText(Value):
    """The parts of an answer, each Markdown, in the order in which they are shown.

    ``headline`` is one line: who answered, who agrees, how sure. ``body`` is the synthesis. ``views`` lists
    what each member holds, ``failures`` who gave nothing and why; both may be empty. ``footer`` is small
    print: consortium, judge, roles, time, tokens, cost, run id.
    """

    headline: str
    body: str
    views: tuple[str, ...]
    failures: tuple[str, ...]
    footer: str

    def markdown(self) -> str:
        """All of it as one document."""
        parts = [f"**{self.headline}**", self.body]
        if self.views:
            parts.append("**Who says what**\n" + "\n".join(f"- {line}" for line in self.views))
        if self.failures:
            parts.append("**Who is missing**\n" + "\n".join(f"- {line}" for line in self.failures))
        return "\n\n".join([*parts, self.footer])


def answer_text(run: Run) -> AnswerText:
    """Word a run that has a verdict. Raises ValueError when it has none."""
    verdict, decided = run.verdict, run.deciding_round
    if verdict is None or decided is None:
        raise ValueError("the run has no verdict")
    outcomes = next(r.outcomes for r in reversed(run.rounds) if r.kind == "answers" and r.number <= decided.number)
    missing = [f for f in (*outcomes, *verdict.failures) if isinstance(f, Failure)]
    reviews = decided.failures if decided.kind == "reviews" else ()
    return AnswerText(
        headline=". ".join(filter(None, [_attendance(outcomes, run.panel), _how(verdict), _confidence(verdict)])) + ".",
        body=verdict.synthesis,
        views=tuple(_view(p, verdict) for p in verdict.positions),
        failures=(
            *(f"{f.member.label}: {f.detail}" for f in missing),
            *(f"{f.member.label}, ranking the others: {f.detail}" for f in reviews),
        ),
        footer=_footer(run, verdict),
    )


def _attendance(outcomes: Sequence[Response | Failure], panel: Sequence[Member]) -> str:
    """ "3 of 4 members answered; mistral timed out"; of those that were asked, where that was not the whole panel."""
    failures = [o for o in outcomes if isinstance(o, Failure)]
    total, who = len(outcomes), "members" if len(outcomes) >= len(panel) else "members asked"
    if not failures:
        if who != "members":
            return f"{total} members were asked and answered" if total > 1 else "One member was asked and answered"
        return f"All {total} members answered" if total > 1 else "The only member answered"
    reasons = "; ".join(f"{f.member.label} {FAILED_BECAUSE[f.kind]}" for f in failures)
    return f"{total - len(failures)} of {total} {who} answered; {reasons}"


def _how(verdict: Verdict) -> str:
    """How it was decided, where not by an arbiter."""
    match verdict.source:
        case VerdictSource.ONLY:
            return "Only one answer: nobody could agree or disagree with it"
        case VerdictSource.CENTRAL:
            return f"No arbiter could decide: this is the answer most like the others, by {verdict.judge.label}"
        case VerdictSource.VOTE if verdict.ballot and verdict.ballot.basis == "meaning":
            return f"The largest group of like texts goes out, in the words of {verdict.judge.label}"
        case VerdictSource.VOTE:
            instead = "No arbiter could decide, so the vote did" if verdict.failures else "Decided by vote"
            return f"{instead}, in the words of {verdict.judge.label}"
    return ""


def _confidence(verdict: Verdict) -> str:
    """ "Confidence high, 0.91: 5 of 5 agree"."""
    agreement = _agreement(verdict)
    if verdict.confidence is None:
        return f"Confidence unknown{agreement and f': {agreement}'}"
    if not agreement:  # of runs from before confidence was read from agreement
        return f"Confidence {verdict.confidence:.2f}, the arbiter's own figure"
    return f"Confidence {word(verdict.confidence)}, {verdict.confidence:.2f}: {agreement}"


def _agreement(verdict: Verdict) -> str:
    if verdict.agreement is None:
        return ""
    abstained = _abstained(verdict)
    against = [p.member.label for p in verdict.positions if p.stance is Stance.DISAGREES]
    partly = [p.member.label for p in verdict.positions if p.stance is Stance.PARTLY and p.member.id not in abstained]
    agree = sum(p.stance is Stance.AGREES for p in verdict.positions) or int(verdict.agreement.agree)
    tail = [f"{listed(against)} {verb(against, 'disagrees', 'disagree')}"] if against else []
    tail += [f"{listed(partly)} only in part"] if partly else []
    tail += [f"{listed(list(abstained.values()))} did not vote"] if abstained else []
    return "; ".join([f"{agree} of {verdict.agreement.total} agree", *tail])


def _abstained(verdict: Verdict) -> dict[str, str]:
    """Who had no vote in a verdict by vote, by id: these hold nothing, so they do not agree in part either."""
    voted = verdict.source is VerdictSource.VOTE and verdict.ballot
    return {m.id: m.label for m in voted.abstained} if voted else {}


def _view(position: Position, verdict: Verdict) -> str:
    if position.member.id in _abstained(verdict):
        return f"{position.member.label} {position.point or 'did not vote'}"
    stance = {Stance.AGREES: "agrees", Stance.PARTLY: "agrees in part", Stance.DISAGREES: "**disagrees**"}
    point = f": {position.point}" if position.point else ""
    return f"{position.member.label} {stance[position.stance]}{point}"


def _footer(run: Run, verdict: Verdict) -> str:
    parts = [f"consortium {run.consortium}"]
    if run.ask.setup and run.ask.setup.strategy != "default":
        parts.append(f"strategy {run.ask.setup.strategy}")
    if verdict.source in (VerdictSource.ARBITER, VerdictSource.STAND_IN):
        stand_in = ", standing in" if verdict.source is VerdictSource.STAND_IN else ""
        own = "" if verdict.stated is None else f" (its own figure: {verdict.stated:.2f})"
        parts.append(f"arbiter {verdict.judge.label}{stand_in}{own}")
    if len(run.rounds) > 1:
        parts.append(f"{len(run.rounds)} rounds")
    roles = [f"{m.label} as {short(m.role, 60)}" for m in run.panel if m.role]
    if roles:
        parts.append("roles: " + ", ".join(roles))
    if run.ask.domain:
        parts.append(f"domain {run.ask.domain}")
    if run.seconds is not None:
        parts.append(f"{run.seconds:.1f} s")
    parts += [tokens_text(run.bill), cost_text(run.bill), f"run {run.id}"]
    lines = [" · ".join(parts), *run.notes]
    if run.simulated:
        lines.append("Simulated members: no language model wrote their text.")
    elif verdict.judge.simulated:
        lines.append("The arbiter is simulated: no language model wrote this answer.")
    return "\n".join(f"_{line}_" for line in lines)


def progress_text(view: RunView) -> str:
    """The state of a run while it goes on, a line a member."""
    done = len(view.outcomes)
    doing = "rank each other's answers" if view.kind == "reviews" else ""
    many = f"{len(view.panel)} {'members' if len(view.panel) > 1 else 'member'}"
    head = f"**{many} {doing}** · {done} done" if doing else f"**Asking {many}** · {done} done"
    if view.max_rounds > 1 and view.round > 1:
        head += f" · round {view.round} of at most {view.max_rounds}"
    lines = [head, *(f"- {_member_state(m, view)}" for m in view.panel)]
    if view.judge:
        lines.append(f"- ✍️ {view.judge.label} is weighing the answers")
    if view.text:
        lines += ["", view.text]
    return "\n".join(lines)


def _member_state(member: Member, view: RunView) -> str:
    """One member's state in a line: waiting, answered after so many seconds, or why not."""
    role = f" as {short(member.role, 60)}" if member.role else ""
    match view.outcomes.get(member.id):
        case Response() as response:
            return f"✅ {member.label}{role}: answered in {response.seconds:.1f} s"
        case Failure() as failure:
            return f"❌ {member.label}{role}: {FAILED_BECAUSE[failure.kind]}"
        case _:
            return f"⏳ {member.label}{role}: thinking"
