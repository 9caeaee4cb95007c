"""Which of an Iceberg table's metadata are the newest."""

from pathlib import Path
from socket import socket
from time import monotonic

import pytest

from jangbu.kernel.errors import Unavailable, Unsupported
from jangbu.platform.outside.folders import Folders
from jangbu.platform.outside.pointers import of_catalog, of_path


def found(folder: Path, *files: str, hint: str | None = None) -> str:
    place = folder / "metadata"
    place.mkdir()
    for name in files:
        (place / name).touch()
    if hint is not None:
        (place / "version-hint.text").write_text(hint)
    return Path(of_path("receipts", str(folder), Folders([folder]))()).name


def test_the_highest_number_is_the_newest(tmp_path: Path) -> None:
    files = ("00009-a.metadata.json", "00010-b.metadata.json", "snap-99.avro")
    assert found(tmp_path, *files) == "00010-b.metadata.json"


def test_a_hint_goes_before(tmp_path: Path) -> None:
    assert found(tmp_path, "v1.metadata.json", "v2.metadata.json", hint="1\n") == "v1.metadata.json"


def test_two_of_one_number_are_refused(tmp_path: Path) -> None:
    """One of them belongs to a commit that failed."""
    with pytest.raises(Unsupported, match="isn't clear"):
        found(tmp_path, "00001-a.metadata.json", "00001-b.metadata.json")


def test_no_metadata_are_no_table(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no metadata"):
        found(tmp_path)


def test_an_error_of_a_catalog_holds_no_password(tmp_path: Path) -> None:
    pointer = of_catalog("receipts", "postgresql+nothing://me:s3cret@localhost/db", "a.b", Folders([tmp_path]))
    with pytest.raises(Unavailable) as raised:
        pointer()
    assert "s3cret" not in repr((raised.value, raised.value.__cause__, raised.value.__notes__))


@pytest.mark.parametrize("driver", ["postgresql+psycopg", "mysql+pymysql"])
def test_a_catalog_that_stands_still_is_not_waited_for(driver: str, tmp_path: Path) -> None:
    with socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        pointer = of_catalog("receipts", f"{driver}://me:s3cret@127.0.0.1:{silent.getsockname()[1]}/db", "a.b", Folders([tmp_path]))
        began = monotonic()
        with pytest.raises(Unavailable, match="can't be asked"):
            pointer()
    assert monotonic() - began < 20


def test_a_catalog_is_only_read(tmp_path: Path) -> None:
    file = tmp_path / "empty.db"
    file.touch()
    with pytest.raises(Unavailable):
        of_catalog("receipts", str(file), "a.b", Folders([tmp_path]))()
    assert file.read_bytes() == b""
    with pytest.raises(Unavailable):
        of_catalog("receipts", str(tmp_path / "missing.db"), "a.b", Folders([tmp_path]))()
    assert not (tmp_path / "missing.db").exists()
