"""Every command as a value: what is typed, tapped or filled in becomes one of these, on every platform."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from core.asks import QuestionType, Value
from core.governance import Period, Right, Scope
from core.setup import Judging

# --- asking ---------------------------------------------------------------------------------------------


class AskCommand(Value):
    """Ask the panel; the options overrule what the session and the consortium say.

    ``models`` are seats (``model`` or ``model:count``) in place of the consortium's; ``roles`` maps models to roles.
    """

    text: str
    consortium: str | None = None
    domain: str | None = None
    charts: bool | None = None
    question_type: QuestionType | None = None
    system: str | None = None
    roles: dict[str, str] = Field(default_factory=dict)
    models: tuple[str, ...] = ()
    arbiter: str | None = None
    strategy: str | None = None
    params: dict[str, Any] = Field(default_factory=dict)
    judging: Judging | None = None
    both_orders: bool | None = None


class AskExample(Value):
    """Ask one of the example questions, ``number`` counting from 1 within its domain."""

    domain: str
    number: int = Field(ge=1)


class AskAgain(Value):
    """Ask a run's question once more with something changed; with nothing named: open the form that asks what."""

    run: str
    consortium: str | None = None
    arbiter: str | None = None
    strategy: str | None = None
    chosen: bool = False


class Confirm(Value):
    """Ask what was held back because of what it may cost."""

    draft: str


class Discard(Value):
    """Do not ask what was held back."""

    draft: str


class StopCommand(Value):
    """End a run; without one the asker's latest that is running in this thread or channel."""

    run: str | None = None


# --- what there is of a run -----------------------------------------------------------------------------


class ShowAnswers(Value):
    """Every member's own answer, ``page`` (a member a page where they are long) counting from 1."""

    run: str
    page: int = Field(default=1, ge=1, le=10_000)


class ShowDissent(Value):
    """Who holds what, with the ranking and the arbiter's reasons."""

    run: str


class ShowCharts(Value):
    """Every chart there is of a run."""

    run: str


class Resize(Value):
    """Show the answer with its whole text, or short."""

    run: str
    long: bool


class Feedback(Value):
    """Whether an answer was good; of a bad one the reason is asked."""

    run: str
    good: bool


class FeedbackReason(Value):
    """Why an answer was not good."""

    run: str
    reason: str = ""


# --- what is on record ----------------------------------------------------------------------------------


class HistoryCommand(Value):
    """List my earlier questions, those with ``search`` in question or answer, ``page`` counting from 1."""

    page: int = Field(default=1, ge=1, le=10_000)
    search: str = ""


class ShowCommand(Value):
    """Show a run by its id, or a consortium by its name."""

    what: str


class DeleteRun(Value):
    """Delete one of my runs with all that belongs to it."""

    run: str
    confirmed: bool = False


class ExportCommand(Value):
    """Send me all my runs as a file."""


class ForgetMe(Value):
    """Delete everything of mine."""

    confirmed: bool = False


# --- roles, and what is set -----------------------------------------------------------------------------


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


class UseConsortium(Value):
    """Ask this consortium from now on, for me in this channel; None: whichever is the default."""

    name: str | None = None


class ChannelDefault(Value):
    """What is asked in this channel by all who have chosen none; None: take it back."""

    name: str | None = None


class SetStrategy(Value):
    """Decide by this strategy from now on, for me in this channel; None: by the consortium's own."""

    name: str | None = None


class SetDomain(Value):
    """What my questions in this channel are about; None: nothing in particular."""

    name: str | None = None


class SetType(Value):
    """What form answers to my questions in this channel have; None: whatever fits."""

    question_type: QuestionType | None = None


class SettingsCommand(Value):
    """Open the form of what I have set in this channel."""


class ChangeSettings(Value):
    """What I have set in this channel, all of it at once, as the form gives it. None: as the consortium says."""

    consortium: str | None = None
    domain: str | None = None
    strategy: str | None = None
    question_type: QuestionType | None = None
    show: tuple[Literal["charts", "long"], ...] = ()


# --- consortia and models -------------------------------------------------------------------------------


class SaveConsortium(Value):
    """Save a consortium; without members: open the form for it (filled with the one of that name, if there is one).

    ``limits`` are thresholds as typed in the form, e.g. "confidence 0.8, rounds 1-3".
    """

    name: str | None = None
    members: tuple[str, ...] = ()
    arbiter: str | None = None
    strategy: str | None = None
    limits: str = ""


class ListConsortia(Value):
    """The consortia there are."""


class RemoveConsortium(Value):
    """Forget a saved consortium, once that is confirmed."""

    name: str
    confirmed: bool = False


class ModelsCommand(Value):
    """Show the models with their state, latency and breaker."""


class ResetModel(Value):
    """Close a model's breaker, so that it is tried again at once."""

    model: str


class LeaderboardCommand(Value):
    """How the models (of one consortium) have done."""

    consortium: str | None = None


class UsageCommand(Value):
    """What I, this channel and this workspace have used, against their budgets."""


# --- who may, how much, for how long --------------------------------------------------------------------


class AccessCommand(Value):
    """Show who may do what here."""


class ChangeAccess(Value):
    """Allow or block somebody. ``subject`` is as typed: ``@name``, ``user:ID``, ``role:ID``, ``channel:ID``."""

    effect: Literal["allow", "block"]
    right: Right
    subject: str


class LiftRule(Value):
    """Take a rule back, by its number in the list."""

    number: int


class BudgetCommand(Value):
    """Show the budgets here."""


class SetBudget(Value):
    """Set a budget, or with neither tokens nor dollars take it back. ``subject`` limits it to one user or channel."""

    scope: Scope
    period: Period
    tokens: int | None = None
    dollars: float | None = None
    subject: str | None = None


class SetConfirmation(Value):
    """From which estimated cost a run is asked for twice; None for both: never."""

    dollars: float | None = None
    tokens: int | None = None


class SetRetention(Value):
    """After how many days runs of this workspace are deleted; None: never; neither given: show."""

    days: int | None = None
    show: bool = False


class AuditCommand(Value):
    """What administrators have changed, ``page`` counting from 1."""

    page: int = Field(default=1, ge=1, le=10_000)


# --- the rest -------------------------------------------------------------------------------------------


class ExamplesCommand(Value):
    """Questions to begin with, of one domain or some of each."""

    domain: str | None = None


class HelpCommand(Value):
    """Show what can be written first; with ``topic`` everything ("all"), a topic, or all about one command."""

    topic: str | None = None


class Reopen(Value):
    """Open a form again with what was filled in."""

    draft: str


Command = (
    AskCommand | AskExample | AskAgain | Confirm | Discard | StopCommand
    | ShowAnswers | ShowDissent | ShowCharts | Resize | Feedback | FeedbackReason
    | HistoryCommand | ShowCommand | DeleteRun | ExportCommand | ForgetMe
    | RolesCommand | AssignRole | ClearRoles | ShuffleRoles
    | UseConsortium | ChannelDefault | SetStrategy | SetDomain | SetType | SettingsCommand | ChangeSettings
    | SaveConsortium | ListConsortia | RemoveConsortium | ModelsCommand | ResetModel | LeaderboardCommand | UsageCommand
    | AccessCommand | ChangeAccess | LiftRule | BudgetCommand | SetBudget | SetConfirmation | SetRetention
    | AuditCommand | ExamplesCommand | HelpCommand | Reopen
)  # fmt: skip
"""Everything that a person can want."""

Asking = AskCommand | AskExample | Confirm
"""Commands that begin a run, if nothing is against it."""


def asks(command: Command) -> bool:
    """Whether a run comes of it, if nothing is against it: then it is answered where all can see it."""
    return isinstance(command, Asking) or (isinstance(command, AskAgain) and command.chosen)


def opens_form(command: Command) -> bool:
    """Whether a form comes of it: platforms want to know before they are told anything else."""
    match command:
        case SettingsCommand() | Reopen():
            return True
        case SaveConsortium():
            return not command.members
        case AskAgain():
            return not command.chosen
        case Feedback():
            return not command.good
    return False
