"""In-memory implementations of the core's ports, and an event loop whose time costs nothing.

They do what they are told and keep what they saw; they judge nothing. Where a real adapter is as easy, tests use
that instead.
"""

from __future__ import annotations

import asyncio
import functools
import json
import random
import re
import selectors
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec

from core.arbiter import Arbiter
from core.asks import Ask, Attachment, Person, Platform, ThreadRef, Turn
from core.attachments import Material
from core.catalog import Catalog
from core.engine import Engine
from core.errors import ModelError
from core.events import RunEvent
from core.ports import Breakers, BreakerState, Completion, Message, Models, Prompt
from core.resilience import Caller, RetryPolicy, SystemClock
from core.service.office import Office
from core.table import Tools
from core.types import (
    TITLES,
    Analysis,
    Chart,
    Failure,
    FailureKind,
    Grouping,
    Member,
    Response,
    Round,
    Run,
    Study,
    Usage,
    Verdict,
)
from core.votes.trust import Experience

P = ParamSpec("P")

USED = Usage(prompt_tokens=10, completion_tokens=5, cost=0.01)
"""What every call of a fake model uses if not told otherwise."""

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class _Selector(selectors.SelectSelector):
    """Does not wait for a time to come: it makes the clock jump there."""

    jumped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0 if timeout else timeout)
        if not ready and timeout:
            self.jumped += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with a clock of its own, at 1000 s when it begins, that never waits."""

    def __init__(self) -> None:
        self._own_selector = _Selector()
        super().__init__(self._own_selector)

    def time(self) -> float:
        return 1000 + self._own_selector.jumped


def virtual_time(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run an async test on a :class:`VirtualLoop`: hours pass at once, and take exactly as long each time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def main() -> None:
            await test(*args, **kwargs)

        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(main())

    return run


def now() -> datetime:
    """The wall clock, in step with the loop's."""
    return START + timedelta(seconds=asyncio.get_running_loop().time())


@dataclass
class Step:
    """How a model behaves at one call: ``after`` seconds it says ``does`` (a text, or an error that is raised)."""

    does: str | BaseException | Callable[[Prompt], str] = "Yes, because."
    after: float = 0.0
    usage: Usage = USED


HANG = Step("never", after=1e9)


@dataclass
class FakeModel:
    """A ChatModel that goes through its steps, the last one for good. A call's ``timeout`` is kept to."""

    key: str
    steps: Sequence[Step] = (Step(),)
    simulated: bool = False
    prompts: list[Prompt] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)
    cancelled: int = 0

    async def complete(self, prompt: Prompt, *, timeout: float) -> Completion:
        step = self._next(prompt, timeout)
        try:
            await asyncio.sleep(min(step.after, timeout))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if step.after > timeout:
            raise ModelError(FailureKind.TIMEOUT, f"no answer within {timeout:g} s")
        if isinstance(step.does, BaseException):
            raise step.does
        return Completion(text=step.does(prompt) if callable(step.does) else step.does, usage=step.usage)

    async def stream(self, prompt: Prompt, *, timeout: float) -> AsyncIterator[str | Completion]:
        whole = await self.complete(prompt, timeout=timeout)
        for start in range(0, len(whole.text), 7):
            await asyncio.sleep(0)
            yield whole.text[start : start + 7]
        yield whole

    def _next(self, prompt: Prompt, timeout: float) -> Step:
        self.prompts.append(prompt)
        self.timeouts.append(timeout)
        return self.steps[min(len(self.prompts), len(self.steps)) - 1]


@dataclass
class FakeBreakers:
    """Breakers that are open for the models in ``open``, and keep what they were told, by model."""

    open: set[str] = field(default_factory=set)
    reports: list[tuple[str, bool | None]] = field(default_factory=list)
    out: set[str] = field(default_factory=set)
    _tickets: int = 0

    async def admit(self, key: str) -> str | None:
        if key in self.open:
            return None
        self._tickets += 1
        self.out.add(f"{key}/{self._tickets}")
        return f"{key}/{self._tickets}"

    async def report(self, key: str, ticket: str, ok: bool | None) -> None:
        self.out.remove(ticket)
        self.reports.append((key, ok))

    async def state(self, key: str) -> BreakerState:
        if key in self.open:
            return BreakerState(state="open", failure_rate=1.0, calls=3, retry_in=12.4)
        return BreakerState(state="closed", failure_rate=0.0, calls=0)

    async def reset(self, key: str) -> None:
        self.open.discard(key)


@dataclass
class FakeAnalyst:
    """An Analyst without mathematics: the last answer is the central one. ``error`` is raised if given."""

    error: Exception | None = None
    drawn: int = 0

    async def study(self, responses: Sequence[Response], panel: Sequence[Member] = (), *, charts: bool) -> Study:
        if self.error:
            raise self.error
        members = tuple(r.member for r in responses)
        analysis = Analysis(
            members=members, similarity=None, mean_similarity=None, central=len(members) - 1, embedder="none"
        )
        self.drawn += charts
        heatmap = Chart(kind="heatmap", png=b"png of " + responses[0].text.encode(), alt="", width=1, height=1)
        return Study(analysis=analysis, charts=(heatmap,) if charts and len(members) > 1 else ())

    async def group(
        self, responses: Sequence[Response], *, method: str = "dbscan", eps: float | None = None
    ) -> Grouping:
        """All that begin with the same word are alike; the largest such group is the densest."""
        if self.error:
            raise self.error
        words = [r.text.split()[0] for r in responses]
        clusters = [word for word, many in Counter(words).most_common() if many > 1]
        labels = tuple(clusters.index(word) if word in clusters else -1 for word in words)
        return Grouping(
            method="dbscan",
            eps=eps,
            labels=labels,
            densest=0 if clusters else -1,
            confidence=labels.count(0) / len(labels),
            density=(1.0,) * len(clusters),
        )

    async def draw(self, rounds: Sequence[Round], analysis: Analysis, panel: Sequence[Member]) -> tuple[Chart, ...]:
        return tuple(Chart(kind=kind, png=b"png", alt="", width=1, height=1) for kind in TITLES)


def office(catalog: Catalog, state: Any, history: Any, **parts: Any) -> Office:
    """What all desks share, on real stores and without a queue; ``parts`` replace what they name."""
    given: dict[str, Any] = {
        "lessons": history.lessons,
        "consortia": history.consortia,
        "governance": history.governance,
        "sessions": state.sessions,
        "limits": state.limits(catalog.limits),
        "duplicates": state.duplicates,
        "drafts": state.drafts,
        "stops": state.stops,
        "claims": state.claims,
        "inbox": state.inbox,
        "events": state.events,
        "breakers": FakeBreakers(),
        "jobs": None,
        "analyst": FakeAnalyst(),
        "clock": now,
        "new_id": iter(f"run{n}" for n in range(10**6)).__next__,
        "rng": random.Random(1),
        **parts,
    }
    return Office(catalog, **{"history": history, **given})


def catalog(models: Sequence[str] = ("a", "b", "c", "j", "k"), **consortium: Any) -> Catalog:
    """Models of one provider; the default consortium has members a, b and c, arbiter j and stand-in k."""
    spec = {"members": ["a", "b", "c"], "arbiter": "j", "arbiter_fallbacks": ["k"], "max_iterations": 1, **consortium}
    return Catalog.model_validate(
        {
            "providers": {"here": {"base_url": "http://127.0.0.1:9/v1"}},
            "models": {key: {"provider": "here", "name": key} for key in models},
            "consortia": {"default": spec},
        }
    )


def make_ask(text: str = "Is it so?", **fields: Any) -> Ask:
    where = ThreadRef(platform=Platform.WEB, workspace="w", channel="c")
    known = {"id": "r1", "asked_at": START, "asker": Person(id="u1"), "where": where}
    return Ask.model_validate({**known, **fields, "text": text})


def make_run(catalog: Catalog, ask: Ask | None = None) -> Run:
    ask = ask or make_ask()
    name = ask.consortium or "default"
    setup = ask.setup or catalog.consortia[name]
    return Run(id=ask.id, ask=ask, consortium=name, panel=catalog.panel(setup, ask.roles), created_at=ask.asked_at)


def candidates(prompt: Prompt) -> dict[str, str]:
    """What a judge or reviewer is shown: texts by letter."""
    return dict(re.findall(r"<<CANDIDATE (\w) \S+>>\n(.*?)\n<<END", prompt.messages[-1].content, re.DOTALL))


def verdict(
    synthesis: str = "Yes.",
    confidence: Any = 90,
    refine: Sequence[str] = (),
    stances: str | Callable[[str], str] = "agree",
) -> Callable[[Prompt], str]:
    """A judge's reply on however many candidates it is shown; ``stances`` may go by a candidate's text."""

    def reply(prompt: Prompt) -> str:
        members = [
            {
                "letter": letter,
                "stance": stances(text) if callable(stances) else stances,
                "point": f"Point of {letter}.",
            }
            for letter, text in candidates(prompt).items()
        ]
        return json.dumps(
            {"synthesis": synthesis, "confidence": confidence, "members": members, "refine": list(refine)}
        )

    return reply


def ranking(key: Callable[[str], Any], synthesis: str = "Yes.", stances: str = "disagree") -> Callable[[Prompt], str]:
    """A judge's ranking: the candidate with the least ``key`` of its text comes first."""

    def reply(prompt: Prompt) -> str:
        best_first = sorted(candidates(prompt).items(), key=lambda candidate: key(candidate[1]))
        ranks = [{"letter": letter, "stance": stances, "point": "So."} for letter, _ in best_first]
        return json.dumps({"ranking": ranks, "synthesis": synthesis, "confidence": 50, "refine": []})

    return reply


def make_tools(
    catalog: Catalog,
    models: Models,
    *,
    breakers: Breakers | None = None,
    analyst: FakeAnalyst | None = None,
    policy: RetryPolicy | None = None,
    nonce: Callable[[], str] = lambda: "f00d",
) -> Tools:
    clock = SystemClock()
    caller = Caller(breakers or FakeBreakers(), clock, random.Random(1), policy)
    timeouts = {key: spec.timeout for key, spec in catalog.models.items()}
    analyst = analyst or FakeAnalyst()
    arbiter = Arbiter(caller, models, timeouts, analyst, nonce)
    return Tools(catalog, models, caller, arbiter, analyst, clock, nonce)


def make_engine(catalog: Catalog, models: Models, **parts: Any) -> Engine:
    """An engine; takes what :func:`make_tools` takes."""
    return Engine(make_tools(catalog, models, **parts), now)


class Ran:
    """One run through the engine, and what came of it."""

    def __init__(self, run: Run, events: list[RunEvent], models: dict[str, FakeModel]) -> None:
        self.run, self.events, self.models = run, events, models

    def calls(self, *keys: str) -> list[int]:
        return [len(self.models[key].prompts) for key in keys]

    def failure(self, member: str, number: int = 1) -> Failure:
        return next(f for f in self.run.rounds[number - 1].failures if f.member.id == member)

    def said(self, key: str, call: int = 0) -> str:
        return "\n".join(f"{m.role}: {m.content}" for m in self.models[key].prompts[call].messages)

    def has_note(self, start: str) -> bool:
        return any(note.startswith(start) for note in self.run.notes)

    @property
    def verdict(self) -> Verdict:
        assert self.run.verdict
        return self.run.verdict

    @property
    def told(self) -> list[str]:
        """The kinds of its events, without the text."""
        return [event.type for event in self.events if event.type != "text_delta"]


async def run_engine(
    cat: Catalog | None = None,
    models: dict[str, FakeModel] | None = None,
    *,
    run: Run | None = None,
    turns: Sequence[Turn] = (),
    experience: Experience | None = None,
    materials: Sequence[Material] = (),
    **parts: Any,
) -> Ran:
    """Carry a run to its answer."""
    cat, models = cat or catalog(), models or panel_models()
    events: list[RunEvent] = []
    engine = make_engine(cat, models, **parts)
    ended = await engine.run(run or make_run(cat), turns, events.append, experience or Experience(), materials)
    return Ran(ended, events, models)


def text_file(text: str = "Bern is the capital.", name: str = "notes.txt", **fields: Any) -> Material:
    """A text that came with a question."""
    about = Attachment(name=name, media_type="text/plain", size=len(text), kind="text", **fields)
    return Material(attachment=about, text=text)


def picture(name: str = "photo.png") -> Material:
    """A picture that came with a question."""
    about = Attachment(name=name, media_type="image/png", size=8, kind="image")
    return Material(attachment=about, image=b"\x89PNG\r\n\x1a\n")


def begun(run: Run, *rounds: Round) -> Run:
    """A run that changes hands."""
    return run.model_copy(update={"rounds": rounds})


def panel_models(**steps: Step | Sequence[Step]) -> dict[str, FakeModel]:
    """Models a, b, c, j and k; those that are not given answer and judge at once."""
    given: dict[str, Step | Sequence[Step]] = {"j": Step(verdict()), "k": Step(verdict("Stand-in's.")), **steps}
    return {
        key: FakeModel(key, [step] if isinstance(step, Step) else step)
        for key, step in {**{k: Step(f"{k} says yes.") for k in "abc"}, **given}.items()
    }


def user_prompt(text: str = "Is it so?") -> Prompt:
    return Prompt(messages=(Message(role="user", content=text),))
