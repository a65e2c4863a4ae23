"""One run from its ask to its answer: its strategy is given a table, and what comes of it is added up.

Everything of a run lives on its table; the engine itself holds only what is the same for all runs, so that fifty asks
at once cannot meet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from core import convening, strategies
from core.asks import Turn
from core.attachments import Material
from core.catalog import Catalog
from core.errors import BadInput
from core.prompts import within_budget
from core.setup import ConsortiumSpec
from core.table import Emit, Silence, Table, Tools
from core.types import Bill, Member, Response, Round, Run, RunStatus, Usage
from core.votes.trust import Experience

_NOTHING_LEARNT = Experience()

_ALONE = {"strategy": "default", "params": {}, "min_iterations": 1, "max_iterations": 1}
"""How the panel's set-up is changed where one member alone is asked."""


class Engine:
    """Runs asks. ``now`` gives the wall clock in UTC."""

    def __init__(self, tools: Tools, now: Callable[[], datetime]) -> None:
        self._tools, self._now = tools, now

    async def run(
        self,
        run: Run,
        turns: Sequence[Turn],
        emit: Emit,
        experience: Experience = _NOTHING_LEARNT,
        materials: Sequence[Material] = (),
    ) -> Run:
        """Carry a run to its answer and return it, answered or failed; analysis and charts are not done here.

        ``turns`` is the thread so far, oldest first; ``experience`` what earlier runs of this consortium have taught;
        ``materials`` what came with the question. Where the ask is addressed to one member, that one alone is asked,
        once, whatever the strategy.
        Answers and verdicts that ``run`` holds already (from a process that died) are used, not asked and paid for
        again. Raises BadInput when its set-up names what is not there any more.
        """
        setup = self._setup(run)
        strategy = strategies.create(setup.strategy, setup.params)
        kept = within_budget(turns, setup.context_tokens)
        table = Table(run, kept, self._tools, emit, experience, setup, tuple(materials))
        table.seat(strategy.seat(_asked(run), table.rng("seats")))
        if dropped := len(turns) - len(kept):
            table.note(f"Left out of the conversation, to keep it short: the thread's oldest {_questions(dropped)}.")
        if not run.ask.addressed:
            for text in _remarks(run, self._tools.catalog.judges(setup)[0]):
                table.note(text)
        for text in _on_materials(run, table.panel, self._tools.catalog, materials):
            table.note(text)
        try:
            await strategy.deliberate(table)
        except Silence:
            await _salvage(table)
        finally:
            table.leave()
        return self._told(run, table)

    def _setup(self, run: Run) -> ConsortiumSpec:
        """The consortium as it was when it was asked. Raises BadInput when a model or strategy of it has gone."""
        catalog = self._tools.catalog
        setup = run.ask.setup or catalog.consortia.get(run.consortium)
        if setup is None:
            raise BadInput(f"There is no consortium {run.consortium!r} any more.")
        if problems := convening.problems(catalog, setup):
            raise BadInput(f"The consortium {run.consortium!r} cannot be asked: " + "; ".join(problems))
        return setup.model_copy(update=_ALONE) if run.ask.addressed else setup

    def _told(self, run: Run, table: Table) -> Run:
        answered = any(r.verdict for r in table.rounds)
        return run.model_copy(
            update={
                "status": RunStatus.RUNNING if answered else RunStatus.FAILED,
                "panel": table.panel,
                "rounds": tuple(table.rounds),
                "bill": Bill.of(usages(table.rounds)),
                "notes": (*run.notes, *table.notes, *_verdict_notes(table.rounds)),
                "error": None if answered else _nobody_answered(run, table.rounds),
                "answered_at": self._now() if answered else None,
            }
        )


async def _salvage(table: Table) -> None:
    """Nobody gave anything in the last round: a verdict before stands; where there was none, answers before get one."""
    if table.last_answers and not any(r.verdict for r in table.rounds):
        table.fall_back(await table.judge(table.last_answers))
    table.abandon()


def _asked(run: Run) -> tuple[Member, ...]:
    """Who is asked: the panel, or the one member that the ask is addressed to."""
    if run.ask.addressed is None:
        return run.panel
    alone = tuple(m for m in run.panel if m.id == run.ask.addressed)
    if not alone:
        raise BadInput(f"There is no member {run.ask.addressed!r} on this panel any more.")
    return alone


def _on_materials(run: Run, panel: Sequence[Member], catalog: Catalog, materials: Sequence[Material]) -> Iterator[str]:
    """What the asker should know of who was shown what came with the question."""
    held = {m.attachment.name for m in materials}
    if gone := [a.name for a in run.ask.attachments if a.name not in held]:
        yield f"Not stored any more, and shown to nobody: {', '.join(gone)}."
    if cut := [m.attachment.name for m in materials if m.attachment.shortened]:
        yield f"Only the beginning was shown to the members: {', '.join(cut)}."
    pictures = ", ".join(m.attachment.name for m in materials if m.image is not None)
    seeing = [m for m in panel if catalog.models[m.model].vision and not m.simulated]
    if pictures and not seeing:
        many = "were" if ", " in pictures else "was"
        yield f"No member of this panel can see pictures: {pictures} {many} not looked at."
    elif pictures and len(seeing) < len(panel):
        yield f"Only {', '.join(m.label for m in seeing)} can see {pictures}."


def _remarks(run: Run, judge: Member) -> list[str]:
    """What the asker should know of the panel's make-up."""
    found = []
    if twins := [m for m in run.panel if m.temperature is not None]:
        seats = ", ".join(f"{m.label} at temperature {m.temperature:g}" for m in twins)
        found.append(f"Seats of the same model are asked with different seeds, the further ones warmer: {seats}.")
    if judge.model in {m.model for m in run.panel} and len(run.panel) > 1:
        found.append(f"The arbiter {judge.label} also sits on the panel, and may favour its own answer.")
    return found


def _verdict_notes(rounds: Sequence[Round]) -> list[str]:
    return list(dict.fromkeys(r.verdict.note for r in rounds if r.verdict and r.verdict.note))


def usages(rounds: Sequence[Round]) -> list[Usage]:
    """What every call of the run used, retries and arbiters included."""
    found: list[Usage] = []
    for round_ in rounds:
        for outcome in round_.outcomes:
            if isinstance(outcome, Response):
                found += [*outcome.failed_usage, outcome.usage]
            else:
                found += outcome.usage
        if round_.verdict:
            found += round_.verdict.usage
    return found


def _nobody_answered(run: Run, rounds: Sequence[Round]) -> str:
    failures = rounds[-1].failures if rounds else ()
    if run.ask.addressed and failures:
        return f"{failures[0].member.label}, who alone was asked, gave no answer: {failures[0].detail}"
    reasons = "\n".join(f"- {f.member.label}: {f.detail}" for f in failures)
    return f"None of the {len(failures)} members answered, so there is no answer.\n{reasons}"


def _questions(count: int) -> str:
    return "question" if count == 1 else f"{count} questions"
