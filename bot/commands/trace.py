"""A run in full, for the operator's eyes: what was asked, what each gave, how it was decided, what it cost."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from datetime import datetime

from core.present.figures import FAILED_BECAUSE, cost_text, tokens_text
from core.types import Ballot, Failure, Member, Outcome, Response, Round, Run, Stance, Usage, Verdict
from core.votes.confidence import word

STANCES = {Stance.AGREES: "agrees", Stance.PARTLY: "agrees in part", Stance.DISAGREES: "disagrees"}


def trace(run: Run) -> list[str]:
    """The lines."""
    parts = [_head(run), _setup(run)]
    parts += [_round(round_) for round_ in run.rounds]
    return [line for part in (*parts, _analysis(run), _end(run)) for line in [*part, ""]][:-1]


def _head(run: Run) -> list[str]:
    where = run.ask.where
    fields = {
        "run": run.id,
        "state": run.status.value + (f": {run.error}" if run.error else ""),
        "asked": f"{_time(run.created_at)} by {run.ask.asker.name or run.ask.asker.id}",
        "where": f"{where.platform.value} {where.workspace}/{where.channel}" + (" (private)" if where.private else ""),
        "conversation": where.thread,
        "domain": run.ask.domain,
        "question type": run.ask.question_type,
        "system": run.ask.system or (run.ask.setup.system if run.ask.setup else None),
    }
    return [*_fields(fields), *_block("question", run.ask.text)]


def _setup(run: Run) -> list[str]:
    setup = run.ask.setup
    fields: dict[str, str | None] = {"consortium": run.consortium, "panel": ", ".join(map(_seat, run.panel))}
    if setup:
        params = ", ".join(f"{name}={value}" for name, value in setup.params.items())
        fields |= {
            "arbiter": ", then ".join((setup.arbiter, *setup.arbiter_fallbacks)),
            "strategy": setup.strategy + (f" ({params})" if params else ""),
            "judging": setup.judging + (", in both orders" if setup.both_orders else ""),
            "rounds": f"{setup.min_iterations} to {setup.max_iterations}, until confidence "
            f"{setup.confidence_threshold:g}",
            "limits": f"{setup.deadline:g} s; quorum {setup.quorum:g}, patience {setup.patience:g}",
        }
    return _fields(fields)


def _seat(member: Member) -> str:
    return member.label + (f" as {member.role}" if member.role else "")


def _round(round_: Round) -> list[str]:
    what = " (members rank each other's answers)" if round_.kind == "reviews" else ""
    lines = [f"--- round {round_.number}{what}"]
    for outcome in round_.outcomes:
        lines += _outcome(outcome)
    return lines + (_verdict(round_.verdict) if round_.verdict else ["no verdict"])


def _outcome(outcome: Outcome) -> list[str]:
    tries = f", {outcome.attempts} attempts" if outcome.attempts > 1 else ""
    if isinstance(outcome, Failure):
        return [f"{outcome.member.label} {FAILED_BECAUSE[outcome.kind]}{tries}: {outcome.detail}"]
    cut = ", cut at its token limit" if outcome.truncated else ""
    head = f"{_seat(outcome.member)}: {outcome.seconds:.1f} s{tries}, {_usage(outcome)}{cut}"
    return [head, *_indented(outcome.text)]


def _usage(response: Response) -> str:
    usage: Usage = response.usage
    known = None not in (usage.prompt_tokens, usage.completion_tokens)
    tokens = f"{usage.prompt_tokens:,} + {usage.completion_tokens:,} tokens" if known else "tokens unknown"
    return tokens + ("" if usage.cost is None else f", ${usage.cost:.6g}")


def _verdict(verdict: Verdict) -> list[str]:
    ways = {
        "arbiter": "by the arbiter",
        "stand_in": "by a stand-in for the arbiter",
        "vote": "by vote, in the words of",
        "central": "no judge could decide: the most central answer, of",
        "only": "the only answer, of",
    }
    lines = [f"verdict {ways[verdict.source.value]} {verdict.judge.label}, {verdict.seconds:.1f} s"]
    lines += [f"  {line}" for line in _fields(_sureness(verdict))]
    lines += _ballot(verdict.ballot)
    if verdict.ranking:
        lines.append("  ranking: " + ", ".join(f"{n}. {m.label}" for n, m in enumerate(verdict.ranking, 1)))
    for position in verdict.positions:
        point = f": {position.point}" if position.point else ""
        lines.append(f"  {position.member.label} {STANCES[position.stance]}{point}")
    lines += [f"  {f.member.label} could not judge, {FAILED_BECAUSE[f.kind]}: {f.detail}" for f in verdict.failures]
    lines += [f"  to clear up: {point}" for point in verdict.refine]
    return [*lines, "  synthesis:", *_indented(verdict.synthesis, 4)]


def _sureness(verdict: Verdict) -> dict[str, str | None]:
    sure = "unknown" if verdict.confidence is None else f"{verdict.confidence:.2f} ({word(verdict.confidence)})"
    agreement = verdict.agreement
    return {
        "confidence": sure,
        "agreement": f"{agreement.agree:g} of {agreement.total}" if agreement else None,
        "stated by the judge": None if verdict.stated is None else f"{verdict.stated:.2f}",
        "note": verdict.note,
    }


def _ballot(ballot: Ballot | None) -> Iterator[str]:
    if ballot is None:
        return
    yield f"  votes by {ballot.basis}:"
    for camp in ballot.camps:
        names = ", ".join(member.label for member in camp.members)
        yield f"    {' '.join(camp.answer.split())}: {len(camp.members)} (weight {camp.weight:.2f}): {names}"
    if ballot.abstained:
        yield f"    no vote: {', '.join(member.label for member in ballot.abstained)}"


def _analysis(run: Run) -> list[str]:
    analysis = run.analysis
    if analysis is None:
        return ["no analysis"]
    alike = None if analysis.mean_similarity is None else f"{analysis.mean_similarity:.2f} on average"
    fields = {"likeness": alike, "made by": analysis.embedder, "most central": analysis.members[analysis.central].label}
    if analysis.grouping:
        fields["groups"] = ", ".join(_groups(analysis.members, analysis.grouping.labels))
    moods = [
        f"{mood.member.label}: polarity {mood.sentiment.polarity:+.2f}, "
        f"subjectivity {mood.sentiment.subjectivity:.2f}, {_emotions(mood.emotions)}"
        for mood in analysis.moods
    ]
    return [*_fields(fields), *moods, *analysis.notes]


def _groups(members: Iterable[Member], labels: Iterable[int]) -> list[str]:
    groups: dict[int, list[str]] = {}
    alone = []
    for member, label in zip(members, labels, strict=True):
        if label < 0:
            alone.append(f"{member.label} alone")
        else:
            groups.setdefault(label, []).append(member.label)
    return [" + ".join(group) for group in groups.values()] + alone


def _emotions(emotions: dict[str, float]) -> str:
    strongest = sorted((item for item in emotions.items() if item[1] > 0), key=lambda item: -item[1])[:3]
    return ", ".join(f"{name} {value:.2f}" for name, value in strongest) or "no emotion found"


def _end(run: Run) -> list[str]:
    calls = f"{run.bill.calls} {'call' if run.bill.calls == 1 else 'calls'}"
    bill = f"{calls}, {tokens_text(run.bill)}, {cost_text(run.bill)}" if run.bill.calls else "no calls"
    fields: dict[str, str | None] = {
        "bill": bill,
        "answered": f"{_time(run.answered_at)}, after {run.seconds:.1f} s" if run.answered_at else "never",
        "ended": _time(run.ended_at) if run.ended_at else "not yet",
    }
    simulated = ["Simulated members or arbiter: no language model wrote their text."] if run.simulated else []
    return [*_fields(fields), *(f"note: {note}" for note in run.notes), *simulated]


def _fields(fields: dict[str, str | None]) -> list[str]:
    shown = {name: " ".join(value.split()) for name, value in fields.items() if value}
    wide = max(map(len, shown), default=0)
    return [f"{name:<{wide}}  {value}" for name, value in shown.items()]


def _block(name: str, text: str) -> list[str]:
    return [f"{name}:", *_indented(text)]


def _indented(text: str, by: int = 2) -> list[str]:
    return textwrap.indent(text.strip(), " " * by).splitlines()


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
