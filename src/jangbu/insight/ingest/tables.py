"""The ingest context's tables. `tenant` is '' in them for what is shared."""

from typing import Final

from sqlalchemy import JSON, Boolean, Column, Index, PrimaryKeyConstraint, Table

from jangbu.platform.database.schema import METADATA
from jangbu.platform.database.types import WHOLE, Key, TenantOrShared, UtcDateTime, Words

load_intents: Final = Table(
    "load_intents",
    METADATA,
    Column("data_source", Key, nullable=False),
    Column("tenant", TenantOrShared, nullable=False),
    Column("attempt", Key, nullable=False, index=True),
    Column("run", Key, nullable=False),
    Column("lakehouse_table", Words, nullable=False),
    Column("mode", Words, nullable=False),
    Column("span_start", Words),
    Column("span_end", Words),
    Column("content", Words, nullable=False),
    Column("rows", WHOLE, nullable=False),
    Column("as_of", UtcDateTime, nullable=False),
    Column("owner", Words, nullable=False),
    Column("lease_ends_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("keys", JSON, nullable=False),
    Column("bad", WHOLE, nullable=False),
    Column("repeated", WHOLE, nullable=False),
    PrimaryKeyConstraint("data_source", "tenant"),
)
"""Commits that are about to happen: at most one a tenant and data source, so that the lakehouse's order is the history's. One
attempt may hold several, where the rows are of several tenants or several loads are committed together."""

loads: Final = Table(
    "loads",
    METADATA,
    Column("id", WHOLE, primary_key=True),
    Column("data_source", Key, nullable=False),
    Column("tenant", TenantOrShared, nullable=False),
    Column("run", Key, nullable=False, index=True),
    Column("mode", Words, nullable=False),
    Column("span_start", Words),
    Column("span_end", Words),
    Column("content", Words, nullable=False),
    Column("rows", WHOLE, nullable=False),
    Column("version", WHOLE, nullable=False),
    Column("as_of", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("completed_at", UtcDateTime, nullable=False),
    Column("keys", JSON, nullable=False),
    Column("bad", WHOLE, nullable=False),
    Column("repeated", WHOLE, nullable=False),
    Index("ix_loads_data_source_tenant_id", "data_source", "tenant", "id"),
    sqlite_autoincrement=True,
)
"""Every completed load, in the order of their commits."""

data_versions: Final = Table(
    "data_versions",
    METADATA,
    Column("data_source", Key, nullable=False),
    Column("tenant", TenantOrShared, nullable=False),
    Column("version", WHOLE, nullable=False),
    Column("as_of", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("data_source", "tenant"),
)

outside_versions: Final = Table(
    "outside_versions",
    METADATA,
    Column("data_source", Key, nullable=False),
    Column("place", Key, nullable=False),
    Column("fingerprint", Words, nullable=False),
    Column("version", WHOLE, nullable=False),
    Column("as_of", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("data_source", "place"),
)
"""The last state that was seen of data that others write. `place` is the hash of where they are bound to."""

spool: Final = Table(
    "spool",
    METADATA,
    Column("id", WHOLE, primary_key=True),
    Column("data_source", Key, nullable=False),
    Column("payload", JSON, nullable=False),
    Column("attempt", Key, index=True),
    Index("ix_spool_data_source_id", "data_source", "id"),
    sqlite_autoincrement=True,
)
"""Rows that wait to be loaded together; `attempt` is the load that has taken them, until it deletes them or gives them back."""

quarantine: Final = Table(
    "quarantine",
    METADATA,
    Column("id", WHOLE, primary_key=True),
    Column("data_source", Key, nullable=False),
    Column("tenant", TenantOrShared, nullable=False),
    Column("run", Key, nullable=False, index=True),
    Column("span_start", Words),
    Column("span_end", Words),
    Column("number", WHOLE, nullable=False),
    Column("column", Words),
    Column("reason", Words, nullable=False),
    Column("value", Words),
    Column("payload", JSON, nullable=False),
    Column("state", Words, nullable=False),
    Column("attempt", Key, index=True),
    Column("set_aside_at", UtcDateTime, nullable=False),
    Column("settled_at", UtcDateTime),
    Index("ix_quarantine_data_source_tenant_id", "data_source", "tenant", "id"),
    sqlite_autoincrement=True,
)
"""Rows that couldn't be loaded. They come with the intent of their load, in the state 'new', which nobody sees, and wait from its
end on; a replay is 'replaying' them until its own end. `attempt` is the load that they hang on meanwhile."""

load_attempts: Final = Table(
    "load_attempts",
    METADATA,
    Column("id", Key, primary_key=True),
    Column("data_source", Key, nullable=False),
    Column("tenant", TenantOrShared, nullable=False),
    Column("mode", Words, nullable=False),
    Column("state", Words, nullable=False),
    Column("rows", WHOLE, nullable=False),
    Column("total", WHOLE),
    Column("error", Words),
    Column("owner", Words, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False, index=True),
    Index("ix_load_attempts_data_source_tenant", "data_source", "tenant"),
)
"""Loads that have gone on for a while, until they end; and those that failed."""

erasures: Final = Table(
    "erasures",
    METADATA,
    Column("id", Key, primary_key=True),
    Column("tenant", Key, nullable=False),
    Column("subject", Words),
    Column("salt", Words, nullable=False),
    Column("value_hash", Words),
    Column("keep_rows", Boolean, nullable=False),
    Column("asked_by", Words, nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("places", JSON, nullable=False),
    Column("report", JSON),
    Column("ended_at", UtcDateTime),
    Index("ix_erasures_tenant_asked_at", "tenant", "asked_at"),
)
"""Erasures of tenants (`subject` is null) and of customers, of whom only a hash is kept. `places` says what was found and removed
so far, so that one that was interrupted goes on; `report` is the proof, once all is done."""
