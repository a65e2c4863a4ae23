"""Spans and durations of a run's stages, on a tracer that only remembers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import pytest

from adapters.history import SqlHistory
from adapters.state.state import State
from core.runner import Runner
from core.telemetry import metrics, traces
from core.telemetry.traces import Attribute, Span
from tests.core.fakes import HANG, catalog, make_ask, make_engine, make_run, office, panel_models


@dataclass
class Noted:
    """Implements :class:`core.telemetry.traces.Span`."""

    name: str
    run: str
    parent: Noted | None
    attributes: dict[str, Attribute] = field(default_factory=dict)
    ended: bool = False

    def set(self, attributes: Mapping[str, Attribute]) -> None:
        self.attributes |= attributes

    def end(self, at: datetime | None = None) -> None:
        self.ended = True

    @property
    def path(self) -> str:
        return f"{self.parent.path}/{self.name}" if self.parent else self.name


class Notes:
    """Implements :class:`core.telemetry.traces.Tracer`."""

    def __init__(self) -> None:
        self.spans: list[Noted] = []

    def start(
        self, name: str, run: str, parent: Span | None, begun: datetime | None, attributes: Mapping[str, Attribute]
    ) -> Noted:
        assert parent is None or isinstance(parent, Noted)
        self.spans.append(Noted(name, run, parent, dict(attributes)))
        return self.spans[-1]

    def root(self, name: str, run: str, begun: datetime, attributes: Mapping[str, Attribute]) -> Noted:
        return self.start(name, run, None, begun, attributes)


@pytest.fixture
def notes() -> Iterator[Notes]:
    notes = Notes()
    traces.use(notes)
    yield notes
    traces.use(None)


def count(name: str, labels: str) -> float:
    prefix = f"{name}{{{labels}}} "
    lines = metrics.exposition().decode().splitlines()
    return sum(float(line.removeprefix(prefix)) for line in lines if line.startswith(prefix))


async def test_every_stage_of_a_run_has_its_span_and_its_duration(
    state: State, history: SqlHistory, notes: Notes
) -> None:
    metrics.switch_on()
    stages = ("queue", "members", "arbiter", "study", "run")
    names = [f'stage="{stage}"' for stage in stages]
    before = [count("consortium_stage_seconds_count", name) for name in names]
    shared = catalog()
    desk = office(shared, state, history)
    run = make_run(shared, make_ask(charts=True))
    await history.open_run(run)
    await Runner(make_engine(shared, panel_models()), desk).run(run.ask)
    after = [count("consortium_stage_seconds_count", name) for name in names]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1] * len(stages)
    assert sorted(span.path for span in notes.spans) == [
        "ask",
        "queue",
        "run",
        "run/round",
        "run/round/arbiter",
        "run/round/arbiter/judge",
        *["run/round/member"] * 3,
        "run/study",
    ]
    assert all(span.ended and span.run == run.id for span in notes.spans)


async def test_what_was_under_way_when_a_run_is_handed_over_has_an_end(
    state: State, history: SqlHistory, notes: Notes
) -> None:
    shared, models = catalog(), panel_models(a=HANG)
    run = make_run(shared)
    await history.open_run(run)
    working = asyncio.create_task(Runner(make_engine(shared, models), office(shared, state, history)).run(run.ask))
    while not models["a"].prompts:  # noqa: ASYNC110 - a fake tells nobody
        await asyncio.sleep(0.01)
    working.cancel()
    await asyncio.wait([working])
    names = {span.path: span for span in notes.spans if span.attributes.get("gen_ai.request.model") in (None, "a")}
    assert set(names) == {"queue", "run", "run/round", "run/round/member"}
    assert all(span.ended for span in notes.spans)
    assert names["run/round/member"].attributes["error.type"] == "cancelled"


# --- spans alone ----------------------------------------------------------------------------------------


async def test_what_tasks_begin_is_below_the_block_that_they_were_begun_in(notes: Notes) -> None:
    async def work(name: str) -> None:
        with traces.span(name):
            await asyncio.sleep(0)

    with traces.span("outer", run="r1"):
        await asyncio.gather(work("a"), work("b"))
    assert sorted(span.path for span in notes.spans) == ["outer", "outer/a", "outer/b"]
    await work("c")
    assert len(notes.spans) == 3, "whose it would be is not known"


def test_another_run_is_no_part_of_the_one_that_goes_on(notes: Notes) -> None:
    with traces.span("outer", run="r1"), traces.span("delivery", run="r2"), traces.span("inner"):
        pass
    assert [(span.path, span.run) for span in notes.spans] == [
        ("outer", "r1"),
        ("delivery", "r2"),
        ("delivery/inner", "r2"),
    ]


@pytest.mark.parametrize(
    ("error", "told"), [(ValueError("secret"), "ValueError"), (asyncio.CancelledError(), "cancelled")]
)
def test_an_error_is_told_by_its_type_alone(notes: Notes, error: BaseException, told: str) -> None:
    with pytest.raises(type(error)), traces.span("call", run="r1", model="m", status=None):
        raise error
    assert notes.spans[0].attributes == {"gen_ai.request.model": "m", "error.type": told}
    assert notes.spans[0].ended
