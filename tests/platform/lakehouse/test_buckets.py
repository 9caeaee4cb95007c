"""What is a bucket's own: a listing comes in pages."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from services.plugin import GetService
from support.sales import SALES, baskets, data_files, load, sale
from support.stores import Buckets, at

from jangbu.platform.lakehouse.iceberg import open_lakehouse
from jangbu.platform.lakehouse.ports import Lakehouse

ORPHANS = 1_100
"""S3 lists a thousand at a time."""


@pytest.fixture
def lakehouse(service: GetService) -> Iterator[Lakehouse]:
    with Buckets(service("s3"), service("postgres")).place() as place:
        opened = open_lakehouse(**place)
        opened.create(SALES)
        yield opened
        opened.close()


@pytest.mark.services("s3", "postgres")
def test_orphans_beyond_the_first_page_are_found_and_removed(lakehouse: Lakehouse) -> None:
    load(lakehouse, "one", sale("acme", "b1"))
    (kept,) = data_files(lakehouse)
    folder = at(str(kept.parent))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: (folder / f"orphan-{n:04}.parquet").write_bytes(b"torn"), range(ORPHANS)))
    later = datetime.now(UTC) + timedelta(days=3)
    assert lakehouse.collect("sales", retired=timedelta(days=1), orphaned=timedelta(days=2), now=later) == ORPHANS
    assert data_files(lakehouse) == {kept}
    assert baskets(lakehouse) == ["b1"]
