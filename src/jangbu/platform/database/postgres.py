"""PostgreSQL, 15 and newer, over psycopg. All settings are the transaction's own, so that a pooler may stand between.

Row-level security keeps tenants apart where a transaction says whom it serves (`only`); what works over all says '*'. It is in
force for every role but superusers and those that bypass it.
"""

import json
import time
from collections.abc import Collection
from typing import Any, Final

import psycopg
import structlog
from psycopg import sql
from psycopg.types.json import set_json_dumps, set_json_loads
from sqlalchemy import URL, Connection

from jangbu.kernel.clock import Clock
from jangbu.kernel.errors import ConfigurationError, JangbuError, StorageError, Unavailable
from jangbu.kernel.storage import full
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.database import nul, upgrade
from jangbu.platform.database.bounded import BoundedConnection
from jangbu.platform.database.server import AGAIN_IN, CONNECT_WITHIN, GRACE, ServerDatabase, Silent

_LOCK: Final = int.from_bytes(b"jangbu")
"""The advisory lock of the one writer; each database of a server has its own."""

_OLDEST: Final = 150_000
_OURS: Final = """
SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = current_schema() AND tableowner = current_user
"""
_OLDER_STATES: Final = """
SELECT (SELECT count(*) FROM pg_stat_activity
         WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid() AND age(backend_xmin) >= age('{xid}'::xid8::xid))
     + (SELECT count(*) FROM pg_replication_slots WHERE xmin IS NOT NULL AND age(xmin) >= age('{xid}'::xid8::xid))
     + (SELECT count(*) FROM pg_prepared_xacts WHERE age(transaction) >= age('{xid}'::xid8::xid))
     + (pg_snapshot_xmin(pg_current_snapshot()) <= '{xid}'::xid8)::int
"""

_log = structlog.get_logger(__name__)


class PostgresDatabase(ServerDatabase):
    """The database that `url` names; its query is libpq's (`sslmode`, `sslrootcert`, …).

    Raises:
        Unavailable: it is down, stands still, has no connection free, or is waited for longer than `patience`.
        ConfigurationError: it may not be used as it is: the password, the name, the rights, the release, the encoding.
    """

    def __init__(self, url: URL, clock: Clock | None = None, *, patience: float = 30.0, connections: int = 10) -> None:
        self._url = url
        super().__init__(clock, patience=patience, connections=connections)
        milliseconds = int(patience * 1000)
        limits = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
        self._limits = "; ".join(f"SET LOCAL {name} = {milliseconds}" for name in limits)

    def scrub(self) -> None:
        """VACUUM FULL writes each table anew, without what nobody can see any more; so nobody may see an older state, nor still be
        writing since then, be it to another database of the server: that keeps what is deleted in sight of new transactions here.
        What the log (WAL), replicas and backups hold is theirs to keep or forget."""
        deadline = time.monotonic() + self._patience
        with self._connected(self._writer, self._alone) as connection:
            xid = connection.exec_driver_sql("SELECT pg_current_xact_id()::text").scalar_one()
            while connection.exec_driver_sql(_OLDER_STATES.format(xid=xid)).scalar_one():
                if time.monotonic() > deadline:
                    raise Unavailable("Older transactions are open; files keep what was deleted until then.", retry_after=10)
                time.sleep(0.05)
            for table in connection.exec_driver_sql(_OURS).scalars().all():
                connection.exec_driver_sql(f"VACUUM (FULL, ANALYZE) {table}")

    @property
    def _driver(self) -> str:
        return "postgresql+psycopg"

    def _options(self) -> dict[str, Any]:
        return {"use_native_hstore": False}

    def _open(self) -> BoundedConnection:
        url = self._url
        given: dict[str, Any] = {
            "application_name": "jangbu",
            "connect_timeout": CONNECT_WITHIN,
            **url.query,
            "host": url.host or url.query.get("host"),
            "port": url.port or url.query.get("port"),
            "user": url.username,
            "password": url.password,
            "dbname": url.database,
        }
        # Nothing is prepared: a plan would outlive a migration, and poolers forget it.
        connection = BoundedConnection.connect(autocommit=True, prepare_threshold=None, client_encoding="utf8", **given)
        connection.limit = self._patience + GRACE
        set_json_dumps(nul.dumps, connection)
        set_json_loads(nul.loads, connection)
        return connection

    def _begin(self, connection: Connection, only: Collection[TenantId] | None) -> None:
        begin = f"BEGIN; {self._limits}; {_serving(only)}; SELECT pg_advisory_xact_lock({_LOCK})"
        connection.exec_driver_sql(begin)

    def _begin_reading(self, connection: Connection, only: Collection[TenantId] | None) -> None:
        connection.exec_driver_sql(f"BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; {self._limits}; {_serving(only)}")

    def _alone(self, connection: Connection) -> None:
        """Outside any transaction, with as much time as it takes, but not to wait for others."""
        driver: Any = connection.connection.driver_connection
        driver.limit = None
        connection.exec_driver_sql(f"SET lock_timeout = {int(self._patience * 1000)}")
        # It isn't given back to the pool: its settings are its own.
        connection.detach()

    def _upgrade(self) -> None:
        with self.transaction() as work:
            driver: Any = work.connection.connection.driver_connection
            work.connection.exec_driver_sql("SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0")
            driver.limit = None
            try:
                upgrade.upgrade(work.connection)
            finally:
                driver.limit = self._patience + GRACE

    def _look_around(self) -> None:
        about = "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'), rolsuper OR rolbypassrls"
        with self.reading() as connection:
            version, encoding, bypasses = connection.exec_driver_sql(f"{about} FROM pg_roles WHERE rolname = current_user").one()
        if version < _OLDEST:
            raise ConfigurationError(f"PostgreSQL {version // 10_000} is too old: 15 is the oldest.", value=version)
        if encoding != "UTF8":
            raise ConfigurationError(
                f"The database's encoding is {encoding}.", value=encoding, hint="Make it with ENCODING 'UTF8' TEMPLATE template0."
            )
        if bypasses:
            _log.warning("row_level_security_bypassed", hint="Connect as a role that is no superuser and has no BYPASSRLS.")

    def _is_lost(self, error: BaseException) -> bool:
        """A session that the server ends says why before it goes; the connection isn't known to be closed yet."""
        state = getattr(error, "sqlstate", None) or ""
        return isinstance(error, Silent) or state.startswith(("57P", "08")) or state == "25P03"

    def _said(self, error: BaseException, *, reads: bool) -> JangbuError | None:
        if not isinstance(error, psycopg.Error):
            return None
        state = error.sqlstate or ""
        if state == "53100":
            return full("the database wasn't changed")
        if state.startswith("XX00"):
            return StorageError("The database says that its files are damaged.", hint="Look at its log; put it back from a copy.")
        if state in {"55P03", "40001", "40P01", "57014"} or (state == "25006" and not reads):
            return Unavailable("The database is busy writing.", retry_after=AGAIN_IN)
        if state.startswith("53") or (not state and any(words in str(error) for words in _TOO_MANY)):
            return Unavailable("The database has no connection or memory left for us.", retry_after=AGAIN_IN)
        if state.startswith(("28", "3D")) or _is_refused(error):
            return _unusable(error, self._url)
        if state.startswith(("08", "57", "58")) or state == "25P03" or (not state and isinstance(error, psycopg.OperationalError)):
            return Unavailable("The database doesn't answer.", retry_after=AGAIN_IN)
        return None


def _serving(only: Collection[TenantId] | None) -> str:
    served = json.dumps(dict.fromkeys(["*"] if only is None else only))
    return f"SET LOCAL jangbu.tenants = {sql.Literal(served).as_string(None)}"


_TOO_MANY: Final = ("too many connections", "too many clients", "connection slots")
_REFUSED: Final = ("authentication failed", "no password supplied", "does not exist", "no pg_hba.conf entry", "certificate")


def _is_refused(error: psycopg.Error) -> bool:
    """What a server says while a connection is made has no code here, only words. A row that isn't the tenant's is our mistake."""
    if error.sqlstate:
        return error.sqlstate == "42501" and "row-level security" not in str(error)
    return isinstance(error, psycopg.ProgrammingError) or any(words in str(error) for words in _REFUSED)


def _unusable(error: psycopg.Error, url: URL) -> ConfigurationError:
    """In the server's words, which repeat no password; libpq's about the address might."""
    said = str(error.diag.message_primary or error).strip().splitlines()[-1:] or ["it is refused"]
    told = said[0] if not url.password or str(url.password) not in said[0] else "it is refused"
    return ConfigurationError(f"The database can't be used: {told.rstrip('.')}.", hint="See docs/settings.md, JANGBU_DATABASE.")
