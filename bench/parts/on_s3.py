"""Places on real servers, started for a bench: a bucket for the lakehouse, and a database for its catalog."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from services.cache import Cache, default_folder
from services.processes import Identity
from services.run import Run
from services.running import Running


@dataclass(frozen=True, slots=True)
class Bucket:
    """A new bucket, and a database of the same name in `postgres`."""

    name: str
    postgres: Running
    s3: Running

    @property
    def warehouse(self) -> str:
        return f"s3://{self.name}/lake"

    def settings(self) -> dict[str, str]:
        """Jangbu's, for a lakehouse there; questions aren't noted."""
        account = f"{self.postgres['user']}:{self.postgres['password']}@{self.postgres['host']}:{self.postgres['port']}"
        return {
            "warehouse": self.warehouse,
            "lake_catalog": f"postgresql://{account}/{self.name}",
            "s3_endpoint": self.s3["url"],
            "s3_region": self.s3["region"],
            "s3_access_key": self.s3["access_key"],
            "s3_secret_key": self.s3["secret_key"],
            "query_log": "false",
        }


@contextmanager
def servers() -> Iterator[tuple[Run, Path]]:
    """Those that are asked for within the block run until its end, beside a folder for everything else."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)  # PostgreSQL runs as another user than root
        run = Run(Path(folder) / "services", Identity.of(os.getpid()), Cache(default_folder()))
        try:
            yield run, Path(folder)
        finally:
            run.end()


def new_bucket(run: Run) -> Bucket:
    import boto3
    import psycopg

    postgres, s3 = run.service("postgres"), run.service("s3")
    name = f"bench{uuid4().hex[:8]}"
    with psycopg.connect(postgres["url"], autocommit=True, connect_timeout=5) as session:
        session.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
    keys = {"aws_access_key_id": s3["access_key"], "aws_secret_access_key": s3["secret_key"], "region_name": s3["region"]}
    boto3.client("s3", endpoint_url=s3["url"], **keys).create_bucket(Bucket=name)
    return Bucket(name, postgres, s3)
