from __future__ import annotations

import re
from typing import Any

import pytest

from core.cards import Reply
from core.catalog import BUILT_IN_DOMAINS, Catalog
from core.commands.actions import decode
from core.commands.values import AskExample, Command
from core.errors import NotFound
from core.examples import BUILT_IN, GENERAL, example
from core.service.welcome import Occasion, examples, welcome
from tests.core.fakes import catalog


def with_examples(**found: tuple[str, ...]) -> Catalog:
    return catalog().model_copy(update={"examples": found})


def commands(reply: Reply) -> list[Command]:
    return [decode(button.action) for row in reply.buttons for button in row]


def test_there_are_three_examples_for_each_domain_at_the_least() -> None:
    assert set(BUILT_IN) == {GENERAL, *BUILT_IN_DOMAINS}
    for domain, questions in BUILT_IN.items():
        assert len(set(questions)) >= 3
        assert [example(catalog(), domain, n) for n in range(1, len(questions) + 1)] == list(questions)


def test_the_models_file_adds_examples_replaces_them_and_takes_them_away() -> None:
    own = with_examples(policy=("Why us?",), cooking=("Salt?", "Sugar?"), science=())
    assert example(own, "Policy", 1) == "Why us?"
    assert example(own, "cooking", 2) == "Sugar?"
    for domain, number in (("policy", 2), ("policy", 0), ("science", 1), ("nowhere", 1)):
        with pytest.raises(NotFound, match="example"):
            example(own, domain, number)


@pytest.mark.parametrize("occasion", ["joined", "opened", "home"])
@pytest.mark.parametrize("prefix", ["/consortium", ""])
def test_newcomers_are_told_what_it_is_what_is_kept_and_how_to_delete_it(occasion: Occasion, prefix: str) -> None:
    reply = welcome(catalog(), occasion, prefix)
    asked = [command for command in commands(reply) if isinstance(command, AskExample)]
    assert len(asked) == 3
    for command in asked:
        assert example(catalog(), command.domain, command.number) in reply.text
    for word in ("export", "delete", "forget-me", "settings", "help"):
        assert f"`{prefix} {word}".replace("` ", "`") in reply.text
    assert len(reply.text.split("\n\n")[0].splitlines()) == 3
    assert not re.search(r"` [\w-]+`", reply.text), "no stray blank within code"
    assert "simulated" not in reply.text
    assert all(len(button.label) <= 75 for row in reply.buttons for button in row)


def test_newcomers_are_told_that_nobody_is_real() -> None:
    found = catalog()
    fakes = {key: spec.model_copy(update={"provider": "simulated"}) for key, spec in found.models.items()}
    text = welcome(found.model_copy(update={"models": fakes}), "joined", "/consortium").text
    assert "Every member here is simulated" in text
    assert "providers" not in text
    mixed = {**found.models, "a": fakes["a"]}
    assert "simulated" not in welcome(found.model_copy(update={"models": mixed}), "joined", "/consortium").text


def test_ones_own_examples_go_first() -> None:
    own = with_examples(cooking=("Salt?", "Sugar?"))
    assert commands(welcome(own, "opened", ""))[:2] == [
        AskExample(domain="cooking", number=1),
        AskExample(domain="general", number=1),
    ]
    assert all(command.domain == "cooking" for command in map(as_example, commands(examples(own, "Cooking"))))


def as_example(command: Any) -> AskExample:
    assert isinstance(command, AskExample)
    return command


def test_examples_of_every_domain_and_of_one() -> None:
    every = examples(catalog(), None)
    assert [as_example(c).domain for c in commands(every)] == list(BUILT_IN)
    assert all(len(row) <= 5 for row in every.buttons)
    one = examples(catalog(), "policy")
    assert [as_example(c).number for c in commands(one)] == [1, 2, 3]
    assert all(question in one.text for question in BUILT_IN["policy"])
    with pytest.raises(NotFound, match="`general`, `education`"):
        examples(catalog(), "cooking")


def test_without_any_examples_none_are_offered() -> None:
    none = with_examples(**dict.fromkeys(BUILT_IN, ()))
    assert not any(isinstance(command, AskExample) for command in commands(welcome(none, "home", "")))
    assert "There are none." in examples(none, None).text
