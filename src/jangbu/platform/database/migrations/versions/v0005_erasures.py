"""States of tenants; erasures and how far they have come."""

import sqlalchemy as sa
from alembic import op

from jangbu.platform.database import types

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("tenants") as batch:
        batch.add_column(sa.Column("state", types.Words))
        batch.add_column(sa.Column("state_since", types.UtcDateTime))
    op.execute(sa.table("tenants", sa.column("state", types.Words)).update().values(state="active"))
    with op.batch_alter_table("tenants") as batch:
        batch.alter_column("state", existing_type=types.Words(), nullable=False)
    op.create_table(
        "erasures",
        sa.Column("id", types.Key, nullable=False),
        sa.Column("tenant", types.Key, nullable=False),
        sa.Column("subject", types.Words),
        sa.Column("salt", types.Words, nullable=False),
        sa.Column("value_hash", types.Words),
        sa.Column("keep_rows", sa.Boolean, nullable=False),
        sa.Column("asked_by", types.Words, nullable=False),
        sa.Column("asked_at", types.UtcDateTime, nullable=False),
        sa.Column("places", sa.JSON, nullable=False),
        sa.Column("report", sa.JSON),
        sa.Column("ended_at", types.UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="pk_erasures"),
    )
    op.create_index("ix_erasures_tenant_asked_at", "erasures", ["tenant", "asked_at"])
