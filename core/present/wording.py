"""How a verdict is put into words: who answered, who agrees, how it was decided, how sure it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from core.present.figures import FAILED_BECAUSE, listed, verb
from core.types import Failure, Member, Outcome, Position, Round, Run, Stance, Verdict, VerdictSource
from core.votes.confidence import word


def answers_round(run: Run) -> Round | None:
    """The round of answers that the decision is about; without one the last round of answers, None before any."""
    decided = run.deciding_round
    upto = [r for r in run.rounds if r.kind == "answers" and (decided is None or r.number <= decided.number)]
    return upto[-1] if upto else None


def outcomes_of(run: Run) -> tuple[Outcome, ...]:
    """What the members gave to the question: in the round that was decided, or, where none was, what each gave last."""
    if run.verdict is not None:
        found = answers_round(run)
        return found.outcomes if found else ()
    latest: dict[str, Outcome] = {}
    for given in (o for r in run.rounds if r.kind == "answers" for o in r.outcomes):
        if given.type == "response" or given.member.id not in latest:
            latest[given.member.id] = given
    return tuple(latest.values())


def missing(run: Run) -> tuple[Failure, ...]:
    """The members that gave nothing to the question."""
    return tuple(o for o in outcomes_of(run) if isinstance(o, Failure))


def names(members: Iterable[Member]) -> str:
    """ "a, b (simulated) and c"."""
    return listed([m.label for m in members])


def failed_text(failures: Sequence[Failure]) -> list[str]:
    """ "a and b timed out", "c was refused": those with the same reason together."""
    by_reason: dict[str, list[Member]] = {}
    for failure in failures:
        by_reason.setdefault(FAILED_BECAUSE[failure.kind], []).append(failure.member)
    return [f"{names(members)} {_for_many(reason, len(members))}" for reason, members in by_reason.items()]


def _for_many(reason: str, many: int) -> str:
    if many < 2:
        return reason
    first, _, rest = reason.partition(" ")
    return f"{ {'was': 'were', 'is': 'are'}.get(first, first) } {rest}"


def how(verdict: Verdict, addressed: bool = False) -> str:
    """How it was decided, where not by the arbiter."""
    match verdict.source:
        case VerdictSource.ONLY if addressed:
            return f"only {verdict.judge.label} was asked"
        case VerdictSource.ONLY:
            return "only one answer: nobody could agree or disagree with it"
        case VerdictSource.CENTRAL:
            return f"no arbiter could decide: this is the answer most like the others, by {verdict.judge.label}"
        case VerdictSource.VOTE if verdict.ballot and verdict.ballot.basis == "meaning":
            return f"the largest group of like texts goes out, in the words of {verdict.judge.label}"
        case VerdictSource.VOTE:
            instead = "no arbiter could decide, so the vote did" if verdict.failures else "decided by vote"
            return f"{instead}, in the words of {verdict.judge.label}"
        case VerdictSource.STAND_IN:
            return f"{verdict.judge.label} stood in for the arbiter"
    return ""


def confidence(verdict: Verdict) -> str:
    """ "confidence high, 0.91"; whose figure it is, where it was not read from agreement."""
    if verdict.confidence is None:
        return "confidence unknown"
    if verdict.agreement is None:  # of runs from before confidence was read from agreement
        return f"confidence {verdict.confidence:.2f}, the arbiter's own figure"
    return f"confidence {word(verdict.confidence)}, {verdict.confidence:.2f}"


def agreement(verdict: Verdict) -> str:
    """ "3 of 4 agree; c disagrees; d only in part"; empty where nothing is known of it."""
    if verdict.agreement is None:
        return ""
    silent = abstained(verdict)
    against = [p.member.label for p in verdict.positions if p.stance is Stance.DISAGREES]
    partly = [p.member.label for p in verdict.positions if p.stance is Stance.PARTLY and p.member.id not in silent]
    counted = sum(p.stance is Stance.AGREES for p in verdict.positions)
    agree = counted if verdict.positions else int(verdict.agreement.agree)
    tail = [f"{listed(against)} {verb(against, 'disagrees', 'disagree')}"] if against else []
    tail += [f"{listed(partly)} only in part"] if partly else []
    tail += [f"{listed(list(silent.values()))} did not vote"] if silent else []
    return "; ".join([f"{agree} of {verdict.agreement.total} agree", *tail])


def abstained(verdict: Verdict) -> dict[str, str]:
    """Who had no vote in a verdict by vote, by id: these hold nothing, so they do not agree in part either."""
    voted = verdict.source is VerdictSource.VOTE and verdict.ballot
    return {m.id: m.label for m in voted.abstained} if voted else {}


def attendance(given: Sequence[Outcome], panel: Sequence[Member]) -> str:
    """ "3 of 4 members answered"; of those that were asked, where that was not the whole panel."""
    total, failed = len(given), sum(isinstance(o, Failure) for o in given)
    who = "members" if total >= len(panel) else "members asked"
    if failed:
        return f"{total - failed} of {total} {who} answered"
    if who != "members":
        return f"{total} members were asked and answered" if total > 1 else "one member was asked and answered"
    return f"all {total} members answered" if total > 1 else "the only member answered"


def position_line(position: Position, verdict: Verdict, name: Callable[[Member], str] = lambda m: m.label) -> str:
    """ "llama disagrees: it costs too much"."""
    if position.member.id in abstained(verdict):
        return f"{name(position.member)} {position.point or 'did not vote'}"
    stance = {Stance.AGREES: "agrees", Stance.PARTLY: "agrees in part", Stance.DISAGREES: "disagrees"}
    point = f": {position.point}" if position.point else ""
    return f"{name(position.member)} {stance[position.stance]}{point}"
