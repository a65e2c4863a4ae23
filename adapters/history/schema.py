"""The tables of the history: columns for what is searched, JSON text for what is only read back.

The tables are made by the migrations beside this module, never from here; a test holds the two equal.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)
from sqlalchemy.types import TypeDecorator


class Utc(TypeDecorator[datetime]):
    """A point in time: stored in UTC, given back aware. A time without a zone is taken as UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """SQLite drops the zone when it stores, so the time has to be UTC by then."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """SQLite gives times without a zone, PostgreSQL in any."""
        return self.process_bind_param(value, dialect)


class Words(TypeDecorator[str]):
    """Text from outside. PostgreSQL refuses NUL and nobody can store half a surrogate pair: both are mended."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Mend what cannot be stored."""
        return (
            value if value is None or (value.isascii() and "\0" not in value) else mend(value).replace("\0", "\ufffd")
        )


def mend(text: str) -> str:
    """Join surrogate pairs that were cut apart and put U+FFFD for halves that have no partner."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


metadata = MetaData()

runs = Table(
    "runs",
    metadata,
    Column("id", Words, primary_key=True),
    Column("platform", Words, nullable=False),
    Column("workspace", Words, nullable=False),
    Column("channel", Words, nullable=False),
    Column("thread", Words, comment="where the conversation goes on; null until it has a thread"),
    Column("private", Boolean, nullable=False),
    Column("asker", Words, nullable=False, comment="the platform's id of the account"),
    Column("question", Words, nullable=False),
    Column("answer", Words),
    Column("confidence", Float),
    Column("consortium", Words, nullable=False),
    Column("status", Words, nullable=False),
    Column("simulated", Boolean, nullable=False, comment="whether a simulated member had a part in it"),
    Column("error", Words),
    Column("created_at", Utc, nullable=False),
    Column("answered_at", Utc),
    Column("ended_at", Utc),
    Column("delivered_at", Utc),
    Column("ask", Text, nullable=False, comment="JSON"),
    Column("panel", Text, nullable=False, comment="JSON"),
    Column("bill", Text, nullable=False, comment="JSON"),
    Column("notes", Text, nullable=False, comment="JSON"),
    Column("sought", Words, comment="question, answer and id, folded: what is searched"),
)
Index("ix_runs_asker", runs.c.platform, runs.c.workspace, runs.c.asker, runs.c.created_at, runs.c.id)
"""In the very order in which a person's runs are shown: databases take it though they know nothing of their tables."""
Index("ix_runs_thread", runs.c.platform, runs.c.workspace, runs.c.channel, runs.c.thread, runs.c.created_at)
Index(
    "ix_runs_undelivered",
    runs.c.platform,
    runs.c.created_at,
    sqlite_where=runs.c.delivered_at.is_(None),
    postgresql_where=runs.c.delivered_at.is_(None),
)
Index("ix_runs_created", runs.c.created_at, runs.c.id)
Index("ix_runs_workspace", runs.c.platform, runs.c.workspace, runs.c.created_at)


def _of_run() -> Column[str]:
    return Column("run_id", Words, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)


rounds = Table(
    "rounds",
    metadata,
    _of_run(),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("judge", Words, comment="the model that wrote the synthesis"),
    Column("source", Words),
    Column("confidence", Float),
    Column("seconds", Float),
    Column("recorded_at", Utc, nullable=False),
    Column("verdict", Text, comment="JSON"),
    Column("kind", Words, nullable=False, server_default="answers", comment="what members gave"),
)

outcomes = Table(
    "outcomes",
    metadata,
    _of_run(),
    Column("round", Integer, primary_key=True, autoincrement=False),
    Column("member", Words, primary_key=True),
    Column("model", Words, nullable=False),
    Column("kind", Words, nullable=False, comment="response, or the kind of failure"),
    Column("seconds", Float, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("prompt_tokens", BigInteger, comment="null: unknown"),
    Column("completion_tokens", BigInteger, comment="null: unknown"),
    Column("cost", Float, comment="dollars; null: unknown"),
    Column("recorded_at", Utc, nullable=False),
    Column("body", Text, nullable=False, comment="JSON"),
)
Index("ix_outcomes_recorded", outcomes.c.recorded_at)

analyses = Table(
    "analyses",
    metadata,
    _of_run(),
    Column("mean_similarity", Float),
    Column("embedder", Words, nullable=False),
    Column("body", Text, nullable=False, comment="JSON"),
    Column("vectors", LargeBinary, comment="a row an answer, 32 bits a number"),
    Column("dimensions", Integer, comment="numbers in a row of vectors"),
)

charts = Table(
    "charts",
    metadata,
    _of_run(),
    Column("kind", Words, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("png", LargeBinary, nullable=False),
    Column("size", Integer, nullable=False, comment="bytes"),
    Column("alt", Words, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
)

votes = Table(
    "votes",
    metadata,
    _of_run(),
    Column("member", Words, primary_key=True),
    Column("model", Words, nullable=False),
    Column("consortium", Words, nullable=False, comment="that of the run"),
    Column("answer", Words, nullable=False, comment="in its normal form"),
    Column("agreed", Boolean, comment="with most of the others; null: they were tied"),
    Column("correct", Boolean, comment="null: nobody has said"),
)
Index("ix_votes_record", votes.c.consortium, votes.c.model, votes.c.agreed, votes.c.correct)
"""All that the aggregation of records reads: it never touches the table."""

labels = Table(
    "labels",
    metadata,
    _of_run(),
    Column("answer", Words, comment="the right one"),
    Column("good", Boolean, comment="whether the run's answer was"),
    Column("labelled_at", Utc, nullable=False),
)

EVERYWHERE = "*"
"""The workspace of what holds in every workspace; where it holds on every platform, the platform too."""


def _place() -> tuple[Column[str], Column[str]]:
    return Column("platform", Words, primary_key=True), Column("workspace", Words, primary_key=True)


consortia = Table(
    "consortia",
    metadata,
    *_place(),
    Column("key", Words, primary_key=True, comment="the name without its case"),
    Column("name", Words, nullable=False, comment="as it was given"),
    Column("setup", Text, nullable=False, comment="JSON"),
    Column("saved_at", Utc, nullable=False),
)

settings = Table(
    "settings",
    metadata,
    Column("key", Words, primary_key=True),
    Column("value", Text, nullable=False, comment="JSON"),
)

attachments = Table(
    "attachments",
    metadata,
    _of_run(),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("attachment", Text, nullable=False, comment="JSON"),
    Column("text", Words),
    Column("image", LargeBinary),
)

feedback = Table(
    "feedback",
    metadata,
    _of_run(),
    Column("person", Words, primary_key=True, comment="the platform's id of the account"),
    Column("good", Boolean, nullable=False),
    Column("reason", Words),
    Column("given_at", Utc, nullable=False),
)
Index("ix_feedback_person", feedback.c.person)


def _used() -> list[Column[Any]]:
    """What :class:`core.governance.Spent` has; of one run, ``runs`` is 0 until the others are there."""
    return [
        Column("runs", Integer, nullable=False),
        Column("tokens", BigInteger, nullable=False),
        Column("dollars", Float, nullable=False),
        Column("unpriced", Integer, nullable=False, comment="calls whose cost is unknown"),
        Column("uncounted", Integer, nullable=False, comment="calls whose tokens are unknown"),
    ]


rules = Table(
    "rules",
    metadata,
    *_place(),
    Column("right", Words, primary_key=True),
    Column("kind", Words, primary_key=True, comment="of the subject: user, role or channel"),
    Column("subject", Words, primary_key=True, comment="the platform's id"),
    Column("effect", Words, nullable=False, comment="allow, block; or lifted: one that holds everywhere does not here"),
    Column("number", Integer, nullable=False),
)

budgets = Table(
    "budgets",
    metadata,
    *_place(),
    Column("scope", Words, primary_key=True),
    Column("period", Words, primary_key=True),
    Column("subject", Words, primary_key=True, comment="empty: each"),
    Column("tokens", BigInteger, comment="null, with dollars null too: none"),
    Column("dollars", Float),
)

policies = Table(
    "policies",
    metadata,
    *_place(),
    Column("last_rule", Integer, nullable=False, comment="the highest number given so far"),
    Column("confirms", Boolean, nullable=False, comment="whether the next two say anything"),
    Column("confirm_dollars", Float),
    Column("confirm_tokens", BigInteger),
    Column("retains", Boolean, nullable=False, comment="whether the next one says anything"),
    Column("retention_days", Integer, comment="null: for ever"),
)

channels = Table(
    "channels",
    metadata,
    *_place(),
    Column("channel", Words, primary_key=True),
    Column("consortium", Words, nullable=False, comment="that is asked here by default"),
)

changes = Table(
    "changes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("platform", Words, nullable=False),
    Column("workspace", Words, nullable=False),
    Column("at", Utc, nullable=False),
    Column("by", Words, nullable=False, comment="the platform's id of the account"),
    Column("name", Words, nullable=False),
    Column("action", Words, nullable=False),
    Column("detail", Words, nullable=False),
)
Index("ix_changes_place", changes.c.platform, changes.c.workspace, changes.c.id)

spendings = Table(
    "spendings",
    metadata,
    Column("run_id", Words, primary_key=True, comment="of a run that may be deleted by now"),
    Column("platform", Words, nullable=False),
    Column("workspace", Words, nullable=False),
    Column("channel", Words, nullable=False),
    Column("asker", Words, nullable=False),
    Column("day", Date, nullable=False, comment="on which it was asked (UTC)"),
    *_used(),
    Column("settled", Boolean, nullable=False, comment="false: an estimate"),
)

totals = Table(
    "totals",
    metadata,
    *_place(),
    Column("scope", Words, primary_key=True),
    Column("subject", Words, primary_key=True, comment="a person, a channel; empty: the workspace"),
    Column("day", Date, primary_key=True),
    *_used(),
)
"""Sums of the spendings of a day, kept with every one of them: a month is read from some ninety rows."""

postings = Table(
    "postings",
    metadata,
    _of_run(),
    Column("part", Words, primary_key=True, comment="of what is shown of the run"),
    Column("message_id", Words, nullable=False, comment="the platform's"),
    Column("posted_at", Utc, nullable=False),
)

installations = Table(
    "installations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("client_id", Words, nullable=False),
    Column("enterprise_id", Words, nullable=False, comment="empty: none, as in the columns that follow"),
    Column("team_id", Words, nullable=False),
    Column("user_id", Words, nullable=False, comment="who installed it"),
    Column("bot_id", Words, nullable=False),
    Column("bot_user_id", Words, nullable=False),
    Column("is_enterprise_install", Boolean, nullable=False),
    Column("scopes", Words, nullable=False, comment="with commas between them"),
    Column("secrets", LargeBinary, nullable=False, comment="tokens as JSON, encrypted"),
    Column("token_expires_at", Utc),
    Column("installed_at", Utc, nullable=False),
)
Index(
    "ix_installations_key",
    *(installations.c[name] for name in ("client_id", "enterprise_id", "team_id", "user_id")),
    unique=True,
)

oauth_states = Table(
    "oauth_states",
    metadata,
    Column("state", Words, primary_key=True),
    Column("expires_at", Utc, nullable=False),
    Column("used_by", Words, comment="what used it up; null: nothing has"),
)

locks = Table(
    "locks",
    metadata,
    Column("name", Words, primary_key=True),
    Column("holder", Words, nullable=False),
    Column("until", Float, nullable=False, comment="seconds since 1970 by the database's clock"),
)

receipts = Table(
    "receipts",
    metadata,
    Column("writer", Words, primary_key=True, comment="one a process"),
    Column("number", BigInteger, nullable=False, comment="of its last change that was committed"),
    Column("at", Utc, nullable=False),
)
"""Of changes whose commit was not acknowledged they tell whether it was reached; see :mod:`adapters.history.writer`."""
