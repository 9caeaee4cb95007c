"""The outbox tells events from commands and knows each by an id of its own; the inbox; the schedule."""

from uuid import uuid4

import sqlalchemy as sa
from alembic import op

from jangbu.platform.database import types

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _outbox()
    _inbox()
    _schedule()


def _outbox() -> None:
    """Made anew with what waited in it, as constraints' names are a schema's on some databases."""
    columns = ("id", "name", "schema_version", "payload", "created_at")
    old = sa.table("outbox", *map(sa.column, columns))
    waiting = op.get_bind().execute(sa.select(old).order_by(old.c.id)).mappings().all()
    op.drop_table("outbox")
    new = op.create_table(
        "outbox",
        sa.Column("id", types.WHOLE, nullable=False),
        sa.Column("message", types.Words, nullable=False),
        sa.Column("kind", types.Words, nullable=False),
        sa.Column("name", types.Words, nullable=False),
        sa.Column("schema_version", types.WHOLE, nullable=False),
        sa.Column("payload", sa.JSON, nullable=False),
        sa.Column("created_at", types.UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sqlite_autoincrement=True,
    )
    plain = sa.table("outbox", *map(sa.column, (*new.c.keys(),)))
    if waiting:
        op.bulk_insert(plain, [{**row, "message": uuid4().hex, "kind": "event"} for row in waiting])


def _inbox() -> None:
    op.create_table(
        "inbox",
        sa.Column("handler", types.Key, nullable=False),
        sa.Column("message", types.Key, nullable=False),
        sa.Column("done_at", types.UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("handler", "message", name="pk_inbox"),
    )
    op.create_index("ix_inbox_done_at", "inbox", ["done_at"])


def _schedule() -> None:
    op.create_table(
        "schedule",
        sa.Column("job", types.Key, nullable=False),
        sa.Column("next_at", types.UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("job", name="pk_schedule"),
    )
