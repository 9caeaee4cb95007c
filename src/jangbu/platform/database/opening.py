"""Which database a URI names: nothing for the embedded one, else a server's. Its password is in no error."""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from jangbu.kernel.clock import Clock
from jangbu.kernel.errors import ConfigurationError, MissingExtra
from jangbu.platform.database.ports import Database

_SERVERS: Final = {"postgresql": "postgres", "postgres": "postgres", "mysql": "mysql", "mariadb": "mysql"}
_DRIVERS: Final = {"postgres": "psycopg", "mysql": "pymysql"}
_HINT: Final = "It is written postgresql://USER:PASSWORD@HOST:PORT/DATABASE, or mysql://…; in a password, %40 stands for @."


def server_url(uri: str) -> URL:
    """A URI of a server's database, taken apart.

    Raises:
        ConfigurationError: it has another form, or names a kind of server that isn't known. No more of it is repeated than that.
    """
    try:
        url = make_url(uri)
    except (ArgumentError, ValueError):
        raise ConfigurationError("The database's address can't be read.", hint=_HINT) from None
    if url.drivername not in _SERVERS:
        kind = url.drivername
        raise ConfigurationError(f"There is no database {kind!r}.", value=kind, known=sorted(_SERVERS), hint=_HINT)
    if not url.database:
        raise ConfigurationError("The database's address ends without the database's name.", hint=_HINT)
    return url


def open_database(uri: str | None, folder: Path, clock: Clock | None = None, *, connections: int, patience: float) -> Database:
    """The database of the URI; without one that in the folder. A server is connected to at first use.

    Raises:
        ConfigurationError: as `server_url`; MissingExtra: its driver isn't installed.
    """
    if uri is None:
        from jangbu.platform.database.sqlite import SqliteDatabase

        return SqliteDatabase(folder / "jangbu.db", clock, patience=patience)
    url = server_url(uri)
    kind = _SERVERS[url.drivername]
    if find_spec(_DRIVERS[kind]) is None:
        raise MissingExtra(f"The database {url.drivername!r}", kind)
    if kind == "postgres":
        from jangbu.platform.database.postgres import PostgresDatabase

        return PostgresDatabase(url, clock, connections=connections, patience=patience)
    from jangbu.platform.database.mysql import MysqlDatabase

    return MysqlDatabase(url, clock, connections=connections, patience=patience)
