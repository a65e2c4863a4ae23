"""Logs: structured, with the run's id on every line, without secrets or message texts."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog


def get_logger(name: str) -> Any:
    """A logger for a module. Bind what belongs to a run with :func:`bind_run`."""
    return structlog.get_logger(name)


def bind_run(run_id: str) -> None:
    """Put the run's id on every line that this task and its children log from now on."""
    structlog.contextvars.bind_contextvars(run=run_id)


def configure(*, json: bool, level: str = "INFO") -> None:
    """Send structlog's and the standard library's records to standard error, as JSON or as coloured lines."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render: Any = structlog.processors.JSONRenderer()
    if not json:  # plain tracebacks: the pretty ones print local variables, and with them what people wrote
        render = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    last = [structlog.processors.format_exc_info, render] if json else [render]
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("docket", "aiohttp.access", "slack_bolt", "slack_sdk", "discord", "alembic", "asyncio"):
        logging.getLogger(noisy).setLevel(max(logging.getLogger().level, logging.WARNING))
