"""Pictures and files of replies, until the browser that they are for has fetched them."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass

MOST_BYTES = 64 * 2**20
"""What lies here at the most; what was put here first goes first, the latest always stays."""


@dataclass(frozen=True)
class Item:
    """A file for one browser alone."""

    owner: str
    filename: str
    media_type: str
    data: bytes


class Shelf:
    """Holds what replies carry: a reply itself is text. After a restart it is empty, and the page asks anew."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._items = most_bytes, OrderedDict[str, Item]()
        self._bytes = 0

    def put(self, item: Item) -> str:
        """Lay something here; returns the key it is fetched by."""
        key = secrets.token_hex(12)
        self._items[key] = item
        self._bytes += len(item.data)
        while self._bytes > self._most and len(self._items) > 1:
            _, gone = self._items.popitem(last=False)
            self._bytes -= len(gone.data)
        return key

    def forget(self, owner: str) -> None:
        """Drop all that is an owner's."""
        for key in [key for key, item in self._items.items() if item.owner == owner]:
            self._bytes -= len(self._items.pop(key).data)

    def get(self, key: str, owner: str) -> Item | None:
        """What lies under a key, for its owner alone."""
        item = self._items.get(key)
        return item if item and secrets.compare_digest(item.owner, owner) else None
