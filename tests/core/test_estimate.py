from __future__ import annotations

from typing import Any

import pytest

from core.asks import Attachment
from core.attachments import Material
from core.catalog import Catalog
from core.estimate import INSTRUCTIONS, PICTURE, UNLIMITED, estimate, estimate_text
from core.governance import Estimate
from core.judging import instructions
from core.prompts import estimate_tokens
from tests.core.fakes import catalog, make_ask

PRICED = {"input_price": 2.0, "output_price": 8.0}


def with_models(models: dict[str, dict[str, Any]], **consortium: Any) -> Catalog:
    """Three members and an arbiter, each with its own further settings."""
    plain = catalog(**consortium).model_dump()
    for key, fields in models.items():
        plain["models"][key] |= fields
    return Catalog.model_validate(plain)


def of(cat: Catalog, *rest: Any, **ask: Any) -> Estimate:
    return estimate(cat, cat.consortia["default"], make_ask(**{"text": "x" * 400, **ask}), *rest)


def test_every_member_and_the_arbiter_write_as_much_as_they_may() -> None:
    cat = with_models({key: {**PRICED, "max_tokens": 500} for key in "abcj"})
    judged = estimate_tokens(instructions("synthesis")) + 100 + 3 * 500
    reads = 3 * (INSTRUCTIONS + 100) + judged
    found = of(cat)
    assert (found.calls, found.rounds, found.tokens) == (4, 1, reads + 4 * 500)
    assert found.dollars == pytest.approx((reads * 2 + 4 * 500 * 8) / 1e6)


def test_an_unknown_price_is_unknown_and_never_zero() -> None:
    priced = {key: dict(PRICED) for key in "abcj"}
    for key in "abcj":
        assert of(with_models({**priced, key: {"input_price": 2.0}})).dollars is None
    assert of(with_models(priced)).dollars is not None
    simulated = {key: {"provider": "simulated", "name": "optimist"} for key in "abcj"}
    assert of(with_models(simulated)).dollars == 0.0
    assert of(with_models({**simulated, "a": {}})).dollars is None


@pytest.mark.parametrize(
    ("setup", "calls", "rounds"),
    [
        ({}, 4, 1),
        ({"members": ["a:2", "b", "c"]}, 5, 1),
        ({"both_orders": True}, 5, 1),
        ({"min_iterations": 2, "max_iterations": 3}, 8, 2),
        ({"strategy": "council"}, 7, 2),
        ({"strategy": "debate", "params": {"rounds": 3}}, 10, 3),
        ({"strategy": "voting"}, 4, 1),
        ({"members": ["a"]}, 1, 1),
    ],
)
def test_calls_go_by_the_usual_rounds_of_the_strategy(setup: dict[str, Any], calls: int, rounds: int) -> None:
    found = of(catalog(**setup))
    assert (found.calls, found.rounds) == (calls, rounds)


def test_a_member_alone_is_all_that_is_asked() -> None:
    cat = with_models({"b": {"max_tokens": None}})
    assert of(cat, addressed="b") == Estimate(calls=1, tokens=INSTRUCTIONS + 100 + UNLIMITED)


def test_what_comes_along_is_read_by_all() -> None:
    cat = with_models({"b": {"vision": True}})
    text = Material(
        attachment=Attachment(name="a.txt", media_type="text/plain", size=4000, kind="text"), text="y" * 800
    )
    image = Material(attachment=Attachment(name="a.png", media_type="image/png", size=9, kind="image"), image=b"png")
    plain = of(cat).tokens
    assert of(cat, 50).tokens == plain + 4 * 50, "the conversation"
    assert of(cat, 0, (text,)).tokens == plain + 4 * 200
    assert of(cat, 0, (image,)).tokens == plain + PICTURE, "shown to those alone that can see"
    assert of(cat, system="z" * 40).tokens == plain + 4 * 10


def test_an_estimate_says_what_it_assumes() -> None:
    assert estimate_text(Estimate(calls=5, tokens=12_345, dollars=0.25)) == (
        "up to 12,345 tokens and $0.25, in 5 calls. That is one round in which all write as much as they may; further "
        "rounds and repeated calls would come on top."
    )
    assert "and an unknown price, in 1 call. That is 2 rounds" in estimate_text(Estimate(calls=1, tokens=9, rounds=2))
