import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.study.emotions import EMOTIONS, OPPOSITE, profile


def found(text: str) -> set[str]:
    return {emotion for emotion, score in profile(text).items() if score}


def padded(text: str, words: int = 100) -> str:
    return text + " table" * (words - len(text.split()))


@pytest.mark.parametrize(
    ("text", "emotion"),
    [
        ("We celebrate a wonderful result.", "joy"),
        ("They are honest and reliable.", "trust"),
        ("I am looking forward to it.", "anticipation"),
        ("That is astonishing, out of the blue.", "surprise"),
        ("I am afraid of the danger.", "fear"),
        ("A sad and tragic story of grief.", "sadness"),
        ("They were furious at the injustice.", "anger"),
        ("It is certainly so, without a doubt.", "confidence"),
        ("Perhaps; it depends.", "doubt"),
    ],
)
def test_each_emotion_has_its_words(text: str, emotion: str) -> None:
    assert found(text) == {emotion}


def test_there_are_at_least_six_dimensions_always_in_the_same_order() -> None:
    assert len(EMOTIONS) >= 6
    assert tuple(profile("")) == tuple(profile("We love it.")) == EMOTIONS


@pytest.mark.parametrize("text", ["", "   ", "nan", "x", "The derivative of x^2 is 2x.", "你好。世界", "🚀🚀", "1 2 3"])
def test_text_without_feeling_is_all_zero(text: str) -> None:
    assert found(text) == set()


@pytest.mark.parametrize(("hits", "score"), [(1, 0.283), (3, 0.632), (6, 0.865)])
def test_the_score_is_the_documented_one(hits: int, score: float) -> None:
    assert profile(padded("happy " * hits))["joy"] == score == round(1 - math.exp(-hits / 3), 3)


def test_a_short_text_counts_as_fifty_words() -> None:
    assert profile("happy") == profile(padded("happy", 50))
    assert profile("happy")["joy"] > profile(padded("happy", 51))["joy"]


def test_a_mild_word_weighs_half() -> None:
    assert profile(padded("good good"))["joy"] == profile(padded("happy"))["joy"]


def test_the_longest_listed_beginning_wins() -> None:
    assert found("It is dependable.") == {"trust"}
    assert found("It depended.") == {"doubt"}


@pytest.mark.parametrize(("emotion", "word"), [("joy", "happy"), ("trust", "safe"), ("confidence", "certainly")])
@pytest.mark.parametrize("negated", ["not {}", "isn't really {}", "isn\u2019t {}", "never quite {}"])
def test_negation_turns_a_word_round(emotion: str, word: str, negated: str) -> None:
    assert found(negated.format(word)) == {OPPOSITE[emotion]}


@pytest.mark.parametrize("text", ["I am not angry", "without danger", "no grief"])
def test_a_negated_word_without_an_opposite_says_nothing(text: str) -> None:
    assert found(text) == set()


@pytest.mark.parametrize(
    "text", ["not only happy", "not here, happy", "it is not here but happy", "not one two three happy"]
)
def test_negation_ends_with_its_clause_and_its_reach(text: str) -> None:
    assert found(text) == {"joy"}


def test_intensifiers_and_softeners_change_the_weight() -> None:
    plain, strong, soft = (profile(padded(text))["joy"] for text in ("happy", "very happy", "slightly happy"))
    assert soft < plain < strong
    assert strong == round(1 - math.exp(-1.5 / 3), 3)
    assert soft == round(1 - math.exp(-0.5 / 3), 3)


def test_a_phrase_is_read_as_a_whole() -> None:
    assert found("There is no doubt.") == {"confidence"}
    assert found("I doubt it.") == {"doubt"}


@given(
    st.text(max_size=300)
    | st.lists(st.sampled_from(["not", "very", "happy", "fear", ".", "no", "doubt"])).map(" ".join)
)
def test_scores_stay_between_zero_and_one(text: str) -> None:
    assert all(0 <= score <= 1 for score in profile(text).values())
