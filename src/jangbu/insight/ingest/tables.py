"""The ingest context's tables. `tenant` is '' in them for what is shared."""

from typing import Final

from sqlalchemy import JSON, Column, Index, Integer, PrimaryKeyConstraint, Table, Text

from jangbu.platform.database.schema import METADATA, TenantOrShared, UtcDateTime

load_intents: Final = Table(
    "load_intents",
    METADATA,
    Column("data_source", Text, nullable=False),
    Column("tenant", TenantOrShared, nullable=False),
    Column("attempt", Text, nullable=False, index=True),
    Column("run", Text, nullable=False),
    Column("lakehouse_table", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("span_start", Text),
    Column("span_end", Text),
    Column("content", Text, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("as_of", UtcDateTime, nullable=False),
    Column("owner", Text, nullable=False),
    Column("lease_ends_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("data_source", "tenant"),
)
"""Commits that are about to happen: at most one a tenant and data source, so that the lakehouse's order is the history's. One
attempt of a run may hold several, where its rows are of several tenants."""

loads: Final = Table(
    "loads",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("data_source", Text, nullable=False),
    Column("tenant", TenantOrShared, nullable=False),
    Column("run", Text, nullable=False, index=True),
    Column("mode", Text, nullable=False),
    Column("span_start", Text),
    Column("span_end", Text),
    Column("content", Text, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("as_of", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("completed_at", UtcDateTime, nullable=False),
    Index("ix_loads_data_source_tenant_id", "data_source", "tenant", "id"),
    sqlite_autoincrement=True,
)
"""Every completed load, in the order of their commits."""

data_versions: Final = Table(
    "data_versions",
    METADATA,
    Column("data_source", Text, nullable=False),
    Column("tenant", TenantOrShared, nullable=False),
    Column("version", Integer, nullable=False),
    Column("as_of", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("data_source", "tenant"),
)

spool: Final = Table(
    "spool",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("data_source", Text, nullable=False),
    Column("payload", JSON, nullable=False),
    Column("attempt", Text, index=True),
    Index("ix_spool_data_source_id", "data_source", "id"),
    sqlite_autoincrement=True,
)
"""Rows that wait to be loaded together; `attempt` is the load that has taken them, until it deletes them or gives them back."""
