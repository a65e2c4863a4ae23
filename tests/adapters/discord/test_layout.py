"""Cards and replies as Discord's messages: whatever is in them, Discord takes them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.discord import limits
from adapters.discord.layout import COLOURS, Page, card_pages, few, mark, reply_pages, short_page
from core.cards import Button, Card, Reply, Section, Tone
from core.types import Chart
from tests.adapters.discord.test_render import dangers
from tests.emulators.discord.errors import ApiError
from tests.emulators.discord.schema import contract
from tests.emulators.discord.validation import Submission, Upload, check_message, walk

ROUTE = "POST /channels/{channel_id}/messages"
PNG = b"\x89PNG\r\n\x1a\n"

PIECES = [
    *(
        "word ",
        "A longer sentence with some words in it. ",
        "\n",
        "\n\n",
        "x" * 900,
        "y " * 700,
        "\u200b",
        "\u2060",
    ),
    *(
        "日本語の文。",
        "漢" * 800,
        "🎉",
        "👩‍👩‍👧‍👦" * 120,
        "مرحبا بالعالم ",
        "\u202eabc\u202c",
        "e\u0301" * 300,
        "\x1e",
        "\x00",
    ),
    *(
        "```py\n",
        "\n```\n",
        "`",
        "~~~\n",
        "| a | b |\n|---|---|\n| c | d |\n",
        "- item\n",
        "1. first\n",
        "> quoted\n",
    ),
    *(
        "# Head\n",
        "-# small\n",
        "@everyone ",
        "<@123>",
        "<#7>",
        "[text](https://evil.example)",
        "discord.gg/abc",
        "||",
    ),
    *(r"$\frac{a}{b}$ ", r"$$\sum_{i=0}^n x_i$$", r"\[ \sqrt{2} \]", "$5 and $6 ", "\\", "**bold** ", "\r\n"),
]
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=6)), max_size=14).map("".join)
LINES = TEXTS.map(lambda text: " ".join(text.split()))
ACTIONS = st.integers(0, 10**9).map(lambda number: f"answers:{number}" if number % 3 else "x" * 90 + str(number))
BUTTONS = st.builds(
    Button,
    label=st.sampled_from(["Answers", "日本" * 20, "🎉" * 40, "x" * 40]),
    action=ACTIONS,
    style=st.sampled_from(["plain", "primary", "danger"]),
    emoji=st.sampled_from(["", "👍", "👎"]),
)
ROWS = st.lists(st.lists(BUTTONS, max_size=7).map(tuple), max_size=8).map(tuple)
CARDS = st.builds(
    Card,
    tone=st.sampled_from(list(Tone)),
    status=LINES,
    body=TEXTS,
    sections=st.lists(
        st.builds(Section, title=st.text(max_size=20), lines=st.lists(LINES, max_size=5).map(tuple)), max_size=4
    ).map(tuple),
    footer=st.lists(LINES, max_size=3).map(tuple),
    buttons=ROWS,
    good=st.none() | BUTTONS,
    bad=st.none() | BUTTONS,
)
CHART = Chart(kind="heatmap", png=PNG, alt="1.0 " * 400, width=1, height=1)


def body_of(page: Page) -> tuple[dict[str, Any], tuple[Upload, ...]]:
    """The request that posts a page."""
    files = [enclosure.file() for enclosure in page.enclosures]
    body = {
        "components": page.view(mark("run", "answer 0")).to_components(),  # type: ignore[no-untyped-call]  # the library leaves it so
        "flags": 1 << 15,
        "attachments": [file.to_dict(number) for number, file in enumerate(files)],
        "allowed_mentions": {"parse": []},
    }
    return body, tuple(Upload(n, file.filename, PNG) for n, file in enumerate(files))


def problems(page: Page, *, described: bool = False) -> Iterator[str]:
    """What Discord's rules and our own promises say against a page; with ``described`` its description of the route
    too, which takes ten times as long."""
    body, uploads = body_of(page)
    if described:
        yield from map(str, contract().request_errors(ROUTE, body))
        yield from contract().unknown_fields(ROUTE, body)
    try:
        check_message(Submission(body, uploads), None)
    except ApiError as error:
        yield str(error.__dict__)
    parts = [part for _, part in walk(body["components"])]
    if not any(part["type"] in (2, 10, 12) for part in parts):
        yield "an empty message"
    yield from (
        f"row of {len(p['components'])}" for p in parts if p["type"] == 1 and not 1 <= len(p["components"]) <= 5
    )
    yield from (p["custom_id"] for p in parts if p["type"] == 2 and not 1 <= len(p["custom_id"]) <= 100)
    yield from (p["label"] for p in parts if p["type"] == 2 and not 1 <= len(p["label"]) <= 80)
    for text in (part["content"] for part in parts if part["type"] == 10):
        yield from dangers(text)
        if not text.strip() or text.count("```") % 2:
            yield f"not whole: {text!r}"


def faults(pages: Sequence[Page], *, described: bool = False) -> list[str]:
    return [problem for page in pages for problem in problems(page, described=described)]


CALM = [HealthCheck.too_slow, HealthCheck.data_too_large]


def random_card(rng: random.Random) -> Card:
    """A card of random pieces; Hypothesis makes better ones, a hundred times as slowly."""

    def text(most: int) -> str:
        return "".join(rng.choice(PIECES) for _ in range(rng.randint(0, most)))

    def button() -> Button:
        return Button(label=rng.choice(["Answers", "日本" * 20, "🎉" * 40]), action=f"answers:{rng.randrange(9**9)}")

    return Card(
        tone=rng.choice(list(Tone)),
        status=text(3),
        body=text(14),
        sections=tuple(
            Section(title=text(1), lines=tuple(text(4) for _ in range(rng.randint(0, 5))))
            for _ in range(rng.randint(0, 4))
        ),
        footer=tuple(text(3) for _ in range(rng.randint(0, 3))),
        buttons=tuple(tuple(button() for _ in range(rng.randint(0, 7))) for _ in range(rng.randint(0, 7))),
        good=button(),
        bad=button(),
    )


def check_card(card: Card, note: str) -> None:
    pages = card_pages(card, lead="> Why?", note=note)
    assert faults(pages) == []
    wanted = {b.action for row in card.buttons for b in row} | {b.action for b in (card.good, card.bad) if b}
    assert sorted(b.action for page in pages for row in page.rows for b in row) == sorted(wanted), "every button once"


@pytest.mark.parametrize("seed", range(4))
async def test_discord_takes_two_thousand_cards(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(500):
        check_card(random_card(rng), rng.choice(PIECES))


@settings(max_examples=100, deadline=None, suppress_health_check=CALM)
@given(CARDS, LINES)
async def test_discord_takes_every_card(card: Card, note: str) -> None:
    check_card(card, note)


@settings(max_examples=20, deadline=None, suppress_health_check=CALM)
@given(CARDS)
async def test_discord_describes_what_we_send(card: Card) -> None:
    pages = card_pages(card)
    assert faults([short_page(card, note="a note"), *few(pages, 2)], described=True) == []


@settings(max_examples=50, deadline=None, suppress_health_check=CALM)
@given(TEXTS, ROWS, st.sampled_from([None, "charts-1f", "a/b c"]), st.booleans())
async def test_discord_takes_every_reply(text: str, rows: Any, key: str | None, pictures: bool) -> None:
    reply = Reply(text=text, buttons=rows, pictures=(CHART,) if pictures else (), key=key)
    assert faults(reply_pages(reply), described=not rows) == []


async def test_a_card_reads_from_top_to_bottom() -> None:
    card = Card(
        tone=Tone.SURE,
        status="3 of 3 agree",
        body=r"It is $x^2$.",
        sections=(Section(title="All say", lines=("one", "two")),),
        footer=("consortium default · run 1", "a note"),
        buttons=((Button(label="Answers", action="answers:1"),),),
        good=Button(label="Good answer", action="feedback:1:1", emoji="👍"),
        bad=Button(label="Bad answer", action="feedback:1:0", emoji="👎"),
    )
    [page] = card_pages(card, note="no thread")
    assert page.texts == (
        "**3 of 3 agree**\n\nIt is x².",
        "**All say**\n- one\n- two",
        "-# consortium default · run 1\n-# a note\n-# no thread",
    )
    assert page.colour == COLOURS[Tone.SURE]
    assert [[button.label for button in row] for row in page.rows] == [["Answers"], ["Good answer", "Bad answer"]]


async def test_buttons_stand_on_the_last_message() -> None:
    first, second = card_pages(Card(body="words " * 900, buttons=((Button(label="Go", action="go"),),)))
    assert first.rows == ()
    assert second.rows[0][0].action == "go"


async def test_too_many_buttons_go_on_below() -> None:
    rows = tuple(tuple(Button(label=f"{r}{c}", action=f"{r}:{c}") for c in range(7)) for r in range(5))
    first, second = reply_pages(Reply(text="Choose.", buttons=rows))
    assert [len(row) for row in first.rows] == [5, 2, 5, 2, 5]
    assert second.texts == ()
    assert [len(row) for row in second.rows] == [2, 5, 2, 5, 2]


@pytest.mark.parametrize("many", [1, 5, 6])
async def test_what_does_not_fit_is_said_to_be_left_out(many: int) -> None:
    pages = [Page((f"text {n}",)) for n in range(many)]
    kept = few(pages, 5)
    assert len(kept) == min(many, 5)
    assert kept[-1].texts[-1] == f"text {many - 1}"
    assert any("Not all of it" in text for page in kept for text in page.texts) == (many > 5)


def test_numbers_of_messages_differ_and_are_what_discord_takes() -> None:
    numbers = {mark("run", f"answer {n}") for n in range(1000)} | {mark(f"run {n}", "progress") for n in range(1000)}
    assert len(numbers) == 2000
    assert all(0 < number < 2**31 for number in numbers)


def test_a_message_is_heavier_than_its_letters_only_where_bytes_are_many() -> None:
    assert limits.weight("abc" * 100) == 300
    assert limits.weight("日" * 100) == 120
    assert limits.weight("🎉" * 100) == 200
