"""What holds for all tests: what takes longest or stays on one worker begins first, so that nobody waits for it, and
what is loaded before the first test is not looked through for garbage again and again."""

from __future__ import annotations

import gc

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


def pytest_configure() -> None:
    """Thousands of tests are collected, and none of them is garbage."""
    gc.disable()


def pytest_collection_finish() -> None:
    """From here on it is as in any program, but for what is there already."""
    gc.freeze()
    gc.enable()
