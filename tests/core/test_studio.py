import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import psutil
import pytest

from core.analysis import Analyser
from core.charts import draw
from core.embedders import load_embedder
from core.errors import Unavailable
from core.ports import Analyst
from core.studio import Studio
from core.types import Member, Response

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def studio() -> AsyncIterator[Studio]:
    async with Studio() as studio:
        await studio.warm()
        yield studio


def responses(run: int, members: int = 3) -> list[Response]:
    feelings = ("happy", "afraid", "certainly", "angry", "perhaps", "surprised")
    return [
        Response(
            member=Member(id=f"run{run} seat{n}", model="m"),
            text=f"Run {run} is {feelings[(run + n) % 6]} about topic {run * n}; {n} hopes for {feelings[run % 6]}.",
            seconds=1.0,
        )
        for n in range(members)
    ]


def workers() -> list[psutil.Process]:
    """The processes that were forked from the fork server of this process."""
    return [child for child in psutil.Process().children(recursive=True) if child.ppid() != os.getpid()]


def run_program(*args: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *args]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=50)


def wait_until_gone(processes: Iterable[psutil.Process]) -> None:
    gone, alive = psutil.wait_procs(list(processes), timeout=20)
    assert not alive
    assert gone


async def test_it_is_an_analyst_and_draws_both_charts(studio: Studio) -> None:
    analyst: Analyst = studio
    analysis, charts = await analyst.analyse_and_draw(responses(1))
    assert [member.id for member in analysis.members] == ["run1 seat0", "run1 seat1", "run1 seat2"]
    assert [chart.kind for chart in charts] == ["heatmap", "emotions"]
    assert await analyst.analyse(responses(1)) == analysis


async def test_a_single_answer_gives_no_charts_and_a_sentence(studio: Studio) -> None:
    analysis, charts = await studio.analyse_and_draw(responses(1, members=1))
    assert charts == ()
    assert analysis.similarity is None
    assert "Only run1 seat0 answered" in analysis.notes[0]


async def test_no_answer_is_an_error(studio: Studio) -> None:
    with pytest.raises(ValueError, match="no answer"):
        await studio.analyse([])


async def test_charts_of_runs_at_once_never_mix(studio: Studio) -> None:
    """Drawn interleaved in two processes, each equals the one that is drawn alone in this process."""
    runs = [responses(run, members=2 + run % 4) for run in range(24)]
    together = await asyncio.gather(*(studio.analyse_and_draw(run) for run in runs))
    analyser = Analyser(load_embedder())
    for run, (analysis, charts) in zip(runs, together, strict=True):
        alone = analyser.analyse([(response.member, response.text) for response in run])
        assert analysis == alone
        assert charts == draw(alone)
    assert len({chart.png for _, charts in together for chart in charts}) == 48


async def test_the_place_in_the_panel_decides_the_colour(studio: Studio) -> None:
    answers = responses(1)
    panel = [response.member for response in answers]
    _, with_panel = await studio.analyse_and_draw(answers[1:], panel)
    _, without = await studio.analyse_and_draw(answers[1:])
    assert with_panel != without


async def test_a_dead_worker_is_replaced_and_nothing_is_lost(studio: Studio) -> None:
    expected = await studio.analyse_and_draw(responses(1))
    for victim in workers():
        victim.kill()
    results = await asyncio.gather(*(studio.analyse_and_draw(responses(1)) for _ in range(6)))
    assert all(result == expected for result in results)


async def test_a_call_that_ends_its_worker_twice_is_given_up() -> None:
    async with Studio(workers=1, limit=0.001) as studio:
        with pytest.raises(Unavailable, match="could not be analysed"):
            await studio.analyse_and_draw(responses(1, members=12))


async def test_a_cancelled_call_leaves_room_for_others(studio: Studio) -> None:
    tasks = [asyncio.create_task(studio.analyse_and_draw(responses(run))) for run in range(12)]
    await asyncio.sleep(0)
    for task in tasks[:10]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results[:10])
    assert all(isinstance(result, tuple) for result in results[10:])
    await studio.analyse(responses(1))


async def test_closing_ends_the_workers_also_when_the_start_was_cancelled() -> None:
    before = set(workers())
    studio = Studio()
    starting = asyncio.create_task(studio.warm())
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await studio.aclose()
    await studio.aclose()
    assert set(workers()) <= before
    with pytest.raises(Unavailable, match="ending"):
        await studio.analyse(responses(1))


async def test_closing_lets_the_calls_inside_finish(studio: Studio) -> None:
    task = asyncio.create_task(studio.analyse_and_draw(responses(1)))
    for _ in range(20):  # steps of the event loop, after which the call is inside
        await asyncio.sleep(0)
    await studio.aclose()
    assert len((await task)[1]) == 2


def test_the_serving_process_stays_light() -> None:
    heavy = "{'numpy', 'matplotlib', 'PIL', 'sklearn', 'textblob', 'nltk', 'vaderSentiment', 'wordllama', 'tokenizers'}"
    code = f"import sys, core.studio; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


UNGUARDED = """
import asyncio, multiprocessing, sys
with open("executions", "a") as file:
    print(__name__, file=file)
if "spawn" in sys.argv:  # as where there is no fork server
    multiprocessing.get_all_start_methods = lambda: ["spawn"]

from core.studio import Studio
from core.types import Member, Response

async def main():
    async with Studio() as studio:
        answers = [Response(member=Member(id=name, model="m"), text="So it is.", seconds=1) for name in "ab"]
        study = await studio.study(answers, charts=True)
        print([member.id for member in study.analysis.members], len(study.charts))

asyncio.run(main())
"""


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
@pytest.mark.parametrize("how", ["program.py", "-m program", "-m package", "-c"])
def test_a_program_without_a_guard_runs_once(how: str, method: str, tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    for file in ("program.py", "package/__main__.py"):
        (tmp_path / file).write_text(UNGUARDED)
    code = [UNGUARDED] if how == "-c" else []
    done = run_program(*how.split(), *code, method, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["['a', 'b'] 2"]
    assert (tmp_path / "executions").read_text().splitlines() == ["__main__"]


WITH_PROCESSES_OF_ITS_OWN = """
import asyncio, multiprocessing
from core.studio import Studio

def double(number):
    return 2 * number

def doubled():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.map(double, [1, 2])

async def main():
    async with Studio() as studio:
        starting = asyncio.create_task(studio.warm())
        await asyncio.sleep(0.1)
        assert not starting.done()
        print(await asyncio.to_thread(doubled))
        await starting
        print(await asyncio.to_thread(doubled))

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_processes_that_the_program_starts_itself_know_it(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(WITH_PROCESSES_OF_ITS_OWN)
    done = run_program("program.py", folder=tmp_path)
    assert done.stdout.splitlines() == ["[2, 4]", "[2, 4]"], done.stderr


NO_HANDLES = """
import asyncio, os, resource
from core.errors import Unavailable
from core.studio import Studio
from core.types import Member, Response

async def main():
    await asyncio.to_thread(int)  # what the thread itself needs is there
    next_handle = os.dup(0)
    os.close(next_handle)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next_handle, next_handle))
    async with Studio() as studio:
        await studio.warm()
        try:
            await studio.analyse([Response(member=Member(id="a", model="m"), text="So it is.", seconds=1)])
        except Unavailable as error:
            print(error, flush=True)

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits here")
def test_processes_that_cannot_be_started_end_nothing_but_what_needs_them(tmp_path: Path) -> None:
    (tmp_path / "owner.py").write_text(NO_HANDLES)
    done = run_program("owner.py", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "The processes that analyse answers could not be started."


OWNER = """
import asyncio, time
from core.studio import Studio

async def main():
    await Studio().warm()
    print("ready", flush=True)
    time.sleep(60)

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
def test_nothing_outlives_an_owner_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "owner.py"
    script.write_text(OWNER)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, str(script)], env=environment, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        assert owner.stdout.readline().strip() == "ready"
        family = psutil.Process(owner.pid).children(recursive=True)
        assert len(family) >= 3  # the fork server and two workers
        owner.kill()
        wait_until_gone(family)
