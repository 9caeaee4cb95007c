"""Tenants and keys; loads, their intents and versions; the spool; the outbox."""

import sqlalchemy as sa
from alembic import op

from jangbu.platform.database import types

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _outbox()
    _tenants()
    _api_keys()
    _load_intents()
    _loads()
    _data_versions()
    _spool()


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", types.WHOLE, nullable=False),
        sa.Column("name", types.Words, nullable=False),
        sa.Column("schema_version", types.WHOLE, nullable=False),
        sa.Column("payload", sa.JSON, nullable=False),
        sa.Column("created_at", types.UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sqlite_autoincrement=True,
    )


def _tenants() -> None:
    op.create_table(
        "tenants",
        sa.Column("id", types.Key, nullable=False),
        sa.Column("name", types.Words, nullable=False),
        sa.Column("zone", types.Words, nullable=False),
        sa.Column("currency", types.Words, nullable=False),
        sa.Column("pinned_now", types.UtcDateTime),
        sa.Column("created_at", types.UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tenants"),
    )


def _api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", types.Key, nullable=False),
        sa.Column("name", types.Words, nullable=False),
        sa.Column("prefix", types.Words, nullable=False),
        sa.Column("secret_hash", types.Key, nullable=False),
        sa.Column("roles", sa.JSON, nullable=False),
        sa.Column("created_at", types.UtcDateTime, nullable=False),
        sa.Column("revoked_at", types.UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("secret_hash", name="uq_api_keys_secret_hash"),
    )
    op.create_index("ix_api_keys_created_at", "api_keys", ["created_at"])
    op.create_table(
        "api_key_tenants",
        sa.Column("api_key", types.Key, nullable=False),
        sa.Column("tenant", types.Key, nullable=False),
        sa.Column("position", types.WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("api_key", "tenant", name="pk_api_key_tenants"),
        sa.ForeignKeyConstraint(["api_key"], ["api_keys.id"], name="fk_api_key_tenants_api_key_api_keys"),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name="fk_api_key_tenants_tenant_tenants"),
    )


def _load_intents() -> None:
    op.create_table(
        "load_intents",
        sa.Column("data_source", types.Key, nullable=False),
        sa.Column("tenant", types.Key, nullable=False),
        sa.Column("attempt", types.Key, nullable=False),
        sa.Column("run", types.Key, nullable=False),
        sa.Column("lakehouse_table", types.Words, nullable=False),
        sa.Column("mode", types.Words, nullable=False),
        sa.Column("span_start", types.Words),
        sa.Column("span_end", types.Words),
        sa.Column("content", types.Words, nullable=False),
        sa.Column("rows", types.WHOLE, nullable=False),
        sa.Column("as_of", types.UtcDateTime, nullable=False),
        sa.Column("owner", types.Words, nullable=False),
        sa.Column("lease_ends_at", types.UtcDateTime, nullable=False),
        sa.Column("started_at", types.UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("data_source", "tenant", name="pk_load_intents"),
    )
    op.create_index("ix_load_intents_attempt", "load_intents", ["attempt"])


def _loads() -> None:
    op.create_table(
        "loads",
        sa.Column("id", types.WHOLE, nullable=False),
        sa.Column("data_source", types.Key, nullable=False),
        sa.Column("tenant", types.Key, nullable=False),
        sa.Column("run", types.Key, nullable=False),
        sa.Column("mode", types.Words, nullable=False),
        sa.Column("span_start", types.Words),
        sa.Column("span_end", types.Words),
        sa.Column("content", types.Words, nullable=False),
        sa.Column("rows", types.WHOLE, nullable=False),
        sa.Column("version", types.WHOLE, nullable=False),
        sa.Column("as_of", types.UtcDateTime, nullable=False),
        sa.Column("started_at", types.UtcDateTime, nullable=False),
        sa.Column("completed_at", types.UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_loads"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_loads_run", "loads", ["run"])
    op.create_index("ix_loads_data_source_tenant_id", "loads", ["data_source", "tenant", "id"])


def _data_versions() -> None:
    op.create_table(
        "data_versions",
        sa.Column("data_source", types.Key, nullable=False),
        sa.Column("tenant", types.Key, nullable=False),
        sa.Column("version", types.WHOLE, nullable=False),
        sa.Column("as_of", types.UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("data_source", "tenant", name="pk_data_versions"),
    )


def _spool() -> None:
    op.create_table(
        "spool",
        sa.Column("id", types.WHOLE, nullable=False),
        sa.Column("data_source", types.Key, nullable=False),
        sa.Column("payload", sa.JSON, nullable=False),
        sa.Column("attempt", types.Key),
        sa.PrimaryKeyConstraint("id", name="pk_spool"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_spool_attempt", "spool", ["attempt"])
    op.create_index("ix_spool_data_source_id", "spool", ["data_source", "id"])
