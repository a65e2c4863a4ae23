"""Plain arithmetic in questions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.models.sums import is_so, sum_in, worth


@pytest.mark.parametrize(
    ("question", "result"),
    [
        ("What is 17 * 23?", "391"),
        ("12+30=", "42"),
        ("What's 15% of 80?", "12"),
        ("Calculate 2^10", "1024"),
        ("10 / 4", "2.5"),
        ("how much is 1/3", "0.3333"),
        ("what is (3 + 4) times 5?", "35"),
        ("1,200 plus 3", "1203"),
        ("3 x -4", None),
        ("What is 5 squared?", "25"),
        ("7 minus 10", "-3"),
        ("5 over 0", None),
        ("2**2**2**9", None),
        ("9^99", None),
        ("(1 + 2", None),
        ("Why is 6 afraid of 7?", None),
        ("I have 3 apples and buy 4. How many?", None),
        ("7", None),
        ("", None),
    ],
)
def test_sums(question: str, result: str | None) -> None:
    written = sum_in(question)
    assert (worth(written) if written else None) == result


@given(st.text(alphabet="0123456789+-*/(). ^x", max_size=60))
def test_nothing_breaks_it(question: str) -> None:
    if written := sum_in(question):
        worth(written)


@pytest.mark.parametrize(
    ("question", "so", "why"),
    [
        ("Is 91 prime?", False, "91 = 7 \u00d7 13."),
        ("is 97 a prime number", True, "Nothing but 1 and itself divides 97."),
        ("Is 1 prime?", False, "Primes begin with 2."),
        ("Is 8 even?", True, "8 divided by 2 leaves 0."),
        ("Is 8 odd?", False, "8 divided by 2 leaves 0."),
        ("Is 9 divisible by 3?", True, "9 divided by 3 leaves 0."),
        ("Is 9 divisible by 0?", False, "Nothing can be divided by 0."),
        ("Is 17 a square?", False, "4 \u00d7 4 = 16."),
    ],
)
def test_questions_on_numbers(question: str, so: bool, why: str) -> None:
    assert is_so(question) == (so, why)


def test_other_questions() -> None:
    assert is_so("Is honesty prime?") is None
