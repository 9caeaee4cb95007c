"""Lakehouses that Spark shares: files in a folder or on S3, their catalog in PostgreSQL and, by its name, in Spark's sessions."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from services.plugin import GetService
from services.running import Running
from services.servers.spark import files_on, over_postgres
from support.servers import own_database
from support.stores import bucket_of, store_of

from jangbu.platform.engines.ports import MaintainingEngine
from jangbu.platform.engines.spark import open_engine
from jangbu.platform.lakehouse.iceberg import CATALOG, IcebergLakehouse, open_lakehouse


@dataclass(frozen=True)
class SparkLake:
    """`place` opens the lakehouse, `session` tells Spark of it."""

    place: Mapping[str, Any]
    session: Mapping[str, str]
    server: Running
    lakehouse: IcebergLakehouse

    def engine(self, **options: Any) -> MaintainingEngine:
        given = {
            "url": self.server["url"],
            "session": self.session,
            "roots": [self.lakehouse.root()],
            "connect_timeout": 120.0,
            **options,
        }
        made: MaintainingEngine = open_engine(**given)  # type: ignore[assignment]
        return made


@contextmanager
def spark_lake(service: GetService, server: Running | None = None, *, on_s3: bool = False) -> Iterator[SparkLake]:
    """A new one on the shared Spark, or on `server`."""
    with own_database(service("postgres")) as uri, TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        if not on_s3:
            yield from _made({"warehouse": Path(folder) / "lake", "catalog_uri": uri}, {}, server or service("spark"))
            return
        s3 = service("s3")
        with bucket_of(s3) as bucket:
            place = {"warehouse": f"s3://{bucket}/lake", "catalog_uri": uri, "store": store_of(s3)}
            yield from _made(place, files_on(s3), server or service("spark"))


def _made(place: Mapping[str, Any], files: Mapping[str, str], server: Running) -> Iterator[SparkLake]:
    lakehouse = open_lakehouse(**place)
    assert isinstance(lakehouse, IcebergLakehouse)
    try:
        yield SparkLake(place, session_of(str(place["catalog_uri"]), str(place["warehouse"]), files), server, lakehouse)
    finally:
        lakehouse.close()


def session_of(uri: str, warehouse: str, files: Mapping[str, str]) -> dict[str, str]:
    """Spark's settings of the catalog in PostgreSQL at `uri`."""
    there = urlsplit(uri)
    account = {"user": there.username or "", "password": there.password or ""}
    postgres = {"host": str(there.hostname), "port": str(there.port), **account}
    return over_postgres(CATALOG, warehouse, there.path.removeprefix("/"), postgres, files)
