"""Runs, their rounds and outcomes, analyses and charts."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create all tables."""
    _create_runs()
    op.create_table(
        "rounds",
        _run_id(),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("judge", sa.Text(), comment="the model that wrote the synthesis"),
        sa.Column("source", sa.Text()),
        sa.Column("confidence", sa.Float()),
        sa.Column("seconds", sa.Float()),
        sa.Column("recorded_at", _TIME, nullable=False),
        sa.Column("members", sa.Text(), nullable=False, comment="JSON: ids in the order of the round's outcomes"),
        sa.Column("verdict", sa.Text(), comment="JSON"),
        sa.PrimaryKeyConstraint("run_id", "number"),
    )
    op.create_table(
        "outcomes",
        _run_id(),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("member", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="response, or the kind of failure"),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), comment="null: unknown"),
        sa.Column("completion_tokens", sa.BigInteger(), comment="null: unknown"),
        sa.Column("cost", sa.Float(), comment="dollars; null: unknown"),
        sa.Column("recorded_at", _TIME, nullable=False),
        sa.Column("body", sa.Text(), nullable=False, comment="JSON"),
        sa.PrimaryKeyConstraint("run_id", "round", "member"),
    )
    op.create_table(
        "analyses",
        _run_id(),
        sa.Column("mean_similarity", sa.Float()),
        sa.Column("embedder", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False, comment="JSON"),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_table(
        "charts",
        _run_id(),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("png", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False, comment="bytes"),
        sa.Column("alt", sa.Text(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "kind"),
    )


def downgrade() -> None:
    """Drop all tables."""
    for table in ("charts", "analyses", "outcomes", "rounds", "runs"):
        op.drop_table(table)


def _create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("thread", sa.Text(), comment="where the conversation goes on; null until it has a thread"),
        sa.Column("private", sa.Boolean(), nullable=False),
        sa.Column("asker", sa.Text(), nullable=False, comment="the platform's id of the account"),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text()),
        sa.Column("confidence", sa.Float()),
        sa.Column("consortium", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False, comment="whether a simulated member had a part in it"),
        sa.Column("error", sa.Text()),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("answered_at", _TIME),
        sa.Column("ended_at", _TIME),
        sa.Column("delivered_at", _TIME),
        sa.Column("ask", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("panel", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("bill", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("notes", sa.Text(), nullable=False, comment="JSON"),
    )
    op.create_index("ix_runs_asker", "runs", ["platform", "workspace", "asker", "created_at"])
    op.create_index("ix_runs_thread", "runs", ["platform", "workspace", "channel", "thread", "created_at"])
    missing = sa.text("delivered_at IS NULL")
    op.create_index(
        "ix_runs_undelivered", "runs", ["platform", "created_at"], sqlite_where=missing, postgresql_where=missing
    )


def _run_id() -> sa.Column[str]:
    return sa.Column("run_id", sa.Text(), sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False)
