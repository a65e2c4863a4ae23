"""Logs: structured, with the run's id on every line, without secrets or message texts, one record a line.

What libraries say below a warning is left out whatever the level: they tell of URLs, statements and payloads there.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import structlog
from structlog.typing import EventDict, Processor

OURS = frozenset({"core", "adapters", "bot"})
"""Packages whose lines of any level are shown."""

LEAST_SECRET = 4
"""Characters of the shortest word that counts as a secret: shorter ones would be found in everything."""

_HIDDEN = "***"
_TRACE = "    | "
"""What every line of a traceback begins with on a console: no text in it can look like a record."""

_TOKENS = re.compile(
    r"xox[a-z]-[\w-]{4,}|xapp-[\w-]{4,}|(?<=[Bb]earer )[\w.~+/=-]{4,}|(?<=Bot )[\w.-]{20,}"
    r"|(?<=://)[^\s/@\"']*:[^\s/@\"']*(?=@)"
    r"|(?<=hooks\.slack\.com/)[\w/-]+|(?:(?<=/webhooks/)|(?<=/interactions/))\d+/[\w.-]+"
)
"""What looks like somebody's key: tokens of Slack, authorisation headers, names and passwords in addresses, and
addresses that are keys themselves."""

_texts = False


def get_logger(name: str) -> Any:
    """A logger for a module. Bind what belongs to a run with :func:`bind_run`."""
    return structlog.get_logger(name)


def bind_run(run_id: str) -> None:
    """Put the run's id on every line that this task and its children log from now on."""
    structlog.contextvars.bind_contextvars(run=run_id)


def of_run(run_id: str) -> AbstractContextManager[None]:
    """As :func:`bind_run`, for the length of a block."""
    return structlog.contextvars.bound_contextvars(run=run_id)


def texts(**fields: str) -> dict[str, str]:
    """Fields with what people wrote, where the operator wants them in the log; nothing where not."""
    return fields if _texts else {}


@dataclass(frozen=True)
class Logs:
    """How logs are written: from which level, as JSON or as lines for people, with what people ask or without.

    ``secrets`` are words that are made unreadable wherever they appear.
    """

    level: str = "INFO"
    json: bool = False
    texts: bool = False
    secrets: frozenset[str] = field(default_factory=frozenset, repr=False)


def configure(logs: Logs) -> None:
    """Send structlog's and the standard library's records to standard error."""
    global _texts
    _texts = logs.texts
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[logs.level]),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_is_ours_or_grave)
    render = [structlog.processors.JSONRenderer()] if logs.json else [_printable, _console()]
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,  # plain: pretty ones print variables, and what people wrote
                *render,
                _masked(logs.secrets),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logs.level)


def _is_ours_or_grave(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING or record.name.partition(".")[0] in OURS


def _console() -> Any:
    colours = sys.stderr is not None and sys.stderr.isatty()
    return structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback)


def _printable(_: Any, __: str, event: EventDict) -> EventDict:
    """The record with nothing in it that could end its line or steer a terminal."""
    shown = {_escaped(key): _plain(value) for key, value in event.items()}
    if isinstance(trace := event.get("exception"), str):
        shown["exception"] = "\n".join(f"{_TRACE}{_escaped(line)}" for line in trace.splitlines())
    return shown


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return _escaped(value)
    written = repr(value)
    return value if written.isprintable() else _escaped(written)


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def _masked(secrets: Iterable[str]) -> Processor:
    """Hides secrets in a line that is written already, as they are and as JSON and addresses write them."""
    plain = {secret for secret in secrets if len(secret) >= LEAST_SECRET}
    written = {form for s in plain for form in (s, json.dumps(s)[1:-1], repr(s)[1:-1], quote(s, safe=""))}
    known = re.compile("|".join(re.escape(form) for form in sorted(written, key=len, reverse=True)) or r"(?!)")

    def mask(_: Any, __: str, line: Any) -> str:
        return _TOKENS.sub(_HIDDEN, known.sub(_HIDDEN, line))

    return mask
