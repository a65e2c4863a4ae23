"""The terminal as a surface: live progress while a run goes on, then the answer; plain lines in a pipe."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bot.app import Core
from bot.records import utc_now
from bot.tables import printable
from core.asks import Person, Platform, ThreadRef
from core.attachments import Upload
from core.cards import Button, Reply, Result
from core.commands.actions import decode
from core.commands.values import AskCommand, Confirm, StopCommand
from core.delivery import RunView
from core.errors import ConfigError, ConsortiumError, Refused
from core.present.answers import answer_card
from core.present.figures import FAILED_BECAUSE
from core.present.progress import head, member_state
from core.service import Inbound
from core.types import Chart, Response, Run, RunStatus

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

ASKER = Person(id="local", name="you")
"""Whoever sits at the terminal."""

TERMINAL = ThreadRef(platform=Platform.CLI, workspace="local", channel="terminal", private=True)
"""Where questions of the command line are asked."""

PARTING = 3.0
"""Seconds that a run may take to end once its asker has gone."""


class ConsolePresenter:
    """Shows one run. Progress goes to standard error, the answer to standard output."""

    pace = 0.1
    tick: float | None = 1.0

    def __init__(self, charts_dir: Path) -> None:
        self._charts_dir = charts_dir
        self._live: Live | None = None
        self._told: set[tuple[int, str]] = set()
        self._failed_text: str | None = None

    async def progress(self, view: RunView) -> None:
        """Members' states, redrawn in place on a terminal, a line each as they end in a pipe."""
        if not sys.stderr.isatty():
            self._tell(view)
            return
        from rich.console import Console
        from rich.live import Live

        if self._live is None:
            console = Console(stderr=True)
            self._live = Live(console=console, transient=True, auto_refresh=False)
            self._live.start()
        self._live.update(_state(view, self._live.console), refresh=True)

    def _tell(self, view: RunView) -> None:
        if view.round > 1 and (view.round, "") not in self._told:
            self._told.add((view.round, ""))
            print(_head(view), file=sys.stderr)
        for outcome in view.outcomes.values():
            if (view.round, outcome.member.id) not in self._told:
                self._told.add((view.round, outcome.member.id))
                gave = "ranked the answers" if view.kind == "reviews" else "answered"
                ended = gave if isinstance(outcome, Response) else FAILED_BECAUSE[outcome.kind]
                print(f"{outcome.member.label} {ended} after {outcome.seconds:.1f} s", file=sys.stderr)

    def stop(self) -> None:
        """Take the live display away."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    async def answer(self, run: Run) -> None:
        """Print the answer."""
        self.stop()
        text = printable(answer_card(run, long=True).markdown())
        if not sys.stdout.isatty():
            print(text, flush=True)
            return
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(text))

    async def charts(self, run: Run, charts: tuple[Chart, ...], note: str | None) -> None:
        """Store the pictures and say where."""
        if note:
            print(note)
        for chart, path in zip(charts, store_charts(run.id, charts, self._charts_dir), strict=True):
            print(f"{chart.title}: {path}", flush=True)

    async def failed(self, run: Run, text: str) -> None:
        """Keep the reason; the command ends with it."""
        self.stop()
        self._failed_text = text

    def check(self) -> None:
        """Raises ConsortiumError when the run gave no answer."""
        if self._failed_text:
            raise ConsortiumError(self._failed_text)


class JsonPresenter(ConsolePresenter):
    """For ``--json``: progress as ever, but nothing else on standard output."""

    async def answer(self, run: Run) -> None:
        """Nothing yet: the whole run is printed at the end."""
        self.stop()

    async def charts(self, run: Run, charts: tuple[Chart, ...], note: str | None) -> None:
        """Store the pictures silently."""
        store_charts(run.id, charts, self._charts_dir)


def store_charts(run_id: str, charts: Sequence[Chart], folder: Path) -> list[Path]:
    """Write the pictures of a run into a folder and give their paths. Raises ConfigError."""
    paths = [folder / f"{run_id}-{chart.filename}" for chart in charts]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for chart, path in zip(charts, paths, strict=True):
            path.write_bytes(chart.png)
    except OSError as error:
        raise ConfigError(
            f"--charts-dir: {folder} cannot be written ({error.strerror}); write another folder"
        ) from None
    return paths


def _head(view: RunView) -> str:
    """What is going on, e.g. "Asking 3 members, round 2 of at most 3"."""
    if view.place is not None:
        return head(view)
    many = f"{len(view.panel)} {'members' if len(view.panel) > 1 else 'member'}"
    doing = f"{many} rank each other's answers" if view.kind == "reviews" else f"Asking {many}"
    return f"{doing}, round {view.round} of at most {view.max_rounds}"


def _state(view: RunView, console: Console) -> Text:
    """Each member's state, and below them as much of the end of the answer as fits on the screen."""
    from rich.text import Text

    lines = [_head(view), *(f"  {printable(member_state(m, view, view.clock()))}" for m in view.panel)]
    if not view.judge:
        return Text("\n".join(lines), no_wrap=True, overflow="ellipsis")
    lines.append(f"  ✍  {view.judge.label} is weighing the answers")
    written = Text(printable(view.text)).wrap(console, console.width)
    room = max(3, console.height - len(lines) - 2)
    return Text("\n").join([Text("\n".join(lines), no_wrap=True, overflow="ellipsis"), *written[-room:]])


# --- asking ---------------------------------------------------------------------------------------------

Confirming = Callable[[str], Awaitable[bool]]
"""Shows what a run may use, and tells whether it is to be asked all the same. Raises ConsortiumError."""


async def ask_in_terminal(
    core: Core,
    command: AskCommand,
    presenter: ConsolePresenter,
    where: ThreadRef | None = None,
    *,
    files: Sequence[Upload] = (),
    confirm: Confirming | None = None,
) -> Run:
    """Ask and show it with ``presenter``. Returns the stored run, answered or failed.

    ``where`` is the thread of a conversation that goes on; left out, one begins whose thread is called by the run's id.
    ``confirm`` decides where the run may be dear; left out, the person at the terminal does.
    """
    inbound = Inbound(asker=ASKER, where=where or TERMINAL, manages=True, moderates=True, files=tuple(files))
    run = await _held_on_to(core, core.service.handle(command, inbound))
    if isinstance(run, Reply):
        go_on = next(button.action for row in run.buttons for button in row if _confirms(button))
        if not await (confirm or ask_twice)(run.text):
            raise Refused("It was not asked, and nothing was used.")
        run = await _held_on_to(core, core.service.press(go_on, inbound))
    if not isinstance(run, Run):
        raise TypeError(f"a {type(run).__name__} is not what a question comes to")
    return await _follow(core, run if where else await core.service.thread_opened(run, run.id), presenter)


async def _held_on_to(core: Core, asking: Awaitable[Result]) -> Result:
    """What asking comes to. Who goes away meanwhile ends the run that has been begun."""
    task = asyncio.ensure_future(asking)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if isinstance(run := await task, Run):  # it may be at work before we know of it
            await _give_up(core, run)
        raise


async def _follow(core: Core, run: Run, presenter: ConsolePresenter) -> Run:
    warming = asyncio.create_task(core.studio.warm()) if run.ask.charts else None  # while members think
    try:
        await core.service.deliver(run, presenter)
    except (asyncio.CancelledError, ConsortiumError):  # the latter where what came cannot be shown or stored here
        await _give_up(core, run)
        raise
    finally:
        presenter.stop()
        if warming:
            warming.cancel()
            await asyncio.wait([warming])
    return await core.history.run(run.id) or run


async def _give_up(core: Core, run: Run) -> None:
    """The asker has gone, and nobody else can be told: the run ends, with all that it has under way."""
    run = await core.history.run(run.id) or run
    if run.answered_at is None:
        stopping = asyncio.create_task(_stop(core, run))
        await asyncio.wait([stopping], timeout=PARTING)
        if stopping.done() and stopping.exception() is None:
            return
        stopping.cancel()
        await asyncio.wait([stopping])
    status = RunStatus.DONE if run.answered_at else RunStatus.CANCELLED
    await core.history.update_run(run.model_copy(update={"status": status, "ended_at": utc_now()}))


async def _stop(core: Core, run: Run) -> None:
    inbound = Inbound(asker=run.ask.asker, where=run.ask.where)
    await core.service.handle(StopCommand(run=run.id), inbound)
    async for _ in core.events.follow(run.id):
        pass


# --- what may be dear -----------------------------------------------------------------------------------


def _confirms(button: Button) -> bool:
    return isinstance(decode(button.action), Confirm)


async def ask_twice(text: str) -> bool:
    """Show what a run may use and read yes or no. Raises Refused where nobody sits at the terminal."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        raise Refused(f"{_plain(text)}\nTo ask it all the same, add --yes.")
    print(f"{_plain(text)}\n\nAsk it? [y/N] ", end="", file=sys.stderr, flush=True)
    return (await _line()).strip().lower() in ("y", "yes")


async def agreed(text: str) -> bool:
    """For ``--yes``: whatever it may use."""
    return True


def _plain(markdown: str) -> str:
    lines = (line.removeprefix("> ") for line in markdown.replace("**", "").splitlines())
    return "\n".join(filter(None, map(str.strip, map(printable, lines))))


async def _line() -> str:
    """A line of the keyboard. A thread that waits for one could not be interrupted."""
    loop, typed = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), typed.set)
    try:
        await typed.wait()
    finally:
        loop.remove_reader(sys.stdin.fileno())
    return sys.stdin.readline()
