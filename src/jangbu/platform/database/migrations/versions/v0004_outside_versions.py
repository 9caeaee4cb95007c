"""Versions of data that others write."""

import sqlalchemy as sa
from alembic import op

from jangbu.platform.database import types

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "outside_versions",
        sa.Column("data_source", types.Key, nullable=False),
        sa.Column("place", types.Key, nullable=False),
        sa.Column("fingerprint", types.Words, nullable=False),
        sa.Column("version", types.WHOLE, nullable=False),
        sa.Column("as_of", types.UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("data_source", "place", name="pk_outside_versions"),
    )
