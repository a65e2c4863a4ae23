"""Where the core calls outward: the few Protocols that adapters implement."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Protocol

from core.asks import Ask, Person, Platform, ThreadRef, Turn, Value
from core.attachments import Material
from core.events import RunEvent
from core.types import (
    Agreement,
    Analysis,
    Chart,
    Grouping,
    Member,
    Outcome,
    Response,
    Round,
    Run,
    RunStatus,
    Study,
    Usage,
    Vectors,
)
from core.votes.confidence import Calibration
from core.votes.trust import Experience, Record


class Picture(Value):
    """A picture as models take it."""

    media_type: str
    data: bytes


class Message(Value):
    """One message of a prompt; ``role`` is system, user or assistant. Pictures are for models that can see."""

    role: str
    content: str
    pictures: tuple[Picture, ...] = ()


class Prompt(Value):
    """What a model is asked. ``json_schema`` asks for JSON of that shape where the server can give it.

    ``temperature`` goes before the one that the model is configured with.
    """

    messages: tuple[Message, ...]
    json_schema: dict[str, Any] | None = None
    seed: int | None = None
    temperature: float | None = None


class Completion(Value):
    """A model's whole reply."""

    text: str
    usage: Usage = Usage()
    truncated: bool = False


class ChatModel(Protocol):
    """One configured model. An implementation makes one attempt; retry, breaker and deadline wrap it."""

    key: str
    simulated: bool

    def stream(self, prompt: Prompt, *, timeout: float) -> AsyncIterator[str | Completion]:
        """Yield pieces of text as they come, then one :class:`Completion` with the whole.

        ``timeout`` bounds the whole call, in seconds. Raises :class:`core.errors.ModelError`. Closing the
        iterator early (or cancelling) ends the call upstream.
        """
        ...

    async def complete(self, prompt: Prompt, *, timeout: float) -> Completion:
        """The whole reply at once. Raises :class:`core.errors.ModelError`."""
        ...


class Models(Protocol):
    """The configured models by key."""

    def __getitem__(self, key: str) -> ChatModel:
        """The model of that key. Raises KeyError."""
        ...


class BreakerState(Value):
    """What a breaker shows: closed, open or half_open, its window, and in how many seconds it probes."""

    state: str
    failure_rate: float
    calls: int
    retry_in: float | None = None


class Breakers(Protocol):
    """Circuit breakers, one a model, shared by all processes."""

    async def admit(self, key: str) -> str | None:
        """Ask to call the model. Returns a ticket, or None when the breaker is open."""
        ...

    async def report(self, key: str, ticket: str, ok: bool | None) -> None:
        """Tell how the call went; None (cancelled) counts as nothing and frees a probe."""
        ...

    async def state(self, key: str) -> BreakerState:
        """The breaker's state now."""
        ...

    async def reset(self, key: str) -> None:
        """Close it and forget what was; calls on their way no longer count."""
        ...


class Embedder(Protocol):
    """Turns texts into vectors by asking a server. ``name`` is what :attr:`core.types.Analysis.embedder` shows."""

    name: str

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One row a text, all of the same length. Raises :class:`core.errors.Unavailable`, never makes vectors up."""
        ...


class Analyst(Protocol):
    """Analysis and charts, off the event loop. All raise :class:`core.errors.Unavailable` when it cannot be done."""

    async def study(self, responses: Sequence[Response], panel: Sequence[Member] = (), *, charts: bool) -> Study:
        """Analysis, vectors and, with ``charts`` and two answers or more, the two charts of every answer.

        Colours go by the place in ``panel``.
        """
        ...

    async def group(
        self, responses: Sequence[Response], *, method: str = "dbscan", eps: float | None = None
    ) -> Grouping:
        """Group two answers or more by their meaning."""
        ...

    async def draw(self, rounds: Sequence[Round], analysis: Analysis, panel: Sequence[Member]) -> tuple[Chart, ...]:
        """Every kind of chart that there is of a run, polarity, radar and drift over its rounds included."""
        ...


class RunSummary(Value):
    """A line of a person's history."""

    id: str
    question: str
    answer: str | None
    status: RunStatus
    simulated: bool = False
    confidence: float | None
    consortium: str
    where: ThreadRef
    created_at: datetime


class History(Protocol):
    """The durable record of runs. Every write is committed when it returns."""

    async def open_run(self, run: Run) -> None:
        """Store a new run (pending)."""
        ...

    async def set_thread(self, run_id: str, thread: str) -> None:
        """The run's conversation got a thread of its own."""
        ...

    async def record_outcome(self, run_id: str, round_number: int, outcome: Outcome) -> None:
        """A member answered or failed. Recording the same member of the same round again replaces it."""
        ...

    async def record_round(self, run_id: str, round_: Round) -> None:
        """A round ended with its verdict (all its outcomes have been recorded)."""
        ...

    async def record_study(self, run_id: str, study: Study) -> None:
        """Analysis, vectors and pictures of the run."""
        ...

    async def update_run(self, run: Run) -> None:
        """Status, answer, bill, notes, error and times as in ``run``; its outcomes are recorded already.

        Nothing happens where the run is not on record: one that was deleted while it went on stays deleted.
        """
        ...

    async def mark_delivered(self, run_id: str) -> None:
        """The answer stands in its thread."""
        ...

    async def run(self, run_id: str) -> Run | None:
        """The whole run as stored."""
        ...

    async def charts(self, run_id: str) -> tuple[Chart, ...]:
        """The run's pictures."""
        ...

    async def vectors(self, run_id: str) -> Vectors | None:
        """The vectors of the run's answers, in the order of its analysis."""
        ...

    async def search(self, *, text: str = "", since: datetime | None = None, limit: int = 20) -> list[RunSummary]:
        """The operator's view: everybody's runs, newest first; ``text`` must be in question, answer or id."""
        ...

    def export(self, since: datetime | None = None) -> AsyncIterator[Run]:
        """All runs, oldest first, read in portions."""
        ...

    async def thread_runs(self, where: ThreadRef, limit: int = 20) -> list[RunSummary]:
        """The latest runs of a thread, oldest first."""
        ...

    async def conversation(self, where: ThreadRef, before: datetime, limit: int) -> list[Turn]:
        """The latest turns of a thread that were asked before then and answered, oldest first, with what each member
        said itself in the round that decided."""
        ...

    async def page(
        self, asker: Person, where: ThreadRef, limit: int, offset: int, search: str = ""
    ) -> list[RunSummary]:
        """The person's own runs in this workspace, newest first; with ``search`` in question, answer or id.

        Private runs only when ``where`` is private and the same channel, or the surface is the person's own (web, cli).
        """
        ...

    async def visible(self, run_id: str, asker: Person, where: ThreadRef) -> Run | None:
        """A run, if that person may see it in that place: one of their own as in :meth:`page`, or one that is not
        private and was asked in the same channel of the same workspace."""
        ...

    async def own(self, asker: Person, where: ThreadRef) -> list[Run]:
        """All runs of a person in this workspace (on Discord in direct messages: those of direct messages), with the
        private ones, oldest first."""
        ...

    async def delete(self, *run_ids: str) -> None:
        """Delete runs with all that belongs to them: outcomes, charts, votes, labels, feedback, attachments."""
        ...

    async def expired(self, platform: Platform, workspace: str, before: datetime, limit: int) -> list[str]:
        """Ids of runs of a workspace that ended before then, oldest first."""
        ...

    async def keep_materials(self, run_id: str, materials: Sequence[Material]) -> None:
        """Store what came with a question; once, before it is asked."""
        ...

    async def materials(self, run_id: str) -> tuple[Material, ...]:
        """What came with the question, in its order."""
        ...

    async def thread_materials(self, where: ThreadRef, before: datetime, limit: int) -> list[Material]:
        """What came with the questions of a thread that were asked before then: the latest question's first."""
        ...

    async def undelivered(self, platform: Platform, since: datetime) -> list[str]:
        """Ids of a platform's runs that are not marked as delivered and have ended since then, or go on, oldest first;
        none that was asked more than a day before that."""
        ...

    async def postings(self, run_id: str) -> dict[str, str]:
        """The platform's ids of the run's messages, by part, as far as they are known to stand."""
        ...

    async def record_posting(self, run_id: str, part: str, message_id: str) -> None:
        """A part of the run stands as that message. Of a run that is not on record nothing is stored."""
        ...

    async def forget_posting(self, run_id: str, part: str) -> None:
        """That message is gone."""
        ...


class Standing(Value):
    """What is known of one model in one consortium."""

    consortium: str
    model: str
    record: Record


class Sample(Value):
    """A run whose result is known: what its confidence was read from, and whether its answer was right."""

    consortium: str
    agreement: Agreement
    right: bool


class Opinion(Value):
    """What one person thinks of an answer."""

    person: str
    good: bool
    reason: str | None = None


class Latency(Value):
    """How long a model's answers took, in seconds: half of them at most ``p50``, 19 of 20 at most ``p95``; None where
    there is no answer. ``calls`` counts answers and failures together."""

    p50: float | None = None
    p95: float | None = None
    calls: int = 0
    failures: int = 0


class Lessons(Protocol):
    """What earlier runs have taught."""

    async def experience(self, consortium: str) -> Experience:
        """The records of a consortium's models and the calibration in force; may be some seconds old."""
        ...

    async def standings(self, consortium: str | None = None, where: ThreadRef | None = None) -> list[Standing]:
        """Records by consortium and model; with ``where`` of the runs of that workspace alone."""
        ...

    async def label(self, run_id: str, *, answer: str | None = None, good: bool | None = None) -> None:
        """The right final answer of a run, or whether its answer was good. Replaces an earlier label of the run.

        Raises :class:`core.errors.NotFound` for a run that is not on record.
        """
        ...

    async def feedback(self, run_id: str, person: Person, good: bool, reason: str | None = None) -> None:
        """What a person thinks of an answer, in place of what they thought before. The run's label follows most of
        those who said something; where they are tied it has none.

        Raises :class:`core.errors.NotFound` for a run that is not on record.
        """
        ...

    async def opinions(self, run_id: str) -> tuple[Opinion, ...]:
        """What people think of an answer."""
        ...

    async def opinions_of(
        self, consortium: str | None = None, where: ThreadRef | None = None
    ) -> dict[str, tuple[int, int]]:
        """By consortium, how many opinions were good and how many bad; with ``where`` of runs of that workspace."""
        ...

    async def withdraw(self, person: Person, where: ThreadRef) -> None:
        """Take back all that a person thinks of answers of this workspace; the labels follow."""
        ...

    async def latencies(self, since: datetime) -> dict[str, Latency]:
        """By model, how its calls since then went; a model that was not called is left out."""
        ...

    async def samples(self, consortium: str | None = None) -> list[Sample]:
        """All labelled runs that have an agreement."""
        ...

    async def set_calibration(self, calibration: Calibration | None) -> None:
        """Put a calibration into force for all processes; None: the built-in one."""
        ...


class Events(Protocol):
    """RunEvents between processes, with what came before for those who join late."""

    async def publish(self, run_id: str, *events: RunEvent) -> None:
        """Send events, in order."""
        ...

    def follow(self, run_id: str) -> AsyncIterator[RunEvent]:
        """All events of a run from its first, ending after RunEnded. Close the iterator to stop early."""
        ...


class QueueDepth(Value):
    """How many runs wait, how many are at work, and for how many seconds the oldest has been waiting."""

    waiting: int = 0
    running: int = 0
    oldest: float | None = None


class Jobs(Protocol):
    """The queue of runs. It is fair: workspaces take turns, and each has so many runs at work at the most."""

    async def submit(self, ask: Ask) -> None:
        """Hand a run to whichever worker is free. Submitting the same id again changes nothing."""
        ...

    async def place(self, run_id: str) -> int | None:
        """How many others begin before it as things are; None when it does not wait: at work, over, or not known."""
        ...

    async def withdraw(self, run_id: str) -> bool:
        """Take a run out that waits. False when it does not wait: its worker has to be told."""
        ...

    async def depth(self) -> QueueDepth:
        """How long the queue is."""
        ...
