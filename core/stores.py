"""Where people's things are kept: the Protocols for sessions, drafts, limits, saved consortia, rules and budgets."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from pydantic import Field

from core.asks import DIRECT, Person, Platform, QuestionType, ThreadRef, Value
from core.governance import Budget, Change, Estimate, Policy, Rule, Spending
from core.setup import ConsortiumSpec
from core.types import Bill, Run


class Session(Value):
    """What a person has set in one channel: roles by model key, and what holds where an ask names nothing else.

    None: as the consortium says. ``long``: answers are shown with their whole text at once.
    """

    roles: dict[str, str] = Field(default_factory=dict)
    consortium: str | None = None
    domain: str | None = None
    strategy: str | None = None
    question_type: QuestionType | None = None
    charts: bool = True
    long: bool = False


class Sessions(Protocol):
    """What people have set, with expiry."""

    async def load(self, asker: Person, where: ThreadRef) -> Session:
        """The person's session in that channel; empty when there is none."""
        ...

    async def save(self, asker: Person, where: ThreadRef, session: Session) -> None:
        """Replace it and start its expiry anew."""
        ...

    async def forget(self, asker: Person, where: ThreadRef) -> None:
        """Forget what the person has set in any channel of that workspace."""
        ...


class Draft(Value):
    """Something that waits for a person: an ask to be confirmed, or a form that was not filled in right."""

    person: str
    body: str


class Drafts(Protocol):
    """What waits for a person, for an hour."""

    async def keep(self, draft: Draft, draft_id: str | None = None) -> str:
        """Keep it; returns its id of at most 32 letters and digits. With the ``draft_id`` of one that was taken, it is
        there once more."""
        ...

    async def take(self, draft_id: str, person: Person, *, again: bool = False, event: str | None = None) -> str | None:
        """The body of that person's draft, once; any number of times with ``again``. None when there is none.

        The ``event`` that takes it, when it is carried out once more, gets it once more.
        """
        ...


class Stops(Protocol):
    """Runs that are to end at once, told to whichever process is at work on them."""

    async def request(self, run_id: str, reason: str) -> None:
        """Have a run end, in whichever process; ``reason`` is a sentence for people."""
        ...

    async def requested(self, run_id: str) -> str:
        """Wait until the run is to end; returns the reason. Returns at once when that was asked for before."""
        ...


class Governance(Protocol):
    """Rules, budgets and what was spent, by workspace (``where`` names it)."""

    async def policy(self, where: ThreadRef) -> Policy:
        """The workspace's rules; may be a second old."""
        ...

    async def add_rule(self, where: ThreadRef, rule: Rule, by: Person) -> int:
        """Add a rule and write the audit log; returns its number. One like it is replaced."""
        ...

    async def lift_rule(self, where: ThreadRef, number: int, by: Person) -> Rule | None:
        """Take a rule back. None when there is none of that number."""
        ...

    async def set_budget(self, where: ThreadRef, budget: Budget, by: Person) -> None:
        """Set the budget of that scope, period and subject; one with neither tokens nor dollars takes it back."""
        ...

    async def set_confirmation(
        self, where: ThreadRef, by: Person, *, dollars: float | None, tokens: int | None
    ) -> None:
        """From which estimate runs are asked for twice."""
        ...

    async def set_retention(self, where: ThreadRef, by: Person, days: int | None) -> None:
        """After how many days runs are deleted; None: never."""
        ...

    async def retentions(self) -> list[tuple[Platform, str, int]]:
        """All workspaces that delete runs, as (platform, workspace, days)."""
        ...

    async def note(self, where: ThreadRef, by: Person, action: str, detail: str) -> None:
        """Write into the audit log."""
        ...

    async def audit(self, where: ThreadRef, limit: int, offset: int) -> list[Change]:
        """The audit log, newest first."""
        ...

    async def channel_default(self, where: ThreadRef) -> str | None:
        """The consortium that this channel asks by default; may be a second old."""
        ...

    async def set_channel_default(self, where: ThreadRef, name: str | None, by: Person) -> None:
        """Set it, or take it back."""
        ...

    async def spending(self, where: ThreadRef, asker: Person, now: datetime) -> Spending:
        """What the person, the channel and the workspace have used in this day and month; runs that go on count by
        their estimate."""
        ...

    async def reserve(self, run: Run, estimate: Estimate) -> None:
        """A run begins: its estimate counts until it is settled."""
        ...

    async def settle(self, run_id: str, bill: Bill) -> None:
        """A run is over: what it really used counts. Nothing of it is taken back when the run is deleted."""
        ...

    async def unsettled(self, before: datetime) -> list[str]:
        """Ids of runs that were asked on a day before that one, and count by their estimate still."""
        ...

    async def forget_spending(self, before: datetime) -> None:
        """Delete who used how much on days before that one."""
        ...


class Limits(Protocol):
    """Rate limits per person and per workspace."""

    async def spend(self, asker: Person, where: ThreadRef) -> None:
        """Take one token of each. Raises :class:`core.errors.RateLimited`; a refusal spends nothing."""
        ...


class Claims(Protocol):
    """Who of several processes does what. A claim lasts until it is dropped, or its process has been silent for some
    seconds: another one can have it then."""

    async def take(self, name: str) -> bool:
        """Whether it is this process's now: it was free, ours already, or of a process that is gone."""
        ...

    async def take_all(self, names: Collection[str]) -> set[str]:
        """The same for many at once: gives those that are this process's now."""
        ...

    async def holds(self, name: str) -> bool:
        """Whether it still is this process's."""
        ...

    async def drop(self, name: str) -> None:
        """Leave it to others; nothing where it is not ours."""
        ...


class Kept(Value):
    """An event of a platform as it came: ``body`` is JSON that the adapter reads by its ``kind``. The platform gives
    every event an ``id``, and repeats it when it sends the event again."""

    id: str
    platform: Platform
    kind: str
    body: str


class Inbox(Protocol):
    """Events that a platform may be told we have, because they outlive the process that took them."""

    async def keep(self, event: Kept) -> bool:
        """Store it as taken by this process; False when it is here already, or was dealt with in the last quarter of
        an hour."""
        ...

    async def done(self, event: Kept) -> None:
        """It has been dealt with."""
        ...

    async def orphans(self, platform: Platform) -> list[Kept]:
        """Those of processes that are gone, oldest first; they are this process's from now on."""
        ...


class Duplicates(Protocol):
    """Suppression of platform events that are delivered more than once."""

    async def first(self, *keys: str) -> bool:
        """Whether none of the keys was seen within the last quarter of an hour; marks them all as seen."""
        ...


class SavedConsortium(Value):
    """A consortium that somebody saved, as it stands in the database.

    ``own``: it belongs to those who look, who can replace and remove it; else the operator saved it for everybody.
    """

    name: str
    setup: ConsortiumSpec
    saved_at: datetime
    own: bool


def home(where: ThreadRef | None) -> tuple[str, str] | None:
    """Whose things are meant there: those of a workspace, by platform and workspace, or with None the operator's.

    The operator is who uses the command line (None, too) or the page. A direct message that belongs to no workspace is
    one of its own.
    """
    if where is None or where.platform in (Platform.WEB, Platform.CLI):
        return None
    return where.platform, f"{DIRECT} {where.channel}" if where.workspace == DIRECT else where.workspace


class Consortia(Protocol):
    """Saved consortia and which one is the default, shared by all processes.

    What a workspace (see :func:`home`) saves is its own: no other one sees it. What the operator saves is for
    everybody, but for workspaces that have one of that name themselves.
    """

    async def get(self, name: str, where: ThreadRef | None) -> SavedConsortium | None:
        """The saved consortium of that name, whatever its case, as it is seen there."""
        ...

    async def all(self, where: ThreadRef | None) -> list[SavedConsortium]:
        """All that are seen there, by name."""
        ...

    async def save(self, name: str, setup: ConsortiumSpec, where: ThreadRef | None) -> bool:
        """Save it; an own one of the same name is replaced. Returns whether there was one."""
        ...

    async def remove(self, name: str, where: ThreadRef | None) -> bool:
        """Forget an own one, and if it was the operator's, that it was the default. Returns whether there was one."""
        ...

    async def default(self) -> str | None:
        """The name of what is asked when none is named, as the operator set it; None: nothing is set."""
        ...

    async def set_default(self, name: str | None) -> None:
        """Set it, or take it back."""
        ...
