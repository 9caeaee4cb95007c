"""One lake for several engines: PyIceberg's catalog in a database, Trino's and Spark's over the same rows, files on S3."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.catalog.sql import SqlCatalog
from services.running import Running
from services.servers import spark
from services.servers.trino import over_postgres
from support.servers import aws

ROWS = pa.table({"id": pa.array([1, 2, 3], pa.int64()), "shop": ["가", "나", "다"]})


@dataclass(frozen=True)
class Lake:
    """Its name is that of the database, of the bucket and of the catalog in every engine: letters and digits only."""

    name: str
    postgres: Running
    s3: Running

    @classmethod
    def made(cls, name: str, postgres: Running, s3: Running) -> "Lake":
        with psycopg.connect(postgres["url"], autocommit=True, connect_timeout=5) as session:
            session.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
        aws(s3, "s3").create_bucket(Bucket=name)
        return cls(name, postgres, s3)

    @property
    def warehouse(self) -> str:
        return f"s3://{self.name}/warehouse"

    def file_settings(self) -> dict[str, str]:
        return {
            "s3.endpoint": self.s3["url"],
            "s3.access-key-id": self.s3["access_key"],
            "s3.secret-access-key": self.s3["secret_key"],
            "s3.region": self.s3["region"],
        }

    @contextmanager
    def pyiceberg(self) -> Iterator[SqlCatalog]:
        """Opened first: it makes the tables that the others expect."""
        place = f"{self.postgres['user']}:{self.postgres['password']}@{self.postgres['host']}:{self.postgres['port']}/{self.name}"
        catalog = SqlCatalog(self.name, uri=f"postgresql+psycopg://{place}", warehouse=self.warehouse, **self.file_settings())
        try:
            yield catalog
        finally:
            catalog.engine.dispose()

    def for_trino(self) -> str:
        """CREATE CATALOG."""
        return over_postgres(self.name, self.name, self.warehouse, self.name, self.postgres, self.s3)

    def for_spark(self) -> Mapping[str, str]:
        return spark.over_postgres(self.name, self.warehouse, self.name, self.postgres, spark.files_on(self.s3))


def filled(catalog: Catalog) -> None:
    catalog.create_namespace("smoke")
    catalog.create_table("smoke.sales", ROWS.schema).append(ROWS)


def ids(catalog: Catalog) -> list[int]:
    return sorted(catalog.load_table("smoke.sales").scan().to_arrow()["id"].to_pylist())


def rest(nessie: Running, s3: Running) -> RestCatalog:
    settings = {"s3.endpoint": s3["url"], "s3.access-key-id": s3["access_key"], "s3.secret-access-key": s3["secret_key"]}
    return RestCatalog("rest", uri=nessie["url"], warehouse=nessie["warehouse"], **settings, **{"s3.region": s3["region"]})
