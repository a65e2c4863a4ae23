from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.asks import QuestionType
from core.votes.answers import final_answer, read_answer
from core.votes.normal import normalise, same

TYPES: tuple[QuestionType | None, ...] = (None, "open", "yes-no", "choice", "number")
RECORDED = Path(__file__).parents[4] / "shared" / "data"

# --- statements -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "Final answer: {}",
        "final answer: {}",
        "FINAL ANSWER: {}",
        "**Final answer:** {}",
        "**Final answer: {}**",
        "**Final Answer**: {}.",
        "### Final answer\n\n{}",
        "**Final Answer**\n\n**{}**",
        "The final answer is {}.",
        "The final answer is: $\\boxed{{{}}}$.",
        "My final answer is **{}**.",
        "Final answer: the answer is {}.",
        "Final answer (rounded): {}",
        "Final answer: {}\n\nI hope that this helps!",
        "Final answer: {}. This is because of the rule above.",
        "Final answer: 7\n\nNo, I was wrong.\n\nFinal answer: {}",
        "> Final answer - {}",
        "\\[\n\\boxed{{{}}}\n\\]",
        "<answer>{}</answer>",
        "<final_answer>\n{}\n</final_answer>",
        'Here it is:\n{{"reason": "so", "answer": "{}"}}',
        "Answer: {}",
        "**Answer:** {}",
        "So the answer: {}",
        "Respuesta final: {}",
        "Réponse finale : {}",
        "Endgültige Antwort: {}",
        "Окончательный ответ: {}",
        "最终答案：{}",  # noqa: RUF001 - the colon of that script
        "最終的な答えは{}",
    ],
)
@pytest.mark.parametrize("answer", ["42", "Paris", "[1, 2]"])
def test_a_statement_is_found_whatever_its_wording(statement: str, answer: str) -> None:
    reply = "First 3 + 4 = 7, then 12.\n\n" + statement.format(answer)
    found = final_answer(reply)
    assert found
    assert found.normal == normalise(answer)
    assert read_answer(reply) == found


def test_people_are_shown_the_answer_as_it_was_said() -> None:
    found = final_answer("Final answer: **$1,200.00**.")
    assert found
    assert (found.text, found.normal) == ("$1,200.00", "1200")
    long = final_answer("Final answer: " + "very " * 100 + "long")
    assert long
    assert len(long.text) <= 200
    assert long.text.endswith("…")


@pytest.mark.parametrize(
    "abstention",
    [
        *(
            "I cannot determine this",
            "I can't say.",
            "unknown",
            "Unknown.",
            "n/a",
            "N/A",
            "none",
            "It depends on the year",
        ),
        *("it depends", "I don't know", "I do not know the answer.", "Cannot be determined", "Not enough information."),
        *(
            "There is not enough information to tell",
            "unclear",
            "I'm not sure",
            "It is impossible to say",
            "**Unknown**",
        ),
        *("The answer cannot be determined from this", "insufficient data", "?", "…", "...", "I abstain", "no answer"),
    ],
)
def test_an_abstention_is_no_answer(abstention: str) -> None:
    reply = f"It may be 5 or 6.\n\nFinal answer: {abstention}"
    assert final_answer(reply) is None
    assert read_answer(reply) is None
    assert read_answer(reply, "number") is None


@pytest.mark.parametrize(
    "answer", ["No", "0", "None of the above", "Name unknown", "Nonetheless", "`None`", "Unknown Pleasures", "Pass"]
)
def test_answers_that_look_like_abstentions_count(answer: str) -> None:
    assert final_answer(f"Final answer: {answer}")


@pytest.mark.parametrize(
    "reply", ["", "It is 5.", "That is my final answer", "The answer lies in the sea.", "Final answer:"]
)
def test_without_a_statement_there_is_no_final_answer(reply: str) -> None:
    assert final_answer(reply) is None


# --- prose ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prose", "question_type", "normal"),
    [
        ("She has 3 + 4 = 7 apples. So she sells 7 * 2 = $14.", "number", "14"),
        ("Therefore, Ann paid $1,250.50 in total.", "number", "1250.5"),
        ("It takes Tom 4 weeks to save $80.", "number", "4"),
        ("Hence they eat 90 pears in 30 days.", "number", "90"),
        ("So, he needs 6 boxes (12 / 2 = 6) to store 24 cups.", "number", "6"),
        ("The share is 45 / 60 = 0.75 or 75%.", "number", "75"),
        ("This comes to 41.7, which rounds to 42.", "number", "42"),
        ("He lost money: $20 - $50 = -$30.", "number", "-30"),
        ("Answer: Ann sells 18 cakes every day.", "number", "18"),
        ("It joins both. Therefore, the output is 'ab cd'.", None, "ab cd"),
        ("For the input [3, 1] it sorts, so the function returns [1, 3].", None, "[1, 3]"),
        ("The completed line is `assert f([3, 1]) == [1, 3]`.", None, "[1, 3]"),
        ("The loop ends with `count = 5`.", None, "5"),
        ("Nothing is left, so the result is an empty list.", None, "[]"),
        ("The loop never runs. Thus it returns True.", None, "true"),
        ("Hence the total is 12 + 30 = 42.", None, "42"),
        ("Gases expand. The answer is (C).", "choice", "c"),
        ("Option A is too small. So the correct option is **B**.", "choice", "b"),
        ("I would choose D because it is green.", "choice", "d"),
        ("It was built by Eiffel, so the answer is Gustave Eiffel.", None, "gustave eiffel"),
        ("Many say so. Yes, it did rain.", "yes-no", "yes"),
        ("No. It was dry all day.", "yes-no", "no"),
        ("It rained, so the answer is yes.", "yes-no", "yes"),
    ],
)
def test_prose_is_read_for_its_conclusion(prose: str, question_type: QuestionType | None, normal: str) -> None:
    found = read_answer(prose, question_type)
    assert found
    assert found.normal == normal
    assert prose.startswith("Answer:") or final_answer(prose) is None


@pytest.mark.parametrize("question_type", ["yes-no", "choice", "number", None])
def test_prose_without_a_conclusion_has_no_answer(question_type: QuestionType | None) -> None:
    assert read_answer("Opinions differ on this, as they do on much else.", question_type) is None


CITIES = ("A) Paris", "B) Rome", "C) New Rome")


@pytest.mark.parametrize(
    ("reply", "normal"),
    [
        ("Final answer: B", "b"),
        ("Final answer: (B) Rome", "b"),
        ("Final answer: Rome", "b"),
        ("Final answer: new rome", "c"),
        ("Final answer: It must be Rome", "b"),
        ("It is old. Therefore it must be Paris.", "a"),
        ("So option C fits best.", "c"),
    ],
)
def test_an_option_may_be_named_by_letter_or_by_words(reply: str, normal: str) -> None:
    found = read_answer(reply, "choice", CITIES)
    assert found
    assert found.normal == normal


def test_options_without_letters_go_by_their_words() -> None:
    options = ("Paris", "Rome")
    assert [
        found and found.normal for found in (read_answer(f"Final answer: {x}", "choice", options) for x in "AB")
    ] == [
        "paris",
        "rome",
    ]
    found = read_answer("Final answer: rome.", "choice", options)
    assert found
    assert found.normal == "rome"
    assert read_answer("Final answer: unknown", "choice", options) is None


# --- hostile replies ------------------------------------------------------------------------------------

MANY = 100_000


@pytest.mark.parametrize(
    "reply",
    [
        *(
            "[" * MANY,
            "(" * MANY,
            "f(" * MANY,
            "{'a':" * MANY,
            "'" * MANY,
            '"\\' * MANY,
            "`" * MANY,
            "*" * MANY,
            "$" * MANY,
        ),
        *("\\boxed{" * MANY, "final answer " * MANY, "Final answer:\n" * MANY, "<answer>" * MANY, '{"answer":[' * MANY),
        *(
            "1" * MANY,
            "1," * MANY,
            "1.1" * MANY,
            "1/" * MANY,
            "- " * MANY,
            " " * MANY + "x",
            "\n" * MANY,
            "the " * MANY,
        ),
        *("a" * MANY, "aB" * MANY, "= 1 " * MANY, "by ing " * MANY, "\\frac{" * MANY, "½" * MANY, "\ud800" * MANY),
        *("Final answer: " + "[" * MANY, "Final answer: " + "9" * MANY, "Final answer: " + "(a" * MANY, "is " * MANY),
        *("Final answer: " + "1 " * MANY, "Final answer: '" + "\\'" * MANY, "Final answer: " + "-+" * MANY),
    ],
    ids=lambda reply: repr(reply[:30]),
)
def test_a_hostile_reply_costs_little(reply: str) -> None:
    began = time.perf_counter()
    for question_type in TYPES:
        normalise(reply, question_type)
        final_answer(reply, question_type)
        read_answer(reply, question_type, ("a", "b"))
    assert time.perf_counter() - began < 5


# --- recorded answers of real models --------------------------------------------------------------------


def recorded(name: str) -> list[dict[str, Any]]:
    path = RECORDED / f"{name}.jsonl"
    if not path.exists():
        pytest.skip("the recorded answers are not here: they are no part of the project")
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def members(name: str) -> Iterator[tuple[str, str]]:
    """Reasoning and recorded answer; an empty text was recorded without its quotes."""
    for row in recorded(name):
        for member in row["members"].values():
            if member["answer"] is not None:
                yield member["text"], member["answer"] or "''"


SETS = pytest.mark.parametrize(
    ("name", "question_type", "prose", "flags"),
    [("gsm8k_members", "number", 0.92, 1.0), ("crux_members", None, 0.79, 0.98)],
)


@SETS
def test_recorded_answers_are_read(name: str, question_type: QuestionType | None, prose: float, flags: float) -> None:
    stated, concluded = [], []
    for text, answer in members(name):
        found = final_answer(f"{text}\n\n**Final answer:** {answer}", question_type)
        stated.append(found is not None and same(found.normal, answer))
        read = read_answer(text, question_type)
        concluded.append(read is not None and same(read.normal, answer))
    assert sum(stated) / len(stated) >= 0.99
    assert sum(concluded) / len(concluded) >= prose


@SETS
def test_recorded_flags_are_kept(name: str, question_type: QuestionType | None, prose: float, flags: float) -> None:
    """The sets compare character for character; what differs are spaces, quotes, order and zeros."""
    agree = [
        (normalise(member["answer"], question_type) == normalise(row["gold"], question_type)) == member["correct"]
        for row in recorded(name)
        for member in row["members"].values()
        if member["answer"] is not None
    ]
    assert sum(agree) / len(agree) >= flags


def test_recorded_councils_state_their_answers() -> None:
    replies = [reply for row in recorded("council_traces") for reply in row["stage1"].values()]
    for reply in replies:
        if "final answer" in reply.lower():
            assert final_answer(reply)
