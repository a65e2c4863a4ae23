"""Cards, replies and forms as Block Kit: whatever is in them, the strict workspace takes them as they are meant."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
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

PIECES = st.sampled_from(
    [
        *("`", "``", "```", "````", "~~~", "```py\nx = 1\n```\n", "\n", "\n\n", " ", "    ", "> ", "- ", "# ", "1. "),
        *(
            "| a | b |\n|---|---|\n| 1 | 2 |\n",
            "<!channel>",
            "<!here|here>",
            "<@U0ALICE001>",
            "@everyone",
            "<!subteam^S1>",
        ),
        *("[good.com](https://evil.com)", "<https://evil.com|x>", "[x]: https://evil.com", "](", "&", "&lt;", "<", ">"),
        *(
            "$x^2$",
            "$$\\frac{a}{b}$$",
            "\\(\\sqrt{2}\\)",
            "$5 and $6",
            "\\[ \\sum_i x_i \\]",
            "$",
            "**",
            "*",
            "_",
            "\\",
        ),
        *(
            "שלום עולם",
            "مرحبا",
            "日本語のテキスト",
            "👩‍👩‍👧‍👦",
            "🇩🇪",
            "\u200b",
            "\u200d",
            "\u2060",
            "\u202e",
            "\x00",
            "\u2028",
        ),
        *("word ", "a long line of words that goes on and on " * 40, "x" * 3_000, "&" * 900, "<" * 700),
    ]
)
TEXT = st.lists(PIECES, max_size=14).map("".join) | st.text(max_size=200)
LABEL = TEXT.map(lambda text: text[:40] or "x")
ACTION = st.sampled_from(["answers:r1", "delete:r1:1", "remove:x", "forget-me:1", "nosuch:1", "x" * 100, "resize:r:1"])
BUTTON = st.builds(
    Button,
    label=LABEL,
    action=ACTION,
    style=st.sampled_from(["plain", "primary", "danger"]),
    emoji=st.sampled_from(["", "👍"]),
)
ROWS = st.lists(st.lists(BUTTON, max_size=5).map(tuple), max_size=6).map(tuple)
CARD = st.builds(
    Card,
    tone=st.sampled_from(Tone),
    status=TEXT,
    body=TEXT | st.integers(1, 9).flatmap(lambda n: TEXT.map(lambda text: f"{text}\n\n" * n)),
    sections=st.lists(
        st.builds(Section, title=LABEL, lines=st.lists(TEXT, max_size=4).map(tuple)), max_size=4
    ).map(tuple),
    footer=st.lists(TEXT, max_size=4).map(tuple),
    buttons=ROWS,
    good=st.none() | BUTTON,
    bad=st.none() | BUTTON,
)  # fmt: skip


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


@settings(max_examples=2_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(CARD)
def test_every_card_passes_the_strict_workspace(card: Card) -> None:
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


def test_what_cannot_be_taken_back_is_asked_twice() -> None:
    def asked(button: Button) -> bool:
        block = pages(Card(body="x", buttons=((button,),)))[0].blocks[-1]
        return "confirm" in block["elements"][0]

    assert asked(Button(label="Delete", action="delete:r1:1", style="danger"))
    assert asked(Button(label="Remove", action="remove:x", style="danger"))
    assert not asked(Button(label="Delete", action="delete:r1", style="danger")), "that asks by itself"
    assert not asked(Button(label="Stop", action="stop:r1", style="danger"))


def test_feedback_has_buttons_of_its_own() -> None:
    good, bad = Button(label="Good", action="feedback:r:1"), Button(label="Bad", action="feedback:r:0")
    [block] = [b for b in pages(Card(body="x", good=good, bad=bad))[-1].blocks if b["type"] == "context_actions"]
    [element] = block["elements"]
    assert element["positive_button"]["value"] == "feedback:r:1"
    assert element["negative_button"]["value"] == "feedback:r:0"


# --- forms ------------------------------------------------------------------------------------------------

OPTION = st.builds(
    Option, value=st.text(max_size=60), label=TEXT.map(lambda t: t[:75]), about=TEXT.map(lambda t: t[:90])
)
INPUT = st.builds(
    Input,
    name=st.text("abcdefgh", min_size=1, max_size=20),
    label=LABEL,
    kind=st.sampled_from(["line", "lines", "choice", "choices"]),
    value=st.lists(TEXT, max_size=2).map(tuple),
    options=st.lists(OPTION, max_size=12, unique_by=lambda o: o.value).map(tuple),
    required=st.booleans(),
    hint=TEXT.map(lambda t: t[:200]),
    max_length=st.sampled_from([1, 300, 5_000]),
)
FORM = st.builds(
    Form,
    action=ACTION,
    title=LABEL,
    inputs=st.lists(INPUT, min_size=1, max_size=5, unique_by=lambda i: i.name).map(tuple),
    submit=LABEL,
    intro=TEXT,
)


def views(clock: Clock = lambda: 0.0) -> ViewMethods:
    journal = Journal(clock)
    return ViewMethods(Workspace(journal, clock, ()), 3.0)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(FORM)
def test_every_form_can_be_opened(form: Form) -> None:
    methods = views()
    view = form_view(form, {"channel": "C1", "thread": "1.0"})
    methods.open({"trigger_id": methods.issue_trigger("U0ALICE001"), "view": view})
    assert input_names(view) == {field.name for field in form.inputs}


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(TEXT, ROWS)
def test_every_reply_can_stand_in_the_home(text: str, rows: tuple[tuple[Button, ...], ...]) -> None:
    views().publish({"user_id": "U0ALICE001", "view": home_view(Reply(text=text[:20_000], buttons=rows))})


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
