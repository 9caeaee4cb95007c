"""What can be wrong with stored files, told apart from all other failures: the disk is full, a file is torn, damaged or gone, their
store can't be reached."""

import errno
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from jangbu.kernel.errors import JangbuError, StorageError, Unavailable

RETRY_AFTER: Final = 60
"""Seconds until it is worth another try: somebody has to make room."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_OBJECT_STORE: Final = re.compile(r"AWS Error (?:\[code \d+\]|(?P<code>[A-Z_]+))(?: \(HTTP status (?P<status>\d+)\))?")
"""How Arrow's file system says what S3 has answered, or that it hasn't."""
_NOT_THERE: Final = frozenset({"NO_SUCH_KEY", "RESOURCE_NOT_FOUND"})
_REFUSED: Final = frozenset(
    {
        "ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "INVALID_SIGNATURE", "INVALID_CLIENT_TOKEN_ID",
        "MISSING_AUTHENTICATION_TOKEN", "UNRECOGNIZED_CLIENT", "REQUEST_EXPIRED", "OPT_IN_REQUIRED",
    }
)  # fmt: skip
_INSUFFICIENT_STORAGE: Final = "507"
_DAMAGED_SQLITE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_CLOSED_SQLITE: Final = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR})
STORE_RETRY_AFTER: Final = 5


def is_full(error: BaseException) -> bool:
    """Whether it was raised because of a full disk (or quota). SQLAlchemy's errors tell by the driver's."""
    driver = getattr(error, "orig", None) or error
    if isinstance(driver, OSError):
        said = _OBJECT_STORE.search(str(driver)) if driver.errno is None else None
        return driver.errno in _FULL or (said is not None and said["status"] == _INSUFFICIENT_STORAGE)
    # Its log's index grows in the file system, too; without room for that SQLite says so in a code of its own.
    return getattr(driver, "sqlite_errorcode", None) in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}


def full(what: str) -> Unavailable:
    return Unavailable(f"The disk is full: {what}.", retry_after=RETRY_AFTER, hint="Make room on it, then try again.")


def is_not_there(error: BaseException) -> bool:
    """Whether a file isn't there, on a disk or in an object store."""
    said = _OBJECT_STORE.search(str(error)) if isinstance(error, OSError) and error.errno is None else None
    return isinstance(error, FileNotFoundError) or (said is not None and said["code"] in _NOT_THERE)


def unreachable(error: BaseException) -> Unavailable | None:
    """What an object store's failure is, which says nothing of its files; None: it is no such failure."""
    if not isinstance(error, OSError) or error.errno is not None or is_full(error) or is_not_there(error):
        return None
    said = _OBJECT_STORE.search(str(error))
    if said is None:
        return None
    if said["code"] in _REFUSED:
        hint = "Look at its keys and at what they may do."
        return Unavailable("The object store refuses the lakehouse's files to these keys.", retry_after=RETRY_AFTER, hint=hint)
    return Unavailable("The object store with the lakehouse's files can't be reached.", retry_after=STORE_RETRY_AFTER)


def of_sqlite(error: BaseException, what: str) -> StorageError | None:
    """What is said where SQLite's file is damaged, or may not be opened, read or written; None: the failure is another one."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None or is_full(error):
        return None
    if code in _DAMAGED_SQLITE:
        return StorageError(f"The file of {what} is torn or was damaged.", hint="Put it back from a copy.")
    if code & 0xFF in _CLOSED_SQLITE:  # the bits above say more of each
        return StorageError(f"The file of {what} can't be used: {error}.", hint="Look at the rights of it and of its folder.")
    return None


@contextmanager
def sqlite_says_so(what: str) -> Iterator[None]:
    """Raise what `of_sqlite` says."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if (said := of_sqlite(error, what)) is None:
            raise
        raise said from error


def damaged(path: str, table: str) -> StorageError:
    return _unreadable(path, table, "is torn or was damaged")


def gone(path: str, table: str) -> StorageError:
    return _unreadable(path, table, "is gone")


class Missing(FileNotFoundError):
    """A file of a table that isn't there: others may have moved on meanwhile, else it is `gone`. `filename` is its path."""

    def __init__(self, path: str, table: str) -> None:
        super().__init__(errno.ENOENT, "There is no such file", path)
        self.table = table


def _unreadable(path: str, table: str, what: str) -> StorageError:
    name = path.rpartition("/")[2]
    again = "; or load its rows again by a replacement, if they are of one tenant" if name.endswith(".parquet") else ""
    return StorageError(f"The file {name!r} of the table {table!r} {what}.", value=name, hint=f"Put it back from a copy{again}.")


@contextmanager
def reading(path: str, table: str) -> Iterator[None]:
    """Whatever a reader makes of a file that is torn or damaged is a StorageError.

    Raises:
        Missing: there is no such file.
        StorageError: it isn't what was written.
        Unavailable: its store can't be reached.
    """
    try:
        yield
    except (JangbuError, MemoryError):
        raise
    except Exception as error:
        if is_not_there(error):
            raise Missing(path, table) from error
        if (said := unreachable(error)) is not None:
            raise said from error
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise damaged(path, table) from error


@contextmanager
def full_disk_is_unavailable(what: str) -> Iterator[None]:
    """Raise Unavailable for a full disk; `what` says what couldn't be written, as in "the queues weren't changed"."""
    try:
        yield
    except Exception as error:
        if not is_full(error):
            raise
        raise full(what) from error
