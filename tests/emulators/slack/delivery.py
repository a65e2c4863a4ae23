"""Handing payloads to the app: deadlines, retries, and signed HTTP requests."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlencode

import aiohttp

from . import limits
from .journal import JSON, Ack, Attempt, Delivery, Journal

EVENTS, COMMANDS, INTERACTIVE = "events_api", "slash_commands", "interactive"

# A late reply is awaited this many deadlines, to record how late it was.
PATIENCE = 10


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended. `reason` is empty when the app acknowledged in time."""

    reason: str = ""
    response: JSON | None = None
    no_retry: bool = False


class Transport(Protocol):
    """A way to the app."""

    name: str

    def reachable(self) -> bool:
        """Whether an app has ever been there to deliver to."""
        ...

    async def send(self, delivery: Delivery, number: int, reason: str) -> Outcome:
        """One attempt; `number` counts retries from 0 and `reason` tells why the one before failed."""
        ...


class Dispatcher:
    """Delivers payloads, events with Slack's retries, all else once.

    Args:
        speed: multiplies the waits between retries.
    """

    def __init__(self, transport: Transport, journal: Journal, speed: float) -> None:
        self.transport = transport
        self._journal = journal
        self._speed = speed
        self._tasks: set[asyncio.Task[Delivery]] = set()

    def start(self, kind: str, payload: JSON) -> asyncio.Task[Delivery]:
        """Deliver in the background; the task ends when the app acknowledged or Slack gave up."""
        plain: JSON = json.loads(json.dumps(payload))
        delivery = Delivery(self._journal.clock(), kind, plain)
        self._journal.deliveries.append(delivery)
        task = asyncio.create_task(self._deliver(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def settle(self) -> None:
        """Wait until nothing is being delivered or waiting to be retried."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Give up what is under way, without a violation."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _deliver(self, delivery: Delivery) -> Delivery:
        waits = limits.RETRY_WAITS if delivery.kind == EVENTS else ()
        reason = ""
        for number in range(len(waits) + 1):
            if number:
                await asyncio.sleep(waits[number - 1] * self._speed)
            outcome = await self._attempt(delivery, number, reason)
            reason = outcome.reason
            if not reason:
                delivery.acked, delivery.response = True, outcome.response
                return delivery
            if outcome.no_retry and delivery.kind == EVENTS:
                break
        else:
            self._journal.violation("undelivered", f"{delivery.event_type}: {reason}")
        delivery.failed = True
        return delivery

    async def _attempt(self, delivery: Delivery, number: int, reason: str) -> Outcome:
        at, began = self._journal.clock(), asyncio.get_running_loop().time()
        outcome = await self.transport.send(delivery, number, reason)
        latency = asyncio.get_running_loop().time() - began
        delivery.attempts.append(Attempt(at, number, self.transport.name, outcome.reason, latency))
        return outcome


@dataclass(frozen=True)
class Reply:
    """What the app's server answered."""

    status: int
    text: str
    no_retry: bool


@dataclass(frozen=True)
class Endpoints:
    """Where the app listens for each kind of payload."""

    events_api: str
    slash_commands: str
    interactive: str


class HttpTransport:
    """Signed HTTP requests to the app's URLs, as the Events API makes them."""

    name = "http"

    def __init__(self, journal: Journal, signing_secret: str, ack_deadline: float) -> None:
        self._journal = journal
        self._secret = signing_secret.encode()
        self._deadline = ack_deadline
        self._endpoints: Endpoints | None = None
        self._session: aiohttp.ClientSession | None = None
        self._late: set[asyncio.Task[Outcome]] = set()

    def reachable(self) -> bool:
        return self._endpoints is not None

    async def connect(self, endpoints: Endpoints) -> None:
        """Use these URLs once the events URL has answered Slack's challenge.

        Raises:
            ConnectionError: it did not answer with the challenge.
        """
        challenge = hashlib.sha256(self._secret).hexdigest()
        body = json.dumps({"type": "url_verification", "challenge": challenge, "token": "verification"})
        reply = await self._post(endpoints.events_api, body, "application/json", {})
        if reply.status != 200 or challenge not in reply.text:
            raise ConnectionError(f"{endpoints.events_api} failed url_verification: {reply.status} {reply.text}")
        self._endpoints = endpoints

    def sign(self, body: str, timestamp: int) -> dict[str, str]:
        """The two headers that prove a request comes from Slack."""
        basis = f"v0:{timestamp}:{body}".encode()
        digest = hmac.new(self._secret, basis, hashlib.sha256).hexdigest()
        return {"X-Slack-Request-Timestamp": str(timestamp), "X-Slack-Signature": f"v0={digest}"}

    async def _post(self, url: str, body: str, content_type: str, headers: dict[str, str]) -> Reply:
        if self._session is None:
            # A fresh connection each time, as a restarted app on the same port must not look broken.
            connector = aiohttp.TCPConnector(force_close=True)
            timeout = aiohttp.ClientTimeout(self._deadline * PATIENCE)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        signed = self.sign(body, int(self._journal.clock()))
        everything = {"Content-Type": content_type, **signed, **headers}
        async with self._session.post(url, data=body, headers=everything, allow_redirects=False) as response:
            no_retry = response.headers.get("X-Slack-No-Retry") == "1"
            return Reply(response.status, await response.text(), no_retry)

    async def send(self, delivery: Delivery, number: int, reason: str) -> Outcome:
        if self._endpoints is None:
            return Outcome("connection_failed")
        task = asyncio.create_task(self._exchange(delivery, number, reason, self._endpoints))
        try:
            done, _ = await asyncio.wait({task}, timeout=self._deadline)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if done:
            return task.result()
        self._late.add(task)
        began = asyncio.get_running_loop().time() - self._deadline
        task.add_done_callback(lambda ended: self._ended_late(ended, delivery, began))
        return Outcome("http_timeout")

    async def _exchange(self, delivery: Delivery, number: int, reason: str, endpoints: Endpoints) -> Outcome:
        body, content_type = encode(delivery)
        headers = {}
        if number:
            headers = {"X-Slack-Retry-Num": str(number), "X-Slack-Retry-Reason": reason}
        began = asyncio.get_running_loop().time()
        try:
            reply = await self._post(getattr(endpoints, delivery.kind), body, content_type, headers)
        except TimeoutError:
            return Outcome("http_timeout")
        except aiohttp.ClientError:
            return Outcome("connection_failed")
        if not 200 <= reply.status < 300:
            return Outcome("http_error", no_retry=reply.no_retry)
        shown = decode_reply(reply.text) if delivery.kind != EVENTS else None
        latency = asyncio.get_running_loop().time() - began
        self._journal.acks.append(Ack(self._journal.clock(), delivery.kind, latency, shown))
        return Outcome(response=shown)

    def _ended_late(self, task: asyncio.Task[Outcome], delivery: Delivery, began: float) -> None:
        self._late.discard(task)
        if not task.cancelled() and task.exception() is None and not task.result().reason:
            latency = asyncio.get_running_loop().time() - began
            self._journal.violation("late_ack", f"{delivery.event_type} after {latency:.3f} s")

    async def close(self) -> None:
        """Drop every connection."""
        for task in list(self._late):
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)
        if self._session is not None:
            await self._session.close()


def encode(delivery: Delivery) -> tuple[str, str]:
    """Body and content type of a payload over HTTP."""
    form = "application/x-www-form-urlencoded"
    if delivery.kind == EVENTS:
        return json.dumps(delivery.payload), "application/json"
    if delivery.kind == COMMANDS:
        return urlencode(delivery.payload), form
    return urlencode({"payload": json.dumps(delivery.payload)}), form


def decode_reply(text: str) -> JSON | None:
    """What came back with the 2xx: JSON, plain text for the user, or nothing."""
    if not text:
        return None
    try:
        parsed = json.loads(text)
    except ValueError:
        return {"text": text}
    return parsed if isinstance(parsed, dict) else {"text": text}
