"""What led to a message of the outbox."""

import sqlalchemy as sa
from alembic import op

from jangbu.platform.database.types import Words

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outbox", sa.Column("trace", Words))
