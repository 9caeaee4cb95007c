"""Column types that mean the same on every database. Tables and migrations are made of them, so none of them ever changes.

Texts are told apart and sorted by their code points, whatever the server's collation; numbers have 64 bits; instants microseconds.
"""

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import BigInteger, DateTime, Integer, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from jangbu.kernel.tenancy import TenantId
from jangbu.platform.database import nul

_MYSQL: Final = ("mysql", "mariadb")

WHOLE: Final = Integer().with_variant(BigInteger(), "postgresql", *_MYSQL)
"""A whole number of 64 bits; SQLite's always has them."""


class Words(TypeDecorator[Any]):
    """A text of any length. MySQL and MariaDB take their collation from the database, which `migrate` sets."""

    impl = Text
    cache_ok = True
    on_mysql: TypeEngine[Any] = mysql.LONGTEXT()

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(Text(collation="C"))
        return dialect.type_descriptor(self.on_mysql if dialect.name in _MYSQL else Text())

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return nul.hidden(value) if isinstance(value, str) and dialect.name == "postgresql" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return nul.shown(value) if isinstance(value, str) and dialect.name == "postgresql" else value


class Key(Words):
    """A text that stands in a key or an index: at most 255 characters on MySQL and MariaDB, where two fit into one index."""

    cache_ok = True
    on_mysql = mysql.VARCHAR(255)


class TenantOrShared(Key):
    """A tenant, or None for what is shared, stored as '' so that it can be part of a key (no tenant's id is empty)."""

    cache_ok = True
    coerce_to_is_types = ()

    def process_bind_param(self, value: TenantId | None, dialect: Dialect) -> str:  # noqa: ARG002
        return value or ""

    def process_result_value(self, value: Any | None, dialect: Dialect) -> TenantId | None:  # noqa: ARG002
        return TenantId(value) if value else None


class UtcDateTime(TypeDecorator[datetime]):
    """An instant, stored in UTC to the microsecond, read back aware. A naive value is refused: its zone could only be guessed."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(mysql.DATETIME(fsp=6) if dialect.name in _MYSQL else DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value.isoformat()} has no zone; an instant is aware.")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.replace(tzinfo=UTC)
