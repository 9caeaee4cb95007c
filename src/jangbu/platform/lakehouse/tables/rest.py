"""A catalog behind Iceberg's REST interface."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import CommitStateUnknownException, RESTError
from pyiceberg.io import FileIO
from pyiceberg.table import CommitTableResponse
from pyiceberg.typedef import EMPTY_DICT
from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import Timeout

from jangbu.kernel.errors import ConfigurationError, Unsupported
from jangbu.kernel.stores import CatalogAccess
from jangbu.platform.lakehouse.tables.failures import said

SECONDS: Final = (5.0, 30.0)
"""To connect, and between bytes of an answer."""
_ONLY_NEWEST: Final = "nessie.is-nessie-catalog"
_DELEGATION: Final = "X-Iceberg-Access-Delegation"
_KEYS: Final = ("s3.access-key-id", "s3.secret-access-key", "s3.session-token")


class _Bounded(HTTPAdapter):
    """What only reads is sent once more over a new connection where the old one was broken; nothing else is, as a commit might be
    made twice."""

    def send(self, request: PreparedRequest, *arguments: Any, **named: Any) -> Response:
        bounded = {**named, "timeout": named.get("timeout") or SECONDS}
        try:
            return super().send(request, *arguments, **bounded)
        except NoConnection as error:
            if isinstance(error, Timeout) or request.method not in ("GET", "HEAD"):
                raise
        return super().send(request, *arguments, **bounded)


class _Rest(RestCatalog):
    """`files` is how the files are reached: neither the server nor a table's properties change anything of it. Only where it has no
    keys are those taken that the server gives for a table."""

    def __init__(self, name: str, uri: str, files: Mapping[str, str], properties: Mapping[str, str]) -> None:
        self._files = files
        super().__init__(name, uri=uri, **files, **properties)
        self.properties = {**self.properties, **files}

    @property
    def vends(self) -> bool:
        return bool(self._files) and _KEYS[0] not in self._files

    def _create_session(self) -> Session:
        session = super()._create_session()
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Bounded(max_retries=0))
        return session

    def _config_headers(self, session: Session) -> None:
        super()._config_headers(session)
        if not self.vends:
            del session.headers[_DELEGATION]

    def commit_table(self, *change: Any) -> CommitTableResponse:
        try:
            made: CommitTableResponse = super().commit_table(*change)
        except ValidationError as error:
            # What stands between may answer for the catalog.
            raise CommitStateUnknownException("The answer to a commit isn't the catalog's.") from error
        return made

    def _load_file_io(self, properties: Mapping[str, Any] = EMPTY_DICT, location: str | None = None) -> FileIO:
        given = {name: value for name, value in properties.items() if self.vends and name in _KEYS}
        return super()._load_file_io({**given, **self._files}, location)


def open_rest(name: str, uri: str, warehouse: str, access: CatalogAccess, files: Mapping[str, str]) -> RestCatalog:
    """The catalog at this address; `files` are PyIceberg's properties of the store, see `_Rest`.

    Raises:
        Unsupported: it forgets every snapshot but the newest, and with them which runs were committed.
        ConfigurationError: it isn't a REST catalog, or doesn't know the warehouse.
    """
    known = access.warehouse or warehouse
    try:
        catalog = _Rest(name, uri, files, {"warehouse": known, **_properties(access, uri)})
    except (ValidationError, RESTError) as error:
        if said(error) is not None:
            raise
        raise ConfigurationError(
            f"The lakehouse's catalog doesn't answer as a REST catalog of Iceberg's that knows the warehouse {known!r}.",
            value=known,
            hint="Look at the catalog's address, and at what it calls the warehouse.",
        ) from error
    if catalog.properties.get(_ONLY_NEWEST) == "true":
        catalog.close()
        raise Unsupported(
            "A Nessie catalog keeps each table's newest snapshot only, and Jangbu's loads are told by older ones.",
            hint="Use a catalog in PostgreSQL, or a REST catalog that keeps Iceberg's snapshots (docs/decisions).",
        )
    return catalog


def _properties(access: CatalogAccess, uri: str) -> dict[str, str]:
    """As PyIceberg calls them."""
    known = {"token": access.token, "credential": access.credential, "scope": access.scope}
    if access.credential is not None:
        known["oauth2-server-uri"] = access.token_address or f"{uri.rstrip('/')}/v1/oauth/tokens"
    return {name: value for name, value in known.items() if value is not None}
