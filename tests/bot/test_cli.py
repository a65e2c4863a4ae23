"""The command line as a person meets it: its two streams and its exit code.

A program of its own is started where it is about the program: its streams, its terminal, Ctrl-C, what it leaves behind.
"""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapters.history import SqlHistory
from bot import cli
from core.asks import Person, Platform, ThreadRef
from core.types import Run, RunStatus
from tests.bot.conftest import Desk, Said
from tests.databases import new_database
from tests.emulators.provider import ProviderEmulator

# Where a test run is in the background of a shell, Ctrl-C is ignored in all that it starts.
PROGRAM = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from bot.cli import main; main()"
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass
class Ended:
    """A program that ran to its end."""

    code: int | None
    out: str
    err: str


class Terminal:
    """Runs the program in a folder and an environment of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = ("PATH", "HOME", "LANG", "TMPDIR", "COVERAGE_PROCESS_START")
        self.env = {name: os.environ[name] for name in kept if name in os.environ}
        self.env |= {"SHUTDOWN_GRACE": "1", "COLUMNS": "200"}

    async def run(self, *args: str, stdin: str = "", interrupt: Awaitable[object] | None = None, **env: str) -> Ended:
        """Run it to its end; ``interrupt``: wait for that, then press Ctrl-C."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM, *args),
            cwd=self.folder,
            env={**self.env, "PYTHONPATH": str(Path(__file__).parents[2]), **env},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        ended = asyncio.create_task(process.communicate(stdin.encode()))
        try:
            if interrupt:
                await interrupt
                process.send_signal(signal.SIGINT)
            out, err = await ended
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return Ended(process.returncode, out.decode(), err.decode())


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


@pytest.fixture
async def provider(terminal: Terminal, bare: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ProviderEmulator]:
    """A provider whose models make up the default panel of the folder, which has its database already."""
    new_database(terminal.folder / "data" / "consortium.db")
    async with ProviderEmulator() as provider:
        for name in ("one", "two", "judge"):
            provider.model(name)
        models = "".join(f'[models.{n}]\nprovider = "here"\nname = "{n}"\n' for n in ("one", "two", "judge"))
        (bare / "consortium.toml").write_text(
            f'[providers.here]\nbase_url = "{provider.base_url}"\napi_key_env = "HERE_KEY"\n{models}'
            '[consortia.default]\nmembers = ["one", "two"]\narbiter = "judge"\n'
        )
        terminal.env["HERE_KEY"] = provider.key
        monkeypatch.setenv("HERE_KEY", provider.key)
        monkeypatch.setenv("SHUTDOWN_GRACE", "1")
        yield provider
        assert not provider.violations


async def asked(desk: Desk, *args: str, stdin: str = "") -> Said:
    """Ask in a thread of this process, whose event loop has the provider."""
    return await asyncio.to_thread(desk.run, "ask", *args, stdin=stdin)


# --- help -----------------------------------------------------------------------------------------------


async def test_the_program_lists_its_commands(terminal: Terminal) -> None:
    shown = await terminal.run("--help")
    assert (shown.code, shown.err) == (0, "")
    for name in (name for commands in cli.COMMANDS.values() for name in commands):
        assert re.search(rf"^  {name} +[A-Z]", shown.out, re.MULTILINE)


def test_the_version_is_told() -> None:
    assert re.fullmatch(r"consortium \d+\.\d+\.\d+\S*\n", CliRunner().invoke(cli.app, ["--version"]).output)


# --- what is wrong --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "line"),
    [
        ({"PORT": "web"}, r"PORT: .+; write PORT=8080.*"),
        ({"CONSORTIUM_CONFIG": "none.toml"}, r"CONSORTIUM_CONFIG: none\.toml cannot be read \(.+\); write .+"),
        ({"DATA_DIR": "/dev/null/x"}, r"DATA_DIR: /dev/null/x cannot be made \(.+\); write .+"),
        ({"DATABASE_URL": "mysql://db/x"}, r"DATABASE_URL.+write sqlite:///.+"),
        ({"REDIS_URL": "redis://127.0.0.1:1/0"}, r".*127\.0\.0\.1:1.*"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_setting_ends_it_with_one_line(desk: Desk, env: dict[str, str], line: str) -> None:
    for name, value in env.items():
        desk.monkeypatch.setenv(name, value)
    said = desk.refused("ask", "Is it so?")
    assert re.fullmatch(f"consortium: {line}\n", said), said


def test_a_wrong_models_file_ends_it_with_its_key_path(desk: Desk, provider: ProviderEmulator) -> None:
    path = desk.folder / "consortium.toml"
    path.write_text(path.read_text().replace('arbiter = "judge"', 'arbiter = "jugde"'))
    assert desk.refused("ask", "Is it so?") == (
        "consortium: consortium.toml: consortia.default.arbiter: no model 'jugde' (there are: one, two, judge)\n"
    )


async def test_a_port_that_is_taken_is_told(terminal: Terminal) -> None:
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        ended = await terminal.run("serve", "--no-work", PORT=str(port), LOG_LEVEL="ERROR")
    assert ended.code == 2
    assert re.fullmatch(rf"consortium: PORT: 127\.0\.0\.1:{port} cannot be used \(.+\); write .+\n", ended.err)


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ((), "There is no question."),
        (("--consortium", "defalt", "Is it so?"), "There is no consortium `defalt`. Did you mean `default`?"),
    ],
    ids=["no question", "consortium"],
)
def test_a_question_that_cannot_be_asked_is_told(desk: Desk, args: tuple[str, ...], line: str) -> None:
    said = desk.refused("ask", *args)
    assert said.startswith(f"consortium: {line}")
    assert said.count("\n") == 1


# --- asking ---------------------------------------------------------------------------------------------


async def test_an_answer_goes_to_standard_output_and_progress_does_not(
    terminal: Terminal, provider: ProviderEmulator
) -> None:
    ended = await terminal.run("ask", "--no-charts", "Is", "it mark-x1?")
    assert ended.code == 0, ended.err
    assert ended.out.startswith("**2 of 2 agree · confidence high, 0.85**\n\n")
    assert "**Yes.** The answers to mark-x1 agree." in ended.out
    shown = {re.sub(r"[\d.]+", "0", line) for line in ended.err.splitlines()}
    assert shown <= {"one answered after 0 s", "two answered after 0 s"}, "the latest state, as far as there was time"
    assert all("Is it mark-x1?" in json.dumps(r.body) for r in provider.requests)


async def test_all_members_down_ends_it_with_the_reasons(desk: Desk, provider: ProviderEmulator) -> None:
    for name in ("one", "two"):
        provider.model(name, always={"kind": "status", "status": 401, "message": "Bad {key}"})
    ended = await asked(desk, "--no-charts", "Is it so?")
    assert (ended.code, ended.out) == (2, "")
    lines = [line for line in ended.err.splitlines() if line.startswith("consortium: ")]
    assert lines[0] == "consortium: None of the 2 members answered, so there is no answer."
    assert [line.partition(":")[2].partition(":")[0] for line in lines[1:]] == [" - one", " - two"]
    assert "Traceback" not in ended.err
    assert provider.key not in ended.err


async def test_a_run_without_an_answer_is_whole_json_too(desk: Desk, provider: ProviderEmulator) -> None:
    for name in ("one", "two"):
        provider.model(name, always={"kind": "status", "status": 401, "message": "Bad {key}"})
    ended = await asked(desk, "--no-charts", "--json", "Is it so?")
    assert ended.code == 2
    run = Run.model_validate_json(ended.out)
    assert run.status is RunStatus.FAILED
    assert [failure.member.id for failure in run.rounds[0].failures] == ["one", "two"]
    assert run.error
    assert run.error.splitlines()[0] in ended.err


async def test_ctrl_c_ends_an_ask_at_once_and_the_run_with_it(terminal: Terminal, provider: ProviderEmulator) -> None:
    for name in ("one", "two"):
        provider.model(name, always="hang")
    async with asyncio.timeout(30):
        ended = await terminal.run("ask", "Is it so?", interrupt=provider.arrived(2), SHUTDOWN_GRACE="600")
    assert (ended.code, ended.out) == (130, "")
    assert "Traceback" not in ended.err
    async with SqlHistory(f"sqlite:///{terminal.folder / 'data' / 'consortium.db'}") as history:
        where = ThreadRef(platform=Platform.CLI, workspace="local", channel="terminal", private=True)
        (row,) = await history.page(Person(id="local"), where, 10, 0)
    assert row.status is RunStatus.CANCELLED


async def test_a_run_whose_charts_cannot_be_written_is_over_all_the_same(
    desk: Desk, provider: ProviderEmulator
) -> None:
    ended = await asked(desk, "--charts-dir", "/dev/null/x", "Is it so?")
    assert ended.code == 2
    assert "2 of 2 agree" in ended.out
    assert "consortium: --charts-dir: /dev/null/x cannot be written" in ended.err
    async with SqlHistory(f"sqlite:///{desk.folder / 'data' / 'consortium.db'}") as history:
        where = ThreadRef(platform=Platform.CLI, workspace="local", channel="terminal", private=True)
        (row,) = await history.page(Person(id="local"), where, 10, 0)
    assert row.status is RunStatus.DONE


async def test_a_simulated_panel_answers_a_pipe_in_json(terminal: Terminal) -> None:
    ended = await terminal.run("ask", "--json", "--consortium", "quick", stdin="Should remote work be the default?\n")
    assert ended.code == 0, ended.err
    run = Run.model_validate_json(ended.out)
    assert json.loads(ended.out)["id"] == run.id
    assert run.status is RunStatus.DONE
    assert run.ask.text == "Should remote work be the default?"
    assert all(member.simulated for member in run.panel)
    assert run.verdict
    assert run.analysis
    assert run.analysis.similarity
    charts = sorted((terminal.folder / "data" / "charts").iterdir())
    assert [chart.name for chart in charts] == [f"{run.id}-emotions.png", f"{run.id}-heatmap.png"]
    assert all(chart.read_bytes().startswith(PNG) for chart in charts)


# --- what may be dear -----------------------------------------------------------------------------------


def ask_for_confirmation(folder: Path) -> None:
    """From now on every run of the folder is asked for twice."""
    with (folder / "consortium.toml").open("a") as file:
        file.write('[governance]\nconfirm = "10 tokens"\n')


async def test_what_may_be_dear_is_asked_only_with_yes_where_nobody_can_be_asked(
    desk: Desk, provider: ProviderEmulator
) -> None:
    ask_for_confirmation(desk.folder)
    held = await asked(desk, "--no-charts", "Is it dear?")
    assert (held.code, held.out) == (2, "")
    assert "tokens" in held.err
    assert held.err.splitlines()[-1] == "consortium: To ask it all the same, add --yes."
    assert not provider.requests
    ended = await asked(desk, "--no-charts", "--yes", "Is it dear?")
    assert ended.code == 0, ended.err
    assert provider.requests


@pytest.mark.parametrize(("typed", "code"), [("y", 0), ("n", 2), ("", 2)])
async def test_a_person_at_the_terminal_is_asked(
    terminal: Terminal, provider: ProviderEmulator, typed: str, code: int
) -> None:
    ask_for_confirmation(terminal.folder)
    keyboard, screen = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, "ask", "--no-charts", "Is it dear?"),
        cwd=terminal.folder,
        env={**terminal.env, "PYTHONPATH": str(Path(__file__).parents[2]), "TERM": "dumb"},
        stdin=screen,
        stdout=asyncio.subprocess.PIPE,
        stderr=screen,
    )
    os.close(screen)
    shown = ""
    while "Ask it? [y/N]" not in shown:
        shown += (await asyncio.to_thread(os.read, keyboard, 4096)).decode()
    os.write(keyboard, f"{typed}\n".encode())
    reading = asyncio.create_task(asyncio.to_thread(_rest, keyboard))  # or the program would wait for its screen
    out, _ = await process.communicate()
    shown += await reading
    os.close(keyboard)
    assert process.returncode == code, shown
    assert ("2 of 2 agree" in out.decode()) == (code == 0)
    assert ("It was not asked, and nothing was used." in shown) == (code != 0)


def _rest(terminal: int) -> str:
    """All that is still written to a terminal, until nobody holds it any more."""
    shown = b""
    try:
        while more := os.read(terminal, 4096):
            shown += more
    except OSError:  # how Linux tells its end
        pass
    return shown.decode()


# --- with options ---------------------------------------------------------------------------------------


async def test_what_is_piped_in_and_files_go_with_the_question(desk: Desk, provider: ProviderEmulator) -> None:
    (desk.folder / "plan.md").write_text("A fence:\n```\nmark-f3\n```\n")
    words = ("--no-charts", "--file", "plan.md", "What", "of mark-q1?")
    ended = await asked(desk, *words, stdin="mark-p2\n")
    assert ended.code == 0, ended.err
    sent = provider.requests[0].body["messages"][-1]["content"]
    assert sent.endswith("What of mark-q1?\n\n```\nmark-p2\n```")
    assert "plan.md" in sent
    assert "A fence:\n```\nmark-f3\n```" in sent
    assert "with plan.md" in ended.out


async def test_a_panel_is_put_together_for_one_ask(desk: Desk, provider: ProviderEmulator) -> None:
    words = ("--no-charts", "--json", "--model", "one:2", "--model", "judge", "--arbiter", "two")
    options = (
        "--strategy",
        "voting",
        "--param",
        "lead=2",
        "--param",
        "prose=true",
        "--judging",
        "rank",
        "--both-orders",
    )
    others = ("--role", "one=Skeptical friend", "--question-type", "yes-no", "--system", "Be brief.")
    ended = await asked(desk, *words, *options, *others, "Is it so?")
    run = Run.model_validate_json(ended.out)
    assert run.ask.setup
    assert (run.consortium, run.ask.setup.members, run.ask.setup.arbiter) == ("custom", ("one:2", "judge"), "two")
    assert (run.ask.setup.strategy, run.ask.setup.params) == ("voting", {"lead": 2, "prose": True})
    assert (run.ask.setup.judging, run.ask.setup.both_orders) == ("rank", True)
    assert (run.ask.roles, run.ask.question_type, run.ask.system) == (
        {"one": "Skeptical friend"},
        "yes-no",
        "Be brief.",
    )
    assert run.ask.where.thread == run.id, "a conversation of its own"


async def test_a_conversation_goes_on_where_it_is_told_to(desk: Desk, provider: ProviderEmulator) -> None:
    async def ask(*words: str) -> tuple[Run, str]:
        provider.requests.clear()
        ended = await asked(desk, "--no-charts", "--json", *words)
        assert ended.code == 0, ended.err
        return Run.model_validate_json(ended.out), json.dumps(provider.requests[0].body)

    first, _ = await ask("--model", "two", "--model", "one", "What of mark-a1?")
    other, shown = await ask("What of mark-b2?")
    assert "mark-a1" not in shown
    second, shown = await ask("--cid", first.id[:6], "And mark-c3?")
    assert "mark-a1" in shown
    assert "mark-b2" not in shown
    assert [member.id for member in second.panel] == ["two", "one"], "the panel that the conversation was with"
    third, shown = await ask("-c", "And mark-d4?")
    assert all(mark in shown for mark in ("mark-a1", "mark-c3", "mark-d4"))
    assert {run.ask.where.thread for run in (first, second, third)} == {first.id}
    assert other.ask.where.thread == other.id


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("-c", "Why?"), "--continue: nothing has been asked in this terminal yet"),
        (("--cid", "0123456789ab", "Why?"), "ID 0123456789ab: no such run is on record"),
    ],
    ids=["continue", "cid"],
)
def test_a_conversation_that_is_not_there_is_told(desk: Desk, args: tuple[str, ...], told: str) -> None:
    assert desk.refused("ask", *args).startswith(f"consortium: {told}")


def test_models_are_listed_with_how_they_are(desk: Desk) -> None:
    desk.monkeypatch.setenv("COLUMNS", "200")
    ended = desk.ok("models")
    assert re.search(
        r"^optimist +simulated +optimist +none needed +ready \(not called lately\)$", ended.out, re.MULTILINE
    )
    assert re.search(r"^default \(default\) +pragmatist, optimist, .+ judge +default$", ended.out, re.MULTILINE)


def test_a_key_that_is_missing_is_told_of_its_models(desk: Desk, provider: ProviderEmulator) -> None:
    desk.monkeypatch.setenv("HERE_KEY", "")
    found = desk.ok("models", "--json").json
    assert (found["models"][0]["model"], found["models"][0]["key"]) == ("one", "HERE_KEY missing")
    assert found["models"][0]["breaker"]["state"] == "closed"
    assert (found["default"], list(found["consortia"])) == ("default", ["default"])


async def test_a_reader_that_leaves_early_is_no_error(terminal: Terminal) -> None:
    program = f"{sys.executable} -c '{PROGRAM}' strategies | true"
    process = await asyncio.create_subprocess_shell(
        program,
        cwd=terminal.folder,
        env={**terminal.env, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert (out, err) == (b"", b"")
