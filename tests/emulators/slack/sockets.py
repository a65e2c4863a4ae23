"""Socket Mode: tickets, web sockets, envelopes and their acknowledgements."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from . import limits
from .delivery import EVENTS, Outcome
from .journal import JSON, Ack, ApiError, Delivery, Journal
from .workspace import APP

HOST = "applink-emulator"
CLOSE_TIMEOUT = 1.0  # seconds to wait for the other side of a close handshake


@dataclass
class Envelope:
    """One frame that awaits its acknowledgement."""

    kind: str
    about: str
    sent: float
    answer: asyncio.Future[JSON | None]
    socket: web.WebSocketResponse
    acked: bool = False


class SocketMode:
    """The web socket side of the app's connection.

    Args:
        enabled: whether apps.connections.open works; settable, and cleared by a link_disabled disconnect.
        max_sockets: connections beyond this many are refused as too_many_websockets.
    """

    name = "socket"

    def __init__(self, journal: Journal, *, enabled: bool, ack_deadline: float, max_sockets: int) -> None:
        self.enabled = enabled
        self.base_url = ""
        self.sockets: list[web.WebSocketResponse] = []
        self.frozen: dict[web.WebSocketResponse, asyncio.Transport] = {}
        self._journal = journal
        self._deadline = ack_deadline
        self._max_sockets = max_sockets
        self._tickets: dict[str, float] = {}
        self._envelopes: dict[str, Envelope] = {}
        self._transports: dict[web.WebSocketResponse, asyncio.Transport] = {}
        self._seen = False
        self._turn = 0

    def open(self, args: JSON) -> JSON:
        """apps.connections.open: a URL good for one connection."""
        if not self.enabled:
            raise ApiError(limits.SOCKET_MODE_OFF)
        ticket = uuid.uuid4().hex
        self._tickets[ticket] = self._journal.clock()
        return {"url": f"{self.base_url.replace('http', 'ws', 1)}/link/?ticket={ticket}&app_id={APP}"}

    def reachable(self) -> bool:
        return self._seen

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One connection, from its ticket to its end."""
        issued = self._tickets.pop(request.query.get("ticket", ""), None)
        if issued is None or self._journal.clock() - issued > limits.TICKET_LIFE:
            return web.Response(status=403, text="bad ticket")
        socket = web.WebSocketResponse(timeout=CLOSE_TIMEOUT)
        await socket.prepare(request)
        self._forget_frozen()
        if len(self.sockets) >= self._max_sockets:
            await self._say_goodbye(socket, "too_many_websockets")
            await socket.close()
            return socket
        if isinstance(request.transport, asyncio.Transport):
            self._transports[socket] = request.transport
        # Slack says hello before it uses a connection for payloads.
        await socket.send_json(self._hello())
        self.sockets.append(socket)
        self._seen = True
        try:
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._receive(message.data, socket)
        finally:
            self._drop(socket)
        return socket

    def _hello(self) -> JSON:
        debug = {"host": HOST, "build_number": 10, "approximate_connection_time": 18060}
        info = {"app_id": APP}
        number = len(self.sockets) + 1
        return {"type": "hello", "num_connections": number, "connection_info": info, "debug_info": debug}

    def _drop(self, socket: web.WebSocketResponse) -> None:
        if socket in self.sockets:
            self.sockets.remove(socket)
        self._transports.pop(socket, None)
        self.frozen.pop(socket, None)

    def _forget_frozen(self) -> None:
        """A half-open peer counts until a new connection shows that it is gone."""
        for socket, transport in list(self.frozen.items()):
            transport.abort()
            self._drop(socket)

    def _receive(self, text: str, socket: web.WebSocketResponse) -> None:
        try:
            frame = json.loads(text)
            envelope = self._envelopes.get(frame["envelope_id"])
        except (ValueError, TypeError, KeyError):
            self._journal.violation("bad_frame", text[:200])
            return
        if envelope is None:
            self._journal.violation("unknown_ack", f"no envelope {frame['envelope_id']}")
            return
        if envelope.socket is not socket:
            self._journal.violation("ack_elsewhere", f"{envelope.about} came on another connection")
        latency = asyncio.get_running_loop().time() - envelope.sent
        payload = frame.get("payload") or None
        self._journal.acks.append(Ack(self._journal.clock(), envelope.kind, latency, payload))
        if envelope.acked:
            self._journal.violation("second_ack", envelope.about)
            return
        envelope.acked = True
        if payload and envelope.kind == EVENTS:
            self._journal.violation("unexpected_payload", f"ack of {envelope.about} carries a payload")
        if latency > self._deadline:
            self._journal.violation("late_ack", f"{envelope.about} after {latency:.3f} s")
        elif not envelope.answer.done():
            envelope.answer.set_result(payload)

    async def send(self, delivery: Delivery, number: int, reason: str) -> Outcome:
        if not self.sockets:
            return Outcome("connection_failed")
        socket = self.sockets[self._turn % len(self.sockets)]
        self._turn += 1
        envelope_id = str(uuid.uuid4())
        loop = asyncio.get_running_loop()
        envelope = Envelope(delivery.kind, delivery.event_type, loop.time(), loop.create_future(), socket)
        self._envelopes[envelope_id] = envelope
        frame = {
            "envelope_id": envelope_id,
            "type": delivery.kind,
            "accepts_response_payload": delivery.kind != EVENTS,
            "payload": delivery.payload,
        }
        if delivery.kind == EVENTS:
            frame |= {"retry_attempt": number, "retry_reason": reason}
        try:
            await socket.send_json(frame)
            async with asyncio.timeout(self._deadline):
                return Outcome(response=await envelope.answer)
        except TimeoutError:
            return Outcome("timeout")
        except ConnectionError:
            return Outcome("connection_failed")

    async def disconnect(self, reason: str | None, close_after: float | None, count: int | None = None) -> None:
        """Send connections away.

        Args:
            count: how many, the oldest first; None: all.
            reason: warning, refresh_requested, link_disabled or too_many_websockets; None resets the TCP
                connections without a word.
            close_after: seconds from the frame to the close; None leaves the closing to the app.
        """
        if reason == "link_disabled":
            self.enabled = False
        for socket in self.sockets[:count]:
            if reason is None:
                self._transports[socket].abort()
                self._drop(socket)
            else:
                # No payload goes to a connection that was told to leave.
                self.sockets.remove(socket)
                await self._say_goodbye(socket, reason)
        leaving = [socket for socket in self._transports if socket not in self.sockets]
        if reason is not None and close_after is not None:
            await asyncio.sleep(close_after)
            for socket in leaving:
                await socket.close()

    @staticmethod
    async def _say_goodbye(socket: web.WebSocketResponse, reason: str) -> None:
        await socket.send_json({"type": "disconnect", "reason": reason, "debug_info": {"host": HOST}})

    def freeze(self) -> None:
        """Turn every connection half-open: still there for Slack, yet nothing the app sends is read."""
        for socket in self.sockets:
            self._transports[socket].pause_reading()
            self.frozen[socket] = self._transports[socket]

    async def close(self) -> None:
        """Close every connection, as when the emulator ends."""
        self._forget_frozen()
        for socket in list(self._transports):
            await socket.close()
