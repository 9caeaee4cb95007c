"""What all tables share: one `METADATA` with named constraints, our column types, and the outbox.

Tables belong to the context that uses them (`insight/access/tables.py`, …), so that a context's rows stay its own and the platform
knows nothing of tenants' keys or loads; they hang on one `METADATA` because there is one database with one history of migrations.
"""

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import JSON, Column, DateTime, Integer, MetaData, Table, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from jangbu.kernel.tenancy import TenantId

METADATA: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """An instant, stored in UTC to the microsecond, read back aware. A naive value is refused: its zone could only be guessed."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value.isoformat()} has no zone; an instant is aware.")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.replace(tzinfo=UTC)


class TenantOrShared(TypeDecorator[TenantId | None]):
    """A tenant, or None for what is shared, stored as '' so that it can be part of a key (no tenant's id is empty)."""

    impl = Text
    cache_ok = True
    coerce_to_is_types = ()

    def process_bind_param(self, value: TenantId | None, dialect: Dialect) -> str:  # noqa: ARG002
        return value or ""

    def process_result_value(self, value: Any | None, dialect: Dialect) -> TenantId | None:  # noqa: ARG002
        return TenantId(value) if value else None


outbox: Final = Table(
    "outbox",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("payload", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)
"""Events that were committed and have not been handed on, in the order of their commits."""
