import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from adapters.embeddings.endpoint import Endpoint
from core.catalog import EmbeddingSpec, Provider
from core.errors import Unavailable
from core.ports import Analyst
from core.study.analysis import Analyser, mean_similarity, similarity_of
from core.study.charts import draw
from core.study.clusters import group
from core.study.embedders import load_embedder, unpack
from core.study.studio import Studio
from core.types import Agreement, Member, Response, Round, RoundKind, Study, Verdict, VerdictSource
from tests.emulators.provider import ProviderEmulator

ROOT = Path(__file__).parents[3]


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


async def drawn(studio: Studio, answers: Sequence[Response]) -> Study:
    return await studio.study(answers, charts=True)


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
    study = await analyst.study(responses(1), charts=True)
    assert [member.id for member in study.analysis.members] == ["run1 seat0", "run1 seat1", "run1 seat2"]
    assert [chart.kind for chart in study.charts] == ["heatmap", "emotions"]
    assert await analyst.study(responses(1), charts=False) == study.model_copy(update={"charts": ()})


async def test_a_single_answer_gives_no_charts_and_a_sentence(studio: Studio) -> None:
    study = await studio.study(responses(1, members=1), charts=True)
    assert (study.charts, study.vectors) == ((), None)
    assert (study.analysis.similarity, study.analysis.grouping) == (None, None)
    assert "Only run1 seat0 answered" in study.analysis.notes[0]


def saying(*texts: str) -> list[Response]:
    return [Response(member=Member(id=f"m{n}", model="m"), text=text, seconds=1) for n, text in enumerate(texts)]


REMOTE = "Remote work should be the default: people concentrate better at home and save the way to the office."
PARAPHRASE = "Working remotely ought to be standard, since at home people focus better and need no way to the office."
CELLS = "The mitochondria turn sugar and oxygen into the energy that keeps a living cell going."


async def test_answers_are_grouped_by_meaning(studio: Studio) -> None:
    answers = saying(REMOTE, CELLS, PARAPHRASE, "")
    study = await studio.study(answers, charts=False)
    assert study.analysis.grouping
    assert study.analysis.grouping.labels == (0, -1, 0, -1)
    assert await studio.group(answers) == study.analysis.grouping
    assert (await studio.group(answers, eps=1e-6)).labels == (-1, -1, -1, -1)
    assert (await studio.group(answers, method="hdbscan")).method == "hdbscan"
    assert (await studio.study(saying(REMOTE, " "), charts=False)).analysis.grouping is None


async def test_what_cannot_be_grouped(studio: Studio) -> None:
    with pytest.raises(ValueError, match="two answers that have words"):
        await studio.group(saying(REMOTE, " \n"))
    with pytest.raises(ValueError, match="no method 'kmeans'"):
        await studio.group(saying(REMOTE, CELLS), method="kmeans")
    with pytest.raises(ValueError, match="eps"):
        await studio.group(saying(REMOTE, CELLS), eps=-1)


def round_(number: int, *texts: str, kind: RoundKind = "answers", confidence: float | None = None) -> Round:
    verdict = Verdict(
        source=VerdictSource.ARBITER,
        judge=Member(id="judge", model="judge"),
        synthesis="So it is.",
        confidence=confidence,
        agreement=Agreement(agree=1, total=2),
    )
    return Round(number=number, outcomes=tuple(saying(*texts)), verdict=verdict, kind=kind)


async def test_what_was_drawn_leaves_nothing_for_the_collector_of_its_process() -> None:
    """Figures are rings: without this a drawing process grows by a tenth of a megabyte with each run."""
    async with Studio(workers=1) as studio:
        for run in range(3):
            await studio.study(responses(run), charts=True)
        assert await studio._run(gc.collect) < 50


async def test_all_five_kinds_are_drawn_of_a_run(studio: Studio) -> None:
    rounds = [
        round_(1, REMOTE, CELLS, confidence=0.4),
        round_(2, "B, A", "A, B", kind="reviews"),
        round_(3, REMOTE, PARAPHRASE, confidence=0.9),
    ]
    last = await studio.study(rounds[-1].responses, charts=True)
    first = await studio.study(rounds[0].responses, charts=False)
    panel = [response.member for response in rounds[0].responses]
    charts = await studio.draw(rounds, last.analysis, panel)
    assert [chart.kind for chart in charts] == ["heatmap", "emotions", "polarity", "radar", "drift"]
    assert charts[:2] == last.charts
    drift = charts[-1].alt
    for analysis in (first.analysis, last.analysis):
        assert analysis.mean_similarity is not None
        assert f"{analysis.mean_similarity:.2f}" in drift
    assert "0.90" in drift


async def test_a_single_answer_has_charts_that_compare_nothing(studio: Studio) -> None:
    one = round_(1, REMOTE)
    study = await studio.study(one.responses, charts=True)
    kinds = [chart.kind for chart in await studio.draw([one], study.analysis, ())]
    assert kinds == ["emotions", "polarity", "radar", "drift"]


# --- what makes the vectors -----------------------------------------------------------------------------


async def test_the_vectors_are_those_of_the_answers(studio: Studio) -> None:
    study = await studio.study(saying(REMOTE, CELLS, PARAPHRASE), charts=False)
    assert study.vectors
    assert (study.vectors.embedder, study.vectors.dimensions) == ("WordLlama 256", 256)
    assert similarity_of(unpack(study.vectors)) == study.analysis.similarity


async def test_a_backend_that_is_named_is_used() -> None:
    async with Studio(workers=1, embeddings=EmbeddingSpec(backend="tfidf")) as studio:
        study = await studio.study(saying(REMOTE, CELLS, PARAPHRASE), charts=True)
    assert study.analysis.embedder.startswith("TF-IDF")
    assert study.vectors
    assert similarity_of(unpack(study.vectors)) == study.analysis.similarity


@pytest.mark.skipif(find_spec("sentence_transformers") is not None, reason="sentence-transformers is installed here")
async def test_a_backend_that_is_named_and_absent_is_no_other() -> None:
    spec = EmbeddingSpec(backend="sentence-transformers", name="some/model")
    async with Studio(workers=1, embeddings=spec) as studio:
        for _ in range(2):
            with pytest.raises(Unavailable, match=r"pip install consortium-bot\[sentence-transformers\]"):
                await studio.study(responses(1), charts=True)
        with pytest.raises(Unavailable, match="not installed"):
            await studio.group(responses(1))


ENDPOINT = EmbeddingSpec(backend="endpoint", provider="here", name="e1", timeout=5)


def endpoint(provider: ProviderEmulator) -> Endpoint:
    return Endpoint(ENDPOINT, Provider(base_url=provider.base_url, api_key_env="KEY"), secret=provider.key)


def test_an_endpoint_must_be_given() -> None:
    with pytest.raises(ValueError, match="remote"):
        Studio(embeddings=ENDPOINT)


async def test_texts_are_embedded_by_a_server_where_one_is_given() -> None:
    async with ProviderEmulator() as provider:
        provider.model("e1", dimensions=512)
        async with endpoint(provider) as remote, Studio(1, embeddings=ENDPOINT, remote=remote) as studio:
            study = await studio.study(saying(REMOTE, "", CELLS, PARAPHRASE, "\ud800"), charts=True)
            assert provider.requests[-1].body["input"] == [REMOTE, CELLS, PARAPHRASE, "?"]
            alone = await studio.study(saying(REMOTE), charts=True)
            blank = await studio.study(saying("", " "), charts=True)
            assert len(provider.requests) == 1, "nothing to compare, nothing to ask"
            rounds = [round_(1, REMOTE, CELLS), round_(2, "B", "A", kind="reviews"), round_(3, REMOTE, PARAPHRASE)]
            charts = await studio.draw(rounds, study.analysis, ())
            assert provider.requests[-1].body["input"] == [REMOTE, CELLS, REMOTE, PARAPHRASE]
            grouped = await studio.group(saying(CELLS, REMOTE, PARAPHRASE), eps=0.8)
        assert not provider.violations
    assert study.analysis.embedder == "e1 (here)"
    assert study.vectors
    rows = unpack(study.vectors)
    assert rows.shape == (5, 512)
    assert (rows**2).sum(axis=1) == pytest.approx([1, 0, 1, 1, 1], abs=1e-5)
    assert study.analysis.similarity == similarity_of(rows)
    assert (alone.vectors, alone.analysis.similarity) == (None, None)
    assert blank.analysis.mean_similarity == 0
    assert f"{mean_similarity(similarity_of(rows[[0, 3]])):.2f}" in charts[-1].alt
    assert grouped == group(rows[[2, 0, 3]], eps=0.8)


async def test_a_server_that_fails_is_a_failure_of_the_analysis() -> None:
    async with ProviderEmulator() as provider:
        provider.model("e1", dimensions=8, always="zeros")
        async with endpoint(provider) as remote, Studio(1, remote=remote) as studio:
            with pytest.raises(Unavailable, match="no vectors from e1 at here"):
                await studio.study(responses(1), charts=True)
            with pytest.raises(Unavailable, match="no vectors from e1 at here"):
                await studio.group(responses(1))
        with pytest.raises(Unavailable, match="ending"):
            await studio.study(responses(1), charts=True)


class Remote:
    """Vectors without a server, whatever they are."""

    name = "made up"

    def __init__(self, *rows: Sequence[float]) -> None:
        self.rows = rows

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        return self.rows


@pytest.mark.parametrize("rows", [[], [(1.0,)], [(1.0,), (0.0,)], [(1.0,), (1.0, 2.0)], [(1.0,), (float("nan"),)]])
async def test_vectors_that_are_none_are_not_taken(rows: list[tuple[float, ...]]) -> None:
    async with Studio(1, remote=Remote(*rows)) as studio:
        with pytest.raises(Unavailable, match="made up gave"):
            await studio.study(responses(1, members=2), charts=False)


async def test_no_answer_is_an_error(studio: Studio) -> None:
    with pytest.raises(ValueError, match="no answer"):
        await studio.study([], charts=False)


async def test_charts_of_runs_at_once_never_mix(studio: Studio) -> None:
    """Drawn interleaved in two processes, each equals the one that is drawn alone in this process."""
    runs = [responses(run, members=2 + run % 4) for run in range(12)]
    together = await asyncio.gather(*(drawn(studio, run) for run in runs))
    analyser, embedder = Analyser(), load_embedder()
    for run, study in zip(runs, together, strict=True):
        alone = analyser.study([(response.member, response.text) for response in run], embedder)
        assert study == alone.model_copy(update={"charts": draw(alone.analysis)})
    assert len({chart.png for study in together for chart in study.charts}) == 24


async def test_the_place_in_the_panel_decides_the_colour(studio: Studio) -> None:
    answers = responses(1)
    panel = [response.member for response in answers]
    with_panel = await studio.study(answers[1:], panel, charts=True)
    without = await drawn(studio, answers[1:])
    assert with_panel.charts != without.charts


async def test_a_dead_worker_is_replaced_and_nothing_is_lost(studio: Studio) -> None:
    expected = await drawn(studio, responses(1))
    for victim in workers():
        victim.kill()
    results = await asyncio.gather(*(drawn(studio, responses(1)) for _ in range(6)))
    assert all(result == expected for result in results)


async def test_a_call_that_ends_its_worker_twice_is_given_up() -> None:
    async with Studio(workers=1, limit=0.001) as studio:
        with pytest.raises(Unavailable, match="could not be analysed"):
            await drawn(studio, responses(1, members=12))


async def test_a_cancelled_call_leaves_room_for_others(studio: Studio) -> None:
    tasks = [asyncio.create_task(drawn(studio, responses(run))) for run in range(12)]
    await asyncio.sleep(0)
    for task in tasks[:10]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results[:10])
    assert all(isinstance(result, Study) for result in results[10:])
    await studio.study(responses(1), charts=False)


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
        await studio.study(responses(1), charts=False)


async def test_closing_lets_the_calls_inside_finish(studio: Studio) -> None:
    task = asyncio.create_task(drawn(studio, responses(1)))
    for _ in range(20):  # steps of the event loop, after which the call is inside
        await asyncio.sleep(0)
    await studio.aclose()
    assert len((await task).charts) == 2


def test_the_serving_process_stays_light() -> None:
    heavy = "{'numpy', 'matplotlib', 'PIL', 'sklearn', 'textblob', 'nltk', 'vaderSentiment', 'wordllama', 'tokenizers'}"
    code = f"import sys, core.study.studio; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


UNGUARDED = """
import asyncio, multiprocessing, sys
with open("executions", "a") as file:
    print(__name__, file=file)
if "spawn" in sys.argv:  # as where there is no fork server
    multiprocessing.get_all_start_methods = lambda: ["spawn"]

from core.study.studio import Studio
from core.types import Member, Response

async def main():
    async with Studio(workers=1) as studio:
        answers = [Response(member=Member(id=name, model="m"), text="So it is.", seconds=1) for name in "ab"]
        study = await studio.study(answers, charts=False)
        print([member.id for member in study.analysis.members])

asyncio.run(main())
"""


@pytest.mark.parametrize(  # how a program was started is told to its processes in another way for each method
    ("how", "method"),
    [("program.py", "spawn"), ("-m program", "forkserver"), ("-m package", "spawn"), ("-c", "forkserver")],
)
def test_a_program_without_a_guard_runs_once(how: str, method: str, tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    for file in ("program.py", "package/__main__.py"):
        (tmp_path / file).write_text(UNGUARDED)
    code = [UNGUARDED] if how == "-c" else []
    done = run_program(*how.split(), *code, method, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["['a', 'b']"]
    assert (tmp_path / "executions").read_text().splitlines() == ["__main__"]


WITH_PROCESSES_OF_ITS_OWN = """
import asyncio, multiprocessing
from core.study.studio import Studio

def double(number):
    return 2 * number

def doubled():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.map(double, [1, 2])

async def main():
    async with Studio(workers=1) as studio:
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
from core.study.studio import Studio
from core.types import Member, Response

async def main():
    await asyncio.to_thread(int)  # what the thread itself needs is there
    next_handle = os.dup(0)
    os.close(next_handle)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next_handle, next_handle))
    async with Studio() as studio:
        await studio.warm()
        try:
            await studio.study([Response(member=Member(id="a", model="m"), text="So it is.", seconds=1)], charts=False)
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
from core.study.studio import Studio

async def main():
    await Studio().warm()
    print("ready", flush=True)
    time.sleep(60)

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
async def test_a_studio_that_had_no_thread_for_its_pool_recovers() -> None:
    before = {process.pid for process in workers()}
    await asyncio.to_thread(int)  # one thread is there already
    async with Studio(workers=1) as studio:
        former = threading.stack_size(2**46)  # no system has room for it
        try:
            with pytest.raises(Unavailable, match="could not be started"):
                await studio.study(responses(1), charts=False)
        finally:
            threading.stack_size(former)
        wait_until_gone([process for process in workers() if process.pid not in before])
        assert (await studio.study(responses(1), charts=False)).vectors is not None


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
