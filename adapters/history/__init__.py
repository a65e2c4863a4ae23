"""The durable record of runs in SQL."""

from adapters.history.store import SqlHistory

__all__ = ["SqlHistory"]
