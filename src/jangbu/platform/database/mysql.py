"""MariaDB, 10.11 and newer, and MySQL 8, over PyMySQL.

The writers' lock is a named one of the session, as row locks would end with the implicit commits of DDL. A server of this kind
can't take DDL back: what a migration that was killed has left is told at the next start.
"""

import ssl
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, Final

import pymysql
from pymysql.constants import CLIENT, CR, ER
from sqlalchemy import URL, Connection, create_engine, event, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from jangbu.kernel.clock import Clock
from jangbu.kernel.errors import ConfigurationError, JangbuError, StorageError, Unavailable
from jangbu.kernel.storage import full
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.database import upgrade
from jangbu.platform.database.server import AGAIN_IN, CONNECT_WITHIN, GRACE, ServerDatabase

_KNOWN: Final = ("ssl_ca", "ssl_cert", "ssl_key", "ssl_verify_identity", "unix_socket")
_LOST: Final = frozenset(
    {CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST, CR.CR_CONN_HOST_ERROR, CR.CR_CONNECTION_ERROR, 1053, 1927, 4031, 0}
)
"""A connection is of no use after these, whether the server is gone, has ended it, or was silent for too long."""
_BUSY: Final = frozenset({ER.LOCK_WAIT_TIMEOUT, ER.LOCK_DEADLOCK, 1969, 3024, ER.OPTION_PREVENTS_STATEMENT, 1792})
_FULL_UP: Final = frozenset({ER.CON_COUNT_ERROR, ER.TOO_MANY_USER_CONNECTIONS, ER.USER_LIMIT_REACHED, 1041, 1037, 1038})
_REFUSED: Final = frozenset({ER.ACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR, ER.BAD_DB_ERROR, 1142, 1227, 1370, 1698, 2059})
_NO_SPACE: Final = frozenset({1021, 1114})
_DAMAGED: Final = frozenset({1034, 1194, 1195, 1712, 1877})
_HALF_DONE: Final = frozenset({ER.TABLE_EXISTS_ERROR, ER.DUP_FIELDNAME, ER.DUP_KEYNAME, ER.BAD_TABLE_ERROR, ER.NO_SUCH_TABLE})
_READ_ONLY: Final = 1792


class MysqlDatabase(ServerDatabase):
    """The database that `url` names; its query may set `ssl_ca`, `ssl_cert`, `ssl_key`, `ssl_verify_identity`, `unix_socket`.

    Raises:
        Unavailable: it is down, stands still, has no connection free, or is waited for longer than `patience`.
        ConfigurationError: it may not be used as it is: the password, the name, the rights, the release.
    """

    def __init__(self, url: URL, clock: Clock | None = None, *, patience: float = 30.0, connections: int = 10) -> None:
        if unknown := [name for name in url.query if name not in _KNOWN]:
            raise ConfigurationError(f"There is no option {unknown[0]!r} of a database.", value=unknown[0], known=_KNOWN)
        self._url = url
        self._lock = "jangbu." + sha256((url.database or "").encode()).hexdigest()[:32]
        super().__init__(clock, patience=patience, connections=connections)

    def scrub(self) -> None:
        """OPTIMIZE TABLE writes each table anew, under the writer's lock: it would meet the locks of a unit of work the other way
        round. What the undo, redo and binary logs, replicas and backups hold is theirs to keep or forget."""
        with self._without_limit() as connection:
            connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {max(1, int(self._patience))}")
            for table in inspect(connection).get_table_names():
                name = connection.dialect.identifier_preparer.quote(table)
                self._take_lock(connection)
                for row in connection.exec_driver_sql(f"OPTIMIZE TABLE {name}").all():
                    if row[2].lower() == "error":
                        raise Unavailable("The database is being read; its files keep what was deleted until then.", retry_after=10)
                self._ended(connection)

    @property
    def _driver(self) -> str:
        return "mysql+pymysql"

    def _open(self, limit: float | None = None) -> Any:
        url = self._url
        wait = self._patience + GRACE if limit is None else limit
        connection = pymysql.connect(
            host=url.host or "localhost",
            port=url.port or 3306,
            user=url.username,
            password=url.password or "",
            database=url.database,
            unix_socket=url.query.get("unix_socket"),
            ssl=_tls(url),
            charset="utf8mb4",
            autocommit=True,
            client_flag=CLIENT.FOUND_ROWS,
            connect_timeout=CONNECT_WITHIN,
            read_timeout=CONNECT_WITHIN,
            write_timeout=CONNECT_WITHIN,
        )
        seconds = max(1, int(self._patience))
        with connection.cursor() as cursor:
            # A session that is silent is ended: one that stands still holds the lock no longer than that, one that waits in the
            # pool is replaced.
            cursor.execute(
                f"SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', "
                f"innodb_lock_wait_timeout = {seconds}, lock_wait_timeout = {seconds}, wait_timeout = {seconds}, "
                f"net_read_timeout = {seconds}, net_write_timeout = {seconds}"
            )
            if limit is None:
                cursor.execute("SELECT VERSION()")
                is_mariadb = "mariadb" in cursor.fetchone()[0].lower()
                most = f"max_statement_time = {seconds}" if is_mariadb else f"max_execution_time = {seconds * 1000}"
                cursor.execute(f"SET SESSION {most}")
        connection._read_timeout = connection._write_timeout = wait  # it has no other way to tell these from the handshake's
        return connection

    def _begin(self, connection: Connection, only: Collection[TenantId] | None) -> None:  # noqa: ARG002 - it has no such rights
        self._take_lock(connection)
        try:
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            connection.exec_driver_sql("START TRANSACTION READ WRITE")
        except BaseException:
            connection.invalidate()  # the lock goes with the session
            raise

    def _take_lock(self, connection: Connection) -> None:
        if not connection.exec_driver_sql(f"SELECT GET_LOCK('{self._lock}', {max(1, int(self._patience))})").scalar_one():
            raise Unavailable("The database is busy writing.", retry_after=AGAIN_IN)

    def _begin_reading(self, connection: Connection, only: Collection[TenantId] | None) -> None:  # noqa: ARG002
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")

    def _ended(self, connection: Connection) -> None:
        connection.exec_driver_sql("DO RELEASE_ALL_LOCKS()")

    def _upgrade(self) -> None:
        with self._without_limit() as connection:
            self._take_lock(connection)
            self._prepare(connection)
            try:
                upgrade.upgrade(connection)
            except DBAPIError as error:
                if _code(error.orig) in _HALF_DONE:
                    raise ConfigurationError(
                        f"A migration to {upgrade.head()!r} was interrupted, and this server can't take back what it had done.",
                        hint="Put the database back from a copy, then start again.",
                    ) from error
                raise
            connection.commit()

    def _prepare(self, connection: Connection) -> None:
        """Texts are told apart and sorted by their code points, the spaces at their ends included."""
        version = connection.exec_driver_sql("SELECT VERSION()").scalar_one()
        collation = "utf8mb4_nopad_bin" if "mariadb" in version.lower() else "utf8mb4_0900_bin"
        connection.exec_driver_sql(f"ALTER DATABASE CHARACTER SET utf8mb4 COLLATE {collation}")
        found, tables = upgrade.revision(connection), inspect(connection).get_table_names()
        if found is None and set(tables) - {"alembic_version"}:
            raise ConfigurationError(
                "The database has tables, but not those of a release.",
                hint="Where a first start was killed, drop the database and make it anew; nothing is in it yet.",
            )

    @contextmanager
    def _without_limit(self) -> Iterator[Connection]:
        """A connection of its own whose statements may take as long as they do."""
        engine = create_engine(f"{self._driver}://", creator=lambda: self._open(3600), poolclass=NullPool, hide_parameters=True)
        event.listen(engine, "handle_error", self._told)
        with engine.connect() as connection:
            connection.execute(text("SET SESSION wait_timeout = 3600"))
            yield connection

    def _is_lost(self, error: BaseException) -> bool:
        return isinstance(error, pymysql.OperationalError | pymysql.InterfaceError) and _code(error) in _LOST

    def _said(self, error: BaseException, *, reads: bool) -> JangbuError | None:
        if not isinstance(error, pymysql.Error):
            return None
        code = _code(error)
        if code in _NO_SPACE:
            return full("the database wasn't changed")
        if code in _DAMAGED:
            return StorageError("The database says that its files are damaged.", hint="Look at its log; put it back from a copy.")
        if code in _BUSY and not (code == _READ_ONLY and reads):
            return Unavailable("The database is busy writing.", retry_after=AGAIN_IN)
        if code in _FULL_UP:
            return Unavailable("The database has no connection or memory left for us.", retry_after=AGAIN_IN)
        if code in _REFUSED:
            return ConfigurationError(
                f"The database can't be used: {error.args[-1]}.", hint="See docs/settings.md, JANGBU_DATABASE."
            )
        if self._is_lost(error):
            return Unavailable("The database doesn't answer.", retry_after=AGAIN_IN)
        return None


def _code(error: BaseException | None) -> int | None:
    return error.args[0] if error is not None and error.args and isinstance(error.args[0], int) else None


def _tls(url: URL) -> ssl.SSLContext | None:
    """Where a certificate's authority is named, the server has to prove itself."""
    given = {name: str(value) for name, value in url.query.items()}
    if "ssl_ca" not in given and "ssl_cert" not in given:
        return None
    context = ssl.create_default_context(cafile=given.get("ssl_ca"))
    context.check_hostname = given.get("ssl_verify_identity", "true").lower() in {"true", "1", "yes"}
    if "ssl_cert" in given:
        context.load_cert_chain(given["ssl_cert"], given.get("ssl_key"))
    return context
