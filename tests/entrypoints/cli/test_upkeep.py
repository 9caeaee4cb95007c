"""`jangbu tables`, in a folder of its own."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from jangbu.entrypoints.bootstrap import Application
from jangbu.entrypoints.cli import app
from jangbu.entrypoints.settings import load
from jangbu.insight.ingest.contracts import LoadMode
from jangbu.kernel.errors import UnknownName

PRODUCTS = pa.table(
    {name: ["x"] for name in ("product", "manufacturer", "department", "brand", "product_category", "product_type", "package_size")}
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Application(load(folder=tmp_path)) as application:
        source = application.catalog.data_source("products")
        tenant = application.access.create_tenant("shop", "Shop", "Asia/Seoul", "KRW").id
        for number in range(3):
            rows = PRODUCTS.set_column(0, "product", pa.array([f"p{number}"]))
            application.ingest.load(source, tenant=tenant, batches=rows, mode=LoadMode.APPEND)
    return tmp_path


def told(*arguments: str, folder: Path) -> Any:
    result = CliRunner().invoke(app, [*arguments, "--folder", str(folder), "--json"], catch_exceptions=False)
    return json.loads(result.stdout)["tables"]


def test_tables_are_listed_with_what_they_weigh(folder: Path) -> None:
    (table,) = told("tables", "list", folder=folder)
    assert (table["table"], table["rows"], table["files"], table["snapshots"], table["is_due"]) == ("products", 3, 3, 3, False)
    assert table["metadata_bytes"] > 0


def test_upkeep_joins_small_files_where_it_is_told_to(folder: Path) -> None:
    assert told("tables", "upkeep", "--due", folder=folder) == []
    (done,) = told("tables", "upkeep", "products", "--whole", folder=folder)
    assert (done["files_before"], done["files_after"]) == (3, 1)
    assert told("tables", "list", folder=folder)[0]["files"] == 1


def test_an_unknown_table_is_named_with_the_known_ones(folder: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'products'"):
        told("tables", "upkeep", "prodcuts", folder=folder)


def test_damaged_files_are_found_and_end_it_with_one(folder: Path) -> None:
    (verified,) = told("tables", "verify", folder=folder)
    assert (verified["table"], verified["files"], verified["damages"]) == ("products", 3, [])
    damaged = min((folder / "lakehouse").rglob("*.parquet"))
    damaged.write_bytes(damaged.read_bytes()[:-40])
    result = CliRunner().invoke(app, ["tables", "verify", "products", "--folder", str(folder)], catch_exceptions=False)
    assert result.exit_code == 1
    assert f"{damaged} (1 rows): The file '{damaged.name}' of the table 'products' is torn or was damaged." in result.stderr


def test_a_table_that_isnt_there_cant_be_verified(folder: Path) -> None:
    with pytest.raises(UnknownName, match="product"):
        CliRunner().invoke(app, ["tables", "verify", "product", "--folder", str(folder)], catch_exceptions=False)
