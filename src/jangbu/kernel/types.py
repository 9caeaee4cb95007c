"""The types of a column or a field, the same from the lakehouse to the wire."""

from enum import StrEnum


class FieldType(StrEnum):
    """What a value is. `DECIMAL` is exact (money is decimal(18,4)); `INSTANT` is a point in time (UTC, microseconds);
    `LOCAL` a wall-clock timestamp of a declared zone; `DATE` a day of a declared zone."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    DOUBLE = "double"
    BOOLEAN = "boolean"
    DATE = "date"
    INSTANT = "instant"
    LOCAL = "local_timestamp"

    @property
    def is_number(self) -> bool:
        return self in (FieldType.INTEGER, FieldType.DECIMAL, FieldType.DOUBLE)

    @property
    def is_time(self) -> bool:
        return self in (FieldType.DATE, FieldType.INSTANT, FieldType.LOCAL)


class Frequency(StrEnum):
    """How wide a time bucket is. `WEEK` begins on Monday (ISO 8601), `SUNDAY_WEEK` on Sunday."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    SUNDAY_WEEK = "sunday_week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"

    @property
    def is_finer_than_day(self) -> bool:
        return self in (Frequency.MINUTE, Frequency.HOUR)
