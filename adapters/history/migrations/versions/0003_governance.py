"""Rules, budgets and what was spent, defaults of channels, the audit log; feedback; what came with questions.

Saved consortia belong to somebody from now on.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add tables and two indexes; consortia that were saved so far are for everybody."""
    op.create_index("ix_runs_workspace", "runs", ["platform", "workspace", "created_at"])
    op.create_index("ix_outcomes_recorded", "outcomes", ["recorded_at"])
    _create_parts_of_runs()
    _create_rules()
    _create_channels()
    _create_spendings()
    _make_consortia_anew(*_place(), where="*")


def downgrade() -> None:
    """Drop what was added, and with it what workspaces saved for themselves."""
    tables = ("totals", "spendings", "changes", "channels", "policies", "budgets", "rules", "feedback", "attachments")
    for table in tables:
        op.drop_table(table)
    op.drop_index("ix_outcomes_recorded", "outcomes")
    _make_consortia_anew()
    op.drop_index("ix_runs_workspace", "runs")


def _make_consortia_anew(*place: sa.Column[str], where: str | None = None) -> None:
    """With other columns before the name in the key: SQLite cannot change a key. Rows that hold everywhere are kept."""
    connection = op.get_bind()
    there = sa.Table("consortia", sa.MetaData(), autoload_with=connection)
    kept = sa.select(there) if where else sa.select(there).where(there.c.platform == "*")
    names = ("key", "name", "setup", "saved_at")
    rows = [{name: row[name] for name in names} for row in connection.execute(kept).mappings()]
    op.drop_table("consortia")
    made = op.create_table(
        "consortia",
        *place,
        sa.Column("key", sa.Text(), nullable=False, comment="the name without its case"),
        sa.Column("name", sa.Text(), nullable=False, comment="as it was given"),
        sa.Column("setup", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("saved_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint(*(column.name for column in place), "key"),
    )
    op.bulk_insert(made, [{**row, **{column.name: where for column in place}} for row in rows])


def _create_parts_of_runs() -> None:
    op.create_table(
        "attachments",
        _run_id(),
        sa.Column("position", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("attachment", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("text", sa.Text()),
        sa.Column("image", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("run_id", "position"),
    )
    op.create_table(
        "feedback",
        _run_id(),
        sa.Column("person", sa.Text(), nullable=False, comment="the platform's id of the account"),
        sa.Column("good", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("given_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "person"),
    )
    op.create_index("ix_feedback_person", "feedback", ["person"])


def _create_rules() -> None:
    effect = "allow, block; or lifted: one that holds everywhere does not here"
    op.create_table(
        "rules",
        *_place(),
        sa.Column("right", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="of the subject: user, role or channel"),
        sa.Column("subject", sa.Text(), nullable=False, comment="the platform's id"),
        sa.Column("effect", sa.Text(), nullable=False, comment=effect),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("platform", "workspace", "right", "kind", "subject"),
    )
    op.create_table(
        "budgets",
        *_place(),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False, comment="empty: each"),
        sa.Column("tokens", sa.BigInteger(), comment="null, with dollars null too: none"),
        sa.Column("dollars", sa.Float()),
        sa.PrimaryKeyConstraint("platform", "workspace", "scope", "period", "subject"),
    )
    op.create_table(
        "policies",
        *_place(),
        sa.Column("last_rule", sa.Integer(), nullable=False, comment="the highest number given so far"),
        sa.Column("confirms", sa.Boolean(), nullable=False, comment="whether the next two say anything"),
        sa.Column("confirm_dollars", sa.Float()),
        sa.Column("confirm_tokens", sa.BigInteger()),
        sa.Column("retains", sa.Boolean(), nullable=False, comment="whether the next one says anything"),
        sa.Column("retention_days", sa.Integer(), comment="null: for ever"),
        sa.PrimaryKeyConstraint("platform", "workspace"),
    )


def _create_channels() -> None:
    op.create_table(
        "channels",
        *_place(),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("consortium", sa.Text(), nullable=False, comment="that is asked here by default"),
        sa.PrimaryKeyConstraint("platform", "workspace", "channel"),
    )
    op.create_table(
        "changes",
        sa.Column("id", sa.Integer(), primary_key=True),
        *_place(),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("by", sa.Text(), nullable=False, comment="the platform's id of the account"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
    )
    op.create_index("ix_changes_place", "changes", ["platform", "workspace", "id"])


def _create_spendings() -> None:
    op.create_table(
        "spendings",
        sa.Column("run_id", sa.Text(), primary_key=True, comment="of a run that may be deleted by now"),
        *_place(),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("asker", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False, comment="on which it was asked (UTC)"),
        *_used(),
        sa.Column("settled", sa.Boolean(), nullable=False, comment="false: an estimate"),
    )
    op.create_table(
        "totals",
        *_place(),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False, comment="a person, a channel; empty: the workspace"),
        sa.Column("day", sa.Date(), nullable=False),
        *_used(),
        sa.PrimaryKeyConstraint("platform", "workspace", "scope", "subject", "day"),
    )


def _used() -> list[sa.Column[Any]]:
    return [
        sa.Column("runs", sa.Integer(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("dollars", sa.Float(), nullable=False),
        sa.Column("unpriced", sa.Integer(), nullable=False, comment="calls whose cost is unknown"),
        sa.Column("uncounted", sa.Integer(), nullable=False, comment="calls whose tokens are unknown"),
    ]


def _place() -> tuple[sa.Column[str], sa.Column[str]]:
    return sa.Column("platform", sa.Text(), nullable=False), sa.Column("workspace", sa.Text(), nullable=False)


def _run_id() -> sa.Column[str]:
    return sa.Column("run_id", sa.Text(), sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False)
