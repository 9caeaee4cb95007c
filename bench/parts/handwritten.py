"""The question as somebody who knows DuckDB would write it: candidates for the fastest, and the plain way.

The day in New York is arithmetic: an offset of its own between any two changes of the clocks.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from bench.parts.sales import ASKED

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

Row = tuple[date, str, Decimal]
"""Day, category, revenue."""

DAY, HOUR = 86_400_000_000, 3_600_000_000
SPRING, AUTUMN = "2017-03-12 07:00:00+00", "2017-11-05 06:00:00+00"
SPRING_MICROS, AUTUMN_MICROS = 1_489_302_000_000_000, 1_509_861_600_000_000
LOCAL = (
    f"epoch_us(sold_at) - CASE WHEN epoch_us(sold_at) < {SPRING_MICROS} THEN {5 * HOUR}"
    f" WHEN epoch_us(sold_at) < {AUTUMN_MICROS} THEN {4 * HOUR} ELSE {5 * HOUR} END"
)
LOCAL_BY_LITERALS = (
    f"epoch_us(sold_at) - CASE WHEN sold_at < TIMESTAMPTZ '{SPRING}' THEN {5 * HOUR}"
    f" WHEN sold_at < TIMESTAMPTZ '{AUTUMN}' THEN {4 * HOUR} ELSE {5 * HOUR} END"
)
BUCKETS = {
    "day numbers": (f"({LOCAL}) // {DAY}", "DATE '1970-01-01' + bucket::INTEGER"),
    "small day numbers": (f"(({LOCAL}) // {DAY})::SMALLINT", "DATE '1970-01-01' + bucket::INTEGER"),
    "days": (f"make_timestamp({LOCAL})::DATE", "bucket"),
    "days, compared as instants": (f"make_timestamp({LOCAL_BY_LITERALS})::DATE", "bucket"),
}
NAIVE = ("date_trunc('day', sold_at AT TIME ZONE 'America/New_York')", "bucket::DATE")


def fast(files: Sequence[str]) -> Mapping[str, str]:
    """Candidates by name, all with the same result; which is the fastest is measured."""
    return {name: _query(files, bucket, shown) for name, (bucket, shown) in BUCKETS.items()}


def naive(files: Sequence[str]) -> str:
    return _query(files, *NAIVE)


def _query(files: Sequence[str], bucket: str, shown: str) -> str:
    listed = ", ".join(f"'{path}'" for path in files)
    return (
        f"SELECT {shown} AS time, category, revenue FROM (SELECT {bucket} AS bucket, category, sum(sales_value) AS revenue"
        f" FROM read_parquet([{listed}]) WHERE tenant = '{ASKED}' AND channel = 'store' GROUP BY 1, 2)"
    )


def connect(threads: int) -> "duckdb.DuckDBPyConnection":
    import duckdb

    connection = duckdb.connect(config={"threads": threads})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    return connection


def sorted_rows(answer: "pa.Table") -> list[Row]:
    """In order, for comparing the sides with one another."""
    return sorted(zip(*(answer.column(name).to_pylist() for name in ("time", "category", "revenue")), strict=True))
