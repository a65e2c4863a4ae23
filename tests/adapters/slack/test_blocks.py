"""Cards, replies and forms as Block Kit: whatever is in them, the strict workspace takes them as they are meant."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from adapters.slack import limits
from adapters.slack.api import Api, Spot
from adapters.slack.blocks import Page, filled_in, form_view, home_view, input_names, pages, plain_text
from core.cards import Button, Card, Form, Input, Option, Reply, Section, Tone
from tests.emulators.slack import SlackEmulator
from tests.emulators.slack.blocks import check_blocks, texts
from tests.emulators.slack.content import Content, lint
from tests.emulators.slack.inputs import initial_state
from tests.emulators.slack.journal import Clock, Journal
from tests.emulators.slack.views import ViewMethods
from tests.emulators.slack.workspace import Workspace

PIECES = (
    *("`", "``", "```", "````", "~~~", "```py\nx = 1\n```\n", "\n", "\n\n", " ", "    ", "> ", "- ", "# ", "1. "),
    *("| a | b |\n|---|---|\n| 1 | 2 |\n", "<!channel>", "<!here|here>", "<@U0ALICE001>", "@everyone", "<!subteam^S1>"),
    *("[good.com](https://evil.com)", "<https://evil.com|x>", "[x]: https://evil.com", "](", "&", "&lt;", "<", ">"),
    *("$x^2$", "$$\\frac{a}{b}$$", "\\(\\sqrt{2}\\)", "$5 and $6", "\\[ \\sum_i x_i \\]", "$", "**", "*", "_", "\\"),
    *(
        "שלום עולם",
        "مرحبا",
        "日本語のテキスト",
        "👩\u200d👩\u200d👧",
        "🇩🇪",
        "\u200b",
        "\u2060",
        "\u202e",
        "\x00",
        "\u2028",
    ),
    *("word ", "a line of words that goes on and on, ", "x" * 90, "&" * 70, "<" * 50),
)
LONG = ("word " * 2_500, "x" * 12_500, "&" * 3_000, "```\n" + "code()\n" * 1_800 + "```\n", "| a | b |\n" * 1_200)
ACTIONS = ("answers:r1", "delete:r1:1", "remove:x", "forget-me:1", "nosuch:1", "x" * 100, "resize:r:1")


def some_text(rng: Random, most: int = 12) -> str:
    """A text of whatever may come in one, or of characters at random."""
    if not rng.randrange(6):
        return "".join(
            chr(rng.choice((rng.randrange(32, 127), rng.randrange(0x20, 0xD7FF)))) for _ in range(rng.randrange(80))
        )
    return "".join(rng.choice(PIECES) for _ in range(rng.randrange(most)))


def some_button(rng: Random) -> Button:
    style: Any = rng.choice(("plain", "primary", "danger"))
    label = some_text(rng)[:40] or "x"
    return Button(label=label, action=rng.choice(ACTIONS), style=style, emoji=rng.choice(("", "👍")))


def some_rows(rng: Random) -> tuple[tuple[Button, ...], ...]:
    return tuple(tuple(some_button(rng) for _ in range(rng.randrange(6))) for _ in range(rng.choice((0, 1, 1, 2, 6))))


def some_card(rng: Random) -> Card:
    body = some_text(rng, 40)
    if not rng.randrange(12):
        body += rng.choice(LONG) + some_text(rng)
    return Card(
        tone=rng.choice(list(Tone)),
        status=some_text(rng) * rng.choice((0, 1, 1, 9)),
        body=body,
        sections=tuple(
            Section(title=some_text(rng, 3), lines=tuple(some_text(rng) for _ in range(rng.randrange(4))))
            for _ in range(rng.randrange(4))
        ),
        footer=tuple(some_text(rng) for _ in range(rng.randrange(4))),
        buttons=some_rows(rng),
        good=some_button(rng) if rng.randrange(3) else None,
        bad=some_button(rng) if rng.randrange(3) else None,
    )


def faults(page: Page) -> list[str]:
    """What the strict workspace would hold against a message. Raises what it would refuse it with."""
    journal = Journal(lambda: 0.0)
    content = page.content()
    check_blocks(content["blocks"], lambda file: False)
    lint(Content(content["text"], content["blocks"] or None), {}, journal, "test")
    for text in page.texts():
        assert 0 < len(text["text"]) <= limits.TEXT
        lint(Content(text["text"]), {}, journal, "test")
    return [f"{fault.kind}: {fault.detail}" for fault in journal.violations]


def alive(page: Page) -> list[str]:
    """Mentions and foreign links that Slack would honour."""
    marked = [text for kind, text in texts(list(page.blocks)) if kind != "plain"]
    return [text for text in marked if "<@" in text or "<!" in text or "<#" in text]


@pytest.mark.parametrize("seed", range(10))
def test_every_card_passes_the_strict_workspace(seed: int) -> None:
    rng = Random(seed)
    for _ in range(200):
        check_card(some_card(rng))


def check_card(card: Card) -> None:
    made = pages(card)
    for page in made:
        assert faults(page) == []
        assert alive(page) == []
    for page in made[:-1]:
        assert not [b for b in page.blocks if b["type"] in ("actions", "context_actions")], "buttons are on the last"
    shown = [element for block in made[-1].blocks if block["type"] == "actions" for element in block["elements"]]
    assert len(shown) == sum(map(len, card.buttons)) + ((card.good is None) != (card.bad is None))


@pytest.fixture
async def slack() -> AsyncIterator[SlackEmulator]:
    async with SlackEmulator(rates=False, echo=False) as emulator:
        yield emulator


async def test_cards_stand_in_a_channel_as_they_were_made(slack: SlackEmulator) -> None:
    bodies = [
        "short",
        "word " * 9_000,
        "```py\n" + "x = 1\n" * 6_000 + "```",
        "| a | b |\n|---|---|\n| $x^2$ | <@U1> |",
    ]
    rows = ((Button(label="Delete", action="remove:x", style="danger"), Button(label="Help", action="help")),)
    async with aiohttp.ClientSession() as session:
        client = AsyncWebClient(slack.bot_token, slack.api_url, session=session)
        api = Api(client, session, slack.bot_id, ())
        for number, body in enumerate(bodies):
            made = pages(Card(tone=Tone.SURE, status="3 of 3 agree", body=body, footer=("small",), buttons=rows))
            for part, page in enumerate(made):
                ts = await api.post_once(Spot(f"r{number}", slack.channel, None, 0.0), str(part), page.content())
            await slack.click(slack.channel, ts, "remove:x")
    assert len(slack.messages(by_bot=True)) > len(bodies)
    whole = "".join(text for m in slack.messages(by_bot=True) for _, text in texts(m.blocks))
    assert whole.count("word") == 9_000
    assert whole.count("x = 1\n") >= 5_999
    assert "x²" in whole
    slack.assert_clean(*["undelivered"] * len(bodies))


def test_feedback_has_buttons_of_its_own() -> None:
    good, bad = Button(label="Good", action="feedback:r:1"), Button(label="Bad", action="feedback:r:0")
    [block] = [b for b in pages(Card(body="x", good=good, bad=bad))[-1].blocks if b["type"] == "context_actions"]
    [element] = block["elements"]
    assert element["positive_button"]["value"] == "feedback:r:1"
    assert element["negative_button"]["value"] == "feedback:r:0"


# --- forms ------------------------------------------------------------------------------------------------


def some_form(rng: Random) -> Form:
    values = [f"v{n}" * rng.randrange(20) for n in range(rng.randrange(12))]
    fields = tuple(
        Input(
            name=f"field{number}",
            label=some_text(rng)[:40],
            kind=rng.choice(("line", "lines", "choice", "choices")),
            value=tuple(rng.choice((some_text(rng), *values)) for _ in range(rng.randrange(3))),
            options=tuple(
                Option(value=value, label=some_text(rng)[:75], about=some_text(rng)[:90]) for value in set(values)
            ),
            required=rng.random() < 0.5,
            hint=some_text(rng)[:200],
            max_length=rng.choice((1, 300, 5_000)),
        )
        for number in range(rng.randrange(1, 6))
    )
    return Form(
        action=rng.choice(ACTIONS),
        title=some_text(rng, 4),
        inputs=fields,
        submit=some_text(rng, 3),
        intro=some_text(rng),
    )


def views(clock: Clock = lambda: 0.0) -> ViewMethods:
    journal = Journal(clock)
    return ViewMethods(Workspace(journal, clock, ()), 3.0)


def test_every_form_can_be_opened() -> None:
    rng = Random(1)
    for _ in range(200):
        methods, form = views(), some_form(rng)
        view = form_view(form, {"channel": "C1", "thread": "1.0"})
        methods.open({"trigger_id": methods.issue_trigger("U0ALICE001"), "view": view})
        assert input_names(view) == [field.name for field in form.inputs]


def test_every_reply_can_stand_in_the_home() -> None:
    rng = Random(2)
    for _ in range(100):
        reply = Reply(text=some_card(rng).body[:20_000], buttons=some_rows(rng))
        views().publish({"user_id": "U0ALICE001", "view": home_view(reply)})


def test_what_is_filled_in_comes_back_by_name() -> None:
    options = (Option(value="", label="Whatever fits"), Option(value="a", label="A"), Option(value="b", label="B"))
    form = Form(
        action="save",
        title="Save",
        inputs=(
            Input(name="name", label="Name", kind="line", value=("ethics",)),
            Input(name="empty", label="Empty", kind="lines"),
            Input(name="one", label="One", kind="choice", options=options, value=("",)),
            Input(name="many", label="Many", kind="choices", options=options, value=("a", "b")),
            Input(name="none", label="None", kind="choice", options=options),
        ),
    )
    view: dict[str, Any] = form_view(form, {"channel": "C1"})
    view["state"] = {"values": initial_state(view["blocks"])}
    assert filled_in(view) == {"name": ("ethics",), "empty": (), "one": ("",), "many": ("a", "b"), "none": ()}
    assert json.loads(view["private_metadata"]) == {"channel": "C1", "action": "save"}


def test_many_options_come_in_groups_and_what_no_menu_holds_is_typed() -> None:
    many = tuple(Option(value=f"m{n}", label=f"Model {n}") for n in range(250))
    [block] = form_view(Form(action="save", title="Save", inputs=(field(many),)), {})["blocks"]
    assert [len(group["options"]) for group in block["element"]["option_groups"]] == [100, 100, 50]
    long = (Option(value="x" * 151, label="Too long"),)
    [block] = form_view(Form(action="save", title="Save", inputs=(field(long),)), {})["blocks"]
    assert block["element"]["type"] == "plain_text_input"


def field(options: tuple[Option, ...]) -> Input:
    return Input(name="members", label="Members", kind="choices", options=options)


def test_labels_are_cut_visibly() -> None:
    assert plain_text("a\n b", 75)["text"] == "a b"
    assert plain_text("x" * 80, 75)["text"] == "x" * 74 + "…"
