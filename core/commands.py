"""The one command grammar of all platforms: ``/consortium <command> …`` as text becomes a value.

Slack and the page hand the text over; Discord builds the same values from its options. :data:`HELP` is
written from the same table that is parsed, so neither can drift from the other.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple

from pydantic import Field

from core.asks import QuestionType, Value
from core.errors import BadInput, UnknownCommand
from core.setup import Judging


class AskCommand(Value):
    """Ask the panel; the options overrule what the session and the consortium say.

    ``models`` are seats (``model`` or ``model:count``) in place of the consortium's; ``roles`` maps models to roles.
    """

    text: str
    consortium: str | None = None
    domain: str | None = None
    charts: bool = True
    question_type: QuestionType | None = None
    system: str | None = None
    roles: dict[str, str] = Field(default_factory=dict)
    models: tuple[str, ...] = ()
    arbiter: str | None = None
    strategy: str | None = None
    params: dict[str, Any] = Field(default_factory=dict)
    judging: Judging | None = None
    both_orders: bool | None = None


class HistoryCommand(Value):
    """List my earlier questions, ``page`` counting from 1."""

    page: int = 1


class RolesCommand(Value):
    """Show the roles there are and the ones in force."""


class AssignRole(Value):
    """Give a model a role: a known name or free text."""

    model: str
    role: str


class ClearRoles(Value):
    """Take the role from one model, or from all."""

    model: str | None = None


class ShuffleRoles(Value):
    """Deal roles (names, as typed) to the models of the panel by chance."""

    roles: str


class ModelsCommand(Value):
    """Show the models, the consortia and the breakers' state."""


class HelpCommand(Value):
    """Show what can be written."""


Command = (
    AskCommand | HistoryCommand | RolesCommand | AssignRole | ClearRoles | ShuffleRoles | ModelsCommand | HelpCommand
)


class Usage(NamedTuple):
    """A line of the help: how a command is written and what it does."""

    name: str
    usage: str
    does: str


USAGES = (
    Usage("ask", "ask [--consortium name] [--domain name] [--no-charts] question", "ask the panel"),
    Usage("history", "history [page]", "your earlier questions"),
    Usage("roles", "roles", "the roles there are, and yours"),
    Usage("roles", "roles assign model role", "give a model a role, by name or in your own words"),
    Usage("roles", "roles clear [model]", "take the role away, from one model or all"),
    Usage("roles", "roles shuffle role, role, …", "deal roles to the models by chance"),
    Usage("models", "models", "the models, the consortia and how they are doing"),
    Usage("help", "help", "this text"),
)

COMMANDS = tuple(dict.fromkeys(u.name for u in USAGES))
"""The first words there are."""


def help_text(prefix: str = "/consortium") -> str:
    """The help as Markdown; ``prefix`` is what comes before a command on this platform."""
    return help_with(Usage(u.name, f"{prefix} {u.usage}".strip(), u.does) for u in USAGES)


def help_with(usages: Iterable[Usage]) -> str:
    """The help for a platform where commands are written in its own way."""
    lines = [f"- `{u.usage}`: {u.does}" for u in usages]
    return (
        "**Consortium** asks a panel of language models the same question, brings them to one answer, and says who "
        "disagreed, who failed and what it cost.\n\n"
        + "\n".join(lines)
        + "\n\nWrite in the thread of an answer to go on from it. Roles are yours alone, and hold in this channel."
    )


_DASHES = re.compile(r"^[\u2010-\u2015\u2212]{1,2}(?=[A-Za-z])")
_OPTION = re.compile(r"--?(?P<name>[A-Za-z-]+)(?:=(?P<value>\S+))?$")


def parse(text: str) -> Command:
    """Read what was typed behind ``/consortium``.

    A text that begins with no command and is no near miss of one is a question, if it has at least three words.
    Raises :class:`core.errors.UnknownCommand` or :class:`core.errors.BadInput`.
    """
    text = text.strip()
    if not text:
        return HelpCommand()
    first, rest = _first_word(text)
    first = first.lower()
    if first in COMMANDS:
        return _PARSERS[first](rest)
    near = difflib.get_close_matches(first, COMMANDS, n=1, cutoff=0.7)
    if near:
        raise UnknownCommand(f"There is no command `{_short(first)}`. Did you mean `{near[0]}`?")
    if len(text.split()) >= 3:
        return _ask(text)
    raise UnknownCommand(
        f"There is no command `{_short(first)}`. Write `help` to see what there is, or `ask` and a question."
    )


def parse_message(text: str) -> Command:
    """Read a mention or a direct message: a command when the whole of it is one, else a question."""
    first, rest = _first_word(text)
    name = first.lower()
    if not first or (name in COMMANDS and not (name == "help" and rest)):
        with suppress(BadInput):
            return parse(text)
    return AskCommand(text=text.strip())


def _first_word(text: str) -> tuple[str, str]:
    """The first word and what stands behind it, whatever white space there is between them."""
    word, rest = [*text.split(maxsplit=1), "", ""][:2]
    return word, rest.strip()


def _ask(rest: str) -> Command:
    options: dict[str, str | bool] = {}
    while rest:
        word, after = _first_word(rest)
        match = _OPTION.match(_DASHES.sub("--", word))
        if not match or not _DASHES.sub("--", word).startswith("--"):
            break
        name = match["name"].lower()
        if name == "no-charts":
            options["charts"], rest = False, after
        elif name in ("consortium", "domain"):
            value, after = (match["value"], after) if match["value"] else _first_word(after)
            if not value:
                raise BadInput(f"`--{name}` needs a name behind it, e.g. `ask --{name} default Why is the sky blue?`")
            options[name], rest = value, after
        else:
            raise BadInput(
                f"`ask` has no option `--{name}`; it has `--consortium name`, `--domain name` and `--no-charts`."
            )
    text = rest.strip()
    if quoted := re.fullmatch('["“”]([^"“”]*)["“”]', text):
        text = quoted[1].strip()
    if not text:
        raise BadInput("There is no question. Write e.g. `ask Should remote work be the default?`")
    return AskCommand.model_validate({"text": text, **options})


def _history(rest: str) -> Command:
    if not rest:
        return HistoryCommand()
    if not rest.isdecimal() or not 1 <= int(rest) <= 10_000:
        raise BadInput(f"`{_short(rest)}` is not a page; write `history` or `history 2`.")
    return HistoryCommand(page=int(rest))


def _roles(rest: str) -> Command:
    verb, rest = _first_word(rest)
    match verb.lower():
        case "" | "list":
            return RolesCommand()
        case "assign":
            model, role = _first_word(rest)
            role = role.strip('"“”').strip()
            if not model or not role:
                raise BadInput("Write `roles assign model role`, e.g. `roles assign llama Utilitarian`.")
            if len(role) > 500:
                raise BadInput(f"A role has at most 500 characters; this one has {len(role)}.")
            return AssignRole(model=model, role=role)
        case "clear":
            return ClearRoles(model=rest or None)
        case "shuffle":
            if not rest:
                raise BadInput("Write `roles shuffle role, role, …`, e.g. `roles shuffle Utilitarian, Rawlsian`.")
            return ShuffleRoles(roles=rest)
    raise BadInput(f"`roles {_short(verb)}` is not a command; there are `roles`, `assign`, `clear` and `shuffle`.")


def _without_words(command: Command, name: str, rest: str) -> Command:
    if rest:
        raise BadInput(f"`{name}` takes nothing behind it.")
    return command


_PARSERS: dict[str, Callable[[str], Command]] = {
    "ask": _ask,
    "history": _history,
    "roles": _roles,
    "models": lambda rest: _without_words(ModelsCommand(), "models", rest),
    "help": lambda rest: HelpCommand(),
}


def _short(text: str) -> str:
    """A user's own words for quoting in an error: one line, no code marks, not long."""
    flat = " ".join(text.replace("`", "'").split())
    return flat if len(flat) <= 60 else flat[:59] + "…"


def split_roles(text: str, known: dict[str, str]) -> tuple[str, ...]:
    """The role names in ``text``: separated by commas, else known names (which may have spaces) and words."""
    if "," in text:
        return tuple(part.strip().strip('"“”') for part in text.split(",") if part.strip())
    names = sorted(known, key=len, reverse=True)
    pattern = "|".join([*(rf"{re.escape(n)}(?!\S)" for n in names), '["“”][^"“”]+["“”]', r"\S+"])
    return tuple(m.strip('"“”') for m in re.findall(pattern, text, flags=re.IGNORECASE))
