"""A database for a test, embedded or on a real server. Processes that the test starts find it by the folder."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
from services.running import Running

ADAPTERS = [
    "sqlite",
    pytest.param("postgres", marks=pytest.mark.services("postgres")),
    pytest.param("mariadb", marks=pytest.mark.services("mariadb")),
]
PASSWORD = "p@ss:w/rd%"  # signs that have to be escaped in a URI
ESCAPED = "p%40ss%3Aw%2Frd%25"


@contextmanager
def prepared(adapter: str, server: Running | None, folder: Path) -> Iterator[Path]:
    """The folder, for which an empty database was made, gone afterwards."""
    if server is None:
        yield folder
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (own_postgres if adapter == "postgres" else own_mariadb)(server) as uri:
        (folder / "database.uri").write_text(uri)
        yield folder


@contextmanager
def own_postgres(server: Running) -> Iterator[str]:
    """The URI of an empty database and of a role that owns it and may do nothing else."""
    name = f"own_{uuid.uuid4().hex}"
    with psycopg.connect(server["url"], autocommit=True, connect_timeout=5) as session:
        session.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")  # type: ignore[call-overload]
        session.execute(f"CREATE DATABASE {name} OWNER {name} TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C.UTF-8'")  # type: ignore[call-overload]
    yield f"postgresql://{name}:{ESCAPED}@{server['host']}:{server['port']}/{name}"
    if server.is_ready():
        with psycopg.connect(server["url"], autocommit=True, connect_timeout=5) as session:
            session.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]
            session.execute(f"DROP ROLE {name}")  # type: ignore[call-overload]


@contextmanager
def own_mariadb(server: Running) -> Iterator[str]:
    """The URI of an empty database and of a user who may do everything in it and nothing elsewhere."""
    name = f"own_{uuid.uuid4().hex[:12]}"
    for statement in (
        f"CREATE DATABASE {name} CHARACTER SET latin1",
        f"CREATE USER {name}@'{server['host']}' IDENTIFIED BY '{PASSWORD}'",
        f"GRANT ALL ON {name}.* TO {name}@'{server['host']}'",
    ):
        told_mariadb(server, statement)
    yield f"mariadb://{name}:{ESCAPED}@{server['host']}:{server['port']}/{name}"
    if server.is_ready():
        told_mariadb(server, f"DROP DATABASE {name}")
        told_mariadb(server, f"DROP USER {name}@'{server['host']}'")


def told_mariadb(server: Running, statement: str) -> Any:
    """What the server's own user is answered."""
    address = {"host": server["host"], "port": int(server["port"]), "user": server["user"], "password": server["password"]}
    with pymysql.connect(**address, autocommit=True, connect_timeout=5, read_timeout=30) as session, session.cursor() as cursor:  # type: ignore[arg-type]
        cursor.execute(statement)
        return cursor.fetchall()
