"""``consortium ask``: a question from a terminal or a pipe, with everything that can be set for one ask."""

from __future__ import annotations

import mimetypes
import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bot.commands.base import configured, piped, read_params, read_roles, run_long

if TYPE_CHECKING:
    from bot.app import Core
    from core.asks import ThreadRef
    from core.attachments import Upload
    from core.commands.values import AskCommand
    from core.types import Run

MOST_SYSTEM = 8_000
"""Characters of instructions of one's own, as for those of a consortium."""


def ask(
    question: Annotated[list[str] | None, typer.Argument(help="The question. Standard input is added to it.")] = None,
    go_on: Annotated[
        bool, typer.Option("--continue", "-c", help="Go on from the last conversation in this terminal.")
    ] = False,
    cid: Annotated[str | None, typer.Option(help="Go on from a given conversation: the id of any run of it.")] = None,
    consortium: Annotated[str | None, typer.Option(help="Which consortium to ask.")] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="A member in place of the consortium's: model or model:seats. Repeatable.")
    ] = None,
    arbiter: Annotated[str | None, typer.Option(help="The model that judges.")] = None,
    strategy: Annotated[str | None, typer.Option(help="How the panel comes to its answer; see strategies.")] = None,
    param: Annotated[
        list[str] | None, typer.Option(help="A parameter of the strategy: name=value. Repeatable.")
    ] = None,
    judging: Annotated[
        Literal["synthesis", "rank", "pick-one"] | None, typer.Option(help="What the arbiter is asked for.")
    ] = None,
    both_orders: Annotated[
        bool | None, typer.Option("--both-orders/--one-order", help="Judge twice, in opposite orders of the answers.")
    ] = None,
    role: Annotated[list[str] | None, typer.Option(help="A role for a model: model=role. Repeatable.")] = None,
    domain: Annotated[str | None, typer.Option(help="The field that the question belongs to.")] = None,
    question_type: Annotated[
        Literal["open", "yes-no", "choice", "number"] | None, typer.Option(help="What form the answer has.")
    ] = None,
    system: Annotated[str | None, typer.Option(help="Instructions of your own for the members.")] = None,
    file: Annotated[
        list[Path] | None, typer.Option(help="A text, PDF or picture to go with the question. Repeatable.")
    ] = None,
    charts: Annotated[bool, typer.Option(help="Draw the charts.")] = True,
    charts_dir: Annotated[Path | None, typer.Option(help="Where charts go; DATA_DIR/charts when left out.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask it whatever it may cost.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole run as JSON.")] = False,
) -> None:
    """Ask the panel and print its answer.

    Standard input is added to the question, files go with it. The answer goes to standard output, progress to standard
    error. In a conversation "ask qwen: why?" asks one member alone.

    Examples:

    \b
      consortium ask "Should remote work be the default?"
      cat app.log | consortium ask "What is wrong here?"
      consortium ask --file plan.md "Which risk does this plan overlook?"
      consortium ask -c "And for small teams?"
      consortium ask --strategy voting --param lead=2 --question-type number "What is 17 * 23?"
      consortium ask --model qwen:2 --model llama --arbiter mistral --json "Is 91 prime?"
    """
    from core.commands.values import AskCommand
    from core.errors import BadInput

    if go_on and cid:
        raise BadInput("--continue and --cid: both name a conversation; write one of them")
    if system and len(system) > MOST_SYSTEM:
        raise BadInput(f"--system: has {len(system):,} characters and may have {MOST_SYSTEM:,}; make it shorter")
    text = whole_question(" ".join(question or []), piped())
    if file and not text:
        raise BadInput(f'--file {file[0]}: there is no question beside it; write e.g. --file {file[0]} "What is this?"')
    command = AskCommand(
        text=text,
        consortium=consortium,
        domain=domain,
        charts=charts,
        question_type=question_type,
        system=system,
        roles=read_roles(role or []),
        models=tuple(model or []),
        arbiter=arbiter,
        strategy=strategy,
        params=read_params(param or []),
        judging=judging,
        both_orders=both_orders,
    )
    run_long(_ask(command, uploads(file or []), go_on, cid, charts_dir, as_json, yes))


async def _ask(
    command: AskCommand,
    files: tuple[Upload, ...],
    go_on: bool,
    cid: str | None,
    charts_dir: Path | None,
    as_json: bool,
    yes: bool,
) -> None:
    from bot.app import open_core
    from bot.console import ConsolePresenter, JsonPresenter, agreed, ask_in_terminal, ask_twice

    settings, catalog = configured()
    settings = settings.hasty
    # A queue of its own: another process with other models must not take this run.
    async with open_core(settings, catalog, queue=f"cli-{os.getpid()}") as core:
        folder = charts_dir or settings.data_dir / "charts"
        presenter = JsonPresenter(folder) if as_json else ConsolePresenter(folder)
        earlier = await _earlier(core, cid) if go_on or cid else None
        where = await _thread(core, earlier) if earlier else None
        confirm = agreed if yes else ask_twice
        run = await ask_in_terminal(core, command, presenter, where, files=files, confirm=confirm)
    if as_json:
        print(run.model_dump_json(indent=2))
    presenter.check()


# --- what is asked --------------------------------------------------------------------------------------


def whole_question(question: str, given: str) -> str:
    """The question with what was piped in, in a fence. Raises BadInput."""
    from core.errors import BadInput
    from core.service.asks import MAX_QUESTION

    question, given = question.strip(), given.strip("\r\n")
    if not given.strip():
        return question
    if not question:
        return given
    text = f"{question}\n\n{_fenced(given)}"
    if len(text) > MAX_QUESTION:
        raise BadInput(
            f"The question has {len(text):,} characters and may have {MAX_QUESTION:,} (standard input {len(given):,}); "
            "cut it, or send it along as a file with --file"
        )
    return text


def uploads(paths: Sequence[Path]) -> tuple[Upload, ...]:
    """The files that go with a question. Raises BadInput for what cannot be read."""
    from core.attachments import MOST_BYTES, Upload
    from core.errors import BadInput

    found = []
    for path in paths:
        try:
            with path.open("rb") as file:
                data = file.read(MOST_BYTES + 1)
                size = max(len(data), os.fstat(file.fileno()).st_size)
        except OSError as error:
            raise BadInput(
                f"--file {path}: cannot be read ({error.strerror}); write the path of a file that you may read"
            ) from None
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        found.append(Upload(path.name, kind, size, partial(_given, data)))
    return tuple(found)


async def _given(data: bytes) -> bytes:
    return data


def _fenced(text: str) -> str:
    """A block of code whose fence is longer than any in it."""
    longest = max(map(len, re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}\n{text}\n{fence}"


# --- which conversation ---------------------------------------------------------------------------------


async def _earlier(core: Core, cid: str | None) -> Run:
    """The run to go on from: the named one, or the last that was asked here. Raises NotFound, BadInput."""
    from bot.commands.runs import find_run
    from bot.console import ASKER, TERMINAL
    from core.errors import BadInput, NotFound

    if cid is None:
        last = await core.history.page(ASKER, TERMINAL, 1, 0)
        if not last:
            raise NotFound("--continue: nothing has been asked in this terminal yet; leave --continue out")
        cid = last[0].id
    run = await find_run(core.history, cid)
    if run.ask.where.platform is not TERMINAL.platform:
        raise BadInput(
            f"--cid {cid}: was asked in {run.ask.where.platform.value}, where its conversation goes on; "
            "here you can go on from what was asked here"
        )
    return run


async def _thread(core: Core, run: Run) -> ThreadRef:
    """Where the conversation of a run goes on: its thread has the id of the conversation's first run."""
    if run.ask.where.thread is None:
        run = await core.service.thread_opened(run, run.id)
    return run.ask.where
