"""Files that are torn, damaged or gone: what meets them names them, changes nothing, and doesn't write the damage anew."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.sales import ACME, BRAVO, SALES, baskets, data_files, load, sale, sales, same_bucket

from jangbu.kernel.errors import StorageError
from jangbu.platform.lakehouse.iceberg import open_lakehouse
from jangbu.platform.lakehouse.ports import Keyed, Lakehouse, Within

TWIN = same_bucket("acme")


def torn(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def altered(file: Path) -> None:
    data = bytearray(file.read_bytes())
    quarter = len(data) // 4
    data[quarter : quarter + 40] = bytes(255 - byte for byte in data[quarter : quarter + 40])
    file.write_bytes(data)


def gone(file: Path) -> None:
    file.unlink()


DAMAGES = pytest.mark.parametrize("damage", [torn, emptied, altered, gone])


@pytest.fixture
def lakehouse(tmp_path: Path) -> Iterator[Lakehouse]:
    opened = open_lakehouse(warehouse=tmp_path / "lake")
    opened.create(SALES)
    load(opened, "one", sale("acme", "b1"), sale(TWIN, "b2"))
    load(opened, "two", sale("acme", "b3"))
    yield opened
    opened.close()


CHANGES: dict[str, Callable[[Lakehouse], object]] = {
    "merge": lambda lakehouse: load(lakehouse, "new", drops=(Keyed(sales(sale("acme", "b1")).select(["tenant", "basket"])),)),
    "replace": lambda lakehouse: load(lakehouse, "new", drops=(Within(ACME),)),
    "compact": lambda lakehouse: lakehouse.compact("sales", whole=True),
}


@pytest.mark.parametrize(
    ("change", "damage"),
    # To an upkeep a file that is gone is one that a load took away meanwhile.
    [(change, damage) for change in CHANGES for damage in (torn, emptied, altered, gone) if (change, damage) != ("compact", gone)],
)
def test_a_change_that_meets_a_damaged_file_names_it_and_changes_nothing(
    lakehouse: Lakehouse, damage: Callable[[Path], None], change: str
) -> None:
    # Of the file that two tenants share, a replacement of one must keep the other's rows.
    (file,) = (Path(each.path) for each in lakehouse.files(lakehouse.current("sales"), None, None).files if each.rows == 2)
    before, files = lakehouse.current("sales"), data_files(lakehouse)
    damage(file)
    with pytest.raises(StorageError, match=f"'{file.name}' of the table 'sales'"):
        CHANGES[change](lakehouse)
    assert lakehouse.current("sales") == before
    assert data_files(lakehouse) == files - ({file} if damage is gone else set())


@DAMAGES
def test_a_damaged_file_is_found_by_looking(lakehouse: Lakehouse, damage: Callable[[Path], None]) -> None:
    assert (lakehouse.verify("sales").files, lakehouse.verify("sales").damages) == (2, ())
    file = min(data_files(lakehouse))
    damage(file)
    verified = lakehouse.verify("sales")
    assert verified.files == 2
    (found,) = verified.damages
    assert (Path(found.path), found.rows > 0) == (file, True)
    assert file.name in found.said


@DAMAGES
def test_rows_of_one_tenant_can_be_loaded_in_the_place_of_a_damaged_file(
    lakehouse: Lakehouse, damage: Callable[[Path], None]
) -> None:
    """A file that holds no other tenant's rows needs no reading to be dropped."""
    load(lakehouse, "three", sale("bravo", "b4"))
    (file,) = (Path(each.path) for each in lakehouse.files(lakehouse.current("sales"), (BRAVO,), None).files)
    damage(file)
    load(lakehouse, "new", sale("bravo", "b9"), drops=(Within(BRAVO),))
    assert baskets(lakehouse) == ["b1", "b2", "b3", "b9"]


@DAMAGES
@pytest.mark.parametrize("kind", ["*-m0.avro", "snap-*.avro", "*.metadata.json"])
def test_damaged_metadata_are_named(lakehouse: Lakehouse, damage: Callable[[Path], None], kind: str) -> None:
    folder = Path(lakehouse.root()) / "jangbu/sales/metadata"
    names = {file.name for file in folder.glob(kind)}
    for file in folder.glob(kind):
        damage(file)
    fresh = open_lakehouse(warehouse=lakehouse.root())
    for use in (
        lambda: fresh.files(fresh.current("sales"), None, None),
        lambda: fresh.state("sales"),
        lambda: load(fresh, "new", drops=(Within(ACME),)),
    ):
        with pytest.raises(StorageError, match="of the table 'sales'") as told:
            use()
        assert told.value.value in names
    fresh.close()


def test_a_damaged_catalog_is_told(lakehouse: Lakehouse, tmp_path: Path) -> None:
    lakehouse.close()
    copy = tmp_path / "copy"
    shutil.copytree(lakehouse.root(), copy)
    file = copy / "catalog.db"
    data = bytearray(file.read_bytes())
    data[: len(data) // 2] = b"\1" * (len(data) // 2)
    file.write_bytes(data)
    with pytest.raises(StorageError, match="lakehouse's catalog is torn or was damaged"):
        open_lakehouse(warehouse=copy)
