"""The terminal as a surface: live progress while a run goes on, then the answer; plain lines in a pipe."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from core.delivery import RunView
from core.errors import ConfigError, ConsortiumError
from core.present import FAILED_BECAUSE, answer_text, member_state
from core.types import Chart, Response, Run

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text


class ConsolePresenter:
    """Shows one run. Progress goes to standard error, the answer to standard output."""

    pace = 0.1

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
            self._live = Live(console=Console(stderr=True), transient=True, auto_refresh=False)
            self._live.start()
        head = f"Asking {len(view.panel)} members, round {view.round} of at most {view.max_rounds}"
        lines = [head, *(f"  {member_state(m, view)}" for m in view.panel)]
        lines += [f"  ✍  {view.judge.label} is weighing the answers", view.text] if view.judge else []
        self._live.update(_plain("\n".join(lines)), refresh=True)

    def _tell(self, view: RunView) -> None:
        for outcome in view.outcomes.values():
            if (view.round, outcome.member.id) not in self._told:
                self._told.add((view.round, outcome.member.id))
                ended = "answered" if isinstance(outcome, Response) else FAILED_BECAUSE[outcome.kind]
                print(f"{outcome.member.label} {ended} after {outcome.seconds:.1f} s", file=sys.stderr)

    def stop(self) -> None:
        """Take the live display away."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    async def answer(self, run: Run) -> None:
        """Print the answer."""
        self.stop()
        text = answer_text(run).markdown()
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
        for chart, path in zip(charts, self._store(run, charts), strict=True):
            print(f"{chart.title}: {path}", flush=True)

    def _store(self, run: Run, charts: tuple[Chart, ...]) -> list[Path]:
        paths = [self._charts_dir / f"{run.id}-{chart.filename}" for chart in charts]
        try:
            self._charts_dir.mkdir(parents=True, exist_ok=True)
            for chart, path in zip(charts, paths, strict=True):
                path.write_bytes(chart.png)
        except OSError as error:
            raise ConfigError(
                f"--charts-dir: {self._charts_dir} cannot be written ({error.strerror}); write another folder"
            ) from None
        return paths

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
        self._store(run, charts)


def _plain(text: str) -> Text:
    from rich.text import Text

    return Text(text)
