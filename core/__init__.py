"""The consortium itself: values, engine, strategies, voting, arbiter, resilience, analysis, charts.

As a library: :func:`core.library.create_consortium`, which may be imported from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.library import Consortium, create_consortium

__all__ = ["Consortium", "create_consortium"]


def __getattr__(name: str) -> Any:
    """The library's names, loaded when asked for: whoever needs one module must not pay for all."""
    if name in __all__:
        from core import library

        return getattr(library, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
