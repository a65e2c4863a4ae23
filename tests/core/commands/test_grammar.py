from __future__ import annotations

import time
from contextlib import suppress
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.catalog import BUILT_IN_ROLES
from core.commands import actions
from core.commands.actions import encode, submitted
from core.commands.grammar import ADDRESSED, COMMANDS, USAGES, help_text, parse, parse_message, split_roles
from core.commands.values import (
    AskCommand,
    AssignRole,
    ChangeAccess,
    ChannelDefault,
    ClearRoles,
    Command,
    FeedbackReason,
    HelpCommand,
    HistoryCommand,
    LeaderboardCommand,
    ModelsCommand,
    ResetModel,
    RolesCommand,
    SaveConsortium,
    SetBudget,
    SetConfirmation,
    SetRetention,
    SetStrategy,
    SettingsCommand,
    SetType,
    ShuffleRoles,
    StopCommand,
    UseConsortium,
)
from core.errors import BadInput, Refused, UnknownCommand

QUESTION = "Should remote work be the default?"


@pytest.mark.parametrize(
    ("typed", "command"),
    [
        ("", HelpCommand()),
        ("help", HelpCommand()),
        ("HELP roles", HelpCommand(topic="roles")),
        (f"ask {QUESTION}", AskCommand(text=QUESTION)),
        (f"Ask   {QUESTION}  ", AskCommand(text=QUESTION)),
        (f'ask "{QUESTION}"', AskCommand(text=QUESTION)),
        (f"ask “{QUESTION}”", AskCommand(text=QUESTION)),
        ('ask "yes" or "no"', AskCommand(text='"yes" or "no"')),
        (f"ask\n{QUESTION}", AskCommand(text=QUESTION)),
        ("ask\tWhy?\n\n```\ncode  with  spaces\n```", AskCommand(text="Why?\n\n```\ncode  with  spaces\n```")),
        (QUESTION, AskCommand(text=QUESTION)),
        ("ask --consortium quick Why now?", AskCommand(text="Why now?", consortium="quick")),
        ("ask --consortium=quick Why now?", AskCommand(text="Why now?", consortium="quick")),
        ("ask —domain policy Why now?", AskCommand(text="Why now?", domain="policy")),  # as phones write it
        ("ask --no-charts\nWhy now?", AskCommand(text="Why now?", charts=False)),
        (
            "ask --no-charts --domain policy --consortium quick Why --domain?",
            AskCommand(text="Why --domain?", charts=False, domain="policy", consortium="quick"),
        ),
        ("ask -5 + 3 is what?", AskCommand(text="-5 + 3 is what?")),
        ("history", HistoryCommand()),
        ("history 3", HistoryCommand(page=3)),
        ("history remote work 2", HistoryCommand(search="remote work", page=2)),
        ('history "8 days"', HistoryCommand(search="8 days")),
        ("stop it", StopCommand()),
        ("stop `r1`", StopCommand(run="r1")),
        ("help me", HelpCommand()),
        ("type yes/no", SetType(question_type="yes-no")),
        ("use off", UseConsortium()),
        ("use None", UseConsortium()),
        ("use default", UseConsortium(name="default")),
        ("strategy default", SetStrategy(name="default")),
        ("leaderboard default", LeaderboardCommand(consortium="default")),
        ("channel-default default", ChannelDefault(name="default")),
        ("type none", SetType()),
        ("save ethics", SaveConsortium(name="ethics")),
        (
            "save ethics llama, qwen:2 —strategy voting --rounds 1-3",
            SaveConsortium(name="ethics", members=("llama", "qwen:2"), strategy="voting", limits="rounds 1-3"),
        ),
        ("ask --models a,b:2 --arbiter j Why now?", AskCommand(text="Why now?", models=("a", "b:2"), arbiter="j")),
        ("budget user day $1_200.50 @ana", SetBudget(scope="user", period="day", dollars=1200.5, subject="@ana")),
        ("budget channel month 20k tokens", SetBudget(scope="channel", period="month", tokens=20_000)),
        ("budget confirm off", SetConfirmation()),
        ("budget confirm $0.50 50000 tokens", SetConfirmation(dollars=0.5, tokens=50_000)),
        ("budget confirm 50k tokens, $1", SetConfirmation(dollars=1, tokens=50_000)),
        (
            "budget user day $5 and 20000 tokens @ana",
            SetBudget(scope="user", period="day", dollars=5, tokens=20_000, subject="@ana"),
        ),
        ("budget user day 20000 4711", SetBudget(scope="user", period="day", tokens=20_000, subject="4711")),
        ("retention 90 days", SetRetention(days=90)),
        ("models reset llama", ResetModel(model="llama")),
        # Words that are nearly a command, at the head of a question:
        ("Used cars or new ones?", AskCommand(text="Used cars or new ones?")),
        ("Uses of silver in medicine today", AskCommand(text="Uses of silver in medicine today")),
        ("Task force or committee, which?", AskCommand(text="Task force or committee, which?")),
        ("roles", RolesCommand()),
        ("roles list", RolesCommand()),
        ("roles assign llama Virtue Ethicist", AssignRole(model="llama", role="Virtue Ethicist")),
        ('roles  assign  llama  "a tired nurse"', AssignRole(model="llama", role="a tired nurse")),
        ("roles clear", ClearRoles()),
        ("roles clear llama", ClearRoles(model="llama")),
        ("roles shuffle Utilitarian, Rawlsian", ShuffleRoles(roles="Utilitarian, Rawlsian")),
        ("models", ModelsCommand()),
    ],
)
def test_what_is_typed_becomes_a_command(typed: str, command: Command) -> None:
    assert parse(typed) == command


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("ask", "There is no question"),
        ("ask --no-charts", "There is no question"),
        ('ask ""', "There is no question"),
        ("ask --consortium", "`--consortium` needs a value behind it"),
        ("ask --color red Why?", "it has `--consortium`, `--domain`"),
        ("ask --type essay Why?", "there are `open`, `yes-no`, `choice` and `number`"),
        ("history 0", "write `history` or `history 2`"),
        ("history 99999", "is not a page"),
        ("audit 99999999999999999999", "is not a page"),
        ("stop r1 r2", "`stop` and a run's id"),
        ("show", "e.g. `show ethics`"),
        ("save --strategy voting", "Write the name first"),
        ("save ethics --strategy voting", "Name the members too"),
        ("budget user day much", "`$5 20000 tokens` or `off`"),
        ("budget user day $5 $6", "at the most"),
        ("budget user day 1.2.3 dollars", "is no amount"),
        ("budget user day 9999999999999999 tokens", "at most 12 digits"),
        ("budget workspace day $5 @ana", "name nobody"),
        ("budget team day $5", "e.g. `budget user day 20000 tokens`"),
        ("access allow fly @ana", "There is no right `fly`"),
        ("access lift one", "`access lift 3`"),
        ("retention 0", "`retention 90`"),
        ("roles give llama Rawlsian", "`assign`, `clear` and `shuffle`"),
        ("roles assign llama", "e.g. `roles assign llama Utilitarian`"),
        ("roles assign llama " + "x" * 501, "at most 500 characters"),
        ("roles shuffle", "e.g. `roles shuffle"),
        ("models now", "`models reset llama`"),
        ("usage today", "takes nothing behind it"),
    ],
)
def test_a_command_that_is_off_is_told_how_to_write_it(typed: str, hint: str) -> None:
    with pytest.raises(BadInput) as refusal:
        parse(typed)
    assert hint in str(refusal.value)


def test_an_unknown_command_names_the_nearest() -> None:
    with pytest.raises(UnknownCommand, match=r"`histroy`\. Did you mean `history`"):
        parse("histroy")
    with pytest.raises(UnknownCommand, match=r"Did you mean `roles`"):
        parse("rolls assign llama Rawlsian")
    with pytest.raises(UnknownCommand, match="Write `help`"):
        parse("xyz")
    with pytest.raises(UnknownCommand, match="Did you mean `retention`"):
        help_text(topic="retentoin")


def test_words_of_people_are_quoted_on_one_short_line() -> None:
    with pytest.raises(UnknownCommand) as refusal:
        parse("`" + "x" * 500)
    assert "```" not in str(refusal.value).replace("`help`", "").replace("`ask`", "")
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    ("said", "command"),
    [
        ("history 2", HistoryCommand(page=2)),
        ("help", HelpCommand()),
        ("", HelpCommand()),
        (f"ask --no-charts {QUESTION}", AskCommand(text=QUESTION, charts=False)),
        (QUESTION, AskCommand(text=QUESTION)),
        ("Why?", AskCommand(text="Why?")),
        ("ask", HelpCommand(topic="ask")),
        ("ask --no-charts", HelpCommand(topic="ask")),
        ("ask --color red Why?", HelpCommand(topic="ask")),
        ("ask me anything", AskCommand(text="me anything")),
        ("save ethics a,b", SaveConsortium(name="ethics", members=("a", "b"))),
        ("access allow save @ana", ChangeAccess(effect="allow", right="save", subject="@ana")),
        ("roles clear", ClearRoles()),
        ("Stop!", StopCommand()),
        ("help.", HelpCommand()),
        ("history of Rome, in short", AskCommand(text="history of Rome, in short")),
        ("help me choose a laptop", AskCommand(text="help me choose a laptop")),
        ("Models are trained how?", AskCommand(text="Models are trained how?")),
        ("roles of women in Rome", AskCommand(text="roles of women in Rome")),
        ("rules of chess", AskCommand(text="rules of chess")),
    ],
)
def test_a_mention_is_a_command_only_as_a_whole(said: str, command: Command) -> None:
    assert parse_message(said) == command


@pytest.mark.parametrize(
    "said",
    [
        *("show me how …", "use cases of Kafka?", "type theory in short", "stop words in NLP?", "save the whales"),
        *("save money on taxes", "domain driven design", "history of Rome 2", "list sorting algorithms"),
        *("access control lists", "budget for a wedding", "retention rate", "audit trail", "delete the file"),
        *("examples of irony", "export controls", "usage of semicolons", "settings for a DSLR", "forget me not"),
        *("strategy for a start-up", "models of mind", "roles of women in Rome", "help me choose", "type systems"),
        *("use it or lose it", "Leaderboard of chess players", "remove all stains from wool", "show?", "stop?"),
    ],
)
def test_everyday_sentences_stay_questions(said: str) -> None:
    assert parse_message(said) == AskCommand(text=said)


SAMPLES = {
    "[options] question": ["Why now, and why here?", "--no-charts Why now, and why here?"],
    "model role": ["llama Rawlsian"],
    "role, role, …": ["Rawlsian, Utilitarian"],
    "[name [members [options]]]": ["", "x", "x a,b", "x a,b --strategy voting"],
    "[words] [page]": ["", "rome", "rome 2"],
    "run-or-consortium": ["ethics"],
    "who": ["@ana"],
    "number": ["3"],
    "[page]": ["", "2"],
    "[days|off]": ["", "90", "off"],
    "amount [who]": ["$5", "20000 tokens @ana", "off"],
    "amount": ["$5", "off"],
    "[command]": ["", "ask"],
    "[open|yes-no|choice|number]": ["", "open", "yes-no", "choice", "number"],
}
"""What may stand for a word of the help that is not to be written as it is."""


def written(usage: str) -> list[str]:
    """All that a line of the help allows, with samples in the place of names."""
    for name, samples in SAMPLES.items():
        if usage.endswith(f" {name}"):
            heads = written(usage.removesuffix(f" {name}"))
            return [f"{head} {sample}".strip() for head in heads for sample in samples]
    head, _, last = usage.rpartition(" ")
    if not head:
        return [last]
    if last.startswith("["):
        return [*written(head), *(f"{each} x" for each in written(head))]
    if "|" in last:
        return [f"{each} {word}" for each in written(head) for word in last.split("|")]
    placeholder = last in ("run", "consortium", "model", "name")
    return [f"{each} {'x' if placeholder else last}" for each in written(head)]


def parsed_usages() -> list[Command]:
    return [parse(line) for usage in USAGES for line in written(usage.usage)]


def test_every_command_is_in_the_help_once_and_can_be_written_as_the_help_says() -> None:
    usages = [usage.usage for usage in USAGES]
    assert len(set(usages)) == len(usages)
    assert tuple(dict.fromkeys(u.name for u in USAGES)) == COMMANDS
    text = help_text("/panel", "all")
    for usage in USAGES:
        assert text.count(f"- `/panel {usage.usage}`: {usage.does}") == 1
        assert usage.usage in help_text("", usage.name)
    for usage in USAGES:
        for line in written(usage.usage):
            assert line.split()[0] == usage.name
            command = parse(line)
            assert not isinstance(command, HelpCommand) or usage.name == "help"
            assert parse_message(line) == command, "the same in a message"


def test_every_command_can_be_reached_by_text_button_or_form() -> None:
    buttons = {made for made, _ in actions._VERBS.values()}
    forms = {type(submitted(encode(opener), filled)) for opener, filled in FORMS}
    reached = {type(command) for command in parsed_usages()} | buttons | forms
    assert reached == set(get_args(Command))


FORMS: list[tuple[Command, dict[str, tuple[str, ...]]]] = [
    (SettingsCommand(), {"domain": ("policy",), "show": ("charts",)}),
    (FeedbackReason(run="r1"), {"reason": ("Too long.",)}),
]


def test_the_help_tells_first_what_is_needed_first() -> None:
    text = help_text("/panel")
    lines = [line for line in text.splitlines() if line.startswith("- ")]
    assert len(lines) == 12
    assert len(text) < 1500, "two screens of a phone"
    assert "`/panel help all` lists everything" in text
    for word in ("yours", "channel", "consortia", "administer"):
        assert f"`{word}`" in text
        assert set(help_text("/panel", word).splitlines()[1:]) < set(help_text("/panel", "all").splitlines())
    assert "budget" not in text
    assert parse("help all") == HelpCommand(topic="all")


def test_the_help_without_a_prefix_has_no_stray_blank() -> None:
    assert "`ask [" in help_text("")


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("Utilitarian, Rawlsian", ("Utilitarian", "Rawlsian")),
        ("a tired nurse, “a lawyer”,", ("a tired nurse", "a lawyer")),
        ("virtue ethicist Rawlsian", ("virtue ethicist", "Rawlsian")),
        ("Rawlsianism Libertarian", ("Rawlsianism", "Libertarian")),
        ('"tired nurse" pirate', ("tired nurse", "pirate")),
        ("“tired nurse” pirate", ("tired nurse", "pirate")),
    ],
)
def test_roles_to_deal(typed: str, names: tuple[str, ...]) -> None:
    assert split_roles(typed, BUILT_IN_ROLES) == names


@given(st.text(max_size=80) | st.lists(st.sampled_from([*COMMANDS, "--no-charts", "--domain=x", "\n", '"', "--", "2"])))
def test_nothing_that_is_typed_breaks_the_grammar(typed: str | list[str]) -> None:
    text = typed if isinstance(typed, str) else " ".join(typed)
    with suppress(Refused):
        parse(text)
    command = parse_message(text)
    assert not isinstance(command, AskCommand) or command.text or not text.strip()


WORDS = ["1" * 5000, "1.2.3", "$", "@ana", "day", "user", "dollars", "off", "allow", "x" * 999, "a,b:2", "٣", "²", "—x"]


@given(st.sampled_from(COMMANDS), st.lists(st.sampled_from([*WORDS, *COMMANDS, "confirm", "assign", "--models="])))
def test_whatever_stands_behind_a_command_it_is_read_or_refused(name: str, words: list[str]) -> None:
    with suppress(Refused):
        parse(" ".join([name, *words]))
    parse_message(" ".join([name, *words]))


@pytest.mark.parametrize(
    ("said", "member", "asked"),
    [
        ("ask mistral: why?", "mistral", "why?"),
        ("Ask Mistral, why?", "Mistral", "why?"),
        ("@qwen 2: why?\nAnd how?", "qwen 2", "why?\nAnd how?"),
        ("**gpt-4.1**: why?", "gpt-4.1", "why?"),
        ("optimist (simulated): why?", "optimist", "why?"),
        ("  mistral\uff0cwhy?", "mistral", "why?"),
        ("hey mistral, why?", "mistral", "why?"),
        ("qwen 12: why?", "qwen 12", "why?"),
    ],
)
def test_a_follow_up_to_one_member(said: str, member: str, asked: str) -> None:
    found = ADDRESSED.fullmatch(said)
    assert found
    assert (found["member"], found["text"]) == (member, asked)


@pytest.mark.parametrize(
    "said",
    ["mistral:", "ask mistral why", "https://mistral.ai", "mistral and llama: why?", "", ":", "the mistral: why?"],
)
def test_what_is_addressed_to_nobody(said: str) -> None:
    assert ADDRESSED.fullmatch(said) is None


@pytest.mark.parametrize("said", ["a" * 100_000, "ask " * 30_000, " " * 100_000, "a.-" * 30_000 + ":"])
def test_a_long_text_is_read_in_no_time(said: str) -> None:
    begun = time.process_time()
    ADDRESSED.fullmatch(said)
    parse_message(said)
    assert time.process_time() - begun < 0.3
