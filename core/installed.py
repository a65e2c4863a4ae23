"""Where a platform's app was installed, and the lock that lets one process at a time do something."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from pydantic import Field

from core.asks import Value


class Installed(Value):
    """An app in a workspace or an organisation, as one person installed it.

    ``secrets`` are all its tokens, encrypted: stores never see them in clear. A workspace outside of any organisation
    has no ``enterprise_id``; what holds in a whole organisation has no ``team_id``.
    """

    client_id: str
    enterprise_id: str | None = None
    team_id: str | None = None
    user_id: str | None = None
    bot_id: str | None = None
    bot_user_id: str | None = None
    is_enterprise_install: bool = False
    scopes: tuple[str, ...] = ()
    secrets: bytes = Field(repr=False)
    token_expires_at: datetime | None = None
    installed_at: datetime


class Installations(Protocol):
    """Where apps were installed, and the states of installations under way. All raise Unavailable."""

    async def save(self, installed: Installed) -> None:
        """Store it, in place of what the same person had installed there."""
        ...

    async def find(
        self, client_id: str, enterprise_id: str | None, team_id: str | None, user_id: str | None = None
    ) -> Installed | None:
        """What that person installed in exactly that place; with no person, the newest that has a bot."""
        ...

    async def delete(
        self, client_id: str, enterprise_id: str | None, team_id: str | None, user_id: str | None = None
    ) -> None:
        """Forget what that person installed in exactly that place; with no person, everything there."""
        ...

    async def all(self, client_id: str) -> Sequence[Installed]:
        """Everything that was installed of that app, oldest first."""
        ...

    def locked(self, key: str) -> AbstractAsyncContextManager[None]:
        """Wait until nobody else, in any process, is inside with the same key."""
        ...

    async def issue_state(self, state: str, seconds: float) -> None:
        """An installation begins; its state is good for so long."""
        ...

    async def consume_state(self, state: str) -> bool:
        """Whether that state was issued and has not expired; true once."""
        ...


class Locks(Protocol):
    """Locks across processes. A holder that dies loses its lock within half a minute."""

    def locked(self, name: str) -> AbstractAsyncContextManager[None]:
        """Wait for the lock. Raises Unavailable when it does not come free in time."""
        ...

    def attempted(self, name: str) -> AbstractAsyncContextManager[bool]:
        """The lock, if it is free: whether it is ours. Raises Unavailable."""
        ...
