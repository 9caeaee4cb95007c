"""The shops' rows as Parquet files, for other programs."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from shutil import rmtree
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from jangbu.insight.ingest.generator.book import Book
from jangbu.insight.ingest.generator.deliveries import ROWS, VERSION, groups
from jangbu.insight.ingest.generator.plan import Plan, Shop
from jangbu.insight.ingest.generator.totals import Totals
from jangbu.kernel.errors import ConfigurationError

TOTALS: Final = "totals.json"
_PARTIAL: Final = ".partial"


def described(plan: Plan) -> dict[str, Any]:
    """The plan as JSON has it."""
    return {"version": VERSION} | asdict(plan) | {"first_day": plan.first_day.isoformat()}


def totals_described(totals: Totals) -> dict[str, Any]:
    """A shop's totals as JSON has them; money is text."""
    shop = totals.shop
    return {
        "tenant": shop.id,
        "zone": shop.market.zone,
        "currency": shop.market.currency,
        **_plain(asdict(totals.whole)),
        "unlisted": totals.unlisted,
        "months": {month: _plain(asdict(sums)) for month, sums in totals.months.items()},
    }


def write(plan: Plan, folder: Path, totals: Iterable[Totals], told: Callable[[str, int, int | None], None]) -> bool:
    """Write a folder for each data source, with files of some two million rows and a column `tenant`, and the totals in
    `totals.json`. The folder is there as a whole or not at all. False where it holds the same already.

    Raises:
        ConfigurationError: it holds something else.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        _check_same(plan, folder)
        return False
    partial = folder.with_name(folder.name + _PARTIAL)
    rmtree(partial, ignore_errors=True)
    for data_source in ROWS:
        _write_source(plan, data_source, partial, told)
    tenants = [totals_described(each) for each in totals]
    (partial / TOTALS).write_text(json.dumps({"plan": described(plan), "tenants": tenants}, ensure_ascii=False, indent=1), "utf-8")
    partial.replace(folder)
    return True


def _check_same(plan: Plan, folder: Path) -> None:
    try:
        found = json.loads((folder / TOTALS).read_text("utf-8"))["plan"]
    except (OSError, ValueError, KeyError, TypeError):
        found = None
    if found != json.loads(json.dumps(described(plan))):
        what = "isn't empty" if found is None else "holds rows of another plan"
        raise ConfigurationError(f"{folder} {what}.", value=str(folder), hint="Name a folder that isn't there yet.")


def _write_source(plan: Plan, data_source: str, folder: Path, told: Callable[[str, int, int | None], None]) -> None:
    (folder / data_source).mkdir(parents=True)
    rows, total = 0, plan.rows if data_source == "sales" else None
    for number, group in enumerate(groups(plan.shops()), 1):
        rows += _write_file(plan, group, data_source, folder / data_source / f"part-{number:05d}.parquet")
        told(data_source, rows, total)


def _write_file(plan: Plan, shops: Iterable[Shop], data_source: str, file: Path) -> int:
    writer: pq.ParquetWriter | None = None
    rows = 0
    try:
        for shop in shops:
            for batch in ROWS[data_source](Book(plan, shop)):
                whole = _with_tenant(batch, shop.id)
                writer = writer or pq.ParquetWriter(file, whole.schema)
                writer.write_batch(whole)
                rows += whole.num_rows
    finally:
        if writer is not None:
            writer.close()
    return rows


def _with_tenant(batch: pa.RecordBatch, tenant: str) -> pa.RecordBatch:
    column = pa.repeat(pa.scalar(tenant, pa.string()), batch.num_rows)
    return pa.RecordBatch.from_arrays([column, *batch.columns], names=["tenant", *batch.schema.names])


def _plain(sums: dict[str, Any]) -> dict[str, Any]:
    return {name: value if isinstance(value, int) else str(value) for name, value in sums.items()}
