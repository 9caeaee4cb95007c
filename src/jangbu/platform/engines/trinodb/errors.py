"""Ours for Trino's errors. Its text isn't repeated, as it may hold paths, or values of rows that the asker doesn't hold."""

import re
from collections.abc import Mapping
from typing import Any, Final

from jangbu.kernel.errors import EngineError, InvalidRequest, JangbuError, StorageError, TimedOut, Unavailable

_BUSY: Final = frozenset(
    {
        "QUERY_QUEUE_FULL", "SERVER_SHUTTING_DOWN", "SERVER_STARTING_UP", "NO_NODES_AVAILABLE", "TOO_MANY_REQUESTS_FAILED",
        "PAGE_TRANSPORT_ERROR", "PAGE_TRANSPORT_TIMEOUT", "REMOTE_HOST_GONE", "REMOTE_TASK_ERROR", "REMOTE_TASK_MISMATCH",
        "ABANDONED_QUERY", "CLUSTER_OUT_OF_MEMORY",
    }
)  # fmt: skip
_MEMORY: Final = frozenset(
    {
        "EXCEEDED_GLOBAL_MEMORY_LIMIT", "EXCEEDED_LOCAL_MEMORY_LIMIT", "EXCEEDED_TASK_DESCRIPTOR_STORAGE_CAPACITY",
        "EXCEEDED_FUNCTION_MEMORY_LIMIT", "EXCEEDED_SPILL_LIMIT", "OUT_OF_SPILL_SPACE",
    }
)  # fmt: skip
_MISSING: Final = frozenset({"CATALOG_NOT_FOUND", "SCHEMA_NOT_FOUND", "TABLE_NOT_FOUND", "CATALOG_UNAVAILABLE"})
_RE2: Final = (
    "invalid escape sequence", "invalid character class range", "invalid character class", "missing closing ]",
    "missing closing )", "unexpected )", "trailing backslash at end of expression", "missing argument to repetition operator",
    "invalid repeat count", "invalid nested repetition operator", "invalid or unsupported Perl syntax", "invalid named capture",
    "duplicate capture group name", "invalid UTF-8", "regexp too big",
)  # fmt: skip
_FILE: Final = re.compile(r"[^\s/'\"]+\.(?:parquet|orc|avro|json)\b")


def translated(error: Mapping[str, Any], timeout: float) -> JangbuError:
    """`error` is that of an answer of the server; `timeout` (seconds) is what the statement was given."""
    name, message = str(error.get("errorName")), str(error.get("message", ""))
    if name == "EXCEEDED_TIME_LIMIT":
        return TimedOut(f"The answer took longer than {timeout:g} s; its query was interrupted.")
    if name in ("USER_CANCELED", "ADMINISTRATIVELY_KILLED", "ADMINISTRATIVELY_PREEMPTED"):
        return EngineError("The query was ended at the Trino server.")
    if name in _BUSY:
        return Unavailable("The Trino server is busy or lost a part of itself.", retry_after=1)
    if name in _MEMORY:
        return EngineError("Trino needs more memory than it may have.", hint="Ask for a shorter range or fewer dimensions.")
    if name.startswith(("ICEBERG_", "PARQUET_", "HIVE_")):
        return _of_storage(name, message)
    if (found := _of_the_request(name, message)) is not None:
        return found
    if name in _MISSING:
        hint = "Do `catalog` and the server's own catalog name the lakehouse's tables?"
        return EngineError(f"The Trino server doesn't know the lakehouse's tables ({name}).", hint=hint)
    if name == "PERMISSION_DENIED":
        return EngineError("The Trino server doesn't let this user read the lakehouse.", hint="Its access rules must allow SELECT.")
    return EngineError(f"Trino failed ({name}).")


def _of_the_request(name: str, message: str) -> JangbuError | None:
    if name == "INVALID_ARGUMENTS" and "snapshot" in message:
        return Unavailable("The pinned data have been replaced and forgotten meanwhile.", retry_after=1)
    if name == "INVALID_CAST_ARGUMENT":
        return InvalidRequest("A value can't be converted to the type that the question needs.")
    if name in ("NUMERIC_VALUE_OUT_OF_RANGE", "EXCEEDED_DECIMAL_PRECISION") or "overflow" in message:
        return InvalidRequest("A number is outside the range of its type.")
    if name == "DIVISION_BY_ZERO":
        return InvalidRequest("A number is divided by zero.")
    if name == "INVALID_FUNCTION_ARGUMENT" and message.startswith("error parsing regexp"):
        reason = next((each for each in _RE2 if each in message), "it can't be parsed")
        return InvalidRequest(f"The pattern isn't a regular expression of RE2: {reason}.")
    if name == "INVALID_FUNCTION_ARGUMENT":
        return InvalidRequest("A value is none that its function takes.")
    return None


def _of_storage(name: str, message: str) -> JangbuError:
    if (file := _FILE.search(message)) is not None:
        return StorageError(
            f"The data file {file[0]!r} is gone, torn or was damaged.",
            value=file[0],
            hint="`jangbu tables verify` tells of which table it is.",
        )
    return StorageError(f"Trino couldn't read the lakehouse ({name}).", hint="`jangbu tables verify` tells of damaged files.")
