"""The ten questions of `scale`, of one figure to 20,000 rows (more would measure how rows are sent), and how answers compare."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_YEAR = {"range": ["2017-01-01", "2017-12-31"]}
_STORES = {"field": "channel", "op": "equals", "values": ["store"]}


def _question(measures: list[str], dimensions: list[str], frequency: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "data_source": "bench_sales",
        "measures": measures,
        "dimensions": dimensions,
        "time": _YEAR,
        "limit": 300_000,
        **({"time_frequency": frequency} if frequency else {}),
        **more,
    }


QUESTIONS = {
    "one figure": _question(["revenue"], []),
    "by channel": _question(["revenue", "units"], ["channel"]),
    "by month": _question(["revenue"], [], "month"),
    "by day and category, filtered": _question(["revenue"], ["category"], "day", filter=_STORES),
    "by week and channel": _question(["revenue", "units"], ["channel"], "week"),
    "by store": _question(["revenue"], ["store"]),
    "by product": _question(["revenue", "units"], ["product"]),
    "by store and month": _question(["units"], ["store"], "month"),
    "one month by day": _question(["revenue"], [], "day", time={"range": ["2017-06-01", "2017-06-30"]}),
    "by hour, one category": _question(
        ["revenue"], [], "hour", filter={"field": "category", "op": "equals", "values": ["category 07"]}
    ),
}


def is_same(one: "pa.Table", other: "pa.Table") -> bool:
    """Whatever the order of their rows."""
    if one.schema.names != other.schema.names or one.num_rows != other.num_rows:
        return False
    order = [(name, "ascending") for name in one.schema.names]
    return bool(one.sort_by(order).equals(other.sort_by(order)))
