"""The places where lakehouses lie, and their files there: a folder with a catalog in SQLite, a bucket with one in PostgreSQL or
behind REST."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.fs import FileSelector, FileSystem, FileType, S3FileSystem
from services.running import Running
from support.servers import own_database

from jangbu.kernel.stores import CatalogAccess, ObjectStore
from jangbu.platform.lakehouse.iceberg import open_lakehouse
from jangbu.platform.lakehouse.ports import Lakehouse

_systems: dict[str, FileSystem] = {}
"""By bucket."""


@dataclass(frozen=True, order=True)
class Stored:
    """An object of S3, used as a `Path` is. Its folders are no objects."""

    location: str

    def __str__(self) -> str:
        return self.location

    def __truediv__(self, name: str) -> "Stored":
        return Stored(f"{self.location}/{name}")

    @property
    def name(self) -> str:
        return self.location.rpartition("/")[2]

    @property
    def parent(self) -> "Stored":
        return Stored(self.location.rpartition("/")[0])

    def read_bytes(self) -> bytes:
        with self._system.open_input_file(self._path) as stream:
            return bytes(stream.read())

    def write_bytes(self, data: bytes) -> None:
        with self._system.open_output_stream(self._path) as stream:
            stream.write(data)

    def exists(self) -> bool:
        return self._system.get_file_info(self._path).type is FileType.File

    def unlink(self) -> None:
        self._system.delete_file(self._path)

    def below(self) -> "Iterator[Stored]":
        for found in self._system.get_file_info(FileSelector(self._path, allow_not_found=True, recursive=True)):
            if found.type is FileType.File:
                yield Stored(f"s3://{found.path}")

    @property
    def _path(self) -> str:
        return self.location.removeprefix("s3://")

    @property
    def _system(self) -> FileSystem:
        return _systems[self._path.partition("/")[0]]


def at(location: str) -> Path | Stored:
    return Stored(location) if location.startswith("s3://") else Path(location)


def below(location: str, suffix: str = "") -> set[Path | Stored]:
    """Every file whose name ends so."""
    place = at(location)
    files = place.below() if isinstance(place, Stored) else (path for path in place.rglob("*") if path.is_file())
    return {file for file in files if file.name.endswith(suffix)}


def rows_at(location: str | Path | Stored) -> pa.Table:
    return parquet(location).read()


def parquet(location: str | Path | Stored) -> pq.ParquetFile:
    return pq.ParquetFile(pa.BufferReader(at(str(location)).read_bytes()))


class Stores(Protocol):
    def place(self) -> Any:
        """A context manager: a new place, as the options of `open_lakehouse`, gone afterwards."""


@contextmanager
def opened(stores: Stores) -> Iterator[Lakehouse]:
    """A new lakehouse, for each of Hypothesis' examples."""
    with stores.place() as options:
        lakehouse = open_lakehouse(**options)
        yield lakehouse
        lakehouse.close()


class Folders:
    @contextmanager
    def place(self) -> Iterator[Mapping[str, Any]]:
        with TemporaryDirectory() as folder:
            yield {"warehouse": Path(folder) / "lake"}


@dataclass
class Buckets:
    """A bucket of its own for each lakehouse on `s3`, and a database of its own in `postgres`."""

    s3: Running
    postgres: Running
    more: Mapping[str, Any] = field(default_factory=dict)

    @contextmanager
    def place(self) -> Iterator[Mapping[str, Any]]:
        with own_database(self.postgres) as url, bucket_of(self.s3) as bucket:
            yield {"warehouse": f"s3://{bucket}/lake", "catalog_uri": url, "store": store_of(self.s3), **self.more}


@dataclass
class RestBuckets:
    """A bucket of its own for each lakehouse on `s3`, a warehouse of the REST catalog `rest`."""

    s3: Running
    rest: Running
    more: Mapping[str, Any] = field(default_factory=dict)

    @contextmanager
    def place(self) -> Iterator[Mapping[str, Any]]:
        access = CatalogAccess(credential=self.rest["credential"])
        with bucket_of(self.s3) as bucket:
            warehouse = f"s3://{bucket}/lake"
            yield {
                "warehouse": warehouse,
                "catalog_uri": self.rest["url"],
                "catalog": access,
                "store": store_of(self.s3),
                **self.more,
            }


@contextmanager
def bucket_of(s3: Running) -> Iterator[str]:
    """A new bucket, gone afterwards."""
    bucket = f"own-{uuid.uuid4().hex}"
    system = S3FileSystem(
        access_key=s3["access_key"],
        secret_key=s3["secret_key"],
        region=s3["region"],
        endpoint_override=s3["url"],
        allow_bucket_creation=True,
        allow_bucket_deletion=True,
        connect_timeout=5,
        request_timeout=30,
    )
    _systems[bucket] = system
    system.create_dir(bucket)
    yield bucket
    if s3.is_ready():
        system.delete_dir(bucket)
    del _systems[bucket]


def store_of(s3: Running | Mapping[str, str], **more: Any) -> ObjectStore:
    return ObjectStore(
        **{
            "endpoint": s3["url"],
            "region": s3["region"],
            "access_key": s3["access_key"],
            "secret_key": s3["secret_key"],
            "connect_seconds": 2.0,
            "request_seconds": 10.0,
            **more,
        }
    )
