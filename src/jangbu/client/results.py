"""An answer as it reached the client: Arrow, with its columns, totals and meta."""

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from jangbu.kernel.errors import MissingExtra

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Column:
    """`role` is time, dimension, measure, compare, change or analysis; `label` is by language (`ko`, `en`)."""

    name: str
    type: str
    role: str
    unit: str | None
    format: str | None
    label: Mapping[str, str] | None
    of: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """`totals` is aligned with `columns`, or None where they weren't asked for; decimals are Decimal."""

    columns: tuple[Column, ...]
    totals: tuple[Any, ...] | None
    meta: Mapping[str, Any]
    _table: "pa.Table"

    @classmethod
    def of(cls, stream: bytes) -> "Result":
        """The result of an Arrow stream as the server sends it."""
        import pyarrow as pa

        with pa.ipc.open_stream(stream) as reader:
            table = reader.read_all()
        described = json.loads((table.schema.metadata or {})[b"jangbu"], parse_float=Decimal)
        columns = tuple(Column(**column) for column in described["columns"])
        totals = described["totals"]
        return cls(columns, tuple(totals) if totals is not None else None, described["meta"], table.replace_schema_metadata(None))

    def arrow(self) -> "pa.Table":
        return self._table

    def pandas(self) -> "pd.DataFrame":
        """Raises MissingExtra where pandas isn't installed."""
        _need("pandas")
        frame: pd.DataFrame = self._table.to_pandas()
        return frame

    def polars(self) -> "pl.DataFrame":
        """Raises MissingExtra where Polars isn't installed."""
        _need("polars")
        import polars as pl

        frame = pl.from_arrow(self._table)
        assert isinstance(frame, pl.DataFrame)  # noqa: S101  # a table never becomes a series
        return frame

    def rows(self) -> list[dict[str, Any]]:
        """Each row by column name."""
        found: list[dict[str, Any]] = self._table.to_pylist()
        return found

    def __len__(self) -> int:
        return int(self._table.num_rows)


def _need(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise MissingExtra(f"A result as {module}", module)
