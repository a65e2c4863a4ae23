from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from core import Consortium, create_consortium
from core.asks import Turn
from core.catalog import Catalog
from core.errors import BadInput, ConfigError, ModelError
from core.events import Answered, MemberEnded, RunEnded
from core.library import Wiring
from core.ports import Embedder, Models
from core.types import FailureKind, RunStatus, VerdictSource
from core.votes.trust import Experience, Record
from tests.core.fakes import HANG, FakeModel, Step, catalog, panel_models, virtual_time

ROOT = Path(__file__).parents[2]
DOWN = Step(ModelError(FailureKind.REFUSED, "no such model"))


@dataclass
class Wired:
    """Models of the test's own, and how often they were connected."""

    catalog: Catalog = field(default_factory=catalog)
    models: dict[str, FakeModel] = field(default_factory=panel_models)
    opened: int = 0
    closed: int = 0

    def consortium(self, name: str | None = None, **changes: Any) -> Consortium:
        return create_consortium(name, wiring=Wiring(self.catalog, self._open), **changes)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[tuple[Models, Embedder | None]]:
        self.opened += 1
        try:
            yield self.models, None
        finally:
            self.closed += 1


def said(model: FakeModel, call: int = 0) -> list[tuple[str, str]]:
    return [(m.role, m.content) for m in model.prompts[call].messages]


# --- as it comes ----------------------------------------------------------------------------------------


def python(folder: Path, *args: str, timeout: float = 55) -> str:
    """What a Python program of somebody else prints, in an empty folder and without any keys."""
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG", "TMPDIR")}
    env = {**kept, "PYTHONPATH": str(ROOT), "MYPYPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *args], cwd=folder, env=env, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


THREE_LINES = """
import asyncio
from core import create_consortium

run = asyncio.run(create_consortium().run("Should remote work be the default?"))
print(run.synthesis)

print("SIMULATED", run.simulated, run.status)
study = asyncio.run(create_consortium().study(run))
print("CHARTS", [chart.kind for chart in study.charts])
"""


def test_three_lines_work_without_any_server_and_without_a_guard(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(THREE_LINES)
    printed = python(tmp_path, "program.py").splitlines()
    assert len(printed[0]) > 40
    assert printed[-2:] == ["SIMULATED True done", "CHARTS ['heatmap', 'emotions']"]
    assert [p.name for p in tmp_path.iterdir() if p.name != "__pycache__"] == ["program.py"], "nothing is left behind"


def test_importing_the_core_loads_nothing_heavy(tmp_path: Path) -> None:
    program = (
        "import sys, core\n"
        "print(sorted({'pydantic', 'structlog', 'asyncio'} & set(sys.modules)))\n"
        "from core import create_consortium\n"
        "heavy = 'numpy sklearn matplotlib PIL httpx sqlalchemy redis aiohttp slack_sdk discord textblob bot'\n"
        "print(sorted(set(heavy.split()) & set(sys.modules)))\n"
        "import core as c\n"
        "print(hasattr(c, 'nothing'))\n"
    )
    assert python(tmp_path, "-c", program).splitlines() == ["[]", "[]", "False"]


TYPED = """
import asyncio

from core import create_consortium
from core.events import Answered, MemberEnded
from core.types import Run


async def main() -> str | None:
    async with create_consortium(members=["optimist"], strategy="voting") as consortium:
        run: Run = await consortium.run("So?", question_type="yes-no")
        async for event in consortium.stream("And so?"):
            match event:
                case MemberEnded(outcome=outcome):
                    print(outcome.member.label, outcome.seconds)
                case Answered(run=run):
                    print(run.bill.cost)
        study = await consortium.study(run)
        print(len(study.charts))
    return run.synthesis


asyncio.run(main())
"""


def test_a_program_that_uses_it_is_typed(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(TYPED)
    python(tmp_path, "-m", "mypy", "--strict", "--follow-imports=silent", "--cache-dir", "cache", "program.py")


# --- asking ---------------------------------------------------------------------------------------------


@virtual_time
async def test_a_question_gets_a_run_with_its_answer() -> None:
    wired = Wired()
    run = await wired.consortium().run("  Is it so? ")
    assert (run.synthesis, run.status, run.error) == ("Yes.", RunStatus.DONE, None)
    assert (run.ask.text, run.consortium, run.bill.calls) == ("Is it so?", "default", 4)
    assert run.ended_at
    assert (wired.opened, wired.closed) == (1, 1)


@virtual_time
async def test_all_that_can_be_told_reaches_the_members() -> None:
    wired = Wired()
    await wired.consortium().run(
        "And then?",
        conversation=[Turn(question="First?", answer="One.")],
        question_type="number",
        domain="policy",
        system="Be brief.",
        roles={"a": "Fact Checker"},
    )
    system, *rest = said(wired.models["a"])
    for part in ("one number and nothing else", "public policy", "Be brief.", "Your role: Fact Checker. Check what"):
        assert part in system[1]
    assert rest == [("user", "First?"), ("assistant", "One."), ("user", "And then?")]


@virtual_time
async def test_a_failed_run_is_returned_and_not_raised() -> None:
    wired = Wired(models=panel_models(a=DOWN, b=DOWN, c=DOWN))
    run = await wired.consortium().run("Is it so?")
    assert (run.status, run.synthesis) == (RunStatus.FAILED, None)
    assert (run.error or "").count("no such model") == 3
    events = [e async for e in wired.consortium().stream("Is it so?")]
    assert isinstance(events[-2], Answered)
    assert events[-1] == RunEnded(status=RunStatus.FAILED, error=run.error)


@virtual_time
async def test_experience_weighs_the_votes() -> None:
    wired = Wired(models=panel_models(a=Step("Final answer: 4"), b=Step("Final answer: 5"), c=Step("Final answer: 5")))
    records = {key: Record(agreed=many, compared=20) for key, many in {"a": 20, "b": 5, "c": 5}.items()}
    for experience, answer in ((None, "**5**"), (Experience(records=records), "**4**")):
        run = await wired.consortium(strategy="voting", experience=experience).run("How many?")
        assert run.synthesis == answer
        assert run.verdict
        assert run.verdict.source is VerdictSource.VOTE


# --- following ------------------------------------------------------------------------------------------


@virtual_time
async def test_what_happens_is_told_as_it_happens() -> None:
    wired = Wired(models=panel_models(a=Step("A", after=1), b=Step("B", after=2), c=Step("C", after=3)))
    loop, at = asyncio.get_running_loop(), []
    kinds = []
    async for event in wired.consortium().stream("Is it so?"):
        kinds.append(event.type)
        if isinstance(event, MemberEnded):
            at.append(loop.time() - 1000)
    assert at == [1, 2, 3]
    assert kinds[0] == "run_started"
    assert kinds[-3:] == ["round_ended", "answered", "run_ended"]


@virtual_time
async def test_a_stream_that_is_closed_early_ends_every_call() -> None:
    wired = Wired(models=panel_models(b=HANG, c=HANG))
    async with aclosing(wired.consortium().stream("Is it so?")) as events:
        async for event in events:
            if isinstance(event, MemberEnded):
                break
    assert [wired.models[key].cancelled for key in "bc"] == [1, 1]
    assert len(asyncio.all_tasks()) == 1
    assert wired.closed == 1


@virtual_time
async def test_a_run_that_is_cancelled_ends_every_call() -> None:
    wired = Wired(models=panel_models(a=HANG, b=HANG, c=HANG))
    task = asyncio.create_task(wired.consortium().run("Is it so?"))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [wired.models[key].cancelled for key in "abc"] == [1, 1, 1]
    assert len(asyncio.all_tasks()) == 1


@virtual_time
async def test_several_at_once_share_connections_and_nothing_else() -> None:
    wired = Wired(models=panel_models(**{k: Step(lambda p: f"On {p.messages[-1].content}", after=1) for k in "abc"}))
    async with wired.consortium() as consortium:
        runs = await asyncio.gather(*(consortium.run(f"question {n:02}") for n in range(20)))
        assert (wired.opened, wired.closed) == (1, 0)
    assert wired.closed == 1
    assert len({run.id for run in runs}) == 20
    for n, run in enumerate(runs):
        assert [a.text for a in run.answers] == [f"On question {n:02}"] * 3
    await consortium.run("Again?")
    assert wired.opened == wired.closed == 2, "it can be asked outside the context too"


# --- setting it up --------------------------------------------------------------------------------------


def test_a_panel_is_chosen_and_changed() -> None:
    wired = Wired()
    assert wired.consortium().setup == wired.catalog.consortia["default"]
    changed = wired.consortium(members=["a:2", "j"], strategy="voting", params={"lead": 2}, confidence_threshold=0.5)
    assert changed.setup.members == ("a:2", "j")
    assert (changed.setup.arbiter, changed.setup.strategy, changed.setup.params) == ("b", "voting", {"lead": 2})


@pytest.mark.parametrize(
    ("name", "changes", "complaint"),
    [
        ("exact", {}, "There is no consortium 'exact'; there are: default."),
        (None, {"members": ["ghost"]}, "members: no model 'ghost' .there are: a, b, c, j, k."),
        (None, {"members": "a"}, "members: input should be a valid tuple"),
        (None, {"strategy": "votign"}, "did you mean voting?"),
        (None, {"params": {"lead": 2}}, "params.lead: strategy 'default' has no such parameter"),
        (None, {"treshold": 0.5}, "treshold: unknown key"),
        (None, {"deadline": 0, "quorum": 2}, "deadline: .*\nquorum: "),
    ],
)
def test_what_is_wrong_is_told_when_it_is_made(name: str | None, changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        Wired().consortium(name, **changes)


@pytest.mark.parametrize(
    ("question", "options", "complaint"),
    [
        ("  ", {}, "There is no question."),
        ("So?", {"domain": "law"}, "There is no domain 'law'; there are: education,"),
        (
            "So?",
            {"question_type": "yesno"},
            "There is no question type 'yesno'; there are: open, yes-no, choice, number",
        ),
        ("So?", {"roles": {"ghost": "x"}}, "roles: no model ghost"),
    ],
)
@virtual_time
async def test_what_is_wrong_is_told_when_it_is_asked(question: str, options: dict[str, Any], complaint: str) -> None:
    wired = Wired()
    with pytest.raises(BadInput, match=complaint):
        await wired.consortium().run(question, **options)
    assert wired.opened == 0


def test_a_file_of_its_own_is_read(tmp_path: Path) -> None:
    path = tmp_path / "panels.toml"
    path.write_text(
        '[models.o]\nprovider = "simulated"\nname = "optimist"\n'
        '[consortia.default]\nmembers = ["o"]\narbiter = "o"\n'
        '[consortia.two]\nmembers = ["o:2"]\narbiter = "o"\nstrategy = "voting"\n'
    )
    assert create_consortium("two", config=path).setup.members == ("o:2",)
    assert create_consortium("two", config=str(path)).name == "two"
    with pytest.raises(ConfigError):
        create_consortium(config=tmp_path / "absent.toml")
