"""The queue's library says at length, as an error each time, that Redis is away; it goes on by itself all the same."""

from __future__ import annotations

import logging

from redis.exceptions import RedisError


class _Shortly(logging.Filter):
    """Makes a warning in one line of an outage's traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, RedisError | OSError):
            record.msg, record.args = f"{record.getMessage()} ({type(error).__name__})", ()
            record.exc_info = record.exc_text = None
            record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
        return True


_SHORTLY = _Shortly()


def hush() -> None:
    """Have outages told shortly; once is enough."""
    for name in ("docket.worker", "docket.docket", "docket.strikelist", "docket._redelivery"):
        logging.getLogger(name).addFilter(_SHORTLY)
