"""Questions to begin with, by domain; the models file may bring its own (``[examples]``)."""

from __future__ import annotations

from collections.abc import Mapping

from core.catalog import Catalog
from core.errors import NotFound

GENERAL = "general"
"""What questions are listed under that belong to no domain."""

BUILT_IN: Mapping[str, tuple[str, ...]] = {
    GENERAL: (
        "Should a team of eight work from home three days a week?",
        "Is it better to rent or to buy a home at thirty?",
        "How many piano tuners work in a city of three million?",
    ),
    "education": (
        "Should schools ban phones during lessons?",
        "Do pupils learn more from homework or from free play?",
        "How should a teacher mark essays written with the help of AI?",
    ),
    "healthcare": (
        "Should flu vaccination be required for hospital staff?",
        "How much sleep does an adult need, and what is the evidence?",
        "Who should get an organ first: the sickest, or whoever gains most?",
    ),
    "policy": (
        "Would a four-day week raise or lower productivity?",
        "Should voting be compulsory?",
        "Which lowers rents more: rent caps or building more homes?",
    ),
    "science": (
        "Is Pluto a planet? Answer yes or no, and why.",
        "Why do most published findings in psychology not replicate?",
        "What is the most likely explanation of dark matter today?",
    ),
    "environment": (
        "Is nuclear power needed to reach net zero by 2050?",
        "Which saves more carbon: eating no beef or not flying once a year?",
        "Should wolves be brought back to places where sheep graze?",
    ),
}


def by_domain(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    """All example questions: the file's take the place of the built-in ones of that domain; without any it is gone."""
    return {domain: found for domain, found in {**BUILT_IN, **catalog.examples}.items() if found}


def questions(catalog: Catalog, domain: str) -> tuple[str, tuple[str, ...]]:
    """A domain by its proper name, and its questions. Raises NotFound."""
    known = {name.lower(): name for name in by_domain(catalog)}
    name = known.get(domain.strip("`").lower())
    if name is None:
        raise NotFound(
            f"There are no examples for `{domain[:40].replace('`', '')}`; there are some for "
            f"{', '.join(f'`{each}`' for each in known.values())}."
        )
    return name, by_domain(catalog)[name]


def example(catalog: Catalog, domain: str, number: int) -> str:
    """The question behind a button, ``number`` counting from 1. Raises NotFound, where the file has changed since."""
    name, found = questions(catalog, domain)
    if not 1 <= number <= len(found):
        raise NotFound(
            f"There is no example {number} for `{name}` any more. Write `examples {name}` for those there are."
        )
    return found[number - 1]
