"""The answer of a run, and one tap behind it: what each member said itself, and who disagrees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from core.cards import Button, Card, Reply, Section, Tone
from core.commands import values
from core.commands.actions import encode
from core.errors import NotFound
from core.present import wording
from core.present.figures import cost_text, short, tokens_text
from core.present.shortening import closed, shortened
from core.types import (
    Ballot,
    Failure,
    Position,
    Response,
    Run,
    RunStatus,
    Stance,
    Verdict,
    VerdictSource,
)
from core.votes.confidence import word

FEW = 3
"""Lines of a section while the answer is shown short."""

ONE_LINE = 240
"""Characters of such a line."""

ONE_PAGE = 3_000
"""Characters of all members' answers together up to which they are shown on one page."""

SURE_FROM = 0.8
"""The confidence from which an answer counts as sure where the set-up is not on record."""


# --- the answer -----------------------------------------------------------------------------------------


def answer_card(run: Run, *, long: bool = False) -> Card:
    """Word a run that has a verdict, short or with all of it. Raises ValueError when it has none."""
    verdict = run.verdict
    if verdict is None:
        raise ValueError("the run has no verdict")
    body, cut = shortened(verdict.synthesis)
    whole = _sections(run, verdict)
    few = tuple(_few(section) for section in whole)
    more = cut or few != whole or bool(_who_is_missing(run, verdict))
    return Card(
        tone=_tone(run, verdict),
        status=_status(run, verdict),
        details=_details(run, verdict),
        body=closed(verdict.synthesis if long else body),
        sections=(*whole, *_who_is_missing(run, verdict)) if long else few,
        footer=_footer(run, verdict),
        buttons=(_buttons(run, more=more, long=long),),
        good=Button(label="Good answer", action=encode(values.Feedback(run=run.id, good=True)), emoji="👍"),
        bad=Button(label="Bad answer", action=encode(values.Feedback(run=run.id, good=False)), emoji="👎"),
    )


def _status(run: Run, verdict: Verdict) -> str:
    """One line: who agrees, who does not, how sure that is."""
    agreed = wording.agreement(verdict)
    if not agreed:
        alone = verdict.source is VerdictSource.ONLY
        agreed = _decided(run, verdict) if alone else wording.attendance(wording.outcomes_of(run), run.panel)
    line = _line(agreed, wording.confidence(verdict))
    return line[:1].upper() + line[1:]


def _details(run: Run, verdict: Verdict) -> str:
    """One line: how it was decided, who is missing, what it took."""
    agreed, asked = wording.agreement(verdict), len(wording.outcomes_of(run))
    said = verdict.source is VerdictSource.ONLY and not agreed  # by the status
    return _line(
        "" if said else _decided(run, verdict),
        f"{asked} of {len(run.panel)} members asked" if agreed and asked < len(run.panel) else "",
        *wording.failed_text(wording.missing(run)),
        *(f"{text} when ranking the others" for text in wording.failed_text(_reviewers(run))),
        "" if run.seconds is None else f"{run.seconds:.1f} s",
        *_used(run),
    )


def _line(*parts: str) -> str:
    return " · ".join(filter(None, parts))


def _decided(run: Run, verdict: Verdict) -> str:
    return wording.how(verdict, addressed=run.ask.addressed is not None)


def _used(run: Run) -> list[str]:
    """Tokens and cost."""
    return ["simulated, no cost"] if _all_simulated(run) else [tokens_text(run.bill), cost_text(run.bill)]


def _all_simulated(run: Run) -> bool:
    """Whether no language model was asked. Of a round that all have answered and nobody has judged it is not known:
    the arbiter may have been at work."""
    verdicts = [found for found in (*(r.verdict for r in run.rounds), run.verdict) if found]
    asked = [*run.panel, *(v.judge for v in verdicts), *(f.member for v in verdicts for f in v.failures)]
    if not run.panel or not all(member.simulated for member in asked):
        return False
    last = run.rounds[-1] if run.rounds else None
    return last is None or bool(last.verdict) or len(last.outcomes) < len(run.panel) or not last.responses


def _reviewers(run: Run) -> tuple[Failure, ...]:
    """Who was to rank the others' answers and did not."""
    decided = run.deciding_round
    return decided.failures if decided and decided.kind == "reviews" else ()


def _tone(run: Run, verdict: Verdict) -> Tone:
    if any(p.stance is Stance.DISAGREES for p in verdict.positions) or _divided(verdict.ballot):
        return Tone.SPLIT
    least = run.ask.setup.confidence_threshold if run.ask.setup else SURE_FROM
    return Tone.SURE if verdict.confidence is not None and verdict.confidence >= least else Tone.UNSURE


def _divided(ballot: Ballot | None) -> bool:
    return ballot is not None and ballot.basis == "final answers" and len(ballot.camps) > 1


def _sections(run: Run, verdict: Verdict) -> tuple[Section, ...]:
    """What the members have in common and what not: as the arbiter found it, else by their positions."""
    found = {
        "All say": verdict.common,
        "They differ on": verdict.disputed,
        "Only one said": tuple(f"{remark.member.label}: {remark.point}" for remark in verdict.alone),
    }
    if not any(found.values()):
        agreeing = [p for p in verdict.positions if p.stance is Stance.AGREES and p.point]
        found = {"Who says what": tuple(wording.position_line(p, verdict) for p in agreeing)}
    found["Dissent"] = tuple(wording.position_line(p, verdict) for p in _dissenting(verdict))
    return tuple(
        Section(title=title, lines=tuple(" ".join(line.split()) for line in lines))
        for title, lines in found.items()
        if lines
    )


def _dissenting(verdict: Verdict) -> list[Position]:
    """Who disagrees, then who agrees only in part."""
    by_stance = {stance: [p for p in verdict.positions if p.stance is stance] for stance in Stance}
    return [*by_stance[Stance.DISAGREES], *by_stance[Stance.PARTLY]]


def _few(section: Section) -> Section:
    """The same in at most three lines, none of them long."""
    lines = [short(line, ONE_LINE) for line in section.lines]
    if len(lines) > FEW:
        lines = [*lines[: FEW - 1], f"… and {len(lines) - FEW + 1} more"]
    return Section(title=section.title, lines=tuple(lines))


def _who_is_missing(run: Run, verdict: Verdict) -> tuple[Section, ...]:
    """Everybody who gave nothing, arbiters too, with the full reason."""
    lines = (
        *(f"{f.member.label}: {f.detail}" for f in (*wording.missing(run), *verdict.failures)),
        *(f"{f.member.label}, ranking the others: {f.detail}" for f in _reviewers(run)),
    )
    return (Section(title="Who is missing", lines=lines),) if lines else ()


def _buttons(run: Run, *, more: bool, long: bool) -> tuple[Button, ...]:
    several = len(run.answers) > 1
    size = Button(label="Shorter" if long else "Longer", action=encode(values.Resize(run=run.id, long=not long)))
    found = [
        Button(label="Answers", action=encode(values.ShowAnswers(run=run.id))),
        Button(label="Dissent", action=encode(values.ShowDissent(run=run.id))),
        *([Button(label="Charts", action=encode(values.ShowCharts(run=run.id)))] if several and run.ask.charts else []),
        _ask_again(run),
        *([size] if more else []),
    ]
    return tuple(found)


def _ask_again(run: Run) -> Button:
    return Button(label="Ask again", action=encode(values.AskAgain(run=run.id)))


# --- small print ----------------------------------------------------------------------------------------


def _footer(run: Run, verdict: Verdict) -> tuple[str, ...]:
    parts = [f"consortium {run.consortium}"]
    if run.ask.setup and run.ask.setup.strategy != "default":
        parts.append(f"strategy {run.ask.setup.strategy}")
    if verdict.source in (VerdictSource.ARBITER, VerdictSource.STAND_IN):
        stand_in = ", standing in" if verdict.source is VerdictSource.STAND_IN else ""
        own = "" if verdict.stated is None else f" (its own figure: {verdict.stated:.2f})"
        parts.append(f"arbiter {verdict.judge.label}{stand_in}{own}")
    if len(run.rounds) > 1:
        parts.append(f"{len(run.rounds)} rounds")
    return (*_small_print(run, parts), *_simulated(run, verdict))


def _small_print(run: Run, parts: list[str]) -> list[str]:
    """What every run says of itself, behind what is known of it in particular; its notes a line each."""
    if roles := [f"{m.label} as {short(m.role, 60)}" for m in run.panel if m.role]:
        parts.append("roles: " + ", ".join(roles))
    if run.ask.domain:
        parts.append(f"domain {run.ask.domain}")
    if run.ask.attachments:
        parts.append("with " + ", ".join(_attached(a.name, a.shortened) for a in run.ask.attachments))
    parts.append(f"run {run.id}")
    return [" · ".join(parts), *(" ".join(note.split()) for note in run.notes)]


def _attached(name: str, shortened: bool) -> str:
    return f"{short(name, 60)} (only its beginning)" if shortened else short(name, 60)


def _simulated(run: Run, verdict: Verdict | None) -> list[str]:
    fakes = [m.label.removesuffix(" (simulated)") for m in run.panel if m.simulated]
    if fakes:
        return [f"Simulated members: {', '.join(fakes)}. No language model wrote their text."]
    if verdict is not None and verdict.judge.simulated:
        return ["The arbiter is simulated: no language model wrote this answer."]
    return []


# --- no answer ------------------------------------------------------------------------------------------


def failed_card(run: Run, text: str) -> Card:
    """A run that gave no answer: why, and who had answered. ``text`` is the reason for people."""
    given = wording.outcomes_of(run)
    answered = sum(isinstance(o, Response) for o in given)
    stopped = run.status is RunStatus.CANCELLED
    asked = max(len(run.panel), len(given))
    told = f"{answered} of {asked} had answered" if answered or stopped else ""
    ended = {o.member.id for o in given}
    cut_off = [m for m in run.panel if m.id not in ended] if stopped and run.rounds else []
    untold = (
        *(f"{f.member.label}: {f.detail}" for f in wording.missing(run) if f.detail not in text),
        *(f"{m.label}: stopped before it answered" for m in cut_off),
    )
    look = [Button(label="Answers", action=encode(values.ShowAnswers(run=run.id)))] if answered else []
    return Card(
        tone=Tone.FAILED,
        status=_line("Stopped" if stopped else "No answer", told),
        details=_line(*(_used(run) if run.bill.calls else [])),
        body=text,
        sections=(Section(title="Who is missing", lines=untold),) if untold else (),
        footer=(*_small_print(run, [f"consortium {run.consortium}"]), *_simulated(run, None)),
        buttons=((*look, _ask_again(run)),),
    )


# --- what each member said ------------------------------------------------------------------------------


def answers_reply(run: Run, page: int = 1) -> Reply:
    """Every member's own answer to what was decided; one a page, with buttons to turn it, where they are long.

    Raises NotFound for a page that there is not, or when nobody has answered.
    """
    pages = _pages(run)
    if not 1 <= page <= len(pages):
        raise NotFound(f"There is no page {page} of these answers; there {_pages_there(len(pages))}.")
    turns = [("Previous", page - 1)] if page > 1 else []
    turns += [("Next", page + 1)] if page < len(pages) else []
    buttons = tuple(
        Button(label=label, action=encode(values.ShowAnswers(run=run.id, page=number))) for label, number in turns
    )
    return Reply(text=pages[page - 1], buttons=(buttons,) if buttons else ())


def _pages(run: Run) -> list[str]:
    outcomes = wording.outcomes_of(run)
    answers = [o for o in outcomes if isinstance(o, Response)]
    failures = wording.missing(run)
    if not answers and not failures:
        raise NotFound(f"Nobody has answered in run `{run.id}` so far.")
    head = f"**What the members said** to “{short(run.ask.text, 150)}”"
    tail = "\n".join(["**Who is missing**", *(f"- {f.member.label}: {f.detail}" for f in failures)]) if failures else ""
    if not answers or sum(len(a.text) for a in answers) <= ONE_PAGE:
        return ["\n\n".join(filter(None, [head, *(_own_answer(a) for a in answers), tail]))]
    pages = []
    for number, answer in enumerate(answers, 1):
        last = tail if number == len(answers) else ""
        pages.append("\n\n".join(filter(None, [f"{head} · {number} of {len(answers)}", _own_answer(answer), last])))
    return pages


def _own_answer(answer: Response) -> str:
    member, used = answer.member, answer.usage
    tokens = None if used.completion_tokens is None else f"{used.completion_tokens:,} tokens written"
    facts = [f"{answer.seconds:.1f} s", tokens or "tokens unknown"]
    if answer.attempts > 1:
        facts.append(f"{answer.attempts} attempts")
    if answer.truncated:
        facts.append("cut off at its token limit")
    role = f" as {short(member.role, 60)}" if member.role else ""
    return f"**{member.label}{role}** · {' · '.join(facts)}\n\n{closed(answer.text)}"


def _pages_there(many: int) -> str:
    return "is one page" if many == 1 else f"are {many} pages"


# --- who disagrees --------------------------------------------------------------------------------------


def dissent_reply(run: Run) -> Reply:
    """Who holds what, the votes, the ranking, and where the confidence comes from. Raises NotFound without verdict."""
    verdict = run.verdict
    if verdict is None:
        raise NotFound(f"Run `{run.id}` has no verdict, so nobody's stance to it is known.")
    parts = [
        f"**{_dissent_head(run, verdict)}**",
        _listing("Who holds what", [wording.position_line(p, verdict) for p in _by_stance(verdict)]),
        _listing("They differ on", verdict.disputed),
        _listing("Only one said", [f"{r.member.label}: {r.point}" for r in verdict.alone]),
        _votes(verdict.ballot),
        f"**Ranking**, best first: {', '.join(m.label for m in verdict.ranking)}" if verdict.ranking else "",
        _listing("Still open", verdict.refine),
        _why_sure(verdict),
        *_simulated(run, verdict),
    ]
    buttons = (Button(label="Answers", action=encode(values.ShowAnswers(run=run.id))),)
    return Reply(text="\n\n".join(filter(None, parts)), buttons=(buttons,))


def _by_stance(verdict: Verdict) -> list[Position]:
    return [*_dissenting(verdict), *(p for p in verdict.positions if p.stance is Stance.AGREES)]


def _dissent_head(run: Run, verdict: Verdict) -> str:
    against = [p.member for p in verdict.positions if p.stance is Stance.DISAGREES]
    partly = [p.member for p in _dissenting(verdict) if p.stance is Stance.PARTLY]
    silent = wording.abstained(verdict)
    partly = [m for m in partly if m.id not in silent]
    if against:
        return f"{wording.names(against)} {'disagrees' if len(against) == 1 else 'disagree'} with the answer"
    if partly:
        return f"Nobody disagrees; {wording.names(partly)} {'agrees' if len(partly) == 1 else 'agree'} only in part"
    if verdict.source is VerdictSource.ONLY:
        return "There is one answer only: nobody could disagree with it"
    if not verdict.positions:
        return "Nobody judged who agrees and who does not"
    agreeing = len(verdict.positions) - len(silent)
    voted = f"; {len(silent)} did not vote" if silent else ""
    return f"Nobody dissents: {'all ' if not silent else ''}{agreeing} agree with the answer{voted}"


def _listing(title: str, lines: Iterable[str]) -> str:
    lines = [f"- {' '.join(line.split())}" for line in lines]
    return "\n".join([f"**{title}**", *lines]) if lines else ""


def _votes(ballot: Ballot | None) -> str:
    if ballot is None:
        return ""
    title = "Votes, by final answers" if ballot.basis == "final answers" else "Groups of texts that are alike"
    total = sum(camp.weight for camp in ballot.camps) or 1.0
    each = {round(camp.weight / len(camp.members), 6) for camp in ballot.camps}
    lines = []
    for camp in ballot.camps:
        weighs = "" if len(each) <= 1 else f", {camp.weight / total:.0%} of all weight"
        lines.append(f"{short(camp.answer, 160)}: {wording.names(camp.members)} ({_count(camp.members)}{weighs})")
    lines += [f"no vote: {wording.names(ballot.abstained)}"] if ballot.abstained else []
    notes = []
    if len(each) > 1:
        notes.append("Votes weigh by how reliable each model was in earlier runs.")
    if ballot.lead < 0:
        notes.append("Weight went before number here: more members hold another answer.")
    if ballot.basis == "meaning":
        notes.append("Texts that are alike share topic and wording; they may still say opposite things.")
    return "\n\n".join(filter(None, [_listing(title, lines), " ".join(notes)]))


def _count(members: Sequence[object]) -> str:
    return "1 vote" if len(members) == 1 else f"{len(members)} votes"


def _why_sure(verdict: Verdict) -> str:
    """Where the confidence comes from and what it means; the arbiter's own figure beside it."""
    found = verdict.confidence
    if found is None:
        text = "**Confidence unknown**: nothing speaks for a figure."
    elif verdict.agreement is None:
        text = f"**Confidence {found:.2f}** is the arbiter's own figure."
    else:
        held = f"{verdict.agreement.agree:g} of {verdict.agreement.total}"
        text = (
            f"**Confidence {word(found)}, {found:.2f}**: {held} hold the answer"
            f"{' (in part counts half)' if verdict.agreement.agree % 1 else ''}. Of answers with so much agreement "
            f"about {found * 100:.0f} in 100 are expected to be right."
        )
    if verdict.stated is not None and verdict.agreement is not None:
        text += f" The arbiter's own figure is {verdict.stated:.2f}; it does not count."
    return text
