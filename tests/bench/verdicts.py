"""What came of a crowd's asks, judged from outside: what Slack shows, what is on record, what the provider counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from tests.bench.crowd import asks_again

CHARTS = 2
MOST_CALLS = 1.1
"""Calls of members for each that is needed; those that died with their caller do not count."""


@dataclass(frozen=True)
class Record:
    """A run as the database has it. ``outcomes`` are (round, model, kind)."""

    id: str
    question: str
    status: str
    error: str | None
    delivered: bool
    charts: int
    outcomes: tuple[tuple[int, str, str], ...]

    @property
    def needed(self) -> Iterator[str]:
        """What it needed of the provider, by model and round."""
        return (f"{model} {number}" for number, model, _ in self.outcomes)


@dataclass
class Judgement:
    """Figures by name, and every violation."""

    figures: dict[str, Any] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def table(self) -> str:
        """For people to read."""
        width = max(map(len, self.figures), default=0)
        lines = [f"{name:<{width}}  {value}" for name, value in self.figures.items()]
        lines += [f"VIOLATION  {violation}" for violation in sorted(self.violations)]
        return "\n".join([*lines, f"{len(self.violations) or 'no'} violations"])


async def records(url: str) -> list[Record]:
    """All runs of a database."""
    connection = await asyncpg.connect(url)
    try:
        runs = await connection.fetch("SELECT id, question, status, error, delivered_at FROM runs ORDER BY created_at")
        outcomes: dict[str, list[tuple[int, str, str]]] = defaultdict(list)
        for row in await connection.fetch("SELECT run_id, round, model, kind FROM outcomes"):
            outcomes[row["run_id"]].append((row["round"], row["model"], row["kind"]))
        charts = Counter(row["run_id"] for row in await connection.fetch("SELECT run_id FROM charts"))
    finally:
        await connection.close()
    return [
        Record(
            *(row["id"], row["question"], row["status"], row["error"], row["delivered_at"] is not None),
            charts[row["id"]],
            tuple(sorted(outcomes[row["id"]])),
        )
        for row in runs
    ]


class Judge:
    """Judges a crowd's report with the database's records and the provider's count of calls. ``panel`` is how many
    members a round asks; ``charts`` tells whether each answer has its two."""

    def __init__(
        self, seen: dict[str, Any], runs: Sequence[Record], calls: dict[str, Any], *, panel: int, charts: bool = True
    ) -> None:
        self._seen, self._runs, self._calls, self._panel, self._charts = seen, runs, calls, panel, charts
        self._of_run: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._files: dict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
        for message in seen["messages"]:
            if message["run"]:
                self._of_run[message["run"]].append(message)
            for name in message["files"]:
                self._files[name.partition("-")[0]].append((name, message))
        self._found = Judgement()

    def judge(self) -> Judgement:
        """Figures and violations."""
        by_mark: dict[str, list[Record]] = defaultdict(list)
        for run in self._runs:
            by_mark[run.question.rpartition("(")[2].rstrip(")")].append(run)
        attempts: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for attempt in self._seen["attempts"]:
            attempts[attempt["number"]].append(attempt)
        answered = 0
        for tries in attempts.values():
            for attempt in tries:
                self._attempt(attempt, by_mark[attempt["mark"]], last=attempt is tries[-1])
            answered += any(self._stands(run) for attempt in tries for run in by_mark[attempt["mark"]])
        self._strays()
        if missing := self._seen["planned"] - len(attempts):
            self._say(f"{missing} follow-ups were never asked: what they follow up has no answer")
        self._count(self._seen["planned"], answered)
        self._count_calls(by_mark)
        return self._found

    def _say(self, what: str, run: Record | None = None, attempt: dict[str, Any] | None = None) -> None:
        about = [run.id] if run else []
        about += [f"{attempt['kind']} {attempt['mark']}"] if attempt else []
        self._found.violations.append(f"{what}: {', '.join(about)}" if about else what)

    def _attempt(self, attempt: dict[str, Any], runs: Sequence[Record], *, last: bool) -> None:
        if not runs and attempt["taken"] and last:
            told = f" (told: {attempt['told'][-1][:100]!r})" if attempt["told"] else ""
            self._say(f"lost: Slack took it, and nobody ran it{told}", attempt=attempt)
        if len(runs) > 1:
            self._say(f"ran {len(runs)} times: {', '.join(run.id for run in runs)}", attempt=attempt)
        if runs and any(map(asks_again, attempt["told"])):
            self._say("told that nothing was asked, yet it ran", runs[0], attempt)
        if not runs and not attempt["taken"] and last:
            self._say("never got through", attempt=attempt)
        for run in runs:
            self._record(run, attempt)
            self._shown(run, attempt)

    def _record(self, run: Record, attempt: dict[str, Any]) -> None:
        """What is on record of it is complete."""
        if run.status != "done":
            self._say(f"ended as {run.status} ({run.error})" if run.error else f"is still {run.status}", run, attempt)
            return
        if not run.delivered:
            self._say("not marked as delivered", run, attempt)
        rounds = Counter(number for number, _, _ in run.outcomes)
        if not rounds or set(rounds.values()) != {self._panel}:
            self._say(f"outcomes by round: {dict(rounds)}", run, attempt)
        if failed := [f"{model}: {kind}" for _, model, kind in run.outcomes if kind != "response"]:
            self._say(f"members failed ({', '.join(failed)})", run, attempt)
        if self._charts and run.charts != CHARTS:
            self._say(f"{run.charts} charts on record", run, attempt)

    def _stands(self, run: Record) -> bool:
        return any(message["final"] for message in self._of_run[run.id])

    def _shown(self, run: Record, attempt: dict[str, Any]) -> None:
        """What people see of it is the answer, once, in its thread, and its charts."""
        messages = self._of_run[run.id]
        roots = [message for message in messages if message["part"] == "root"]
        rest = [message for message in messages if message["part"] != "root"]
        opens = attempt["thread"] is None
        if len(roots) != opens:
            self._say(f"{len(roots)} messages that open its thread", run, attempt)
        thread = attempt["thread"] or (roots[0]["ts"] if roots else None)
        answers = [message for message in rest if message["final"]]
        if not answers:
            self._say("no answer stands", run, attempt)
        if len(answers) > 1:
            self._say(f"{len(answers)} answers", run, attempt)
        for message in rest:
            if message not in answers:
                self._say(f"left over: {message['text'][:80]!r}", run, attempt)
        files = self._files[run.id]
        if any(message["thread"] != thread for message in [*rest, *(message for _, message in files)]):
            self._say("shown outside its thread", run, attempt)
        names = Counter(name for name, _ in files)
        if self._charts and (len(names) != CHARTS or set(names.values()) != {1}):
            self._say(f"charts in the thread: {dict(names)}", run, attempt)

    def _strays(self) -> None:
        known = {run.id for run in self._runs}
        for message in self._seen["messages"]:
            if message["run"] is None and not message["files"]:
                kind = "a stream that never ended" if message["streaming"] else "a message of no run"
                self._say(f"{kind} in {message['channel']} {message['thread']}: {message['text'][:80]!r}")
            elif message["run"] and message["run"] not in known:
                self._say(f"a message of run {message['run']}, which is not on record")
        for status in self._seen["statuses"]:
            self._say(f"status left over: {status}")

    def _count(self, asked: int, answered: int) -> None:
        attempts, seen = self._seen["attempts"], self._seen
        waits = sorted(a["answered"] - a["at"] for a in attempts if a["answered"] is not None)
        self._found.figures |= {
            "asks": asked,
            "answered": answered,
            "answer after, p50 / p95 / most": f"{_spread(waits)} s",
            "commands that Slack showed as failed, and were repeated": _failed(attempts, "command"),
            "messages that Slack gave up, and were repeated": _failed(attempts, "mention", "follow"),
            "told to try again": sum(bool(a["told"]) and a["answered"] is None for a in attempts),
            "events that Slack gave up": seen["given up"],
            "events that Slack repeated": seen["repeated events"],
            "acknowledged after, p50 / p95 / most": f"{_spread(seen['acks'], 1e3)} ms",
            "calls to Slack (faulty, refused for their rate)": f"{seen['calls']} ({seen['faults']}, {seen['refused']})",
            "what Slack objects to": dict(Counter(v.partition(":")[0] for v in seen["violations"])) or "nothing",
        }

    def _count_calls(self, by_mark: dict[str, list[Record]]) -> None:
        needed = Counter(f"{mark} {what}" for mark, runs in by_mark.items() for run in runs for what in run.needed)
        begun = {about: n for about, n in self._calls["begun"].items() if " judge " not in about}
        left = sum(n for about, n in self._calls["left"].items() if about in begun)
        judged = sum(self._calls["begun"].values()) - sum(begun.values())
        total, due = sum(begun.values()), sum(needed.values())
        ratio = total / due if due else 0.0
        net = (total - left) / due if due else 0.0
        self._found.figures |= {
            "members' calls (needed, died with their caller)": f"{total} ({due}, {left}), ratio {ratio:.3f}",
            "arbiters' calls": judged,
        }
        if net > MOST_CALLS:
            worst = Counter({about: n - needed[about] for about, n in begun.items()}).most_common(3)
            self._say(f"members called {net:.2f} times what is needed, without those that died; most: {worst}")


def _failed(attempts: Iterable[dict[str, Any]], *kinds: str) -> int:
    return sum(attempt["taken"] is False for attempt in attempts if attempt["kind"] in kinds)


def _spread(ordered: Sequence[float], scale: float = 1.0) -> str:
    if not ordered:
        return "-"
    picked = [ordered[min(len(ordered) - 1, int(len(ordered) * share))] * scale for share in (0.5, 0.95, 1.0)]
    return " / ".join(f"{value:.1f}" for value in picked)


def summary(violations: Iterable[str]) -> str:
    """How many there are of each kind."""
    return ", ".join(f"{n} of {kind!r}" for kind, n in Counter(v.partition(":")[0] for v in violations).most_common())
