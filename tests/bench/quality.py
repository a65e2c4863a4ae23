"""How good a panel's answers are: recorded answers of real models, replayed through the engine.

``python -m tests.bench.quality [extraction|votes|confidence|early|cost …] [--councils N] [--json]``
"""

from __future__ import annotations

import argparse
import asyncio
import difflib
import json
import random
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import psutil

from core.breaker import LocalBreakers
from core.ports import Completion, Prompt
from core.setup import ConsortiumSpec
from core.telemetry import Logs, configure
from core.types import Agreement, Ballot, Member, Run, Usage
from core.votes.confidence import PRIOR, Calibration, expected_error
from core.votes.trust import Experience, Record, agreements
from tests.bench.recordings import Council, Recording, is_right, recordings
from tests.core.fakes import START, catalog, make_ask, make_engine

SIZE = 5
"""Members of a council by chance."""

NOISE = 0.3
"""Points under the plain majority that are put up with."""

NOBODY = Experience()

Sample = tuple[Agreement, bool]


# --- replaying ------------------------------------------------------------------------------------------


@dataclass
class Recorded:
    """A model that says what was recorded, by the question."""

    key: str
    replies: Mapping[str, str]
    simulated: bool = False

    async def complete(self, prompt: Prompt, *, timeout: float) -> Completion:
        return Completion(text=self.replies[prompt.messages[-1].content], usage=Usage(cost=0.0))

    async def stream(self, prompt: Prompt, *, timeout: float) -> AsyncIterator[str | Completion]:
        yield await self.complete(prompt, timeout=timeout)


class Replay:
    """The engine, with a recording's models as members."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self._keys = [f"m{i}" for i in range(len(recording.models))]
        models = {k: Recorded(k, {r.id: r.replies[i] for r in recording.rows}) for i, k in enumerate(self._keys)}
        known = catalog(models=(*self._keys, "judge"), members=self._keys[:2], arbiter="judge", arbiter_fallbacks=[])
        self._engine = make_engine(known, models, breakers=LocalBreakers())

    async def run(self, number: int, council: Council, experience: Experience = NOBODY, **params: Any) -> Run:
        """Have a council vote on a row. Models go by their keys, "m" and their place."""
        keys = [self._keys[place] for place in council]
        params = {"arbiter": False, "prose": self.recording.prose, **params}
        setup = ConsortiumSpec(members=tuple(keys), arbiter="judge", strategy="voting", params=params)
        row = self.recording.rows[number]
        ask = make_ask(row.id, id=f"{row.id}/{number}", question_type=self.recording.question_type, setup=setup)
        panel = tuple(Member(id=key, model=key) for key in keys)
        run = Run(id=ask.id, ask=ask, consortium="replayed", panel=panel, created_at=START)
        return await self._engine.run(run, (), _unseen, experience)

    async def voted(self, number: int, council: Council, experience: Experience = NOBODY, **params: Any) -> Voted:
        """What a council's vote on a row came to."""
        run = await self.run(number, council, experience, **params)
        assert run.verdict, run.error
        ballot = run.verdict.ballot
        assert ballot
        return Voted(self._right(number, ballot), run.verdict.agreement, ballot, run.bill.calls)

    def _right(self, number: int, ballot: Ballot) -> bool:
        gold, kind = self.recording.rows[number].gold, self.recording.question_type
        return ballot.basis == "final answers" and is_right(ballot.camps[0].normal, gold, kind)

    def by_heads(self, number: int, ballot: Ballot) -> float:
        """The plain majority: whether the largest camp is right; of several that are as large, their share."""
        largest = max(len(camp.members) for camp in ballot.camps)
        tied = [camp for camp in ballot.camps if len(camp.members) == largest]
        gold, kind = self.recording.rows[number].gold, self.recording.question_type
        stated = ballot.basis == "final answers"
        return statistics.mean(stated and is_right(camp.normal, gold, kind) for camp in tied)

    def learn(self, votes: Mapping[int, Voted], rows: Iterable[int], *, labels: bool) -> Experience:
        """What the rows' votes teach: who agrees with the others, or, with ``labels``, who is right."""
        counts: Counter[tuple[str, str]] = Counter()
        for number in rows:
            ballot = votes[number].ballot
            gold, kind = self.recording.rows[number].gold, self.recording.question_type
            if ballot.basis == "meaning":
                continue
            for key, agreed in () if labels else agreements(ballot).items():
                counts.update({(key, "compared"): 1, (key, "agreed"): int(agreed)})
            for camp in ballot.camps if labels else ():
                right = int(is_right(camp.normal, gold, kind))
                for member in camp.members:
                    counts.update({(member.id, "labelled"): 1, (member.id, "correct"): right})
        fields = ("agreed", "compared", "correct", "labelled")
        keys = {key for key, _ in counts}
        return Experience(records={k: Record(**{f: counts[k, f] for f in fields}) for k in keys})


@dataclass(frozen=True)
class Voted:
    """How a vote came out."""

    right: bool
    agreement: Agreement | None
    ballot: Ballot
    calls: int


def _unseen(_: object) -> None:
    """Nobody follows these runs."""


# --- councils -------------------------------------------------------------------------------------------


@dataclass
class Measured:
    """Accuracy in percent by method, a figure a council; and what the votes of each half say of confidence."""

    accuracy: dict[str, list[float]] = field(default_factory=dict)
    samples: list[tuple[list[Sample], list[Sample]]] = field(default_factory=list)

    def add(self, figures: Mapping[str, float], samples: tuple[list[Sample], list[Sample]]) -> None:
        for method, share in figures.items():
            self.accuracy.setdefault(method, []).append(100 * share)
        self.samples.append(samples)


@cache
def replays() -> dict[str, Replay]:
    """The recordings, read once in each process."""
    return {recording.name: Replay(recording) for recording in recordings()}


def measured(name: str, council: Council) -> tuple[dict[str, float], tuple[list[Sample], list[Sample]]]:
    """Accuracies and samples of one council, in whichever process there is room."""
    configure(Logs("ERROR"))
    return asyncio.run(measure(replays()[name], council))


async def measure(replay: Replay, council: Council) -> tuple[dict[str, float], tuple[list[Sample], list[Sample]]]:
    """Everything about one council: trust is learnt on each half of the rows and measured on the other."""
    rows, halves = replay.recording.rows, replay.recording.halves()
    plain = {n: await replay.voted(n, council) for half in halves for n in half}
    right: dict[str, float] = defaultdict(float, majority=sum(replay.by_heads(n, v.ballot) for n, v in plain.items()))
    samples: tuple[list[Sample], list[Sample]] = ([], [])
    for side, (test, train) in enumerate((halves, halves[::-1])):
        by_agreement = replay.learn(plain, train, labels=False)
        by_labels = replay.learn(plain, train, labels=True)
        hits = {place: sum(rows[n].right[place] for n in train) for place in council}
        favourite = max(council, key=lambda place: hits[place])
        right["best by training half"] += sum(rows[n].right[favourite] for n in test)
        right["best in hindsight"] += max(sum(rows[n].right[place] for n in test) for place in council)
        for n in test:
            learnt = await _again(replay, n, council, by_agreement, plain[n])
            labelled = await _again(replay, n, council, by_labels, plain[n])
            right["weighted, no labels"] += learnt.right
            right["weighted, labels"] += labelled.right
            if learnt.agreement:
                samples[side].append((learnt.agreement, learnt.right))
    right["text similarity"] = _by_similarity(replay.recording, council)
    figures = {method: hits / len(rows) for method, hits in right.items()}
    mean = statistics.mean(statistics.mean(row.right[place] for row in rows) for place in council)
    return {"mean member": mean, **figures}, samples


async def _again(replay: Replay, number: int, council: Council, experience: Experience, plain: Voted) -> Voted:
    """The vote with weights; where all are of one mind, weights change nothing."""
    return plain if len(plain.ballot.camps) == 1 else await replay.voted(number, council, experience)


def _by_similarity(recording: Recording, council: Council) -> int:
    """How often the largest group of like texts is right; 0 where there are no texts.

    A text joins the first group to whose first text its difflib ratio is 0.5 or more; texts come in an order of chance.
    """
    if not recording.prose:
        return 0
    hits = 0
    for row in recording.rows:
        groups: list[list[int]] = []
        for place in random.Random(row.id).sample(council, len(council)):
            home = next((g for g in groups if _alike(row.replies[g[0]], row.replies[place])), None)
            if home is None:
                groups.append([place])
            else:
                home.append(place)
        hits += row.right[max(groups, key=len)[0]]
    return hits


@cache
def _alike(a: str, b: str) -> bool:
    matcher = difflib.SequenceMatcher(None, a, b)
    return matcher.real_quick_ratio() >= 0.5 and matcher.quick_ratio() >= 0.5 and matcher.ratio() >= 0.5


# --- parts ----------------------------------------------------------------------------------------------


@dataclass
class Bench:
    """The recordings, and what has been measured on them so far."""

    councils: int
    pool: ProcessPoolExecutor
    only: str = ""
    results: dict[str, Any] = field(default_factory=dict)
    replays: dict[str, Replay] = field(default_factory=dict)
    measured: dict[tuple[str, str], Measured] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.replays = {name: replay for name, replay in replays().items() if self.only in name}

    def over_councils(self, name: str) -> dict[str, Measured]:
        """The figures of councils by chance and, where models are few, of all of them together; measured once."""
        recording = self.replays[name].recording
        by_chance = recording.councils(self.councils, SIZE)
        wanted = {f"{len(by_chance)} of {SIZE}": by_chance}
        if len(recording.models) <= 12:
            wanted[f"all {len(recording.models)}"] = [tuple(range(len(recording.models)))]
        for which, councils in wanted.items():
            if (name, which) not in self.measured:
                into = self.measured[name, which] = Measured()
                for figures, samples in self.pool.map(partial(measured, name), councils):
                    into.add(figures, samples)
        return {which: self.measured[name, which] for which in wanted}


async def extraction(bench: Bench) -> list[list[str]]:
    """How many answers are read from replies, and how many of those are as recorded."""
    table = [["replies", "answers", "read", "as recorded", "invented"]]
    for name, replay in bench.replays.items():
        recording = replay.recording
        pairs = [
            (recording.read(reply), answer)
            for row in recording.rows
            for reply, answer in zip(row.replies, row.answers, strict=True)
        ]
        there = [(found, answer) for found, answer in pairs if answer is not None]
        read = [(found, answer) for found, answer in there if found]
        same = sum(is_right(found.normal, answer, recording.question_type) for found, answer in read)
        invented = sum(bool(found) for found, answer in pairs if answer is None)
        figures = {"answers": len(there), "read": len(read) / len(there), "as_recorded": same / len(there)}
        bench.results.setdefault("extraction", {})[name] = figures | {"invented": invented}
        table.append([name, f"{len(there)}", *(f"{100 * figures[f]:.1f} %" for f in ("read", "as_recorded"))])
        table[-1].append(f"{invented}")
    return table


async def votes(bench: Bench) -> list[list[str]]:
    """Accuracy of each method in percent; against the plain majority: mean, worst council, councils 0.3 under."""
    table = [["accuracy", "councils", "method", "mean", "over majority", "worst", "under", "over best member"]]
    for name in bench.replays:
        for which, found in bench.over_councils(name).items():
            majority, best = found.accuracy["majority"], found.accuracy["best in hindsight"]
            for method, shares in found.accuracy.items():
                if method == "text similarity" and not any(shares):
                    continue
                figures = {
                    "mean": statistics.mean(shares),
                    "majority": statistics.mean(shares) - statistics.mean(majority),
                    "worst": min(a - b for a, b in zip(shares, majority, strict=True)),
                    "under": statistics.mean(a - b < -NOISE for a, b in zip(shares, majority, strict=True)),
                    "best": statistics.mean(shares) - statistics.mean(best),
                }
                bench.results.setdefault("votes", {}).setdefault(name, {}).setdefault(which, {})[method] = figures
                row = [f"{figures['mean']:.2f}", f"{figures['majority']:+.2f}", f"{figures['worst']:+.2f}"]
                table.append([name, which, method, *row, f"{figures['under']:.0%}", f"{figures['best']:+.2f}"])
    return table


async def confidence(bench: Bench) -> list[list[str]]:
    """Expected calibration error (ten bins) with the built-in table, and with tables fitted on the other half.

    "crossed" is over all rows, each read through the table fitted on the half that it is not in; "half" the mean of the
    two halves' errors; "council" that of tables that each know one council alone.
    """
    table = [["calibration error", "councils", "built-in", "crossed", "half", "council"]]
    for name in bench.replays:
        for which, found in bench.over_councils(name).items():
            halves = [[s for pair in found.samples for s in pair[side]] for side in (0, 1)]
            figures = {
                "built_in": PRIOR.error([*halves[0], *halves[1]]) or 0.0,
                "crossed": _crossed(*halves),
                "half": _halved(*halves),
                "council": statistics.mean(_halved(*pair) for pair in found.samples),
            }
            bench.results.setdefault("confidence", {}).setdefault(name, {})[which] = figures
            table.append([name, which, *(f"{figure:.3f}" for figure in figures.values())])
    return table


def _halved(one: Sequence[Sample], other: Sequence[Sample]) -> float:
    """The mean error of the two tables, each on the half that it was not fitted on."""
    return statistics.mean(Calibration.fitted(a).error(b) or 0.0 for a, b in ((one, other), (other, one)))


def _crossed(one: Sequence[Sample], other: Sequence[Sample]) -> float:
    """The error over both halves together, each read through the table of the other."""
    read = [
        (known, right)
        for train, test in ((one, other), (other, one))
        for table in (Calibration.fitted(train),)
        for agreement, right in test
        if (known := table.confidence(agreement)) is not None
    ]
    return expected_error(read) or 0.0


async def early(bench: Bench) -> list[list[str]]:
    """Calls and accuracy when members are asked one by one until the vote is decided, most trusted first."""
    table = [["early stop", "rule", "calls", "accuracy", "over all"]]
    for name, replay in bench.replays.items():
        if replay.recording.prose:
            continue
        rules = {"all": {}, "lead 2": {"lead": 2}, "lead 3": {"lead": 3}}
        found: dict[str, list[Voted]] = {rule: [] for rule in rules}
        for council in replay.recording.councils(max(1, bench.councils // 5), SIZE):
            halves = replay.recording.halves()
            plain = {n: await replay.voted(n, council) for half in halves for n in half}
            for test, train in (halves, halves[::-1]):
                learnt = replay.learn(plain, train, labels=False)
                for rule, params in rules.items():
                    found[rule] += [await replay.voted(n, council, learnt, **params) for n in test]
        for rule, voted in found.items():
            share = 100 * statistics.mean(v.right for v in voted)
            less = share - 100 * statistics.mean(v.right for v in found["all"])
            calls = statistics.mean(v.calls for v in voted)
            figures = {"calls": calls, "accuracy": share, "loss": less}
            bench.results.setdefault("early", {}).setdefault(name, {})[rule] = figures
            table.append([name, rule, f"{calls:.2f}", f"{share:.2f}", f"{less:+.2f}"])
    return table


async def cost(bench: Bench) -> list[list[str]]:
    """Processor time and memory of ten thousand runs in a row, one after the other, without charts."""
    replay = next(iter(bench.replays.values()))
    rows, councils = len(replay.recording.rows), replay.recording.councils(100, SIZE)
    table = [["engine", "runs", "runs a second", "memory"]]
    me, begun, done = psutil.Process(), time.process_time(), 0
    for mark in (1_000, 5_000, 10_000):
        before, start = time.process_time(), done
        while done < mark:
            await replay.run(done % rows, councils[done % len(councils)])
            done += 1
        rate, memory = (done - start) / (time.process_time() - before), me.memory_info().rss / 2**20
        bench.results.setdefault("cost", {})[str(mark)] = {"runs_per_second": rate, "memory_mb": memory}
        table.append(["", f"{mark}", f"{rate:.0f}", f"{memory:.1f} MB"])
    bench.results["cost"]["runs_per_second"] = done / (time.process_time() - begun)
    return table


# --- the command ----------------------------------------------------------------------------------------

PARTS: dict[str, Callable[[Bench], Any]] = {
    "extraction": extraction,
    "votes": votes,
    "confidence": confidence,
    "early": early,
    "cost": cost,
}


def printed(table: Sequence[Sequence[str]]) -> str:
    """A table with aligned columns."""
    widths = [max(len(row[i]) for row in table if i < len(row)) for i in range(len(table[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=False)).rstrip() for row in table)


def arguments() -> argparse.Namespace:
    """The command line."""
    parts = "\n".join(f"  {name:11} {part.__doc__}" for name, part in PARTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.quality",
        description="Replay recorded answers of real models through the engine.",
        epilog=f"parts:\n{parts}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="part", help="what to measure; all when left out")
    parser.add_argument("--councils", type=int, default=100, help=f"councils of {SIZE} by chance a recording (100)")
    parser.add_argument("--only", default="", metavar="NAME", help="recordings with this in their name")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    found = parser.parse_args()
    if unknown := set(found.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return found


async def main() -> None:
    """Run the parts."""
    wanted = arguments()
    with ProcessPoolExecutor() as pool:
        bench = Bench(wanted.councils, pool, wanted.only)
        for name in wanted.parts or PARTS:
            begun = time.perf_counter()
            table = await PARTS[name](bench)
            out = sys.stderr if wanted.json else sys.stdout
            print(f"{printed(table)}\n({name}: {time.perf_counter() - begun:.0f} s)\n", file=out, flush=True)
    if wanted.json:
        print(json.dumps(bench.results, indent=1))


if __name__ == "__main__":
    configure(Logs("ERROR"))
    asyncio.run(main())
