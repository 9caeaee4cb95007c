"""Ours for Spark's errors. Its text isn't repeated, as it may hold paths, or values of rows that the asker doesn't hold."""

import re
from typing import Final

from jangbu.kernel.errors import EngineError, Forbidden, InvalidRequest, JangbuError, StorageError, Unavailable

_LOST: Final = ("INVALID_HANDLE", "SESSION_CLOSED", "NO_ACTIVE_SESSION", "RETRIES_EXCEEDED")
_REQUEST: Final = {
    "CAST_INVALID_INPUT": "A value can't be converted to the type that is needed.",
    "CAST_OVERFLOW": "A number is outside the range of its type.",
    "ARITHMETIC_OVERFLOW": "A number is outside the range of its type.",
    "NUMERIC_VALUE_OUT_OF_RANGE": "A number is outside the range of its type.",
    "DIVIDE_BY_ZERO": "A number is divided by zero.",
}
_CHANGED: Final = ("CommitFailedException", "ValidationException", "CommitStateUnknownException")
_GONE: Final = ("NotFoundException", "FileNotFoundException", "NoSuchKeyException", "FAILED_READ_FILE")
_STORE: Final = ("S3Exception", "SdkClientException", "UncheckedIOException", "RuntimeIOException")
_MISSING: Final = ("TABLE_OR_VIEW_NOT_FOUND", "CATALOG_NOT_FOUND", "SCHEMA_NOT_FOUND", "NoSuchTableException")
_FILE: Final = re.compile(r"[^\s/'\"]+\.(?:parquet|orc|avro|json)\b")


def is_cancelled(error: BaseException) -> bool:
    return "OPERATION_CANCELED" in str(error)


def is_lost(error: BaseException) -> bool:
    """Whether the session isn't there any more, as after the server's restart: what was asked never began, or ended with it."""
    return any(name in str(error) for name in _LOST) or _status(error) == "UNAVAILABLE"


def never_began(error: BaseException) -> bool:
    """Whether the server knew the session no more when it was asked: it has done nothing of it."""
    return "INVALID_HANDLE.SESSION" in str(error)


def translated(error: BaseException) -> JangbuError:
    text = str(error)
    if is_cancelled(error):
        return EngineError("The statement was ended at the Spark server.")
    if is_lost(error):
        return Unavailable("The Spark server can't be reached, or was started anew meanwhile.", retry_after=5)
    if _status(error) in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        return Forbidden("The Spark server refuses this account.", hint="Look at `token`, and at what the server lets it do.")
    if (said := next((said for name, said in _REQUEST.items() if name in text), None)) is not None:
        return InvalidRequest(said)
    if any(name in text for name in _MISSING):
        hint = "Do `catalog` and the server's own catalog name the lakehouse's tables?"
        return EngineError("The Spark server doesn't know the lakehouse's tables.", hint=hint)
    if any(name in text for name in _CHANGED):
        return Unavailable("Others changed the table while Spark worked on it.", retry_after=5)
    return _of_storage(text) or EngineError(f"Spark failed ({type(error).__name__}).", hint="Its own log says why.")


def _of_storage(text: str) -> JangbuError | None:
    if any(name in text for name in _GONE):
        found = _FILE.search(text)
        named = f"The data file {found[0]!r}" if found is not None else "A data file"
        return StorageError(f"{named} is gone, torn or was damaged.", hint="`jangbu tables verify` tells of which table it is.")
    if any(name in text for name in _STORE):
        return Unavailable("The Spark server can't reach the lakehouse's files.", retry_after=5)
    return None


def _status(error: BaseException) -> str | None:
    """The gRPC status, of the error or of what it was raised from."""
    each: BaseException | None = error
    while each is not None:
        code = getattr(each, "code", None)
        found = code() if callable(code) else None
        if (name := getattr(found, "name", None)) is not None:
            return str(name)
        each = each.__cause__ or each.__context__
    match = re.search(r"StatusCode\.([A-Z_]+)", str(error))
    return match[1] if match is not None else None
