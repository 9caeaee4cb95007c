"""Receipts that somebody else writes: Parquet files or an Iceberg table in a folder, and a definition that is bound to them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog.sql import SqlCatalog

DEFINITION = """
version: 1
kind: data_source
name: receipts
label: {{ko: 영수증, en: Receipts}}
description: {{ko: 영수증이에요., en: Receipts.}}
binding: {binding}
separation: {{kind: column, column: shop}}
columns:
  shop: {{type: text}}
  product: {{type: text}}
  amount: {{type: decimal}}
  sold_at: {{type: instant}}
time_fields:
  sold_at: {{column: sold_at, label: {{ko: 판매 시각, en: Sold at}}}}
dimensions:
  product: {{column: product, label: {{ko: 상품, en: Product}}, description: {{ko: 상품이에요., en: The product.}}}}
"""
MEASURES = """
version: 1
kind: measures
data_source: receipts
measures:
  - name: lines
    kind: simple
    formula: count()
    format: integer
    label: {ko: 줄, en: Lines}
    description: {ko: 줄이에요., en: Lines.}
  - name: amount
    kind: simple
    formula: sum(amount)
    format: money
    unit: currency
    label: {ko: 금액, en: Amount}
    description: {ko: 금액이에요., en: The amount.}
"""
NOON = datetime(2017, 3, 1, 12, tzinfo=UTC)
SCHEMA = pa.schema(
    [("shop", pa.string()), ("product", pa.int64()), ("amount", pa.float64()), ("sold_at", pa.timestamp("us", tz="UTC"))]
)


def rows(amounts: Mapping[str, Sequence[float]], schema: pa.Schema = SCHEMA) -> pa.Table:
    """A receipt a day for each shop's amounts; products are numbers, money is doubles, as others store them."""
    values = [
        {"shop": shop, "product": 100 + at, "amount": amount, "sold_at": NOON + timedelta(days=at)}
        for shop, several in amounts.items()
        for at, amount in enumerate(several)
    ]
    return pa.Table.from_pylist(values, schema)


def define(folder: Path, binding: str, **changed: str) -> Path:
    """Write the definitions into a folder of their own. `changed` are texts of the definition in the place of others, by name."""
    folder.mkdir(parents=True, exist_ok=True)
    text = DEFINITION.format(binding=binding)
    for old, new in changed.items():
        text = text.replace(f"{old}: {{type: ", f"{old}: {{type: {new}}} # ")
    (folder / "receipts.yml").write_text(text)
    (folder / "measures.yml").write_text(MEASURES)
    return folder


def put(path: Path, table: pa.Table, **options: Any) -> Path:
    """In the place of what was there, at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    pq.write_table(table, new, **options)
    new.replace(path)
    return path


class Theirs:
    """An Iceberg table of somebody else's, in a catalog of their own below `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "their.db"
        self.catalog = SqlCatalog("theirs", uri=f"sqlite:///{self.file}", warehouse=str(folder))
        self.catalog.create_namespace("shop")

    def create(self, schema: pa.Schema = SCHEMA, **options: Any) -> Any:
        self.table = self.catalog.create_table("shop.receipts", schema, **options)
        return self.table

    @property
    def location(self) -> str:
        return str(self.table.location())
