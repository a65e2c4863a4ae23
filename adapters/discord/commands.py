"""The slash commands: what Discord lists, and how an invocation becomes a core command."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from adapters.discord import limits
from adapters.discord.library import discord
from adapters.discord.options import BOOLEAN, CHANNEL, FILE, INTEGER, ROLE, USER, Given, Opt, Sub
from adapters.discord.render import cut
from core.commands import values
from core.commands.administration import amount
from core.commands.grammar import COMMANDS, FIRST_NEEDED, TYPES, USAGES, Usage, help_with, parse
from core.commands.values import Command
from core.commands.words import short
from core.errors import BadInput, UnknownCommand
from core.governance import PERIODS, RIGHTS, SCOPES

MENU = "Ask the consortium"
"""The entry in the menu of a message."""

NONE = "none"

# --- what there is --------------------------------------------------------------------------------------


def _does(name: str, *rest: str) -> str:
    """What a command does, in the words of the help."""
    wanted = " ".join((name, *rest))
    does = next(u.does for u in USAGES if u.usage == wanted or u.usage.startswith(f"{wanted} "))
    return _upper(does)


def _upper(text: str) -> str:
    return cut(text[0].upper() + text[1:], limits.DESCRIPTION)


def _consortium(name: str = "consortium", *, required: bool = False, does: str = "Which panel") -> Opt:
    return Opt(name, does, required=required, suggest=("consortium",), most=limits.CHOICE)


def _named(name: str, does: str, *, required: bool = False, most: int = limits.CHOICE) -> Opt:
    """An option that is completed from the names of its own kind."""
    return Opt(name, does, required=required, suggest=(name,), least=1, most=most)


def _page(does: str = "Which page, the latest being 1") -> Opt:
    return Opt("page", does, INTEGER, least=1, most=10_000)


_MODEL = _named("model", "Which model", required=True)
_WHO = (Opt("user", "Somebody", USER), Opt("role", "A role", ROLE), Opt("channel", "A channel", CHANNEL))
_RIGHT = Opt("right", "To do what", required=True, choices=RIGHTS)
_AMOUNT = Opt("amount", "20000 tokens, $5, $5 20000 tokens, or off", required=True, least=1, most=60)


def _ask(given: Given) -> Command:
    models = str(given.get("models", "")).replace(" ", ",").split(",")
    return values.AskCommand(
        text=given["question"],
        consortium=given.get("consortium"),
        domain=given.get("domain"),
        question_type=given.get("type"),
        strategy=given.get("strategy"),
        arbiter=given.get("arbiter"),
        models=tuple(filter(None, models)),
        charts=given.get("charts"),
    )


def _subject(given: Given) -> str | None:
    """The one who is meant, as the core reads it. Raises BadInput where there are several."""
    chosen = [f"{kind}:{given[kind]}" for kind in ("user", "role", "channel") if kind in given]
    if len(chosen) > 1:
        raise BadInput("Name one only: a user, a role or a channel.")
    return chosen[0] if chosen else None


def _access(given: Given, effect: str) -> Command:
    subject = _subject(given)
    if subject is None:
        raise BadInput("Say who: choose a user, a role or a channel.")
    return values.ChangeAccess.model_validate({"effect": effect, "right": given["right"], "subject": subject})


def _amount(text: str) -> dict[str, Any]:
    tokens, dollars, left = amount(text.strip())
    if left:
        raise BadInput(f"`{short(text)}` is no amount; write `20000 tokens`, `$5`, `$5 20000 tokens` or `off`.")
    return {"tokens": tokens, "dollars": dollars}


def _budget(given: Given) -> Command:
    subject = _subject(given)
    if subject is not None and not subject.startswith(f"{given['scope']}:"):
        raise BadInput("Choose a user for a user's budget, a channel for a channel's, nobody for the workspace's.")
    fields = {"scope": given["scope"], "period": given["period"], "subject": subject}
    return values.SetBudget.model_validate(fields | _amount(given["amount"]))


def _save(given: Given) -> Command:
    """By the grammar, which knows what goes with what."""
    options = (f"--{key} {given[key]}" for key in ("arbiter", "strategy", "confidence", "rounds") if key in given)
    members = str(given.get("members", ""))
    return parse(" ".join(filter(None, ["save", given.get("name", ""), members, *options])))


def _less(given: Given, name: str) -> str | None:
    """What was given; nothing where it was taken back."""
    word = given.get(name)
    return None if word is None or word.strip().lower() in ("", NONE, "off", "default") else word


def _kind(given: Given) -> Command:
    return values.SetType.model_validate({"question_type": _less(given, "type")})


def _text(*words: str) -> Callable[[Given], Command]:
    """A command that the grammar reads from its options' values."""
    return lambda given: parse(" ".join([*words, *(str(value) for value in given.values())]))


SUBS: tuple[Sub, ...] = (
    Sub("ask", "Ask the panel", (
        Opt("question", "What to ask", required=True, least=1, most=limits.QUESTION),
        _consortium(does="Which panel to ask"),
        _named("domain", "What the question is about"),
        Opt("type", "What form the answer has", choices=TYPES),
        _named("strategy", "How the panel comes to its answer"),
        _named("arbiter", "Who brings the answers to one"),
        Opt("models", "Who is asked, e.g. llama,qwen:2", most=limits.QUESTION),
        Opt("charts", "Whether to draw the charts", BOOLEAN),
        Opt("file", "A text, PDF or picture that goes with it", FILE),
    ), _ask),
    Sub("stop", _does("stop"), (Opt("run", "Which run; your latest when left out", suggest=("run",)),),
        lambda given: values.StopCommand(run=given.get("run"))),
    Sub("examples", _does("examples"), (_named("domain", "Of which domain"),),
        lambda given: values.ExamplesCommand(domain=given.get("domain"))),
    Sub("help", _does("help"), (_named("command", "About which command or topic; all for everything"),),
        lambda given: values.HelpCommand(topic=given.get("command"))),
    Sub("history", _does("history"), (Opt("search", "Words of question or answer", most=200), _page()),
        lambda given: values.HistoryCommand(page=given.get("page", 1), search=given.get("search", ""))),
    Sub("show", _does("show"), (
        Opt("what", "A run's id, or a consortium's name", required=True, suggest=("run", "consortium"), least=1),
    ), lambda given: values.ShowCommand(what=given["what"])),
    Sub("delete", _does("delete"), (Opt("run", "Which run", required=True, suggest=("run",), least=1),),
        lambda given: values.DeleteRun(run=given["run"])),
    Sub("export", _does("export"), (), lambda _: values.ExportCommand()),
    Sub("forget-me", _does("forget-me"), (), lambda _: values.ForgetMe()),
    Sub("usage", _does("usage"), (), lambda _: values.UsageCommand()),
    Sub("settings", _does("settings"), (), lambda _: values.SettingsCommand()),
    Sub("use", _does("use"), (_consortium(does="Which panel; the default when left out"),),
        lambda given: values.UseConsortium(name=_less(given, "consortium"))),
    Sub("strategy", _does("strategy"), (_named("strategy", "Which one; the consortium's own when left out"),),
        lambda given: values.SetStrategy(name=_less(given, "strategy"))),
    Sub("domain", _does("domain"), (_named("domain", "Which one; none when left out"),),
        lambda given: values.SetDomain(name=_less(given, "domain"))),
    Sub("type", _does("type"), (Opt("type", "Which form", choices=(*TYPES, NONE)),), _kind),
    Sub("roles list", _does("roles"), (), lambda _: values.RolesCommand()),
    Sub("roles assign", _does("roles", "assign"), (
        _MODEL, _named("role", "A role there is, or your own words", required=True, most=limits.ROLE),
    ), lambda given: values.AssignRole(model=given["model"], role=given["role"])),
    Sub("roles clear", _does("roles", "clear"), (_named("model", "Which model; all when left out"),),
        lambda given: values.ClearRoles(model=given.get("model"))),
    Sub("roles shuffle", _does("roles", "shuffle"), (
        Opt("roles", "Roles with commas between them", required=True, least=1, most=limits.QUESTION),
    ), lambda given: values.ShuffleRoles(roles=given["roles"])),
    Sub("list", _does("list"), (), lambda _: values.ListConsortia()),
    Sub("save", _does("save"), (
        Opt("name", "Its name", least=1, most=60),
        Opt("members", "Who is in it, e.g. llama,qwen:2; a form asks when left out", most=1000),
        _named("arbiter", "Who brings the answers to one"),
        _named("strategy", "How it comes to its answer"),
        Opt("confidence", "Ask again below it, e.g. 0.8", most=10),
        Opt("rounds", "How many, e.g. 1-3", most=10),
    ), _save),
    Sub("remove", _does("remove"), (Opt("consortium", "Which one", required=True, suggest=("saved",), least=1),),
        lambda given: values.RemoveConsortium(name=given["consortium"])),
    Sub("channel-default", _does("channel-default"), (_consortium(does="Which panel; none when left out"),),
        lambda given: values.ChannelDefault(name=_less(given, "consortium"))),
    Sub("models list", _does("models"), (), lambda _: values.ModelsCommand()),
    Sub("models reset", _does("models", "reset"), (_MODEL,), lambda given: values.ResetModel(model=given["model"])),
    Sub("leaderboard", _does("leaderboard"), (_consortium(does="Of which consortium; all when left out"),),
        lambda given: values.LeaderboardCommand(consortium=given.get("consortium"))),
    Sub("access list", _does("access"), (), lambda _: values.AccessCommand()),
    Sub("access allow", _does("access", "allow"), (_RIGHT, *_WHO), lambda given: _access(given, "allow")),
    Sub("access block", _does("access", "block"), (_RIGHT, *_WHO), lambda given: _access(given, "block")),
    Sub("access lift", _does("access", "lift"), (
        Opt("number", "The rule's number in the list", INTEGER, required=True, least=1, most=10**9),
    ), lambda given: values.LiftRule(number=given["number"])),
    Sub("access audit", _does("audit"), (_page(),), lambda given: values.AuditCommand(page=given.get("page", 1))),
    Sub("budget list", _does("budget"), (), lambda _: values.BudgetCommand()),
    Sub("budget set", "Set a budget, or take it back", (
        Opt("scope", "Of whom", required=True, choices=SCOPES),
        Opt("period", "Each day or each month", required=True, choices=PERIODS),
        _AMOUNT, _WHO[0], _WHO[2],
    ), _budget),
    Sub("budget confirm", _does("budget", "confirm"), (_AMOUNT,),
        lambda given: values.SetConfirmation.model_validate(_amount(given["amount"]))),
    Sub("retention", _does("retention"), (Opt("days", "After how many days, or off; shown when left out", most=20),),
        _text("retention")),
)  # fmt: skip
"""Everything behind ``/consortium``. The audit log stands with access: Discord takes 25 entries a level, no more."""

_BY_WORDS = {sub.words: sub for sub in SUBS}
_GROUPS = dict.fromkeys(sub.words.partition(" ")[0] for sub in SUBS if " " in sub.words)


# --- what Discord is told -------------------------------------------------------------------------------


def payloads() -> list[dict[str, Any]]:
    """The commands as Discord takes them: one with all sub-commands, and the entry in the menu of messages."""
    everywhere = {"contexts": [0, 1, 2], "integration_types": [0, 1]}
    slash = {
        "type": 1,
        "name": "consortium",
        "description": "Ask a panel of language models and get one answer",
        "options": list(_entries()),
    }
    return [slash | everywhere, {"type": 3, "name": MENU} | everywhere]


def _entries() -> Iterator[dict[str, Any]]:
    for sub in SUBS:
        if " " not in sub.words:
            yield _entry(sub, sub.words)
    for name in _GROUPS:
        within = [_entry(sub, sub.words.partition(" ")[2]) for sub in SUBS if sub.words.startswith(f"{name} ")]
        yield {"type": 2, "name": name, "description": _does(name), "options": within}


def _entry(sub: Sub, name: str) -> dict[str, Any]:
    return {"type": 1, "name": name, "description": sub.does, "options": [option.payload() for option in sub.options]}


async def sync_if_changed(client: discord.Client) -> bool:
    """Send the commands to Discord if it has others; writing them is limited to 200 a day."""
    application = client.application_id
    if application is None:
        raise RuntimeError("not logged in")
    wanted: Any = payloads()
    present = await client.http.get_global_commands(application)
    if _shape(wanted) == _shape(list(present)):
        return False
    await client.http.bulk_upsert_global_commands(application, wanted)
    return True


_COMPARED = (
    *("name", "description", "required", "autocomplete", "min_length", "max_length", "min_value", "max_value"),
    *("choices", "default_member_permissions", "nsfw"),
)


def _shape(commands: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What matters of commands, ours or as Discord returns them, without what it adds and defaults."""
    shapes = []
    for command in commands:
        shape = {key: command[key] for key in _COMPARED if command.get(key)}
        if "choices" in shape:
            shape["choices"] = [(choice["name"], choice["value"]) for choice in shape["choices"]]
        shape |= {key: sorted(command[key]) for key in ("contexts", "integration_types") if command.get(key)}
        shape["type"] = command.get("type", 1)
        shapes.append(shape | {"options": _shape(command.get("options") or ())})
    return shapes


# --- what people send -----------------------------------------------------------------------------------


class Invocation:
    """A slash command as it was used, or as far as it is typed."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        words, options = [], data.get("options") or []
        while options and options[0]["type"] in (1, 2):
            words.append(options[0]["name"])
            options = options[0].get("options") or []
        self._words, self._options = " ".join(words), options
        self._files: Mapping[str, Any] = (data.get("resolved") or {}).get("attachments") or {}

    def command(self) -> Command:
        """What it means. Raises UnknownCommand for one that is not there any more, or BadInput."""
        sub = _BY_WORDS.get(self._words)
        if sub is None:
            raise UnknownCommand("Discord still lists a command that is gone; reload it (Ctrl+R), or write `help`.")
        return sub.make({option["name"]: option["value"] for option in self._options})

    def files(self) -> list[Mapping[str, Any]]:
        """The attachments among the options, as Discord describes them."""
        return [self._files[o["value"]] for o in self._options if o["type"] == FILE and o["value"] in self._files]

    def typing(self) -> tuple[tuple[str, ...], str]:
        """What may be offered for the option that is being typed, and what was typed so far."""
        sub = _BY_WORDS.get(self._words)
        for given in self._options:
            if given.get("focused") and sub:
                kinds = next((option.suggest for option in sub.options if option.name == given["name"]), ())
                return kinds, str(given["value"])
        return (), ""


# --- the help -------------------------------------------------------------------------------------------


def slash_help(topic: str | None) -> str:
    """The help where slash commands are what there is, with their options as Discord names them."""
    wanted = (topic or "").strip("`").removeprefix("/").lower()
    lines = []
    for sub in SUBS:
        if _name(sub) == wanted:
            lines += [f"- `{sub.usage}`: {sub.does}", *(f"  - `{o.name}`: {o.does}" for o in sub.options)]
    if lines:
        return "\n".join(lines)
    topics = {usage.name: usage.topic for usage in USAGES}
    ordered = sorted(SUBS, key=lambda sub: COMMANDS.index(_name(sub)))
    usages = [Usage(_name(sub), sub.usage, sub.does, topics[_name(sub)]) for sub in ordered]
    short_ones = {_name(sub): Usage(_name(sub), sub.needed, sub.does, topics[_name(sub)]) for sub in reversed(ordered)}
    return help_with(usages, [short_ones[name] for name in FIRST_NEEDED], "/consortium", topic)


def _name(sub: Sub) -> str:
    """The command of the grammar that it is."""
    return "audit" if sub.words == "access audit" else sub.words.partition(" ")[0]
