"""All that a tenant has, as files, and nothing of another."""

import json
from hashlib import sha256
from pathlib import Path

import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from ingest_place import SALES, SHOP, LakehouseWith, Place, day, sales
from support.databases import ADAPTERS
from support.traces import traces

from jangbu.insight.ingest.contracts import LoadMode
from jangbu.insight.ingest.facade import Delivery, ExportFormat, Ingest
from jangbu.kernel.errors import Conflict
from jangbu.kernel.tenancy import TenantId

pytestmark = pytest.mark.parametrize("adapter", ADAPTERS, indirect=True)

OTHER = TenantId("other-3")
"""Of the same bucket as the shop, so that they meet in a file."""


@pytest.fixture
def filled(place: Place) -> Place:
    names = {SHOP: "mine", OTHER: "foreign"}
    rows = {tenant: sales((f"{name} 1", "1", day(1)), (f"{name} 2", "2.5", day(2))) for tenant, name in names.items()}
    deliveries = [Delivery(tenant, lambda tenant=tenant: rows[tenant], name) for tenant, name in names.items()]
    place.ingest.load_many(SALES, deliveries, mode=LoadMode.APPEND)
    assert place.data_files() == 1
    for tenant, name in names.items():
        place.ingest.spool(SALES, [{"tenant": tenant, "product": f"{name} spooled", "sold_at": day(3)}])
    return place


def test_every_row_is_there_and_none_of_another(filled: Place) -> None:
    manifest = filled.ingest.export_tenant(SHOP, filled.folder / "out")
    assert pq.read_table(filled.folder / "out/data/sales.parquet").to_pylist() == filled.rows()
    assert (manifest["export"], manifest["rows"]) == (SHOP, 2)
    assert traces(filled.folder / "out", "foreign", OTHER) == []
    assert len(traces(filled.folder / "out", "mine spooled")) == 1


def test_the_manifest_tells_of_every_file(filled: Place) -> None:
    out = filled.folder / "out"
    filled.ingest.export_tenant(SHOP, out, texts={"keys.json": "[]"})
    told = {each["file"]: each for each in json.loads((out / "manifest.json").read_text())["files"]}
    assert set(told) | {"manifest.json"} == {file.relative_to(out).as_posix() for file in out.rglob("*") if file.is_file()}
    assert all(sha256((out / name).read_bytes()).hexdigest() == each["sha256"] for name, each in told.items())
    assert (told["data/sales.parquet"]["rows"], told["loads.jsonl"]["rows"], told["keys.json"]["rows"]) == (2, 1, None)


def test_csv_holds_the_same(filled: Place) -> None:
    filled.ingest.export_tenant(SHOP, filled.folder / "out", format=ExportFormat.CSV)
    assert pa_csv.read_csv(filled.folder / "out/data/sales.csv").column("product").to_pylist() == ["mine 1", "mine 2"]


def test_a_folder_that_holds_something_is_refused(filled: Place) -> None:
    out = filled.folder / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep me")
    with pytest.raises(Conflict, match="isn't an empty folder"):
        filled.ingest.export_tenant(SHOP, out)
    assert [file.name for file in out.iterdir()] == ["mine.txt"]


def test_it_is_there_as_a_whole_or_not_at_all(filled: Place) -> None:
    def rows(*_: object) -> object:
        raise KeyboardInterrupt

    broken = Ingest(filled.database, LakehouseWith(filled.lakehouse, rows=rows), filled.clock)  # type: ignore[arg-type]  # a stand-in
    before = _names(filled.folder)
    with pytest.raises(KeyboardInterrupt):
        broken.export_tenant(SHOP, filled.folder / "out")
    assert _names(filled.folder) == before
    filled.ingest.export_tenant(SHOP, filled.folder / "out")
    assert _names(filled.folder) == before | {"out"}


def _names(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir() if "jangbu.db" not in each.name}
