"""Opening the catalog, which says what the newest metadata of each table are: SQLite in a file, PostgreSQL, or Iceberg's REST."""

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError, NoSuchTableError
from pyiceberg.table import Table
from sqlalchemy import ExceptionContext, event, make_url, select
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, OperationalError, ProgrammingError

from jangbu.kernel import storage
from jangbu.kernel.errors import ConfigurationError, MissingExtra
from jangbu.kernel.stores import CatalogAccess, ObjectStore, is_remote
from jangbu.platform.database.server import CONNECT_WITHIN
from jangbu.platform.lakehouse.tables.failures import is_lost

if TYPE_CHECKING:
    from sqlalchemy import Engine

BUSY_TIMEOUT: Final = 30
"""Seconds that a process waits for another's write to the SQLite catalog."""

ANSWER_WITHIN: Final = 10.0
"""Seconds for which an answer of PostgreSQL's is waited; the catalog's questions take milliseconds."""

_CATALOG: Final = "the lakehouse's catalog"
_TRIES: Final = 5
_PAUSE: Final = 0.05
_POSTGRES: Final = ("postgresql", "postgres", "postgresql+psycopg")
_REST: Final = ("http", "https")

Pointed = tuple[str, Table | None]
"""Where the newest metadata of a table are, and the table, where the catalog has told them too."""


def place_of(warehouse: str | Path, catalog_uri: str | None) -> tuple[str, str]:
    """The root of the tables and the address of their catalog. A folder is made, and has a catalog of its own.

    Raises:
        ConfigurationError: a bucket has none. StorageError: as `sqlite_catalog`.
    """
    if not is_remote(warehouse):
        root = Path(warehouse).absolute()
        root.mkdir(parents=True, exist_ok=True)
        return str(root), catalog_uri or sqlite_catalog(root / "catalog.db")
    bucket = str(warehouse).rstrip("/")
    if catalog_uri is None:
        hint = "Give the address of one in PostgreSQL, or of a REST catalog."
        raise ConfigurationError(f"A lakehouse in {bucket!r} needs a catalog.", value=bucket, hint=hint)
    return bucket, catalog_uri


def sqlite_catalog(file: Path) -> str:
    """The URI of a catalog in this file.

    Raises:
        StorageError: the file was damaged, or may not be opened, read or written.
    """
    with storage.sqlite_says_so(_CATALOG), closing(sqlite3.connect(file, timeout=BUSY_TIMEOUT)) as connection:
        # Kept in the file: readers don't wait for a writer.
        connection.execute("PRAGMA journal_mode = WAL")
    return f"sqlite:///{quote(str(file))}?timeout={BUSY_TIMEOUT}"


def open_catalog(
    name: str, uri: str, warehouse: str, namespace: str, files: Mapping[str, str], access: CatalogAccess | None = None
) -> Catalog:
    """The catalog at the address, with the namespace: a SQLAlchemy URI, or the http address of a REST catalog, which `access`
    opens. `files`: the properties of the store where the warehouse lies.

    Raises:
        ConfigurationError: there is no such kind of catalog. MissingExtra: its driver isn't installed.
    """
    address = _address(uri)
    for attempt in range(_TRIES):
        try:
            catalog = _opened(name, address, warehouse, files, access or CatalogAccess())
            catalog.create_namespace_if_not_exists(namespace)
        except (OperationalError, IntegrityError, ProgrammingError, NamespaceAlreadyExistsError) as error:
            # Another process is making the same tables, or the same namespace.
            if attempt == _TRIES - 1 or is_lost(error):
                raise
            sleep(_PAUSE * 2**attempt)
        else:
            return catalog
    raise AssertionError("unreachable")


def file_properties(store: ObjectStore) -> Mapping[str, str]:
    """How PyIceberg is told of the store; it reads and writes through Arrow's file system."""
    known = {
        "s3.endpoint": store.endpoint,
        "s3.region": store.in_region,
        "s3.access-key-id": store.access_key,
        "s3.secret-access-key": store.secret_key,
        "s3.session-token": store.session_token,
        "s3.connect-timeout": str(store.connect_seconds),
        "s3.request-timeout": str(store.request_seconds),
        "s3.force-virtual-addressing": None if store.path_style else "true",
        "py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO",
    }
    return {name: value for name, value in known.items() if value is not None}


def pointers(catalog: Catalog, namespace: str) -> Callable[[str], Pointed | None]:
    """Asks for the newest metadata of a table; None: there is no such table."""
    if isinstance(catalog, SqlCatalog):
        return partial(_by_sql, catalog, namespace)
    return partial(_by_api, catalog, namespace)


def vends_keys(catalog: Catalog) -> bool:
    """Whether it gives each table's reader the keys of the store, which end."""
    return getattr(catalog, "vends", False) is True


def _by_sql(catalog: SqlCatalog, namespace: str, name: str) -> Pointed | None:
    query = select(IcebergTables.metadata_location).where(
        IcebergTables.catalog_name == catalog.name,
        IcebergTables.table_namespace == namespace,
        IcebergTables.table_name == name,
    )
    with catalog.engine.connect() as connection:
        location = connection.execute(query).scalar()
    return None if location is None else (str(location), None)


def _by_api(catalog: Catalog, namespace: str, name: str) -> Pointed | None:
    try:
        table = catalog.load_table((namespace, name))
    except NoSuchTableError:
        return None
    return table.metadata_location, table


def _opened(name: str, uri: str, warehouse: str, files: Mapping[str, str], access: CatalogAccess) -> Catalog:
    scheme = urlsplit(uri).scheme
    if scheme in _REST:
        from jangbu.platform.lakehouse.tables.rest import open_rest

        return open_rest(name, uri, warehouse, access, files)
    return _Sql(name, **{**files, "warehouse": warehouse, "uri": uri, "pool_pre_ping": str(scheme in _POSTGRES).lower()})


def _address(uri: str) -> str:
    """The URI, of the driver that we use."""
    scheme, _, rest = uri.partition("://")
    if scheme in _POSTGRES:
        uri = f"postgresql+psycopg://{rest}"
    if scheme not in _REST:
        try:
            make_url(uri).get_dialect()
        except (ArgumentError, NoSuchModuleError, ValueError):
            # Not chained: the address, which may hold a password, would be in its words.
            raise _unknown_kind(uri) from None
    return uri


class _Sql(SqlCatalog):
    engine: "Engine"

    def _init_catalog(self) -> None:
        """Before the first question is asked."""
        event.listen(self.engine, "handle_error", _told)
        bound(self.engine)
        super()._init_catalog()


def bound(engine: "Engine") -> None:
    """Let nobody wait for a server for ever that stands still, be it of PostgreSQL or of MySQL."""
    if engine.dialect.name == "postgresql":
        event.listen(engine, "do_connect", _bounded)
    elif engine.dialect.name in ("mysql", "mariadb"):
        event.listen(engine, "do_connect", _with_timeouts)


def _with_timeouts(_dialect: object, _record: object, _arguments: list[Any], named: dict[str, Any]) -> None:
    limits = {"connect_timeout": CONNECT_WITHIN, "read_timeout": int(ANSWER_WITHIN), "write_timeout": int(ANSWER_WITHIN)}
    named.update(limits | named)


def _bounded(_dialect: object, _record: object, arguments: list[Any], named: dict[str, Any]) -> object:
    try:
        from jangbu.platform.database.bounded import BoundedConnection
    except ImportError as error:
        raise MissingExtra("A lakehouse's catalog in PostgreSQL", extra="postgres") from error
    connection = BoundedConnection.connect(*arguments, **{"connect_timeout": CONNECT_WITHIN, "application_name": "jangbu", **named})
    connection.limit = ANSWER_WITHIN
    return connection


def _unknown_kind(uri: str) -> ConfigurationError:
    scheme = uri.partition("://")[0] if "://" in uri else "none"
    known = ["sqlite", *_POSTGRES, *_REST]
    return ConfigurationError(f"A lakehouse's catalog can't be at an address of the kind {scheme!r}.", value=scheme, known=known)


def _told(context: ExceptionContext) -> None:
    if said := storage.of_sqlite(context.original_exception, _CATALOG):
        raise said from context.original_exception
