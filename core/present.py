"""What people read: a run, a history page, roles and models as Markdown, the same on every platform.

Adapters lay these pieces out in their platform's idiom and make them safe for it; they do not word anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from core.asks import Value
from core.catalog import Catalog
from core.delivery import RunView
from core.ports import BreakerState, RunSummary
from core.setup import ConsortiumSpec
from core.types import (
    Bill,
    Failure,
    FailureKind,
    Member,
    Position,
    Response,
    Run,
    RunStatus,
    Stance,
    Verdict,
    VerdictSource,
)
from core.votes.confidence import word

FAILED_BECAUSE = {
    FailureKind.TIMEOUT: "timed out",
    FailureKind.RATE_LIMITED: "was rate limited",
    FailureKind.REFUSED: "was refused",
    FailureKind.UNREACHABLE: "could not be reached",
    FailureKind.BAD_REPLY: "gave no usable reply",
    FailureKind.BREAKER_OPEN: "is resting after repeated failures",
    FailureKind.CANCELLED: "was not waited for",
}


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
    tail = [f"{_list(against)} {_verb(against, 'disagrees', 'disagree')}"] if against else []
    tail += [f"{_list(partly)} only in part"] if partly else []
    tail += [f"{_list(list(abstained.values()))} did not vote"] if abstained else []
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
    roles = [f"{m.label} as {_short(m.role, 60)}" for m in run.panel if m.role]
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


def tokens_text(bill: Bill) -> str:
    """ "1,234 tokens", "at least 1,234 tokens" when some calls did not say, or "tokens unknown"."""
    known = bill.prompt_tokens + bill.completion_tokens
    if bill.uncounted == bill.calls:
        return "tokens unknown"
    return f"{'at least ' if bill.uncounted else ''}{known:,} tokens"


def cost_text(bill: Bill) -> str:
    """ "$0.0012", "at least $0.0012" when some calls did not say, or "cost unknown"."""
    if bill.unpriced == bill.calls:
        return "cost unknown"
    amount = "$0" if bill.cost == 0 else f"${bill.cost:.4f}" if bill.cost < 1 else f"${bill.cost:.2f}"
    return f"at least {amount}" if bill.unpriced else amount


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
    role = f" as {_short(member.role, 60)}" if member.role else ""
    match view.outcomes.get(member.id):
        case Response() as response:
            return f"✅ {member.label}{role}: answered in {response.seconds:.1f} s"
        case Failure() as failure:
            return f"❌ {member.label}{role}: {FAILED_BECAUSE[failure.kind]}"
        case _:
            return f"⏳ {member.label}{role}: thinking"


def history_text(rows: Sequence[RunSummary], page: int, *, more: bool, prefix: str) -> str:
    """A page of somebody's history."""
    if not rows:
        if page > 1:
            return f"There is no page {page} in your history."
        return f"You have not asked anything yet. Write `{f'{prefix} ask'.strip()}` and a question."
    lines = [f"**Your questions**{f', page {page}' if page > 1 else ''}"]
    for row in rows:
        lines.append(f"- {row.created_at:%Y-%m-%d %H:%M} UTC · **{_short(row.question, 150)}** · `{row.id}`")
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
    return f"{_short(row.answer, 200)} ({sure}{label})"


def roles_text(known: Mapping[str, str], mine: Mapping[str, str], panel: Iterable[Member], note: str | None) -> str:
    """The roles in force for a person in a channel, and the ones there are."""
    panel = list(panel)
    simulated = {m.model for m in panel if m.simulated}
    models = list(dict.fromkeys([*(m.model for m in panel), *mine]))
    lines = ["**Your roles in this channel**"]
    for model in models:
        role = _short(mine[model], 120) if model in mine else "no role"
        lines.append(f"- {model}{' (simulated)' if model in simulated else ''}: {role}")
    if note:
        lines += ["", note]
    lines += ["", "**Roles there are** (any other text works too)"]
    lines += [f"- {name}: {_short(text, 160)}" for name, text in known.items()]
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


def _short(text: str, most: int) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: most - 1].rstrip() + "…"


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def _verb(names: Sequence[str], one: str, many: str) -> str:
    return one if len(names) == 1 else many
