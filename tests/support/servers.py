"""Clients of real servers, and what holds for all of them."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
import psycopg
from botocore.config import Config
from services.processes import LOOPBACK
from services.running import Running


def aws(server: Running | Mapping[str, str], kind: str) -> Any:
    """A client of one of the servers that speak like AWS, which gives up soon."""
    once = Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    return boto3.client(
        kind,  # type: ignore[call-overload]
        endpoint_url=server["url"],
        aws_access_key_id=server["access_key"],
        aws_secret_access_key=server["secret_key"],
        region_name=server["region"],
        config=once,
    )


def only_on_loopback(server: Running) -> bool:
    listeners = server.listeners()
    assert {port for _, port in listeners} >= set(server.at.ports.values())
    return {address for address, _ in listeners} <= LOOPBACK


@contextmanager
def own_database(postgres: Running) -> Iterator[str]:
    """The URL of an empty database that nobody else uses, gone afterwards with the sessions left in it."""
    name = f"own_{uuid.uuid4().hex}"
    with psycopg.connect(postgres["url"], autocommit=True, connect_timeout=5) as session:
        session.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
    yield postgres["url"].rpartition("/")[0] + f"/{name}"
    # Anew, as a test may have ended the server meanwhile.
    with psycopg.connect(postgres["url"], autocommit=True, connect_timeout=5) as session:
        session.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]
