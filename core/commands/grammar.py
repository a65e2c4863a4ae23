"""Commands as text: ``/consortium <command> …`` becomes a value.

Slack, the page and messages hand the text over; Discord builds the same values from its options. The help is written
from the same table that is parsed, so neither can drift from the other.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, get_args

from core.asks import QuestionType
from core.commands import administration, values
from core.commands.values import AskCommand, Command, HelpCommand
from core.commands.words import first_word, options, page_of, short, unquoted, without_words
from core.errors import BadInput, UnknownCommand

__all__ = ["COMMANDS", "USAGES", "Usage", "help_text", "help_with", "parse", "parse_message", "split_roles"]

TYPES: tuple[QuestionType, ...] = get_args(QuestionType)


class Usage(NamedTuple):
    """A line of the help: how a command is written and what it does. ``topic`` is what it is listed under."""

    name: str
    usage: str
    does: str
    topic: str = "Ask"


_MINE, _PANELS = "For you, in this channel", "Consortia and models"

USAGES = (
    Usage("ask", "ask [options] question", "ask the panel; `help ask` lists the options"),
    Usage("stop", "stop [run]", "end a run that goes on"),
    Usage("examples", "examples [domain]", "questions to begin with"),
    Usage("help", "help [all|topic|command]", "what is needed first, everything, or all about one thing"),
    Usage("history", "history [words] [page]", "your earlier questions", "Yours"),
    Usage("show", "show run-or-consortium", "one of your runs, or a consortium", "Yours"),
    Usage("delete", "delete run", "delete a run of yours with all that belongs to it", "Yours"),
    Usage("export", "export", "all your runs as a file, in a direct message", "Yours"),
    Usage("forget-me", "forget-me", "delete everything of yours, once you have confirmed", "Yours"),
    Usage("usage", "usage", "what you, this channel and all together have used", "Yours"),
    Usage("settings", "settings", "what is set for you in this channel, as a form", _MINE),
    Usage("use", "use [consortium]", "ask this consortium from now on", _MINE),
    Usage("strategy", "strategy [name]", "decide by this strategy from now on", _MINE),
    Usage("domain", "domain [name]", "what your questions are about", _MINE),
    Usage("type", "type [open|yes-no|choice|number]", "what form the answer has", _MINE),
    Usage("roles", "roles", "the roles there are, and yours", _MINE),
    Usage("roles", "roles assign model role", "give a model a role, by name or in your own words", _MINE),
    Usage("roles", "roles clear [model]", "take the role away, from one model or all", _MINE),
    Usage("roles", "roles shuffle role, role, …", "deal roles to the models by chance", _MINE),
    Usage("list", "list", "the consortia there are", _PANELS),
    Usage("save", "save [name [members [options]]]", "save a consortium; a form asks for what is missing", _PANELS),
    Usage("remove", "remove consortium", "forget a saved consortium", _PANELS),
    Usage("channel-default", "channel-default [consortium]", "what this channel asks by default (moderators)", _PANELS),
    Usage("models", "models", "the models and how they are doing", _PANELS),
    Usage("models", "models reset model", "try a resting model again at once (administrators)", _PANELS),
    Usage("leaderboard", "leaderboard [consortium]", "how the models have done so far", _PANELS),
    *(Usage(*line, "Administer") for line in administration.USAGES),
)  # fmt: skip

COMMANDS = tuple(dict.fromkeys(u.name for u in USAGES))
"""The first words there are."""

OPTIONS: Mapping[str, str] = {
    "--consortium name": "which panel to ask",
    "--domain name": "what the question is about",
    "--type open|yes-no|choice|number": "what form the answer has",
    "--strategy name": "how the panel comes to its answer",
    "--arbiter model": "who brings the answers to one",
    "--models a,b:2": "who is asked, in place of the consortium's members; `:2` asks a model twice",
    "--no-charts": "leave the charts out",
}
"""The options of ``ask``."""


FIRST_NEEDED = (
    *("ask", "stop", "examples", "help", "history", "show", "delete", "export"),
    *("settings", "use", "list", "models"),
)
"""The commands that people need first, each told in one line; the rest is one word further."""

ALL = "all"
"""The topic that is everything."""


def help_text(prefix: str = "/consortium", topic: str | None = None) -> str:
    """The help as Markdown; ``prefix`` is what comes before a command on this platform.

    What people need first; with ``topic`` everything, one topic, or all about one command. Raises UnknownCommand for
    a ``topic`` that is none of them.
    """
    usages = [Usage(u.name, f"{prefix} {u.usage}".strip(), u.does, u.topic) for u in USAGES]
    name = _plain(topic)
    wanted = [u for u in usages if u.name == name]
    if not wanted:
        first = {u.name: u for u in reversed(usages)}
        return help_with(usages, [first[name] for name in FIRST_NEEDED], prefix, topic)
    lines = [_usage_line(u) for u in wanted]
    if name == "ask":
        lines += ["", "**Options**, before the question", *(f"- `{how}`: {does}" for how, does in OPTIONS.items())]
    return "\n".join(lines)


def help_with(usages: Iterable[Usage], first: Iterable[Usage], prefix: str, topic: str | None = None) -> str:
    """The help where commands are written as ``usages`` say: ``first``, or all of them, or those of one topic.

    Raises UnknownCommand for a ``topic`` that is none.
    """
    by_topic: dict[str, list[Usage]] = {}
    for usage in usages if topic else first:
        by_topic.setdefault(usage.topic, []).append(usage)
    told = _plain(topic)
    if told not in ("", ALL):
        title = next((title for title, word in TOPICS.items() if word == told), None)
        if title is None:
            raise _unknown(told)
        return "\n".join([f"**{title}**", *map(_usage_line, by_topic[title])])
    listed = [f"**{title}**\n" + "\n".join(map(_usage_line, found)) for title, found in by_topic.items()]
    words = ", ".join(f"`{word}`" for word in TOPICS.values())
    more = f"`{f'{prefix} help'.strip()}` and one of these words tells more: {words}, or a command."
    everything = "" if topic else f"`{f'{prefix} help {ALL}'.strip()}` lists everything. "
    return "\n\n".join([_ABOUT, *listed, _THREADS, everything + more])


TOPICS = {"Yours": "yours", _MINE: "channel", _PANELS: "consortia", "Administer": "administer"}
"""By which word each topic of the help is asked for; the first has the name of its command."""

_ABOUT = (
    "**Consortium** asks a panel of language models the same question, brings them to one answer, and says who "
    "disagreed, who failed and what it cost."
)
_THREADS = (
    "Write in the thread of an answer to go on from it; write `ask model: …` there to ask one member alone. "
    "Roles and settings are yours alone, and hold in this channel."
)


def _plain(topic: str | None) -> str:
    return (topic or "").strip("`").removeprefix("/").lower()


def _usage_line(usage: Usage) -> str:
    return f"- `{usage.usage}`: {usage.does}"


def parse(text: str) -> Command:
    """Read what was typed behind ``/consortium``.

    A text that begins with no command, and would be none with a slip of the pen mended, is a question if it has at
    least three words.
    Raises :class:`core.errors.UnknownCommand` or :class:`core.errors.BadInput`.
    """
    text = text.strip()
    if not text:
        return HelpCommand()
    first, rest = first_word(text)
    first = first.lower()
    if first in COMMANDS:
        return _PARSERS[first](rest)
    near = difflib.get_close_matches(first, COMMANDS, n=1, cutoff=0.7)
    if near and _reads_as_command(near[0], rest):
        raise _unknown(first)
    if len(text.split()) >= 3:
        return _ask(text)
    raise _unknown(first)


def parse_message(text: str) -> Command:
    """Read a mention or a direct message: a command when the whole of it is one, else a question.

    Many commands are everyday words ("show me…", "use …", "type …"), so what does not parse as a command is a
    question.
    """
    first, rest = first_word(text)
    name = first.lower()
    if not rest and name.rstrip("!.") in COMMANDS:  # "stop!"
        name = text = name.rstrip("!.")
    if name == "ask" and not _question_behind(rest):
        return HelpCommand(topic="ask")
    if not first or name == "ask" or (name in COMMANDS and _reads_as_command(name, rest)):
        with suppress(BadInput):
            return parse(text)
    return AskCommand(text=text.strip())


def _question_behind(rest: str) -> bool:
    """Whether something is asked, or at least meant to be: options that are off are told in the question's stead."""
    with suppress(BadInput):
        _ask(rest)
        return True
    return bool(rest) and not rest.startswith("-")


def _reads_as_command(name: str, rest: str) -> bool:
    """Whether a text that begins with a command's name, or nearly so, is one: questions begin with such words too."""
    words = rest.split()
    if rest.endswith("?"):
        return False
    match name:
        case "ask":
            return True
        case "roles":
            return not words or words[0].lower() in ("list", "assign", "clear", "shuffle")
        case "history":
            return len(words) <= 1 or (len(words) == 2 and words[1].isdecimal())
        case "save":
            return len(words) <= 1 or "," in rest or ":" in rest or " -" in rest
    return len(words) <= _MOST_WORDS.get(name, 0)


_MOST_WORDS = {
    "show": 1, "delete": 1, "use": 1, "channel-default": 1, "strategy": 1, "domain": 1, "type": 1, "remove": 1,
    "models": 2, "leaderboard": 1, "stop": 1, "examples": 1, "help": 1,
    **administration.MOST_WORDS,
}  # fmt: skip
"""How many words a command has behind it at the most, where it takes any."""


def _unknown(name: str) -> UnknownCommand:
    near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.6)
    hint = f"Did you mean `{near[0]}`?" if near else "Write `help` to see what there is, or `ask` and a question."
    return UnknownCommand(f"There is no command `{short(name)}`. {hint}")


# --- one parser a command -------------------------------------------------------------------------------


def _ask(rest: str) -> Command:
    given, text = options(
        rest, "ask", ("consortium", "domain", "type", "strategy", "arbiter", "models"), flags=("no-charts", "charts")
    )
    text = unquoted(text.strip())
    if not text:
        raise BadInput("There is no question. Write e.g. `ask Should remote work be the default?`")
    fields: dict[str, Any] = {
        name: given[name] for name in ("consortium", "domain", "strategy", "arbiter") if name in given
    }
    if "type" in given:
        fields["question_type"] = _type_of(given["type"])
    if "models" in given:
        fields["models"] = tuple(filter(None, given["models"].split(",")))
    if "no-charts" in given or "charts" in given:
        fields["charts"] = "no-charts" not in given
    return AskCommand(text=text, **fields)


def _type_of(word: str) -> QuestionType:
    by_name: dict[str, QuestionType] = {name: name for name in TYPES}
    spelt = by_name | {"open-ended": "open", "yes/no": "yes-no", "yesno": "yes-no", "multiple-choice": "choice"}
    if word.lower() not in spelt:
        raise BadInput(f"`{short(word)}` is no type of question; there are `open`, `yes-no`, `choice` and `number`.")
    return spelt[word.lower()]


_FILLERS = frozenset({"it", "this", "that", "now", "please", "me", "all"})


def _meant(word: str) -> str:
    """A word behind a command, unless it is one that people only say: "stop it", "help me"."""
    word = word.strip("`")
    return "" if word.lower().strip(".!") in _FILLERS else word


def _help_topic(word: str) -> str | None:
    return ALL if word.strip("`").lower() == ALL else _meant(word) or None


def _stop(rest: str) -> Command:
    if len(rest.split()) > 1:
        raise BadInput("Write `stop`, or `stop` and a run's id, e.g. `stop 3f2a91c07b4d`.")
    return values.StopCommand(run=_meant(rest) or None)


def _history(rest: str) -> Command:
    search, _, last = rest.rpartition(" ")
    if last.isdecimal() and len(last) <= 5:
        return values.HistoryCommand(search=unquoted(search.strip()), page=page_of(last, "history"))
    return values.HistoryCommand(search=unquoted(rest))


def _roles(rest: str) -> Command:
    verb, rest = first_word(rest)
    match verb.lower():
        case "" | "list":
            return values.RolesCommand()
        case "assign":
            model, role = first_word(rest)
            role = role.strip('"“”').strip()
            if not model or not role:
                raise BadInput("Write `roles assign model role`, e.g. `roles assign llama Utilitarian`.")
            if len(role) > 500:
                raise BadInput(f"A role has at most 500 characters; this one has {len(role)}.")
            return values.AssignRole(model=model, role=role)
        case "clear":
            return values.ClearRoles(model=rest or None)
        case "shuffle":
            if not rest:
                raise BadInput("Write `roles shuffle role, role, …`, e.g. `roles shuffle Utilitarian, Rawlsian`.")
            return values.ShuffleRoles(roles=rest)
    raise BadInput(f"`roles {short(verb)}` is not a command; there are `roles`, `assign`, `clear` and `shuffle`.")


def _save(rest: str) -> Command:
    name, rest = first_word(rest)
    if name.startswith("-"):
        raise BadInput("Write the name first, e.g. `save ethics llama,qwen:2,mistral --strategy voting`.")
    given, members = options(rest, "save", ("arbiter", "strategy", "confidence", "rounds"), anywhere=True)
    limits = ", ".join(f"{key} {given[key]}" for key in ("confidence", "rounds") if key in given)
    seats = tuple(filter(None, re.split(r"[,\s]+", members)))
    if given and not seats:
        raise BadInput("Name the members too, e.g. `save ethics llama,qwen:2,mistral --strategy voting`.")
    return values.SaveConsortium(
        name=name or None,
        members=seats,
        arbiter=given.get("arbiter"),
        strategy=given.get("strategy"),
        limits=limits,
    )


def _models(rest: str) -> Command:
    verb, rest = first_word(rest)
    if not verb:
        return values.ModelsCommand()
    if verb.lower() == "reset" and rest and " " not in rest:
        return values.ResetModel(model=rest)
    raise BadInput("Write `models`, or `models reset model`, e.g. `models reset llama`.")


def _type(rest: str) -> Command:
    return values.SetType(question_type=None if _taken_back(rest) else _type_of(rest.strip()))


NO_NAMES = ("none", "off")
"""Words that take a choice back, so nothing can be called so."""


def _taken_back(rest: str) -> bool:
    return rest.strip().lower() in ("", *NO_NAMES)


def _name(name: str, make: Callable[[str], Command], example: str) -> Callable[[str], Command]:
    """A command with one word behind it."""

    def read(rest: str) -> Command:
        if not rest or " " in rest:
            raise BadInput(f"Write `{name}` and one name behind it, e.g. `{name} {example}`.")
        return make(rest.strip("`"))

    return read


def _maybe(name: str, make: Callable[[str | None], Command]) -> Callable[[str], Command]:
    """A command with one word or nothing behind it; "none" and "off" say the same as nothing."""

    def read(rest: str) -> Command:
        if len(rest.split()) > 1:
            raise BadInput(f"`{name}` takes one name behind it, or nothing.")
        return make(None if _taken_back(rest) else rest.strip("`"))

    return read


_PARSERS: dict[str, Callable[[str], Command]] = {
    "ask": _ask,
    "stop": _stop,
    "examples": _maybe("examples", lambda name: values.ExamplesCommand(domain=_meant(name or "") or None)),
    "help": lambda rest: HelpCommand(topic=_help_topic(first_word(rest)[0])),
    "history": _history,
    "show": _name("show", lambda name: values.ShowCommand(what=name), "ethics"),
    "delete": _name("delete", lambda name: values.DeleteRun(run=name), "3f2a91c07b4d"),
    "export": lambda rest: without_words(values.ExportCommand(), "export", rest),
    "forget-me": lambda rest: without_words(values.ForgetMe(), "forget-me", rest),
    "usage": lambda rest: without_words(values.UsageCommand(), "usage", rest),
    "settings": lambda rest: without_words(values.SettingsCommand(), "settings", rest),
    "use": _maybe("use", lambda name: values.UseConsortium(name=name)),
    "strategy": _maybe("strategy", lambda name: values.SetStrategy(name=name)),
    "domain": _maybe("domain", lambda name: values.SetDomain(name=name)),
    "type": _type,
    "roles": _roles,
    "list": lambda rest: without_words(values.ListConsortia(), "list", rest),
    "save": _save,
    "remove": _name("remove", lambda name: values.RemoveConsortium(name=name), "ethics"),
    "channel-default": _maybe("channel-default", lambda name: values.ChannelDefault(name=name)),
    "models": _models,
    "leaderboard": _maybe("leaderboard", lambda name: values.LeaderboardCommand(consortium=name)),
    **administration.PARSERS,
}


def split_roles(text: str, known: Mapping[str, str]) -> tuple[str, ...]:
    """The role names in ``text``: separated by commas, else known names (which may have spaces) and words."""
    if "," in text:
        return tuple(part.strip().strip('"“”') for part in text.split(",") if part.strip())
    names = sorted(known, key=len, reverse=True)
    pattern = "|".join([*(rf"{re.escape(n)}(?!\S)" for n in names), '["“”][^"“”]+["“”]', r"\S+"])
    return tuple(m.strip('"“”') for m in re.findall(pattern, text, flags=re.IGNORECASE))


ADDRESSED = re.compile(
    r"\s*(?:(?:hey|ask)\s+)?[@*`]{0,3}(?P<member>[A-Za-z0-9][A-Za-z0-9._-]{0,39}(?:\ (?:[1-9]|1[0-2]))?)"
    r"(?:\ \(simulated\))?"
    r"[*`]{0,3}\ ?[:,\uff1a\uff0c](?!//)[*`]{0,3}\s*(?P<text>\S.*)",
    re.IGNORECASE | re.DOTALL,
)
"""A follow-up to one member: "ask mistral: why?", "mistral, why?", "@qwen 2: why?". Whether there is a member of that
name is for the reader to see: "Well, why?" has the same form."""
