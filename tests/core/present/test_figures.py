from __future__ import annotations

import pytest

from core.present.figures import cost_text, listed, short, tokens_text
from core.types import Bill, Usage


@pytest.mark.parametrize(
    ("usages", "tokens", "cost"),
    [
        ([], "tokens unknown", "cost unknown"),
        ([Usage()], "tokens unknown", "cost unknown"),
        ([Usage(prompt_tokens=0, completion_tokens=0, cost=0)], "0 tokens", "$0"),
        ([Usage(prompt_tokens=1000, completion_tokens=234, cost=0.0012)], "1,234 tokens", "$0.0012"),
        ([Usage(prompt_tokens=5, completion_tokens=5, cost=2), Usage()], "at least 10 tokens", "at least $2.00"),
        ([Usage(prompt_tokens=5, completion_tokens=5), Usage(prompt_tokens=1)], "at least 11 tokens", "cost unknown"),
    ],
)
def test_unknown_usage_stays_unknown(usages: list[Usage], tokens: str, cost: str) -> None:
    bill = Bill.of(usages)
    assert (tokens_text(bill), cost_text(bill)) == (tokens, cost)


def test_names_and_short_texts() -> None:
    assert (listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])) == ("a", "a and b", "a, b and c")
    assert short("one\n  two", 40) == "one two"
    assert short("one two three", 8) == "one two…"
    assert short("Should schools ban phones during lessons?", 30) == "Should schools ban phones…", "no word in part"
