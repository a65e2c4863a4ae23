"""What many processes share: messages that stand, apps that were installed, locks, receipts of changes.

The index of a person's runs has the whole order in which they are shown; and what is searched of runs is stored folded,
which is faster and the same on every database, whatever its locale.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_AT_ONCE = 500
"""Runs whose texts are held in memory together."""


def upgrade() -> None:
    """Add tables, a column of runs, and one to an index."""
    _index_by_asker("created_at", "id")
    op.add_column("runs", sa.Column("sought", sa.Text(), comment="question, answer and id, folded: what is searched"))
    _fold_runs(op.get_bind())
    op.create_table(
        "postings",
        sa.Column("run_id", sa.Text(), sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("part", sa.Text(), nullable=False, comment="of what is shown of the run"),
        sa.Column("message_id", sa.Text(), nullable=False, comment="the platform's"),
        sa.Column("posted_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "part"),
    )
    _create_installations()
    op.create_table(
        "locks",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("until", sa.Float(), nullable=False, comment="seconds since 1970 by the database's clock"),
    )
    op.create_table(
        "receipts",
        sa.Column("writer", sa.Text(), primary_key=True, comment="one a process"),
        sa.Column("number", sa.BigInteger(), nullable=False, comment="of its last change that was committed"),
        sa.Column("at", _TIME, nullable=False),
    )


def downgrade() -> None:
    """Drop what was added."""
    for table in ("receipts", "locks", "oauth_states", "installations", "postings"):
        op.drop_table(table)
    op.drop_column("runs", "sought")
    _index_by_asker("created_at")


def _fold_runs(connection: sa.Connection) -> None:
    """As :func:`adapters.history.rows.folded` does it, now and for good."""
    runs = sa.table("runs", *(sa.column(name) for name in ("id", "question", "answer", "sought")))
    query = sa.select(runs.c.id, runs.c.question, runs.c.answer).order_by(runs.c.id).limit(_AT_ONCE)
    fold = sa.update(runs).where(runs.c.id == sa.bindparam("id_")).values(sought=sa.bindparam("sought_"))
    portion = connection.execute(query).all()
    while portion:
        rows = [
            {"id_": row.id, "sought_": f"{row.question}\n{row.answer or ''}\n{row.id}".casefold()} for row in portion
        ]
        connection.execute(fold, rows)
        portion = connection.execute(query.where(runs.c.id > portion[-1].id)).all()


def _index_by_asker(*order: str) -> None:
    op.drop_index("ix_runs_asker", "runs")
    op.create_index("ix_runs_asker", "runs", ["platform", "workspace", "asker", *order])


def _create_installations() -> None:
    op.create_table(
        "installations",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("enterprise_id", sa.Text(), nullable=False, comment="empty: none, as in the columns that follow"),
        sa.Column("team_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False, comment="who installed it"),
        sa.Column("bot_id", sa.Text(), nullable=False),
        sa.Column("bot_user_id", sa.Text(), nullable=False),
        sa.Column("is_enterprise_install", sa.Boolean(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False, comment="with commas between them"),
        sa.Column("secrets", sa.LargeBinary(), nullable=False, comment="tokens as JSON, encrypted"),
        sa.Column("token_expires_at", _TIME),
        sa.Column("installed_at", _TIME, nullable=False),
    )
    key = ["client_id", "enterprise_id", "team_id", "user_id"]
    op.create_index("ix_installations_key", "installations", key, unique=True)
    op.create_table(
        "oauth_states",
        sa.Column("state", sa.Text(), primary_key=True),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("used_by", sa.Text(), comment="what used it up; null: nothing has"),
    )
