"""Small pieces of wording: tokens, costs, reasons, lists of names."""

from __future__ import annotations

from collections.abc import Sequence

from core.types import Bill, FailureKind

FAILED_BECAUSE = {
    FailureKind.TIMEOUT: "timed out",
    FailureKind.RATE_LIMITED: "was rate limited",
    FailureKind.REFUSED: "was refused",
    FailureKind.UNREACHABLE: "could not be reached",
    FailureKind.BAD_REPLY: "gave no usable reply",
    FailureKind.BREAKER_OPEN: "is resting after repeated failures",
    FailureKind.CANCELLED: "was not waited for",
}


def tokens_text(bill: Bill) -> str:
    """ "1,234 tokens", "at least 1,234 tokens" when some calls did not say, or "tokens unknown"."""
    known = bill.prompt_tokens + bill.completion_tokens
    if bill.uncounted == bill.calls:
        return "tokens unknown"
    return f"{'at least ' if bill.uncounted else ''}{known:,} tokens"


def cost_text(bill: Bill) -> str:
    """ "$0.0012", "at least $0.0012" when some calls did not say, or "cost unknown"."""
    if bill.unpriced == bill.calls:
        return "cost unknown"
    amount = "$0" if bill.cost == 0 else f"${bill.cost:.4f}" if bill.cost < 1 else f"${bill.cost:.2f}"
    return f"at least {amount}" if bill.unpriced else amount


def short(text: str, most: int) -> str:
    """A text on one line, of at most so many characters, cut between words where that leaves most of it."""
    flat = " ".join(text.split())
    if len(flat) <= most:
        return flat
    gap = flat.rfind(" ", most // 2, most)
    return flat[: gap if gap > 0 else most - 1].rstrip(" ,;:.-") + "…"


def listed(names: Sequence[str]) -> str:
    """ "a, b and c"."""
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def verb(names: Sequence[str], one: str, many: str) -> str:
    """The form of a verb that fits so many."""
    return one if len(names) == 1 else many
