"""A session on the Spark server that has a lake's catalog."""

from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql.connect.session import SparkSession
from services.running import Running
from support.lake import Lake


@contextmanager
def spark_session(server: Running, lake: Lake) -> Iterator[SparkSession]:
    session = SparkSession.builder.remote(server["url"]).create()
    try:
        for name, value in lake.for_spark().items():
            session.conf.set(name, value)
        yield session
    finally:
        session.stop()
