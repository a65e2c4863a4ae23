"""The order of the tests: what takes longest or stays on one worker begins first, so that nobody waits for it."""

from __future__ import annotations

import pytest

_LONGEST = (
    "test_web_commands.py",
    "test_web.py",
    "test_walks.py",
    "test_processes.py",
    "test_cli.py",
    "test_studio.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every worker collects in the same order."""
    items.sort(key=lambda item: item.path.name not in _LONGEST)
