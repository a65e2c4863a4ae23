"""What is installed is what the lock names, and the lock names all of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PRODUCT = "consortium-bot"


def locked() -> dict[str, Requirement]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(pin.name): pin for pin in pins if pin.marker is None or pin.marker.evaluate()}


def needed(name: str, extras: frozenset[str], seen: set[str]) -> Iterator[str]:
    """Everything that a distribution needs here, by name."""
    for text in distribution(name).requires or ():
        wanted = Requirement(text)
        if wanted.marker and not any(wanted.marker.evaluate({"extra": extra}) for extra in {"", *extras}):
            continue
        found = canonicalize_name(wanted.name)
        if found not in seen:
            seen.add(found)
            yield found
            yield from needed(found, frozenset(wanted.extras), seen)


def test_every_pin_is_one_version_from_nowhere_in_particular() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text, "an index or a file of one machine"
    for pin in locked().values():
        assert re.fullmatch(r"==[\w.!+]+", str(pin.specifier)), f"{pin} is no single version"


def test_what_is_installed_is_what_the_lock_names() -> None:
    for name, pin in locked().items():
        assert pin.specifier.contains(distribution(name).version, prereleases=True), name


def test_the_lock_names_all_that_is_needed() -> None:
    pins = locked()
    missing = [name for name in needed(PRODUCT, frozenset({"dev"}), set()) if name not in pins]
    assert not missing
