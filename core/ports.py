"""Where the core calls outward: the few Protocols that adapters implement."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Protocol

from core.types import (
    Analysis,
    Ask,
    Chart,
    Member,
    Outcome,
    Person,
    Platform,
    Response,
    Round,
    Run,
    RunEvent,
    RunSummary,
    Session,
    ThreadRef,
    Usage,
    Value,
)


class Message(Value):
    """One message of a prompt; ``role`` is system, user or assistant."""

    role: str
    content: str


class Prompt(Value):
    """What a model is asked. ``schema`` asks for JSON of that shape where the server can give it."""

    messages: tuple[Message, ...]
    json_schema: dict[str, Any] | None = None
    seed: int | None = None


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


class Analyst(Protocol):
    """Analysis and charts, off the event loop."""

    async def analyse(self, responses: Sequence[Response]) -> Analysis:
        """Similarity, sentiment and emotions of one or more answers."""
        ...

    async def analyse_and_draw(
        self, responses: Sequence[Response], panel: Sequence[Member] = ()
    ) -> tuple[Analysis, tuple[Chart, ...]]:
        """The analysis and its charts; with a single answer no charts. Colours go by the place in ``panel``."""
        ...


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

    async def record_analysis(self, run_id: str, analysis: Analysis, charts: Sequence[Chart]) -> None:
        """Analysis and pictures of the run."""
        ...

    async def update_run(self, run: Run) -> None:
        """Status, answer, bill, notes, error and times as in ``run``; its outcomes are recorded already."""
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

    async def thread_runs(self, where: ThreadRef, limit: int = 20) -> list[RunSummary]:
        """The latest runs of a thread, oldest first."""
        ...

    async def page(self, asker: Person, where: ThreadRef, limit: int, offset: int) -> list[RunSummary]:
        """The person's own runs in this workspace, newest first. Private runs only when ``where`` is private
        and the same channel, or the surface is the person's own (web, cli)."""
        ...

    async def undelivered(self, platform: Platform, since: datetime) -> list[Run]:
        """Runs of a platform whose answer is not marked as delivered."""
        ...


class Sessions(Protocol):
    """What people have set, with expiry."""

    async def load(self, asker: Person, where: ThreadRef) -> Session:
        """The person's session in that channel; empty when there is none."""
        ...

    async def save(self, asker: Person, where: ThreadRef, session: Session) -> None:
        """Replace it and start its expiry anew."""
        ...


class Limits(Protocol):
    """Rate limits per person and per workspace."""

    async def spend(self, asker: Person, where: ThreadRef) -> None:
        """Take one token of each. Raises :class:`core.errors.RateLimited`; a refusal spends nothing."""
        ...


class Duplicates(Protocol):
    """Suppression of platform events that are delivered more than once."""

    async def first(self, *keys: str) -> bool:
        """Whether none of the keys was seen within the last quarter of an hour; marks them all as seen."""
        ...


class Events(Protocol):
    """RunEvents between processes, with what came before for those who join late."""

    async def publish(self, run_id: str, *events: RunEvent) -> None:
        """Send events, in order."""
        ...

    def follow(self, run_id: str) -> AsyncIterator[RunEvent]:
        """All events of a run from its first, ending after RunEnded. Close the iterator to stop early."""
        ...


class Jobs(Protocol):
    """The queue of runs."""

    async def submit(self, ask: Ask) -> None:
        """Hand a run to whichever worker is free. Submitting the same id again changes nothing."""
        ...
