"""The log of a process in which one test after another configures it anew."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

_OURS = ("core", "adapters", "bot")


@contextmanager
def log_restored() -> Iterator[None]:
    """The log is afterwards as it was: its handlers, its level, and what our modules have of it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    _forget_settings()


def _forget_settings() -> None:
    """A module's logger keeps the settings that it was first used under, which is right where they never change."""
    kind = type(structlog.get_logger())
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in _OURS:
            for logger in vars(module).values():
                if type(logger) is kind:
                    vars(logger).pop("bind", None)
