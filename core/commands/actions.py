"""Commands in coded form, as buttons and forms carry them: ``verb:argument:…``, at most 100 characters.

What is coded stays readable for later versions: a verb never changes its meaning. What comes back is not trusted: it
is read as strictly as typed text, and the service checks who may do it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, unquote

from pydantic import ValidationError

from core.commands import values
from core.commands.values import Command
from core.errors import BadInput, UnknownCommand

MOST = 100
"""Characters of an action; platforms take no more."""

Values = Mapping[str, tuple[str, ...]]
"""What was filled in: by the input's name, the text or the chosen options."""

_VERBS: dict[str, tuple[type[Any], tuple[str, ...]]] = {
    "answers": (values.ShowAnswers, ("run", "page")),
    "dissent": (values.ShowDissent, ("run",)),
    "charts": (values.ShowCharts, ("run",)),
    "again": (values.AskAgain, ("run",)),
    "resize": (values.Resize, ("run", "long")),
    "feedback": (values.Feedback, ("run", "good")),
    "reason": (values.FeedbackReason, ("run",)),
    "stop": (values.StopCommand, ("run",)),
    "example": (values.AskExample, ("domain", "number")),
    "confirm": (values.Confirm, ("draft",)),
    "discard": (values.Discard, ("draft",)),
    "reopen": (values.Reopen, ("draft",)),
    "show": (values.ShowCommand, ("what",)),
    "history": (values.HistoryCommand, ("page", "search")),
    "delete": (values.DeleteRun, ("run", "confirmed")),
    "forget-me": (values.ForgetMe, ("confirmed",)),
    "export": (values.ExportCommand, ()),
    "settings": (values.SettingsCommand, ()),
    "save": (values.SaveConsortium, ("name",)),
    "use": (values.UseConsortium, ("name",)),
    "remove": (values.RemoveConsortium, ("name", "confirmed")),
    "models": (values.ModelsCommand, ()),
    "reset": (values.ResetModel, ("model",)),
    "examples": (values.ExamplesCommand, ("domain",)),
    "help": (values.HelpCommand, ("topic",)),
    "usage": (values.UsageCommand, ()),
    "list": (values.ListConsortia, ()),
    "leaderboard": (values.LeaderboardCommand, ("consortium",)),
    "audit": (values.AuditCommand, ("page",)),
}
_BY_TYPE = {made: (verb, fields) for verb, (made, fields) in _VERBS.items()}


def encode(command: Command) -> str:
    """The coded form. Raises ValueError for a command that has none, says more than is coded, or is too long."""
    found = _BY_TYPE.get(type(command))
    if found is None:
        raise ValueError(f"{type(command).__name__} has no coded form")
    verb, fields = found
    words = [verb, *(_word(getattr(command, field)) for field in fields)]
    while len(words) > 1 and not words[-1]:
        words.pop()
    coded = ":".join(words)
    if len(coded) > MOST:
        raise ValueError(f"an action has at most {MOST} characters: {coded}")
    if _read(coded) != command:
        raise ValueError(f"{coded} does not say all of {command!r}")
    return coded


def decode(action: str) -> Command:
    """The command of a button. Raises UnknownCommand for what is none of ours, or of a later version."""
    if len(action) > MOST or action.partition(":")[0] not in _VERBS:
        raise UnknownCommand("This button is of another version of me. Write `help` to see what there is now.")
    try:
        return _read(action)
    except ValueError:
        raise UnknownCommand("This button does not work any more. Write `help` to see what there is.") from None


def _read(action: str) -> Command:
    """Raises ValueError (pydantic's is one) for what is not as it should be."""
    verb, *words = action.split(":")
    made, fields = _VERBS[verb]
    if len(words) > len(fields):
        raise ValueError(f"{verb} has {len(fields)} arguments")
    given: dict[str, Any] = {field: unquote(word) for field, word in zip(fields, words, strict=False) if word}
    command: Command = made.model_validate(given)
    return command


def submitted(action: str, filled: Values) -> Command:
    """The command of a form that was filled in. Raises UnknownCommand or BadInput."""
    command = decode(action)
    make = _FORMS.get(type(command))
    if make is None:
        raise UnknownCommand("This form is of another version of me. Please open it again.")
    try:
        made: Command = make(command, filled)
    except ValidationError:
        raise BadInput("Something in this form is not of the kind it should be. Please open it again.") from None
    return made


def _word(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return "" if value is None else quote(str(value), safe="")


def _one(filled: Values, name: str) -> str | None:
    return (filled.get(name) or ("",))[0].strip() or None


def _again(command: values.AskAgain, filled: Values) -> Command:
    changes = {name: _one(filled, name) for name in ("consortium", "arbiter", "strategy")}
    return values.AskAgain.model_validate({"run": command.run, "chosen": True, **changes})


def _settings(_: values.SettingsCommand, filled: Values) -> Command:
    fields = {name: _one(filled, name) for name in ("consortium", "domain", "strategy", "question_type")}
    return values.ChangeSettings.model_validate({**fields, "show": filled.get("show", ())})


def _save(command: values.SaveConsortium, filled: Values) -> Command:
    """Members are chosen from a list, or typed with commas where there are too many to list."""
    members = [seat.strip() for entry in filled.get("members", ()) for seat in entry.split(",")]
    return values.SaveConsortium(
        name=_one(filled, "name") or command.name,
        members=tuple(filter(None, members)),
        arbiter=_one(filled, "arbiter"),
        strategy=_one(filled, "strategy"),
        limits=_one(filled, "limits") or "",
    )


def _reason(command: values.FeedbackReason, filled: Values) -> Command:
    return values.FeedbackReason(run=command.run, reason=_one(filled, "reason") or "")


_FORMS: dict[type[Any], Callable[[Any, Values], Command]] = {
    values.AskAgain: _again,
    values.SettingsCommand: _settings,
    values.SaveConsortium: _save,
    values.FeedbackReason: _reason,
}
"""What a submitted form means, by the command that its action is."""
