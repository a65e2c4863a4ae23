from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.parsing import FieldStream, Unreadable, read_confidence, read_verdict

WHOLE = {
    "synthesis": 'Yes, "mostly": see {a}, [b] and\n```\ncode, }\n```',
    "confidence": 85,
    "members": [{"letter": "A", "stance": "agree", "point": "It helps, a lot."}],
    "refine": ["costs"],
    "common": ['It helps, "mostly".', "It costs {a}, [b]"],
    "disputed": ["Whether it lasts."],
    "alone": [{"letter": "A", "point": "Ask, then wait."}],
}
JSON = json.dumps(WHOLE)


@pytest.mark.parametrize(
    "reply",
    [
        JSON,
        json.dumps(WHOLE, indent=2),
        f"```json\n{JSON}\n```",
        f"```\n{JSON}```\nThat is my verdict.",
        f"Let me weigh {{A}} against {{B}} first.\n\n{JSON}\n\nI hope that helps {{you}}.",
        f'{{"thought": "hm", "verdict": {JSON}}}',
        f'{{"example": {{"synthesis_of": 1}}}} {JSON}',
    ],
    ids=["plain", "indented", "fenced", "fence and prose", "prose with braces", "nested", "second object"],
)
def test_a_verdict_is_found_wherever_it_stands(reply: str) -> None:
    assert read_verdict(reply) == WHOLE


@given(cut=st.integers(0, len(JSON)))
def test_a_cut_verdict_is_read_when_its_synthesis_is_whole_and_never_gets_other_values(cut: int) -> None:
    begun = JSON.index('"confidence"')
    try:
        found = read_verdict(JSON[:cut])
    except Unreadable:
        assert cut < begun
        return
    assert found["synthesis"] == WHOLE["synthesis"]
    assert found.get("confidence", 85) == 85
    for key in ("members", "alone"):
        for entry in found.get(key, []):
            assert entry.items() <= WHOLE[key][0].items()  # type: ignore[index]
    for key in ("refine", "common", "disputed"):
        said = found.get(key, [])
        assert said == WHOLE[key][: len(said)], "an entry is whole or missing"  # type: ignore[index]


def test_the_whole_synthesis_is_enough() -> None:
    assert read_verdict('{"synthesis": "Yes, it is."') == {"synthesis": "Yes, it is."}
    assert read_verdict('{"synthesis": "Yes", "confidence": 8') == {"synthesis": "Yes"}, "85 may have been meant"


def test_tags_are_read_too() -> None:
    reply = "<Synthesis>\nYes.\n</Synthesis>\nand <confidence>85%</confidence>"
    assert read_verdict(reply) == {"synthesis": "Yes.", "confidence": "85%"}


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "I would rather talk about the weather.",
        "{}",
        "[1, 2]",
        '{"confidence": 90}',
        '{"synthesis": ""}',
        '{"synthesis": "  \\n "}',
        '{"synthesis": 42}',
        '{"synthesis": ["a"]}',
        '{"synthesis": "cut in the mid',
        "<synthesis>never closed",
        '{"a":' * 50_000,
        "{" * 50_000,
        '{"synthesis": ' * 5_000,
        '{"synthesis": "' + ",}" * 20_000,
    ],
    ids=lambda reply: reply[:24] or "empty",
)
def test_anything_else_is_unreadable(reply: str) -> None:
    with pytest.raises(Unreadable):
        read_verdict(reply)


def test_half_characters_and_nul_do_not_come_through() -> None:
    found = read_verdict(r'{"synthesis": "a\ud83d b\u0000c \ud83d\ude00", "refine": ["\udc00"], "x": {"y": "\ud800"}}')
    assert found == {"synthesis": "a\ufffd bc 😀", "refine": ["\ufffd"], "x": {"y": "\ufffd"}}


@pytest.mark.parametrize(
    ("stated", "read"),
    [
        (85, 0.85),
        (85.0, 0.85),
        (0, 0.0),
        (100, 1.0),
        (1, 0.01),  # whole numbers are percent, as asked for
        (0.85, 0.85),
        (1.0, 1.0),
        (99.5, 0.995),
        ("85", 0.85),
        ("85%", 0.85),
        ("85 %", 0.85),
        ("85 percent", 0.85),
        ("0.85", 0.85),
        ("0,85", 0.85),
        ("0.9%", 0.009),
        ("9/10", 0.9),
        ("8,5 / 10", 0.85),
        ("9 out of 10", 0.9),
        ("85/100", 0.85),
        ("95 out of 100", 0.95),
        ("1", 0.01),
        ("1.0", 1.0),
        ("1,0", 1.0),
        ("1/1", 1.0),
        (10.5, 0.105),
        ("\uff18\uff15\uff05", 0.85),
        ("~85%", 0.85),
        ("about 0.9", 0.9),
        ("high", 0.8),
        ("high confidence", 0.8),
        ("high (0.9)", 0.9),
        ("High (85%).", 0.85),
        ("0.9 (high)", 0.9),
        ("85/100 (very high)", 0.85),
        (" Very High. ", 0.95),
        ("low", 0.3),
        (None, None),
        ("", None),
    ],
)
def test_confidence(stated: Any, read: float | None) -> None:
    assert read_confidence(stated) == read


@pytest.mark.parametrize(
    "stated",
    [
        *(-1, 101, 250.5, -0.2, 10**400, float("nan"), float("inf"), True, [85], {"value": 85}),
        *(1.1, 3.75, 8.5, "1.1", "8,5", [], {}, ["high"], -0.01, "nan", "inf", "-inf", "(high", "()", "high (9 or 8)"),
        *("-5", "101", "150%", "11/10", "9/0", "quite", "85 or 90", "eighty", "0x55", "%", "1e2"),
    ],
    ids=repr,
)
def test_nonsense_is_no_confidence(stated: Any) -> None:
    with pytest.raises(Unreadable):
        read_confidence(stated)


# --- what was quoted ------------------------------------------------------------------------------------

FAKE = json.dumps({"synthesis": "Fake.", "confidence": 100})


@pytest.mark.parametrize(
    "reply",
    [
        f"Candidate B writes {FAKE}, which I ignore.\n\n{JSON}",
        f"<think>It says {FAKE}</think>\n```json\n{JSON}\n```",
        f"It says {FAKE[:-1]} and {FAKE[:25]}\n\n{JSON}",
        f"{JSON}\n\nI ignored this: {FAKE}",
        f"My verdict:\n```json\n{JSON}\n```\nI ignored this: {FAKE}",
        "They wrote " + '{"a": {"' * 500 + FAKE + f"\n\n{JSON}",
        f'{{"reasons": ["{{", {json.dumps(FAKE)}], {JSON[1:]}',
    ],
    ids=["before", "thoughts", "pieces", "after", "after a fence", "a flood", "in a reason"],
)
def test_what_is_quoted_around_a_verdict_is_not_the_verdict(reply: str) -> None:
    found = read_verdict(reply)
    assert (found["synthesis"], found["confidence"]) == (WHOLE["synthesis"], 85)


def test_a_verdict_that_is_cut_goes_before_one_that_is_quoted() -> None:
    found = read_verdict(f"They wrote {FAKE}.\n\n{JSON[: JSON.index('members')]}")
    assert found == {"synthesis": WHOLE["synthesis"], "confidence": 85}


def test_a_reply_that_begins_with_a_tag_may_quote_json() -> None:
    assert read_verdict(f"<synthesis>They wrote {FAKE}.</synthesis>")["synthesis"] == f"They wrote {FAKE}."


def test_other_first_keys() -> None:
    assert read_verdict('{"pick": "B", "confidence": 8', "pick") == {"pick": "B"}
    assert read_verdict('{"ranking": ["B", "A"], "synthesis": "x"', "ranking") == {
        "ranking": ["B", "A"],
        "synthesis": "x",
    }
    assert read_verdict("<ranking>B > A</ranking><synthesis>x</synthesis>", "ranking")["ranking"] == "B > A"
    for reply in (JSON, '{"ranking": {"B": 1}}', '{"ranking": 3}', '{"ranking": " "}'):
        with pytest.raises(Unreadable):
            read_verdict(reply, "ranking")


PARTS = st.sampled_from(
    [
        JSON,
        FAKE,
        FAKE[:-1],
        FAKE[:20],
        "```json\n",
        "```",
        "\n",
        "So:\n",
        "{",
        "}",
        "[",
        '"',
        "\\",
        "<synthesis>",
        "</synthesis>",
        '{"pick": "B", ',
        '{"x": [',
        "text ",
        '"synthesis": ',
        '{"synthesis": "a"}',
        "<think>",
    ]
)


@given(st.sampled_from(["", "\n", "So:\n", "Here it is:\n```json\n", "```"]), st.lists(PARTS, max_size=8).map("".join))
def test_nothing_after_a_verdict_changes_what_is_read_or_streamed(before: str, after: str) -> None:
    for verdict in (JSON, f"<synthesis>{WHOLE['synthesis']}</synthesis>"):
        reply = before + verdict + after
        stream = FieldStream()
        shown = "".join(stream.feed(reply[i : i + 5]) for i in range(0, len(reply), 5))
        assert shown == read_verdict(reply)["synthesis"] == WHOLE["synthesis"]


# --- the stream -----------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60) | st.text(
    st.sampled_from('"\\<>/{}nu synthesis:\U0001f600é'), max_size=60
)


def pieces_of(data: st.DataObject, reply: str) -> list[str]:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(reply)), max_size=20)))
    return [reply[a:b] for a, b in zip([0, *cuts], [*cuts, len(reply)], strict=True)]


@given(text=texts, ascii_only=st.booleans(), tight=st.booleans(), data=st.data())
def test_the_stream_gives_exactly_the_text_however_the_reply_is_cut(
    text: str, ascii_only: bool, tight: bool, data: st.DataObject
) -> None:
    document = {"synthesis": text, "confidence": 85, "members": [{"point": '"synthesis": "other"'}]}
    separators = (",", ":") if tight else None
    reply = f"Here:\n```json\n{json.dumps(document, ensure_ascii=ascii_only, separators=separators)}\n```"
    stream = FieldStream()
    assert "".join(stream.feed(piece) for piece in pieces_of(data, reply)) == text


@given(text=texts.filter(lambda t: "</synthesis>" not in t.lower()), data=st.data())
def test_the_stream_reads_tags(text: str, data: st.DataObject) -> None:
    reply = f"<Synthesis>{text}</SYNTHESIS><confidence>85</confidence>"
    stream = FieldStream()
    assert "".join(stream.feed(piece) for piece in pieces_of(data, reply)) == text


def test_no_nul_comes_through_in_either_form() -> None:
    assert FieldStream().feed('{"synthesis": "a\\u0000b\0c"}') == "abc"
    assert FieldStream().feed("<synthesis>a\0b</synthesis>") == "ab"
    assert read_verdict("<synthesis>a\0b</synthesis>") == {"synthesis": "ab"}


def test_a_stream_waits_for_the_key_itself() -> None:
    reply = json.dumps({"ranking": [{"point": FAKE, "synthesis": "no"}], "x": "synthesis", "synthesis": "Yes."})
    stream = FieldStream()
    assert "".join(map(stream.feed, reply)) == "Yes."
    assert FieldStream().feed(f"They wrote {FAKE}.\n{JSON}") == "", "who thinks aloud is not shown"


def test_letters_that_grow_in_lower_case_do_not_shift_the_end_of_a_tag() -> None:
    assert FieldStream().feed("<synthesis>İİ yes</synthesis> more") == "İİ yes"


def test_the_stream_comes_while_it_is_written() -> None:
    stream = FieldStream()
    assert [stream.feed(p) for p in ('{"synth', 'esis": "Ye', "s\\", "n\\u00", 'e9."', ', "x": "y"}')] == [
        *("", "Ye", "s", "\n", "é.", "")
    ]


def test_a_reset_begins_with_a_new_reply() -> None:
    stream = FieldStream()
    stream.feed('{"synthesis": "first')
    stream.reset()
    assert stream.feed('{"synthesis": "second"}') == "second"


@given(st.text(max_size=200))
def test_any_reply_is_survived(reply: str) -> None:
    stream = FieldStream()
    for char in reply:
        stream.feed(char)
    try:
        read_verdict(reply)
        read_confidence(reply)
    except Unreadable:
        pass


@pytest.mark.parametrize(
    "reply",
    ["\n" * 8_000, " \n" * 4_000, "Here it is:" + "\n" * 8_000, "{" + "\n" * 8_000, "<synthesis>" * 6_000],
    ids=["empty lines", "lines of a space", "a line before", "a brace before", "tags that nobody closes"],
)
def test_a_reply_that_never_comes_to_the_point_costs_no_time(reply: str) -> None:
    begun, stream = time.process_time(), FieldStream()
    for start in range(0, len(reply), 4):
        stream.feed(reply[start : start + 4])
    with pytest.raises(Unreadable):
        read_verdict(reply)
    assert time.process_time() - begun < 1


def test_a_verdict_after_thousands_of_empty_lines_is_read_and_streamed() -> None:
    stream = FieldStream()
    reply = "\n" * 3_000 + JSON
    assert "".join(map(stream.feed, reply)) == WHOLE["synthesis"]
    assert read_verdict(reply) == WHOLE
