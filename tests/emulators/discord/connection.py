"""One gateway connection: the handshake, the heartbeat, and what closes it."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections import deque
from contextlib import suppress
from typing import Any

from aiohttp import WSMsgType, web

from tests.emulators.discord import limits
from tests.emulators.discord.errors import Json
from tests.emulators.discord.gateway import Gateway, Session, encode
from tests.emulators.discord.limits import Intent

_REASONS = {
    4001: "Unknown opcode.",
    4002: "Error while decoding payload.",
    4003: "Not authenticated.",
    4004: "Authentication failed.",
    4005: "Already authenticated.",
    4007: "Invalid seq.",
    4008: "Rate limited.",
    4009: "Session timed out.",
    4010: "Invalid shard.",
    4012: "Invalid API version.",
    4013: "Invalid intent(s).",
    4014: "Disallowed intent(s).",
}
_HEARTBEAT_GRACE = 1.5
"""How many intervals may pass without a heartbeat."""


class ProtocolError(Exception):
    """The client broke the protocol; the connection closes with `code`."""

    def __init__(self, code: int, detail: str = "") -> None:
        super().__init__(f"{code} {_REASONS[code]} {detail}".strip())
        self.code = code


class Connection:
    """A WebSocket connection with one writer, so that payloads keep their order."""

    def __init__(self, gateway: Gateway, socket: web.WebSocketResponse, request: web.Request) -> None:
        self._gateway = gateway
        self._socket = socket
        self._request = request
        self._queue: asyncio.Queue[Json | tuple[int, str]] = asyncio.Queue()
        self._deflate = zlib.compressobj() if request.query.get("compress") == "zlib-stream" else None
        self._session: Session | None = None
        self._received: deque[float] = deque()
        self._beat_at = 0.0

    def send(self, payload: Json) -> None:
        """Queue a payload."""
        self._queue.put_nowait(payload)

    def close(self, code: int, reason: str) -> None:
        """Close once everything queued is out."""
        self._queue.put_nowait((code, reason))

    def abort(self) -> None:
        """Break the TCP connection."""
        self._leave()
        if self._request.transport is not None:
            self._request.transport.abort()

    async def run(self) -> None:
        """Serve the connection until it ends."""
        writer = asyncio.create_task(self._write())
        self._gateway.connections.add(self)
        self.send({"op": 10, "d": {"heartbeat_interval": int(self._gateway.heartbeat_interval * 1000)}})
        try:
            self._check_query()
            await self._read()
        except ProtocolError as refused:
            self._gateway.recorder.violation("gateway", str(refused))
            self.close(refused.code, _REASONS[refused.code])
            await asyncio.wait([writer], timeout=1)
        finally:
            writer.cancel()
            self._gateway.connections.discard(self)
            self._leave()

    async def _write(self) -> None:
        while True:
            payload = await self._queue.get()
            with suppress(ConnectionError, RuntimeError):
                if isinstance(payload, tuple):
                    await self._socket.close(code=payload[0], message=payload[1].encode())
                    return
                if payload.get("t") == "READY" and self._gateway.faults.ready_delay:
                    await asyncio.sleep(self._gateway.faults.ready_delay)
                text = encode(payload)
                if self._deflate is None:
                    await self._socket.send_str(text)
                else:
                    data = self._deflate.compress(text.encode()) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
                    await self._socket.send_bytes(data)

    async def _read(self) -> None:
        now = asyncio.get_running_loop().time
        limit = self._gateway.heartbeat_interval * _HEARTBEAT_GRACE
        self._beat_at = now()
        while True:
            try:
                message = await self._socket.receive(timeout=max(self._beat_at + limit - now(), 0.001))
            except TimeoutError:
                raise ProtocolError(4009) from None
            if message.type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
                if self._session is not None and message.type is WSMsgType.CLOSE and message.data in {1000, 1001}:
                    self._session.dead = True
                return
            self._count(now())
            self._handle(_decoded(message.data), now())

    def _count(self, now: float) -> None:
        self._received.append(now)
        while self._received[0] <= now - limits.GATEWAY_SENDS_WINDOW:
            self._received.popleft()
        if len(self._received) > limits.GATEWAY_SENDS:
            raise ProtocolError(4008)

    def _check_query(self) -> None:
        query = self._request.query
        if query.get("v") != "10":
            raise ProtocolError(4012, f"v={query.get('v')}")
        if query.get("encoding", "json") != "json" or query.get("compress", "zlib-stream") != "zlib-stream":
            raise ProtocolError(4002, f"the emulator speaks json, plain or zlib-stream, not {dict(query)}")

    def _handle(self, payload: Json, now: float) -> None:
        op, data = payload.get("op"), payload.get("d")
        if op == 1:
            self._heartbeat(data, now)
        elif op == 2:
            self._identify(data)
        elif op == 6:
            self._resume(data)
        elif self._session is None:
            raise ProtocolError(4003, f"op {op} before identify")
        elif op not in {3, 4, 8, 31, 43}:
            raise ProtocolError(4001, f"op {op}")

    def _heartbeat(self, seq: Any, now: float) -> None:
        if seq is not None and self._session is not None and seq > self._session.seq:
            raise ProtocolError(4007, f"heartbeat with {seq} of {self._session.seq}")
        self._beat_at = now
        if not self._gateway.faults.withhold_acks:
            self.send({"op": 11, "d": None, "s": None, "t": None})

    def _identify(self, data: Any) -> None:
        if self._session is not None:
            raise ProtocolError(4005)
        if not isinstance(data, dict) or not {"token", "properties", "intents"} <= data.keys():
            raise ProtocolError(4002, "identify needs token, properties and intents")
        self._check_token(data)
        intents, shard = data["intents"], tuple(data.get("shard", (0, 1)))
        if not isinstance(intents, int) or intents & ~limits.KNOWN_INTENTS:
            raise ProtocolError(4013, str(intents))
        if len(shard) != 2 or not 0 <= shard[0] < shard[1]:
            raise ProtocolError(4010, str(shard))
        if intents & Intent.MESSAGE_CONTENT and not self._gateway.message_content:
            raise ProtocolError(4014, "MESSAGE_CONTENT is not enabled")
        if not self._gateway.may_identify(shard[0]):
            self.send({"op": 9, "d": False, "s": None, "t": None})
            return
        self._session = self._gateway.open_session(self, intents, shard)

    def _resume(self, data: Any) -> None:
        if self._session is not None:
            raise ProtocolError(4005)
        if not isinstance(data, dict) or not {"token", "session_id", "seq"} <= data.keys():
            raise ProtocolError(4002, "resume needs token, session_id and seq")
        self._check_token(data)
        session = self._gateway.sessions.get(str(data["session_id"]))
        if session is None or session.dead:
            self.send({"op": 9, "d": False, "s": None, "t": None})
            return
        if not isinstance(data["seq"], int) or data["seq"] > session.seq:
            raise ProtocolError(4007, f"resume from {data['seq']} of {session.seq}")
        if session.connection is not None:
            session.connection.abort()
        self._session, session.connection = session, self
        for event in session.events[data["seq"] :]:
            self.send(event)
        self._gateway.dispatch(session, "RESUMED", {})

    def _check_token(self, data: Json) -> None:
        if data["token"] != self._gateway.token:
            raise ProtocolError(4004)

    def _leave(self) -> None:
        if self._session is not None and self._session.connection is self:
            self._session.connection = None
        self._gateway.recorder.changed()


def _decoded(data: str | bytes) -> Json:
    if len(data) > limits.GATEWAY_PAYLOAD_MAX:
        raise ProtocolError(4002, f"{len(data)} bytes")
    try:
        payload = json.loads(data)
    except ValueError:
        raise ProtocolError(4002, "no JSON") from None
    if not isinstance(payload, dict):
        raise ProtocolError(4002, "no object")
    return payload
