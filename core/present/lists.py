"""Lists: history, settings, roles, models, consortia, and who has done how well."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from core.cards import Option
from core.catalog import Catalog
from core.ports import BreakerState, Latency, RunSummary
from core.present.figures import listed, short
from core.setup import ConsortiumSpec
from core.stores import Session
from core.types import Member, RunStatus
from core.votes.ranking import Rank

MOST_RANKED = 3
"""At most so many models of a consortium are shown where several consortia are ranked."""


def written(prefix: str, command: str) -> str:
    """A command as it is written on a platform, in code marks."""
    return f"`{f'{prefix} {command}'.strip()}`"


# --- history --------------------------------------------------------------------------------------------


def history_text(
    rows: Sequence[RunSummary], page: int, *, more: bool, prefix: str, search: str = "", first: int = 1
) -> str:
    """A page of somebody's history, counting from ``first``."""
    about = f' with "{short(search, 60)}"' if search else ""
    if not rows:
        if page > 1:
            return f"There is no page {page} in your history{about}."
        if search:
            return f"None of your questions that can be shown here has{about[5:]} in it or in its answer."
        return f"You have not asked anything yet. Write {written(prefix, 'ask')} and a question."
    lines = [f"**Your questions{about}**{f', page {page}' if page > 1 else ''}"]
    for number, row in enumerate(rows, first):
        lines.append(f"{number}. **{short(row.question, 150)}**")
        lines.append(f"   {_outcome(row)}")
        lines.append(f"   {row.created_at:%Y-%m-%d %H:%M} UTC · {row.consortium} · `{row.id}`")
    if more:
        words = f"history {search} {page + 1}" if search else f"history {page + 1}"
        lines.append(f"\nOlder ones: {written(prefix, words)}")
    return "\n".join(lines)


def _outcome(row: RunSummary) -> str:
    if row.status is RunStatus.CANCELLED:  # the answer of a round before is not the one that was waited for
        return "stopped"
    if not row.status.over and row.answer is None:
        return "still running"
    if row.status is RunStatus.FAILED or row.answer is None:
        return "no answer"
    sure = "confidence unknown" if row.confidence is None else f"confidence {row.confidence:.2f}"
    label = ", simulated" if row.simulated else ""
    return f"{short(row.answer, 200)} ({sure}{label})"


# --- what is set ----------------------------------------------------------------------------------------


def roles_text(known: Mapping[str, str], mine: Mapping[str, str], panel: Iterable[Member], note: str | None) -> str:
    """The roles in force for a person in a channel, and the ones there are."""
    panel = list(panel)
    simulated = {m.model for m in panel if m.simulated}
    models = list(dict.fromkeys([*(m.model for m in panel), *mine]))
    lines = ["**Your roles in this channel**"]
    for model in models:
        role = short(mine[model], 120) if model in mine else "no role"
        lines.append(f"- {labelled(model, simulated)}: {role}")
    if note:
        lines += ["", note]
    lines += ["", "**Roles there are** (any other text works too)"]
    lines += [f"- {name}: {short(text, 160)}" for name, text in known.items()]
    return "\n".join(lines)


def settings_text(session: Session, asked: str, *, own: bool, notes: Iterable[str] = ()) -> str:
    """What holds for a person in a channel. ``asked`` is the consortium that is asked, ``own`` whether by choice."""
    lines = [
        "**Set for you in this channel**",
        f"- Consortium: {asked}{'' if own else ' (the default here)'}",
        f"- Domain: {session.domain or 'none in particular'}",
        f"- Strategy: {session.strategy or 'that of the consortium'}",
        f"- Type of question: {session.question_type or 'any'}",
        f"- Show: {'the whole answer at once' if session.long else 'short answers, with a button for more'}, "
        f"{'with charts' if session.charts else 'without charts'}",
    ]
    if session.roles:
        lines.append("- Roles: " + ", ".join(f"{model} as {short(role, 60)}" for model, role in session.roles.items()))
    return "\n".join([*lines, *(f"\n{note}" for note in notes)])


FIELDS: Mapping[str, tuple[str, str]] = {
    "consortium": ("Consortium", "Which panel is asked."),
    "arbiter": ("Arbiter", "Who brings the answers to one."),
    "domain": ("Domain", "What your questions are about; the members are told."),
    "strategy": ("Strategy", "How the panel comes to its answer."),
    "question_type": ("Type of question", "What form the answer has: free, yes or no, a choice, a number."),
    "show": ("Show", "What comes with every answer."),
}
"""What can be chosen of an ask is called the same in every form: a label and a hint."""


# --- models ---------------------------------------------------------------------------------------------


def models_text(catalog: Catalog, states: Mapping[str, BreakerState], latencies: Mapping[str, Latency]) -> str:
    """Models with their breakers, and how long they took lately."""
    lines = ["**Models**"]
    for key, model in catalog.models.items():
        where = "simulated" if model.provider == "simulated" else f"{model.name} at {model.provider}"
        lines.append(f"- **{key}** ({where}): {breaker_text(states[key])}")
        lines.append(f"  {latency_text(latencies.get(key))}")
    lines += ["", "How long answers took, and how many calls failed, is of the last 7 days."]
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


def latency_text(latency: Latency | None) -> str:
    """How long answers took, in words."""
    if latency is None or not latency.calls:
        return "time unknown: no calls on record"
    calls = f"{latency.calls} {'call' if latency.calls == 1 else 'calls'}"
    failed = f"{latency.failures} of {calls} failed" if latency.failures else calls
    if latency.p50 is None:
        return f"time unknown: no answers on record; {failed}"
    tail = "" if latency.p95 is None else f", 19 of 20 within {latency.p95:.1f} s"
    return f"half of the answers within {latency.p50:.1f} s{tail}; {failed}"


# --- consortia ------------------------------------------------------------------------------------------


def labelled(model: str, simulated: Collection[str]) -> str:
    """A model's key, marked where it is simulated."""
    return f"{model} (simulated)" if model in simulated else model


def simulated_models(catalog: Catalog) -> frozenset[str]:
    """The keys of models that are simulated."""
    return frozenset(key for key, model in catalog.models.items() if model.provider == "simulated")


def seats_text(setup: ConsortiumSpec, simulated: Collection[str]) -> str:
    """The members, "llama, qwen:2"."""
    return ", ".join(
        f"{key}{f':{count}' if count > 1 else ''}{' (simulated)' if key in simulated else ''}"
        for key, count in setup.seats
    )


def option(value: str, about: str = "", *, label: str = "", simulated: bool = False) -> Option:
    """Something to choose; ``label`` is its value where none is given."""
    mark = " (simulated)" if simulated else ""
    return Option(value=value, label=f"{short(label or value, 75 - len(mark))}{mark}", about=short(about, 100))


def consortium_options(consortia: Mapping[str, ConsortiumSpec], catalog: Catalog) -> list[Option]:
    """Consortia to choose from; those whose members are all simulated are marked so."""
    simulated = simulated_models(catalog)
    return [
        option(
            name,
            setup.description or seats_text(setup, simulated),
            simulated=all(key in simulated for key, _ in setup.seats),
        )
        for name, setup in consortia.items()
    ]


def model_options(catalog: Catalog) -> list[Option]:
    """Models to choose from."""
    return [
        option(key, "" if simulated else model.name, simulated=simulated)
        for key, model in catalog.models.items()
        for simulated in [model.provider == "simulated"]
    ]


def consortia_text(consortia: Mapping[str, ConsortiumSpec], saved: Collection[str], mine: str, catalog: Catalog) -> str:
    """The consortia there are, in a few lines each; ``mine`` is the one that the person asks here."""
    simulated = simulated_models(catalog)
    lines = ["**Consortia**"]
    for name, setup in consortia.items():
        marks = [mark for mark, holds in (("in use here", name == mine), ("saved", name in saved)) if holds]
        lines.append(f"- **{name}**" + (f" ({', '.join(marks)})" if marks else ""))
        how = "" if setup.strategy == "default" else f"; strategy {setup.strategy}"
        lines.append(f"  {seats_text(setup, simulated)}; arbiter {labelled(setup.arbiter, simulated)}{how}")
        if setup.description:
            lines.append(f"  {setup.description}")
    return "\n".join(lines)


def consortium_text(
    name: str, setup: ConsortiumSpec, catalog: Catalog, *, saved_at: datetime | None, notes: Iterable[str] = ()
) -> str:
    """One consortium with all that is set of it. ``saved_at`` None: it stands in the models file."""
    simulated = simulated_models(catalog)
    came = "stands in the models file" if saved_at is None else f"saved {saved_at:%Y-%m-%d %H:%M} UTC"
    judges = {"synthesis": "", "rank": "; it ranks the answers", "pick-one": "; it picks one of the answers"}
    stand_ins = [labelled(key, simulated) for key in setup.arbiter_fallbacks]
    params = ", ".join(f"{field} {value}" for field, value in setup.params.items())
    lines = [f"**{name}** ({came})"]
    if setup.description:
        lines.append(setup.description)
    lines += [
        f"- Members: {seats_text(setup, simulated)}",
        f"- Arbiter: {labelled(setup.arbiter, simulated)}"
        + (f"; {listed(stand_ins)} can stand in" if stand_ins else "")
        + judges[setup.judging]
        + ("; it judges twice, in opposite orders" if setup.both_orders else ""),
        f"- Strategy: {setup.strategy}{f' ({params})' if params else ''}",
        f"- Rounds: {_rounds(setup)}; another one while confidence is below {setup.confidence_threshold:.2f}",
        f"- Time: {setup.deadline:g} s; once {setup.quorum:.0%} have answered, the rest is not waited for long",
    ]
    if setup.roles:
        dealt = (f"{labelled(model, simulated)} as {short(role, 60)}" for model, role in setup.roles.items())
        lines.append(f"- Roles: {', '.join(dealt)}")
    if setup.system:
        lines.append(f"- Instructions: {short(setup.system, 300)}")
    return "\n".join([*lines, *(f"\n{note}" for note in notes)])


def _rounds(setup: ConsortiumSpec) -> str:
    if setup.min_iterations == setup.max_iterations:
        return str(setup.max_iterations)
    return f"{setup.min_iterations} to {setup.max_iterations}"


# --- who has done how well ------------------------------------------------------------------------------


def leaderboard_text(
    ranks: Sequence[Rank], opinions: Mapping[str, tuple[int, int]], catalog: Catalog, consortium: str | None
) -> str:
    """How the models have done, by consortium; of one alone at full length."""
    names = list(dict.fromkeys([*(rank.standing.consortium for rank in ranks), *opinions]))
    if consortium is not None:
        names = [name for name in names if name == consortium]
    if not names:
        return (
            f"Nothing yet{f' of {consortium}' if consortium else ''}: models are compared where they state a final "
            "answer, as to questions of the types yes-no, choice and number."
        )
    parts = []
    for name in names:
        group = [rank for rank in ranks if rank.standing.consortium == name]
        shown = group if consortium is not None else group[:MOST_RANKED]
        lines = [f"**{name}**", *_ranked(shown, simulated_models(catalog))]
        if len(group) > len(shown):
            lines.append(f"- and {len(group) - len(shown)} more")
        good, bad = opinions.get(name, (0, 0))
        if good or bad:
            lines.append(f"- Answers found good: {good} of {good + bad}")
        parts.append("\n".join(lines))
    return "\n\n".join(
        [
            *parts,
            "Reliability is how likely an answer is right, judged by agreement with the others and, where the right "
            "answer is known, by that; in brackets where it lies with 95 %. A vote of weight 2 counts as two.",
        ]
    )


def _ranked(ranks: Sequence[Rank], simulated: Collection[str]) -> list[str]:
    lines = []
    for place, (standing, weight) in enumerate(ranks, 1):
        record = standing.record
        low, high = record.interval
        reliable = f"reliability {record.reliability:.2f} ({low:.2f} to {high:.2f})" if record.known else "no record"
        facts = [f"agreed in {record.agreed} of {record.compared} votes"] if record.compared else []
        facts += [f"right in {record.correct} of {record.labelled}"] if record.labelled else []
        lines.append(f"{place}. {labelled(standing.model, simulated)}: {reliable}, weight {weight:.2f}")
        if facts:
            lines.append(f"   {', '.join(facts)}")
    return lines
