"""The access context's tables."""

from typing import Final

from sqlalchemy import JSON, Column, ForeignKey, Integer, Table, Text

from jangbu.platform.database.schema import METADATA, UtcDateTime

tenants: Final = Table(
    "tenants",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("zone", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("pinned_now", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
)

api_keys: Final = Table(
    "api_keys",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("secret_hash", Text, nullable=False, unique=True),
    Column("roles", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False, index=True),
    Column("revoked_at", UtcDateTime),
)

api_key_tenants: Final = Table(
    "api_key_tenants",
    METADATA,
    Column("api_key", Text, ForeignKey(api_keys.c.id), primary_key=True),
    Column("tenant", Text, ForeignKey(tenants.c.id), primary_key=True),
    Column("position", Integer, nullable=False),
)
"""The tenants that a key holds, in the order given."""
