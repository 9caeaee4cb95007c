"""DuckDB's reading of S3: its extension, the one secret it is given, and what a statement may name beside its scans.

DuckDB keeps to the allowed prefixes, but takes settings from a location's end (`?s3_endpoint=`), and would send a signed request to
wherever that says. So no location, and no function that takes one, is let into a statement.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from jangbu.kernel.errors import ConfigurationError, EngineError, MissingExtra, Unavailable
from jangbu.kernel.stores import ObjectStore
from jangbu.platform.engines.texts import quoted

if TYPE_CHECKING:
    import duckdb

_SECRET: Final = "jangbu"  # noqa: S105 - its name
_RETRIES: Final = 2
_OWN_SOURCES: Final = frozenset({"range", "generate_series", "unnest"})
"""Table functions that make rows of nothing."""


def open_store(connection: "duckdb.DuckDBPyConnection", roots: Sequence[str], store: ObjectStore) -> None:
    """Let the connection read below the roots. The keys lie in its memory, hidden from statements.

    Raises:
        MissingExtra: the extension isn't installed. ConfigurationError: there are no keys where they are looked for.
    """
    import duckdb

    _load(connection, "httpfs")
    if store.access_key is None:
        _load(connection, "aws")
    connection.execute(f"SET GLOBAL http_timeout = {max(1, round(store.request_seconds))}")
    connection.execute(f"SET GLOBAL http_retries = {_RETRIES}")
    try:
        connection.execute(f"CREATE SECRET {_SECRET} ({', '.join(_options(roots, store))})")
    except duckdb.Error:
        # Not chained: the statement, and with it the key, would be in its words.
        raise ConfigurationError("DuckDB has no use for the object store's keys.", hint="Look at the settings of S3.") from None


def check_sources(cursor: "duckdb.DuckDBPyConnection", body: str, names: Collection[str]) -> None:
    """Raises EngineError where the body reads anything but the relations of these names, or its own."""
    found = cursor.execute("SELECT json_serialize_sql(?)", [body]).fetchone()
    tree = json.loads(found[0]) if found is not None else {"error": True}
    if tree.get("error"):
        raise EngineError("A statement is one SELECT; this one isn't.")
    nodes = list(_nodes(tree))
    known = {*names, *(entry["key"] for node in nodes for entry in (node.get("cte_map") or {}).get("map", ()))}
    for node in nodes:
        match node.get("type"):
            case "BASE_TABLE" if node.get("table_name") in known and not node.get("schema_name"):
                continue
            case "TABLE_FUNCTION" if node.get("function", {}).get("function_name") in _OWN_SOURCES:
                continue
            case "BASE_TABLE" | "TABLE_FUNCTION" | "SHOW_REF":
                raise EngineError("A statement reads its scans alone; this one names something else.")


def unreachable(error: Exception) -> Unavailable | None:
    """What DuckDB's failure is where the object store didn't answer as it should; None: it is no such failure."""
    import duckdb

    if not isinstance(error, duckdb.IOException) or "HTTP" not in str(error):
        return None
    status = getattr(error, "status_code", None)
    if status == 404 or "404" in str(error):
        return None
    if status in (401, 403) or "HTTP 403" in str(error):
        return Unavailable("The object store refuses DuckDB the lakehouse's files.", retry_after=60, hint="Look at its keys.")
    return Unavailable("The object store with the lakehouse's files can't be reached.", retry_after=5)


def _load(connection: "duckdb.DuckDBPyConnection", name: str) -> None:
    try:
        from duckdb_extensions import import_extension

        import_extension(name, con=connection)
    except ImportError as error:
        raise MissingExtra("A lakehouse on S3", extra="s3") from error
    connection.execute(f"LOAD {name}")


def _options(roots: Sequence[str], store: ObjectStore) -> Iterator[str]:
    yield "TYPE s3"
    yield f"SCOPE [{', '.join(map(quoted, roots))}]"
    if store.access_key is None:
        yield "PROVIDER credential_chain"
        yield "REFRESH auto"
    else:
        yield f"KEY_ID {quoted(store.access_key)}"
        yield f"SECRET {quoted(store.secret_key or '')}"
    if store.session_token is not None:
        yield f"SESSION_TOKEN {quoted(store.session_token)}"
    if store.in_region is not None:
        yield f"REGION {quoted(store.in_region)}"
    if store.endpoint is not None:
        scheme, _, host = store.endpoint.rstrip("/").partition("://")
        yield f"ENDPOINT {quoted(host)}"
        yield f"USE_SSL {str(scheme == 'https').lower()}"
        yield f"URL_STYLE '{'path' if store.path_style else 'vhost'}'"


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    held = [tree]
    while held:
        each = held.pop()
        if isinstance(each, dict):
            yield each
            held.extend(each.values())
        elif isinstance(each, list):
            held.extend(each)
