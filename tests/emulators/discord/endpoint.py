"""The interactions endpoint: where an application takes interactions by HTTP in place of the gateway."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from io import BytesIO

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.emulators.discord.errors import ApiError, Json, NotOffered
from tests.emulators.discord.record import Recorder

_PING = 1
_TAKEN = 202

Acknowledge = Callable[[Json], None]


class Endpoint:
    """The URL that is saved in the developer portal, and the key with which requests to it are signed.

    `deadline` is for how many seconds a response is waited for.
    """

    def __init__(self, recorder: Recorder, application_id: int, deadline: float) -> None:
        self._recorder, self._application_id, self._deadline = recorder, application_id, deadline
        self._key = Ed25519PrivateKey.generate()
        self._session: aiohttp.ClientSession | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self.url: str | None = None
        self.statuses: list[int] = []

    @property
    def public_key(self) -> str:
        """The application's public key, as the portal shows it."""
        return self._key.public_key().public_bytes_raw().hex()

    def signed(self, body: bytes, at: float | None = None) -> dict[str, str]:
        """The headers of a request with that body; `at` is when it was signed, by the Unix clock."""
        stamp = str(int(self._recorder.clock.wall() if at is None else at))
        signature = self._key.sign(stamp.encode() + body).hex()
        return {
            "Content-Type": "application/json",
            "User-Agent": "Discord-Interactions/1.0 (+https://discord.com)",
            "X-Signature-Ed25519": signature,
            "X-Signature-Timestamp": stamp,
        }

    async def save(self, url: str) -> None:
        """Save the URL. As Discord does, ask it first whether it answers a PING and refuses a wrong signature.

        Raises NotOffered where it does not.
        """
        ping = json.dumps(
            {"id": "1", "application_id": str(self._application_id), "type": _PING, "version": 1}
        ).encode()
        status, answer = await self.post(ping, self.signed(ping), url)
        if status != 200 or answer != {"type": 1}:
            raise NotOffered(f"the endpoint could not be verified: PING gave {status} {answer}")
        wrong = self.signed(ping) | {"X-Signature-Ed25519": secrets.token_hex(64)}
        status, _ = await self.post(ping, wrong, url)
        if status != 401:
            raise NotOffered(f"the endpoint could not be verified: a wrong signature gave {status}")
        self.url = url

    def send(self, payload: Json, acknowledge: Acknowledge) -> None:
        """Send an interaction; `acknowledge` takes the response where it is one."""
        task = asyncio.get_running_loop().create_task(self._send(payload, acknowledge))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def post(self, body: bytes | BytesIO, headers: dict[str, str], url: str | None = None) -> tuple[int, object]:
        """Post anything; gives status, and what the JSON in the response says."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._deadline))
        async with self._session.post(url or self.url or "", data=body, headers=headers) as response:
            said = await response.read()
            is_json = response.content_type == "application/json"
            return response.status, json.loads(said) if is_json else said.decode()

    async def aclose(self) -> None:
        """Send nothing more."""
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _send(self, payload: Json, acknowledge: Acknowledge) -> None:
        body = json.dumps(payload).encode()
        try:
            status, answer = await self.post(body, self.signed(body))
        except (aiohttp.ClientError, OSError, TimeoutError):
            return  # the person reads that the application did not respond; that is noted when the time is up
        self.statuses.append(status)
        if status == 200 and isinstance(answer, dict):
            try:
                acknowledge(answer)
            except ApiError as error:
                self._recorder.violation("interaction", json.dumps(error.body()), "response by HTTP")
        elif status != _TAKEN:
            self._recorder.violation("interaction", f"the response by HTTP is {status}", str(payload["id"]))
        self._recorder.changed()
