"""Rate-limit buckets: one fixed window for every route and top-level resource."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

from tests.emulators.discord.limits import UNLIMITED
from tests.emulators.discord.record import Clock

Rate = tuple[int, float]
"""So many requests in so many seconds."""

DEFAULT: Rate = (50, 1.0)
OBSERVED: Mapping[str, Rate] = {
    "POST /channels/{channel_id}/messages": (5, 5.0),
    "PATCH /channels/{channel_id}/messages/{message_id}": (5, 5.0),
    "POST /webhooks/{webhook_id}/{webhook_token}": (5, 2.0),
    "PATCH /webhooks/{webhook_id}/{webhook_token}/messages/@original": (5, 2.0),
    "PATCH /webhooks/{webhook_id}/{webhook_token}/messages/{message_id}": (5, 2.0),
    "POST /channels/{channel_id}/messages/{message_id}/threads": (10, 60.0),
    "POST /channels/{channel_id}/threads": (10, 60.0),
}
"""What has been seen of the real service, which documents no numbers."""


@dataclass(frozen=True)
class Grant:
    """The answer of a bucket; `allowed` is False when the request must be refused with 429."""

    bucket: str
    limit: int
    remaining: int
    reset_after: float
    reset: float
    allowed: bool

    @property
    def headers(self) -> dict[str, str]:
        """The X-RateLimit headers that go on every reply."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": f"{self.reset:.3f}",
            "X-RateLimit-Reset-After": f"{self.reset_after:.3f}",
            "X-RateLimit-Bucket": self.bucket,
        }


class Buckets:
    """All buckets of one emulator; `rates` maps "METHOD /template" to a Rate, False turns limits off."""

    def __init__(self, rates: bool | Mapping[str, Rate], clock: Clock) -> None:
        self._clock = clock
        self._enforced = rates is not False
        self._rates = OBSERVED if isinstance(rates, bool) else rates
        self._windows: dict[tuple[str, str], tuple[float, int]] = {}

    def take(self, route: str, major: str) -> Grant:
        """Count one request against the bucket of `route` and `major`."""
        bucket = hashlib.sha256(route.encode()).hexdigest()[:32]
        now = self._clock.now()
        if not self._enforced:
            return Grant(bucket, UNLIMITED, UNLIMITED - 1, 1.0, self._clock.wall() + 1.0, allowed=True)
        limit, window = self._rates.get(route, DEFAULT)
        start, used = self._windows.get((route, major), (now, 0))
        if now >= start + window:
            start, used = now, 0
        allowed = used < limit
        self._windows[route, major] = (start, used + allowed)
        left = start + window - now
        return Grant(bucket, limit, limit - used - allowed, left, self._clock.wall() + left, allowed)


def refusal(retry_after: float, scope: str) -> tuple[dict[str, object], dict[str, str]]:
    """Give body and headers of a 429; `scope` is user, shared or global, `retry_after` in seconds.

    `Via` is what tells a client that this came from the API and not from the firewall before it.
    """
    everywhere = scope == "global"
    body = {"message": "You are being rate limited.", "retry_after": round(retry_after, 3), "global": everywhere}
    headers = {"Retry-After": str(math.ceil(retry_after)), "X-RateLimit-Scope": scope, "Via": "1.1 google"}
    if everywhere:
        headers["X-RateLimit-Global"] = "true"
    return body, headers
