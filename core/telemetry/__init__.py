"""What operators see of the service: logs, metrics, traces, and whether it is ready.

Nothing here holds a state of runs. Everything is off, and costs next to nothing, until a process switches it on.
"""

from __future__ import annotations

from core.telemetry.logs import Logs, bind_run, configure, get_logger, of_run, texts

__all__ = ["Logs", "bind_run", "configure", "get_logger", "of_run", "texts"]
