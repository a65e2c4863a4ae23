"""What a span tells of a call to a model: how it went and what it used, and nothing of what was said."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.telemetry.traces import Attribute
    from core.types import Failure, Response


def told(outcome: Response | Failure) -> dict[str, Attribute | None]:
    """Attributes of a call's span."""
    if outcome.type == "failure":
        return {"status": "failed", "failure": outcome.kind, "attempts": outcome.attempts}
    return {
        "status": "answered",
        "attempts": outcome.attempts,
        "prompt_tokens": outcome.usage.prompt_tokens,
        "completion_tokens": outcome.usage.completion_tokens,
    }
