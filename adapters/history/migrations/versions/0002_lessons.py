"""Votes and labels, saved consortia, settings; kinds of rounds, vectors of answers, runs by their time alone.

A round's outcomes stand in the order of its run's panel, so that the order need not be stored with each round.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Change what is there in place, then add the new tables."""
    op.create_index("ix_runs_created", "runs", ["created_at", "id"])
    op.drop_column("rounds", "members")
    kind = sa.Column("kind", sa.Text(), nullable=False, server_default="answers", comment="what members gave")
    op.add_column("rounds", kind)
    op.add_column("analyses", sa.Column("vectors", sa.LargeBinary(), comment="a row an answer, 32 bits a number"))
    op.add_column("analyses", sa.Column("dimensions", sa.Integer(), comment="numbers in a row of vectors"))
    _create_votes()
    op.create_table(
        "consortia",
        sa.Column("key", sa.Text(), primary_key=True, comment="the name without its case"),
        sa.Column("name", sa.Text(), nullable=False, comment="as it was given"),
        sa.Column("setup", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("saved_at", _TIME, nullable=False),
    )
    op.create_table(
        "settings",
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("value", sa.Text(), nullable=False, comment="JSON"),
    )


def downgrade() -> None:
    """Drop what was added; the order in which outcomes were recorded serves as that of old."""
    for table in ("settings", "consortia", "labels", "votes"):
        op.drop_table(table)
    op.drop_column("analyses", "dimensions")
    op.drop_column("analyses", "vectors")
    op.drop_column("rounds", "kind")
    order = sa.Column("members", sa.Text(), nullable=False, server_default="[]")
    op.add_column("rounds", order)
    op.drop_index("ix_runs_created", "runs")


def _create_votes() -> None:
    op.create_table(
        "votes",
        _run_id(),
        sa.Column("member", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("consortium", sa.Text(), nullable=False, comment="that of the run"),
        sa.Column("answer", sa.Text(), nullable=False, comment="in its normal form"),
        sa.Column("agreed", sa.Boolean(), comment="with most of the others; null: they were tied"),
        sa.Column("correct", sa.Boolean(), comment="null: nobody has said"),
        sa.PrimaryKeyConstraint("run_id", "member"),
    )
    op.create_index("ix_votes_record", "votes", ["consortium", "model", "agreed", "correct"])
    op.create_table(
        "labels",
        _run_id(),
        sa.Column("answer", sa.Text(), comment="the right one"),
        sa.Column("good", sa.Boolean(), comment="whether the run's answer was"),
        sa.Column("labelled_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("run_id"),
    )


def _run_id() -> sa.Column[str]:
    return sa.Column("run_id", sa.Text(), sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False)
