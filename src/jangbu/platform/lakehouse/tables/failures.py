"""What failures of the catalog and of the files' store mean: busy, lost, down, refused. Their words aren't repeated, as they may
name machines and users."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pyiceberg.exceptions import (
    AuthorizationExpiredError,
    CommitStateUnknownException,
    ForbiddenError,
    OAuthError,
    ServerError,
    ServiceUnavailableError,
    TooManyRequestsError,
    UnauthorizedError,
)
from requests.exceptions import RequestException
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

from jangbu.kernel import storage
from jangbu.kernel.errors import JangbuError, Unavailable

RETRY_AFTER: Final = 5

_DOWN: Final = (
    RequestException, CommitStateUnknownException, ServerError, ServiceUnavailableError, TooManyRequestsError, NoConnection,
)  # fmt: skip
_REFUSED: Final = (UnauthorizedError, ForbiddenError, AuthorizationExpiredError, OAuthError)
_REFUSED_STATES: Final = ("28", "42501")
"""SQLSTATEs of PostgreSQL: invalid authorization, insufficient privilege."""


def is_busy(error: BaseException) -> bool:
    """Whether another process holds the catalog's file, for longer than it was waited."""
    return isinstance(error, OperationalError) and not _of_server(error) and not storage.is_full(error)


def is_lost(error: BaseException) -> bool:
    """Whether the catalog didn't answer, or its answer was lost."""
    return isinstance(error, _DOWN) or (_of_server(error) and not _is_refused(error))


def said(error: BaseException) -> JangbuError | None:
    """Ours for a failure of the catalog's server or of the object store; None: it is neither's."""
    if isinstance(error, _REFUSED) or _is_refused(error):
        hint = "Look at the user in the catalog's address, or at its token or credential."
        return Unavailable("The lakehouse's catalog refuses this user.", retry_after=storage.RETRY_AFTER, hint=hint)
    if is_lost(error):
        return Unavailable("The lakehouse's catalog can't be reached.", retry_after=RETRY_AFTER)
    return storage.unreachable(error)


@contextmanager
def are_said(unchanged: str) -> Iterator[None]:
    """Raise what they mean; `unchanged` is said where a disk is full."""
    with storage.full_disk_is_unavailable(unchanged):
        try:
            yield
        except storage.Missing as missing:
            raise storage.gone(missing.filename, missing.table) from missing
        except JangbuError:
            raise
        except Exception as error:
            if (ours := said(error)) is not None:
                raise ours from error
            raise


def _of_server(error: BaseException) -> bool:
    """Whether a database that is a server failed, not a file of SQLite's, and not by what it was told."""
    kinds = isinstance(error, OperationalError | InterfaceError) or (isinstance(error, DBAPIError) and error.connection_invalidated)
    driver = getattr(error, "orig", None)
    return kinds and _is_drivers(driver)


def _is_drivers(driver: object) -> bool:
    return any(kind.__module__.partition(".")[0] == "psycopg" for kind in type(driver).__mro__)


def _is_refused(error: BaseException) -> bool:
    driver = getattr(error, "orig", None)
    state = getattr(driver, "sqlstate", None) or ""
    # While it connects, psycopg says the reason in words alone.
    return _is_drivers(driver) and (state.startswith(_REFUSED_STATES) or "authentication failed" in str(driver))
