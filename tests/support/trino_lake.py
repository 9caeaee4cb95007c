"""A lakehouse that Trino shares: its tables on S3, their catalog in PostgreSQL and, by the same name, in Trino."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from services.plugin import GetService
from services.running import Running
from services.servers.trino import execute, over_rest
from support.lake import Lake
from support.stores import RestBuckets

from jangbu.platform.engines import trino
from jangbu.platform.engines.ports import Engine
from jangbu.platform.lakehouse.iceberg import NAMESPACE, IcebergLakehouse, open_lakehouse
from jangbu.platform.lakehouse.ports import Lakehouse


@dataclass(frozen=True)
class TrinoLake:
    """`catalog` is what Trino calls it."""

    lakehouse: Lakehouse
    server: Running
    catalog: str
    s3: Running

    def engine(self, **options: object) -> Engine:
        made: Engine = trino.open_engine(url=self.server["url"], catalog=self.catalog, **options)  # type: ignore[arg-type]
        return made


@contextmanager
def trino_lake(service: GetService, server: Running | None = None) -> Iterator[TrinoLake]:
    """A new one on the shared Trino, or on `server`."""
    name, there, s3 = f"lake{uuid.uuid4().hex[:12]}", server or service("trino"), service("s3")
    lake = Lake.made(name, service("postgres"), s3)
    with lake.pyiceberg() as catalog:
        catalog.create_namespace(NAMESPACE)
        command(there, lake.for_trino())
        yield TrinoLake(IcebergLakehouse(catalog, lake.warehouse), there, name, s3)
        if there.is_alive():
            command(there, f"DROP CATALOG {name}")


@contextmanager
def rest_lake(service: GetService) -> Iterator[TrinoLake]:
    """As `trino_lake`, by a REST catalog."""
    name, there, s3, rest = f"rest{uuid.uuid4().hex[:12]}", service("trino"), service("s3"), service("iceberg_rest")
    with RestBuckets(s3, rest).place() as place:
        lakehouse = open_lakehouse(**place)
        command(there, over_rest(name, place["warehouse"], rest, s3))
        yield TrinoLake(lakehouse, there, name, s3)
        command(there, f"DROP CATALOG {name}")
        lakehouse.close()


def command(server: Running, text: str) -> list[list[object]]:
    """What only an administrator does, and the engine can't."""
    return execute(server["url"], text)
