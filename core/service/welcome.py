"""First contact: what newcomers are told, and questions to begin with."""

from __future__ import annotations

from typing import Literal

from core.cards import Reply
from core.catalog import Catalog

Occasion = Literal["joined", "opened", "home"]
"""The bot joined a channel or server; a person opened a direct message; a person opened the app's home."""


def welcome(catalog: Catalog, occasion: Occasion, prefix: str) -> Reply:
    """What this is, three example questions as buttons, what is stored."""
    raise NotImplementedError


def examples(catalog: Catalog, domain: str | None) -> Reply:
    """Example questions as buttons: of one domain, or one of each. Raises NotFound."""
    raise NotImplementedError
