from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.asks import QuestionType
from core.votes.answers import final_answer, read_answer
from core.votes.normal import normalise, same
from core.votes.units import at_odds

TYPES: tuple[QuestionType | None, ...] = (None, "open", "yes-no", "choice", "number")


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("1,234.50", "1234.5"),
        ("1.234,50", "1234.5"),
        ("3.0", "3"),
        ("$3", "3"),
        ("$3.00", "3"),
        ("-$10,000", "-10000"),
        ("$-10,000", "-10000"),
        ("\u22125", "-5"),
        ("+7", "7"),
        ("-0.0", "0"),
        (".5", "0.5"),
        ("20%", "20"),
        ("20 percent", "20"),
        (r"20\%", "20"),
        ("1/2", "0.5"),
        ("½", "0.5"),
        ("1½", "1.5"),
        ("1 1/2", "1.5"),
        ("-3/4", "-0.75"),
        (r"\frac{1}{2}", "0.5"),
        (r"-\dfrac{3}{4}", "-0.75"),
        ("1.5e3", "1500"),
        ("1.5 \u00d7 10^3", "1500"),
        (r"$1.5 \times 10^{3}$", "1500"),
        ("2e-3", "0.002"),
        ("20 hours", "20"),
        ("5 dollars", "5"),
        ("12 km", "12"),
        ("12km", "12"),
        ("30 km/h", "30"),
        ("10 m²", "10"),
        ("$18 per day", "18"),
        ("90°", "90"),
        (r"$90^\circ$", "90"),
        ("about 40 people", "40"),
        ("≈ 40", "40"),
        ("x = 4", "4"),
        ("$5 million", "5000000"),
        ("$5k", "5000"),
        ("five", "5"),
        ("Twenty-one", "21"),
        ("two hundred dollars", "200"),
        ("2 dozen", "24"),
        ("1{,}000", "1000"),
        (r"\$18", "18"),
        (r"$\$18$", "18"),
        ("1" + "0" * 40, "1E+40"),
    ],
)
def test_numbers_are_equal_however_they_are_written(text: str, normal: str) -> None:
    assert normalise(text) == normal


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("3,14", "3.14"),
        ("1 000 000", "1000000"),
        ("007", "7"),
        ("[42]", "42"),
        ("She needs 42 of them", "42"),
        ("seven samurai", "7"),
    ],
)
def test_where_a_number_is_asked_more_is_one(text: str, normal: str) -> None:
    assert normalise(text, "number") == normal


@pytest.mark.parametrize(
    "text", ["5 pm", "3 and 4", "4 July", "007", "2^10", "3:2", "5-10", "two towers", "U2", "1.2.3", "1/0", "4 2"]
)
def test_what_only_looks_like_a_number_stays_a_text(text: str) -> None:
    assert normalise(text) == text.casefold()


@pytest.mark.parametrize(
    ("text", "question_type", "normal"),
    [
        ("Yes.", None, "yes"),
        ("YES", None, "yes"),
        ("yep", None, "yes"),
        ("No, not at all.", None, "no"),
        ("No. 5", None, "no. 5"),
        ("No man's land", None, "no man's land"),
        ("Yes because it is", "yes-no", "yes"),
        ("Probably yes", "yes-no", "yes"),
        ("True", "yes-no", "yes"),
        ("not true", "yes-no", "no"),
        ("False.", "yes-no", "no"),
        ("Nein", "yes-no", "no"),
        ("It is not true.", "yes-no", "no"),
        ("I think yes, mostly", "yes-no", "yes"),
        ("True", None, "true"),
        ("correct horse battery", "yes-no", "correct horse battery"),
        ("(C)", None, "c"),
        ("C.", None, "c"),
        ("**C**", None, "c"),
        ("C) the moon", None, "c"),
        ("(C) the moon", None, "c"),
        ("option c", None, "c"),
        ("Option C: the moon", None, "c"),
        (r"\text{C}", None, "c"),
        ("Option 2", None, "2"),
        ("C. the moon", "choice", "c"),
        ("C: the moon", "choice", "c"),
        ("C. elegans", None, "c. elegans"),
        ("A", None, "a"),
    ],
)
def test_sides_and_options(text: str, question_type: QuestionType | None, normal: str) -> None:
    assert normalise(text, question_type) == normal


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("[1,2]", "[1, 2]"),
        ("[1.0, 2]", "[1, 2]"),
        ("{'a': 1, 'b': True}", '{"b":true,"a":1}'),
        ("{'x': None}", '{"x": null}'),
        ("('a','b',)", '("a", "b")'),
        ("{1, 2}", "{2,1}"),
        ("`[ 'a' ]`", '["a"]'),
        ("'hello'", "hello"),
        ('"Hello there"', "hello there"),
        ("The Eiffel Tower", "eiffel tower."),
        ("JavaScript", "javascript"),
        ("iPhone", "IPHONE"),
        ("McDonald", "Mcdonald"),
        ("PostgreSQL", "postgresql"),
        ("Müller", "MÜLLER"),
        ("New\tYork", "New York"),
        ("“Paris”", "Paris"),
        ("ﬁve apples each", "five apples each"),
        (r"$\text{Paris}$.", "paris"),
        (r"\(\boxed{x+1}\)", "x+1"),
        ("Paris </s>", "Paris"),
        ("an apple", "Apple"),
    ],
)
def test_equal_answers(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)
    assert same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("[1, 2]", "[2, 1]"),
        ("[1, 2]", "(1, 2)"),
        ("['a b']", "['ab']"),
        ("['A']", "['a']"),
        ("{'a': 1}", "{'a': 2}"),
        ("[1]", "1"),
        ("aBc", "abc"),
        ("aBC", "abC"),
        ("a  b", "a b"),
        ("yes", "no"),
        ("Paris", "London"),
        ("12", "1.2"),
        ("-5", "5"),
        ("", "''"),
    ],
)
def test_different_answers(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)
    assert not same(one, other)


@pytest.mark.parametrize(
    ("one", "other", "question_type"),
    [
        ("yes, but only if it rains", "yes", None),
        ("Yes, unless it rains", "yes", "yes-no"),
        ("Yes and no", "yes", "yes-no"),
        ("yes or no", "yes", "yes-no"),
        ("No, if it rains", "no", None),
        ("No doubt", "no", "yes-no"),
        ("no doubt about it", "no", "yes-no"),
        ("(A) or (B)", "(A)", None),
        ("(A) and (C)", "(A)", "choice"),
        ("B) or C)", "B)", "choice"),
        ("option A or option B", "option A", None),
        ("Option 1 or 2", "Option 1", None),
        ("A, B", "A", "choice"),
        ("A/B", "A", "choice"),
        ("A is wrong", "A", "choice"),
        ("B is not correct", "B", "choice"),
        ("3 - 4", "3", "choice"),
        ("> 5", "5", None),
        (">  5", "5", None),
        ("< 5", "5", "number"),
        ("less than 5", "5", "number"),
        ("at least 5", "at most 5", "number"),
        ("5 or more", "5", "number"),
        ("5 apples or fewer", "5 apples", None),
        ("5+", "5", "number"),
        ("500 BC", "500", "number"),
        ("5 pm", "5 am", "number"),
        ("2\u03c0", "2", "number"),
        ("\u221a2", "2", "number"),
        ("two thirds", "2", "number"),
        ("not guilty", "guilty", None),
        ("2024-01-05", "2024", "number"),
    ],
)
def test_answers_that_say_more_are_not_those_that_say_less(
    one: str, other: str, question_type: QuestionType | None
) -> None:
    assert normalise(one, question_type) != normalise(other, question_type)
    read = [read_answer(f"Final answer: {said}", question_type) for said in (one, other)]
    assert read[0] != read[1]
    assert not read[0] or not read[1] or read[0].normal != read[1].normal


@pytest.mark.parametrize(
    ("text", "question_type", "normal"),
    [
        ("(C) both A and B", "choice", "c"),
        ("(C), a classic", None, "c"),
        ("B) salt and pepper", None, "b"),
        ("A is right", "choice", "a"),
        ("Yes, it rained", "yes-no", "yes"),
        ("Yes, and it will again", "yes-no", "yes"),
        ("5 more than before", None, "5"),
        ("She needs 42 more", "number", "42"),
    ],
)
def test_what_follows_an_answer_does_not_unmake_it(text: str, question_type: QuestionType | None, normal: str) -> None:
    assert normalise(text, question_type) == normal


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("3 km", "3 m"),
        ("5 km/h", "5 m/s"),
        ("20 hours", "20 minutes"),
        ("$5", "5 cents"),
        ("5% increase", "5% decrease"),
        ("10 degrees north", "10 degrees south"),
        ("4 GB", "4 MB"),
    ],
)
def test_units_that_say_different_things_are_at_odds(one: str, other: str) -> None:
    assert at_odds(one, other)
    assert not at_odds(one, one)
    assert not at_odds(one, one.split()[0].strip("$%"))


def test_units_that_say_the_same_are_not_at_odds() -> None:
    for one, other in (
        ("3 km", "3 kilometers"),
        ("20 hrs", "20 hours"),
        ("$5", "5 dollars"),
        ("20 hours per week", "20 hours"),
        ("5 apples", "5 pears"),
    ):
        assert not at_odds(one, other)


def test_numbers_are_the_same_to_a_millionth() -> None:
    assert same("0.33333333", "1/3")
    assert same("1000000.5", "1,000,001")
    assert not same("0.333", "1/3")
    assert not same("1000002", "1000000")
    assert same("0", "-0.0")


DECORATIONS = (
    *(
        "{}",
        " {} ",
        "**{}**",
        "*{}*",
        "`{}`",
        "```{}```",
        "{}.",
        "**{}.**",
        "**{}**.",
        "`{}`.",
        '"{}"',
        "\n{}\n",
        "- {}",
    ),
    *(r"\boxed{{{}}}", r"$\boxed{{{}}}$", r"\text{{{}}}", r"\({}\)", "${}$", "# {}", "= {}"),
)
ANSWERS = ("42", "-3.5", "1,200", "yes", "C", "[1, 2]", "{'a': 'B'}", "Paris", "New York City", "x + 1", "aBc")


@pytest.mark.parametrize("decoration", DECORATIONS)
@pytest.mark.parametrize("answer", ANSWERS)
def test_decoration_does_not_change_an_answer(answer: str, decoration: str) -> None:
    assert normalise(decoration.format(answer)) == normalise(answer)


@given(answer=st.from_regex(r"[a-z]{2,8}( [a-z]{2,8}){0,3}", fullmatch=True), decoration=st.sampled_from(DECORATIONS))
def test_decoration_does_not_change_words(answer: str, decoration: str) -> None:
    assert normalise(decoration.format(answer)) == normalise(answer)


@given(number=st.decimals(-(10**9), 10**9, places=3), decoration=st.sampled_from(DECORATIONS))
def test_a_number_keeps_its_value(number: Any, decoration: str) -> None:
    assert same(normalise(decoration.format(f"{number:,}")), str(number))


LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text("aB c'\"\\½[", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=8,
).filter(lambda value: isinstance(value, list | dict))


@given(value=LITERALS)
def test_a_literal_is_the_same_as_python_and_as_json_write_it(value: Any) -> None:
    assert normalise(repr(value)) == normalise(json.dumps(value)) == normalise(json.dumps(value, indent=1))


PARTS = (
    *(
        "**",
        r"\boxed{",
        "}",
        r"\frac{1}{2}",
        r"\text{",
        "Final answer:",
        '{"answer":',
        "`",
        "'",
        "$",
        "(C)",
        "[1, ",
        "]",
    ),
    *("the", "yes", "no", "5", "2 dozen", "{'a': ", "one", "hundred", "million", "1e999", "km", "%", "= ", "1/3", "- "),
)
CHARACTERS = st.sampled_from("aAbB C05.,-+/%$*`'\"[](){}\\:=_#<>!?\n\té½²\u2212") | st.characters()
ROUGH = st.text(CHARACTERS, max_size=40) | st.lists(st.sampled_from(PARTS), max_size=8).map(" ".join)


@given(text=ROUGH, question_type=st.sampled_from(TYPES))
def test_normalising_twice_changes_nothing(text: str, question_type: QuestionType | None) -> None:
    normal = normalise(text, question_type)
    assert normalise(normal, question_type) == normal


@given(text=ROUGH, question_type=st.sampled_from(TYPES), options=st.lists(st.text(max_size=5), max_size=3))
def test_reading_never_raises(text: str, question_type: QuestionType | None, options: list[str]) -> None:
    for found in (final_answer(text, question_type), read_answer(text, question_type, options)):
        assert found is None or (found.normal and "\n" not in found.text and len(found.text) <= 200)
