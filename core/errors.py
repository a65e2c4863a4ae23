"""Everything that can go wrong, as types; and the one place where an error becomes words for a person.

::

    ConsortiumError
    ├── ConfigError            settings or consortium.toml; ends the start
    ├── Refused                an ask or command is not carried out; the asker is told why
    │   ├── UnknownCommand
    │   ├── BadInput
    │   ├── RateLimited        retry_after
    │   ├── Duplicate          the same platform event again; nobody is told
    │   ├── NotFound
    │   ├── NotAllowed         the rules of the workspace
    │   ├── OverBudget         resets_at
    │   └── BadForm            problems, by input; form, to be filled in again
    ├── Unavailable            something we depend on (Redis, the database) does not answer
    └── ModelError             a model gave nothing; kind, retry_after, status
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from core.types import FailureKind, Usage

if TYPE_CHECKING:
    from core.cards import Form


class ConsortiumError(Exception):
    """Base of all errors of this project. ``str()`` is one sentence that a person may see."""


class ConfigError(ConsortiumError):
    """A setting is wrong. The text names the field, what is wrong and what to write."""


class Refused(ConsortiumError):
    """An ask or a command is not carried out; the text says why and what to do."""


class UnknownCommand(Refused):
    """No such command; the text names the nearest one."""


class BadInput(Refused):
    """A command's words are off; the text shows how to write it."""


class RateLimited(Refused):
    """Too many asks. ``retry_after`` is in seconds."""

    def __init__(self, scope: str, retry_after: float) -> None:
        self.scope, self.retry_after = scope, max(1, round(retry_after))
        super().__init__(f"{scope} asked too often just now. Try again in {self.retry_after} s.")


class Duplicate(Refused):
    """The platform delivered an event again that is being handled already."""


class NotFound(Refused):
    """What was named does not exist, or not for this person."""


class NotAllowed(Refused):
    """The rules of the workspace do not let this person do it; the text says who may, or whom to ask."""


class OverBudget(Refused):
    """A budget is used up. ``resets_at`` is when it is whole again."""

    def __init__(self, text: str, resets_at: datetime) -> None:
        super().__init__(text)
        self.resets_at = resets_at


class BadForm(BadInput):
    """A form was not filled in right. ``problems`` says what is wrong, by input; ``form`` has what was filled in."""

    def __init__(self, problems: dict[str, str], form: Form) -> None:
        super().__init__("\n".join(problems.values()))
        self.problems, self.form = problems, form


class Unavailable(ConsortiumError):
    """A part that Consortium itself needs does not answer."""


class ModelError(ConsortiumError):
    """A call to a model gave nothing usable.

    ``retry_after`` is the provider's wish in seconds, ``status`` the HTTP status where there was one,
    ``usage`` what the call used all the same. ``retryable`` tells whether asking again can help.
    """

    def __init__(
        self,
        kind: FailureKind,
        detail: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        retryable: bool | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.status = kind, detail, status
        self.retry_after, self.usage = retry_after, usage
        self.retryable = kind in _RETRYABLE if retryable is None else retryable


_RETRYABLE = {FailureKind.TIMEOUT, FailureKind.RATE_LIMITED, FailureKind.UNREACHABLE, FailureKind.BAD_REPLY}


def user_text(error: BaseException, run_id: str | None = None) -> str:
    """The words for a person. Errors that are not ours say nothing of their insides, only where to look."""
    if isinstance(error, ConsortiumError):
        return str(error)
    where = f" The operator finds it in the log under `{run_id}`." if run_id else ""
    return f"Something went wrong on our side.{where} Please try again; if it happens again, tell the operator."
