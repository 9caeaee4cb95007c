"""Bindings to what lies outside the lakehouse: what they mean, and what `check` says of them."""

from pathlib import Path

import pyarrow as pa
import pytest
from support.outside import SCHEMA, Theirs, define, put, rows

from jangbu.insight.catalog.facade import CatalogFacade
from jangbu.kernel.errors import ConfigurationError, UnknownName
from jangbu.kernel.tenancy import TenantId

ROWS = rows({"hanok": [1.5], "namu": [2.5, 3.5]})


def catalog(folder: Path, binding: str, allowed: str = "data", **changed: str) -> CatalogFacade:
    definitions = define(folder / "definitions", binding, **changed)
    return CatalogFacade(None, (definitions,), outside_folders=(folder / allowed,))


def told(folder: Path, binding: str, allowed: str = "data", **changed: str) -> list[str]:
    return [
        f"{Path(error.file or '').name}:{error.line}: {error.detail}"
        for error in catalog(folder, binding, allowed, **changed).check()
    ]


def test_relative_paths_count_from_the_definitions_file(tmp_path: Path) -> None:
    outside = catalog(tmp_path, "{parquet: ../data/*.parquet}").catalog_for().data_sources["receipts"].binding.outside
    assert outside is not None
    assert outside.parquet == str(tmp_path / "data" / "*.parquet")
    assert outside.check_every == 60


def test_no_password_of_a_catalog_is_in_its_words(tmp_path: Path) -> None:
    binding = "{iceberg: {catalog: 'postgresql://me:s3cret@host/db', table: a.b}}"
    assert "s3cret" not in repr(catalog(tmp_path, binding).catalog_for().data_sources["receipts"].binding)


@pytest.mark.parametrize(
    ("binding", "words"),
    [
        ("{}", "one place"),
        ("{table: receipts, parquet: x}", "one place"),
        ("{table: receipts, check_every: 5}", "isn't looked at again"),
        ("{iceberg: {catalog: x}}", "by its metadata, or by its catalog and table"),
        ("{iceberg: {metadata: x, table: y}}", "by its metadata, or by its catalog and table"),
        ("{parquet: x, check_every: -1}", "greater than or equal to 0"),
        ("{parquett: x}", "no key 'parquett'"),
    ],
)
def test_a_binding_is_one_place(tmp_path: Path, binding: str, words: str) -> None:
    (tmp_path / "data").mkdir()
    assert [words in mistake for mistake in told(tmp_path, binding)] == [True]


def test_a_tenant_names_no_catalog_on_a_server(tmp_path: Path) -> None:
    define(tmp_path / "tenants" / "hanok", "{iceberg: {catalog: 'postgresql://host/db', table: a.b}}")
    found = CatalogFacade(None, tenant_folders=tmp_path / "tenants").check(TenantId("hanok"))
    assert ["can't name a catalog on a server" in error.detail for error in found] == [True]


def test_what_is_right_has_no_mistake(tmp_path: Path) -> None:
    put(tmp_path / "data" / "receipts.parquet", ROWS)
    assert told(tmp_path, "{parquet: ../data}") == []
    Theirs(tmp_path / "data").create().append(ROWS)
    assert told(tmp_path, "{iceberg: {catalog: ../data/their.db, table: shop.receipts}}") == []


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (mistake,) = told(tmp_path, "{parquet: ../data/receipts.parquet}")
    assert mistake.startswith("receipts.yml:7: ")
    assert str(tmp_path / "data" / "receipts.parquet") in mistake


def test_a_place_that_is_not_allowed_is_named(tmp_path: Path) -> None:
    put(tmp_path / "data" / "receipts.parquet", ROWS)
    (mistake,) = told(tmp_path, "{parquet: ../data/receipts.parquet}", allowed="else")
    assert "JANGBU_OUTSIDE_FOLDERS" in mistake
    assert "receipts.parquet" in mistake


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    put(tmp_path / "data" / "1.parquet", ROWS)
    (tmp_path / "data" / "2.parquet").write_bytes(b"PAR1 but not really PAR1")
    (mistake,) = told(tmp_path, "{parquet: ../data}")
    assert "2.parquet" in mistake


def test_every_column_that_is_missing_or_of_another_type_is_named(tmp_path: Path) -> None:
    stored = ROWS.drop_columns(["product"]).cast(pa.schema([SCHEMA.field(0), SCHEMA.field(2), ("sold_at", pa.timestamp("us"))]))
    put(tmp_path / "data" / "receipts.parquet", stored)
    assert told(tmp_path, "{parquet: ../data}", amount="integer") == [
        "receipts.yml:11: The table of 'receipts' has no column 'product'.",
        "receipts.yml:12: The table of 'receipts' stores 'amount' as double, which isn't read as integer.",
        "receipts.yml:13: The table of 'receipts' stores 'sold_at' as timestamp[us], which isn't read as instant.",
    ]


# Drafts


def test_a_draft_is_a_definition_that_holds(tmp_path: Path) -> None:
    odd = ROWS.append_column("Two Words", pa.array([1, 2, 3])).append_column("Order_ID", pa.array([7, 8, 9]))
    put(tmp_path / "data" / "receipts.parquet", odd)
    folder = tmp_path / "drafted"
    folder.mkdir()
    facade = CatalogFacade(None, (folder,), outside_folders=(tmp_path / "data",))
    draft = facade.draft("web_orders", str(tmp_path / "data" / "receipts.parquet"), tenant_column="shop")
    for name, text in draft.files.items():
        (folder / name).write_text(text)
    assert draft.left_out == ("Two Words",)
    assert facade.check() == []
    source = CatalogFacade(None, (folder,)).data_source("web_orders")
    assert {column.name: column.type.value for column in source.columns.values()} == {
        "shop": "text",
        "product": "integer",
        "amount": "decimal",
        "sold_at": "instant",
        "order_id": "text",
    }
    assert (source.separation.column, source.default_time_field) == ("shop", "sold_at")
    assert list(source.dimensions) == ["order_id"]
    assert {name: measure.format for name, measure in source.measures.items()} == {
        "rows": "integer",
        "product": "integer",
        "amount": "money",
    }


def test_a_draft_of_an_iceberg_table(tmp_path: Path) -> None:
    theirs = Theirs(tmp_path / "data")
    theirs.create().append(ROWS)
    facade = CatalogFacade(None, outside_folders=(tmp_path / "data",))
    for path, table in ((theirs.location, None), (str(theirs.file), "shop.receipts")):
        draft = facade.draft("receipts", path, tenant_column=None, table=table)
        assert "kind: shared" in draft.files["receipts.yml"]
        assert "iceberg:" in draft.files["receipts.yml"]


def test_a_draft_needs_a_place_that_is_allowed_and_a_column_that_is_there(tmp_path: Path) -> None:
    file = put(tmp_path / "data" / "receipts.parquet", ROWS)
    with pytest.raises(ConfigurationError, match="JANGBU_OUTSIDE_FOLDERS"):
        CatalogFacade(None).draft("receipts", str(file), tenant_column="shop")
    with pytest.raises(UnknownName, match="Did you mean 'shop'"):
        CatalogFacade(None, outside_folders=(tmp_path,)).draft("receipts", str(file), tenant_column="shopp")
