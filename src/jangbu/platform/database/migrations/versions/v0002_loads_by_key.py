"""Merges and their keys; rows kept aside; loads that go on or failed."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from jangbu.platform.database import types

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ADDED: tuple[tuple[str, Any, Any], ...] = (("keys", sa.JSON(), []), ("bad", types.WHOLE, 0), ("repeated", types.WHOLE, 0))


def upgrade() -> None:
    for table, numbered in (("load_intents", False), ("loads", True)):
        options = {"sqlite_autoincrement": True} if numbered else {}
        with op.batch_alter_table(table, table_kwargs=options) as batch:
            for name, type_, _ in _ADDED:
                batch.add_column(sa.Column(name, type_))
        # Not by a default: not every database has one for JSON.
        op.execute(
            sa.table(table, *(sa.column(name, type_) for name, type_, _ in _ADDED))
            .update()
            .values({name: value for name, _, value in _ADDED})
        )
        with op.batch_alter_table(table, table_kwargs=options) as batch:
            for name, type_, _ in _ADDED:
                batch.alter_column(name, existing_type=type_, nullable=False)
    _quarantine()
    _load_attempts()


def _quarantine() -> None:
    op.create_table(
        "quarantine",
        sa.Column("id", types.WHOLE, nullable=False),
        sa.Column("data_source", types.Key, nullable=False),
        sa.Column("tenant", types.Key, nullable=False),
        sa.Column("run", types.Key, nullable=False),
        sa.Column("span_start", types.Words),
        sa.Column("span_end", types.Words),
        sa.Column("number", types.WHOLE, nullable=False),
        sa.Column("column", types.Words),
        sa.Column("reason", types.Words, nullable=False),
        sa.Column("value", types.Words),
        sa.Column("payload", sa.JSON, nullable=False),
        sa.Column("state", types.Words, nullable=False),
        sa.Column("attempt", types.Key),
        sa.Column("set_aside_at", types.UtcDateTime, nullable=False),
        sa.Column("settled_at", types.UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="pk_quarantine"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_quarantine_run", "quarantine", ["run"])
    op.create_index("ix_quarantine_attempt", "quarantine", ["attempt"])
    op.create_index("ix_quarantine_data_source_tenant_id", "quarantine", ["data_source", "tenant", "id"])


def _load_attempts() -> None:
    op.create_table(
        "load_attempts",
        sa.Column("id", types.Key, nullable=False),
        sa.Column("data_source", types.Key, nullable=False),
        sa.Column("tenant", types.Key, nullable=False),
        sa.Column("mode", types.Words, nullable=False),
        sa.Column("state", types.Words, nullable=False),
        sa.Column("rows", types.WHOLE, nullable=False),
        sa.Column("total", types.WHOLE),
        sa.Column("error", types.Words),
        sa.Column("owner", types.Words, nullable=False),
        sa.Column("started_at", types.UtcDateTime, nullable=False),
        sa.Column("updated_at", types.UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_load_attempts"),
    )
    op.create_index("ix_load_attempts_updated_at", "load_attempts", ["updated_at"])
    op.create_index("ix_load_attempts_data_source_tenant", "load_attempts", ["data_source", "tenant"])
