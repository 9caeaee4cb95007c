"""What all tables share: one `METADATA` with named constraints, and the tables of messages.

Tables belong to the context that uses them (`insight/access/tables.py`, …), so that a context's rows stay its own and the platform
knows nothing of tenants' keys or loads; they hang on one `METADATA` because there is one database with one history of migrations.
"""

from typing import Final

from sqlalchemy import JSON, Column, MetaData, PrimaryKeyConstraint, Table

from jangbu.platform.database.types import WHOLE, Key, UtcDateTime, Words

METADATA: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


outbox: Final = Table(
    "outbox",
    METADATA,
    Column("id", WHOLE, primary_key=True),
    Column("message", Words, nullable=False),
    Column("kind", Words, nullable=False),
    Column("name", Words, nullable=False),
    Column("schema_version", WHOLE, nullable=False),
    Column("payload", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("trace", Words),
    sqlite_autoincrement=True,
)
"""Events and commands that were committed and have not been handed on, in the order of their commits. `message` is what each is
known by from then on: not the row's number, which comes again where an older copy of the database is put back. `trace` is what led
to it."""

inbox: Final = Table(
    "inbox",
    METADATA,
    Column("handler", Key, nullable=False),
    Column("message", Key, nullable=False),
    Column("done_at", UtcDateTime, nullable=False, index=True),
    PrimaryKeyConstraint("handler", "message"),
)
"""Which handler has done which message, noted in the transaction that did it."""

schedule: Final = Table(
    "schedule",
    METADATA,
    Column("job", Key, primary_key=True),
    Column("next_at", UtcDateTime, nullable=False),
)
"""When each periodic job is to be done next."""
