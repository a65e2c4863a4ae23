"""What a run did when, as spans of one trace, wherever its parts were carried out.

The trace and its root follow from the run's id alone, so processes need to tell each other nothing. Until a process
gives a :class:`Tracer` to :func:`use`, spans are nothing. Attributes have models, kinds, numbers: never texts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

Attribute = str | int | float | bool

_STANDARD = {
    "model": "gen_ai.request.model",
    "prompt_tokens": "gen_ai.usage.input_tokens",
    "completion_tokens": "gen_ai.usage.output_tokens",
    "failure": "error.type",
}
"""Attributes for which OpenTelemetry has a name."""


class Span(Protocol):
    """Something that takes time."""

    def set(self, attributes: Mapping[str, Attribute]) -> None:
        """Say more of it."""
        ...

    def end(self, at: datetime | None = None) -> None:
        """It is over, now or then."""
        ...


class Tracer(Protocol):
    """Where spans go."""

    def start(
        self, name: str, run: str, parent: Span | None, begun: datetime | None, attributes: Mapping[str, Attribute]
    ) -> Span:
        """Begin a span below ``parent``, or right below the run's root."""
        ...

    def root(self, name: str, run: str, begun: datetime, attributes: Mapping[str, Attribute]) -> Span:
        """Begin the run's root, which all its other spans are below of."""
        ...


@dataclass(frozen=True)
class Stretch:
    """A span that may be none. ``run`` is whose it is."""

    run: str = ""
    span: Span | None = None

    def set(self, **attributes: Attribute | None) -> None:
        """Say more of it; None says nothing."""
        if self.span is not None:
            self.span.set(_named(attributes))

    def end(self) -> None:
        """It is over."""
        if self.span is not None:
            self.span.end()


_NONE = Stretch()
_tracer: Tracer | None = None
_current: ContextVar[Stretch] = ContextVar("current", default=_NONE)


def use(tracer: Tracer | None) -> None:
    """Send spans there from now on; None: nowhere."""
    global _tracer
    _tracer = tracer


def begin(name: str, *, run: str = "", **attributes: Attribute | None) -> Stretch:
    """Begin a span whose end comes elsewhere; below the one that goes on in this task, if that is of the same run."""
    if _tracer is None:
        return _NONE
    above = _current.get()
    run = run or above.run
    if not run:
        return _NONE
    parent = above.span if above.run == run else None
    return Stretch(run, _tracer.start(name, run, parent, None, _named(attributes)))


@contextmanager
def within(stretch: Stretch) -> Iterator[Stretch]:
    """What this task and those it starts begin in the block is below that span."""
    token = _current.set(stretch if stretch.span is not None else _current.get())
    try:
        yield stretch
    finally:
        _current.reset(token)


@contextmanager
def span(name: str, *, run: str = "", **attributes: Attribute | None) -> Iterator[Stretch]:
    """A span as long as the block, with those below it that are begun in it. An error is told by its type alone."""
    if _tracer is None:
        yield _NONE
        return
    begun = begin(name, run=run, **attributes)
    try:
        with within(begun):
            yield begun
    except asyncio.CancelledError:
        begun.set(failure="cancelled")
        raise
    except BaseException as error:
        begun.set(failure=type(error).__name__)
        raise
    finally:
        begun.end()


def past(name: str, run: str, begun: datetime, ended: datetime, **attributes: Attribute | None) -> None:
    """A span right below the run's root that is known only now that it is over."""
    if _tracer is not None:
        _tracer.start(name, run, None, begun, _named(attributes)).end(ended)


def whole(name: str, run: str, begun: datetime, ended: datetime, **attributes: Attribute | None) -> None:
    """The run's root, told once the run is over."""
    if _tracer is not None:
        _tracer.root(name, run, begun, _named(attributes)).end(ended)


def _named(attributes: Mapping[str, Attribute | None]) -> dict[str, Attribute]:
    return {_STANDARD.get(name, f"consortium.{name}"): value for name, value in attributes.items() if value is not None}
