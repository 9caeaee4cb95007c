"""The access context's tables."""

from typing import Final

from sqlalchemy import JSON, Column, ForeignKey, Table

from jangbu.platform.database.schema import METADATA
from jangbu.platform.database.types import WHOLE, Key, UtcDateTime, Words

tenants: Final = Table(
    "tenants",
    METADATA,
    Column("id", Key, primary_key=True),
    Column("name", Words, nullable=False),
    Column("zone", Words, nullable=False),
    Column("currency", Words, nullable=False),
    Column("pinned_now", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Column("state", Words, nullable=False),
    Column("state_since", UtcDateTime),
)
"""A deleted tenant keeps its row, with empty texts, so that its id isn't given to another by mistake."""

api_keys: Final = Table(
    "api_keys",
    METADATA,
    Column("id", Key, primary_key=True),
    Column("name", Words, nullable=False),
    Column("prefix", Words, nullable=False),
    Column("secret_hash", Key, nullable=False, unique=True),
    Column("roles", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False, index=True),
    Column("revoked_at", UtcDateTime),
)

api_key_tenants: Final = Table(
    "api_key_tenants",
    METADATA,
    Column("api_key", Key, ForeignKey(api_keys.c.id), primary_key=True),
    Column("tenant", Key, ForeignKey(tenants.c.id), primary_key=True),
    Column("position", WHOLE, nullable=False),
)
"""The tenants that a key holds, in the order given."""
