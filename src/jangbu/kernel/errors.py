"""Every error that Jangbu raises on purpose.

Each has a stable `code` (part of the wire: clients branch on it), an HTTP `status`, and says what to do. An error names the value
that was wrong, the values that are known and the near misses; it never holds a secret.

    JangbuError
    ├── InvalidRequest                  422  the question or the body can't be answered as it stands
    │   ├── UnknownName                 422  a data source, measure, dimension, operator, … that doesn't exist
    │   ├── AmbiguousName               422  a bare name that two data sources have
    │   ├── WrongType                   422  a value of another type than the field's
    │   ├── OutOfBounds                 422  a number, depth or length outside its limits
    │   ├── InvalidTime                 422  a range turned round, a zone that doesn't exist, a grain that isn't there
    │   └── Unsupported                 422  well formed, but what it asks for has no exact answer
    ├── MalformedBody                   400  not JSON, or not an object
    ├── Unauthenticated                 401  no key, or one that isn't known
    ├── Forbidden                       403  a tenant or an action that the principal doesn't hold
    ├── NotFound                        404  a thing asked for by name isn't there
    ├── NotAcceptable                   406  no representation that the client takes
    ├── Conflict                        409  the thing is there already, or has changed meanwhile
    ├── BodyTooLarge                    413  more bytes than a request may have
    ├── Cancelled                       499  the client went away; its work was interrupted
    ├── ConfigurationError              500  a setting, a missing extra, an unusable folder
    │   └── MissingExtra                500  an optional dependency isn't installed
    ├── CatalogError                    500  a definition with a mistake: file, line and what was meant
    ├── LoadError                       500  data that can't be loaded as they are
    ├── StorageError                    500  a stored file is torn or was damaged
    ├── EngineError                     502  a query engine failed in a way we didn't foresee
    ├── Unavailable                     503  busy or not ready; try again after `retry_after` seconds
    │   └── Closed                      503  the store is closed for writing, as it is carried over to another place
    └── TimedOut                        504  an answer took longer than its limit
"""

from collections.abc import Iterable
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, ClassVar, Final


class _Missing:
    def __repr__(self) -> str:
        return "<no value>"


MISSING: Final[Any] = _Missing()
_SHOWN = 200
"""Characters of a bad value that an error repeats; a longer one is cut."""
_SAID = 1_000
"""Characters of a detail, which may hold bad values in its sentence."""


class JangbuError(Exception):
    """The root. `path` is a JSON Pointer (RFC 6901) into the request; `known` and `suggestions` are names the caller may use."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong"

    def __init__(
        self,
        detail: str,
        *,
        path: str | None = None,
        value: object = MISSING,
        known: Iterable[str] = (),
        hint: str | None = None,
    ) -> None:
        self.detail = detail if len(detail) <= _SAID else detail[:_SAID] + "…"
        super().__init__(self.detail)
        self.path = path
        self.value = value
        self.known = tuple(known)
        self.hint = hint

    @property
    def suggestions(self) -> tuple[str, ...]:
        """Known values that look like the bad one, the closest first."""
        if not isinstance(self.value, str):
            return ()
        folded = {name.lower(): name for name in self.known}
        return tuple(folded[match] for match in get_close_matches(self.value.lower(), folded, n=3, cutoff=0.6))

    def problem(self) -> dict[str, Any]:
        """The body of an RFC 9457 problem+json answer."""
        body: dict[str, Any] = {
            "type": f"urn:jangbu:error:{self.code}",
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        if self.path is not None:
            body["path"] = self.path
        if self.value is not MISSING:
            body["value"] = _shown(self.value)
        if self.known:
            body["known"] = list(self.known)
        if self.suggestions:
            body["suggestions"] = list(self.suggestions)
        if self.hint:
            body["hint"] = self.hint
        return body

    def __str__(self) -> str:
        parts = [self.detail]
        if self.suggestions:
            parts.append(f"Did you mean {' or '.join(repr(name) for name in self.suggestions)}?")
        if self.hint:
            parts.append(self.hint)
        return " ".join(parts)


def _shown(value: object) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value) if isinstance(value, str | Decimal) else repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


class InvalidRequest(JangbuError):
    code, status, title = "invalid_request", 422, "The request can't be answered as it stands"


class UnknownName(InvalidRequest):
    code, title = "unknown_name", "A name isn't known"


class AmbiguousName(InvalidRequest):
    code, title = "ambiguous_name", "A bare name is found more than once"


class WrongType(InvalidRequest):
    code, title = "wrong_type", "A value has the wrong type"


class OutOfBounds(InvalidRequest):
    code, title = "out_of_bounds", "A value is outside its limits"


class InvalidTime(InvalidRequest):
    code, title = "invalid_time", "A time can't be understood or answered"


class Unsupported(InvalidRequest):
    code, title = "unsupported", "What is asked has no exact answer"


class MalformedBody(JangbuError):
    code, status, title = "malformed_body", 400, "The body isn't a JSON object"


class Unauthenticated(JangbuError):
    code, status, title = "unauthenticated", 401, "A valid API key is needed"


class Forbidden(JangbuError):
    code, status, title = "forbidden", 403, "The key doesn't hold what was asked"


class NotFound(JangbuError):
    code, status, title = "not_found", 404, "Not found"


class NotAcceptable(JangbuError):
    code, status, title = "not_acceptable", 406, "No acceptable representation"


class Conflict(JangbuError):
    code, status, title = "conflict", 409, "It is there already, or has changed meanwhile"


class BodyTooLarge(JangbuError):
    code, status, title = "body_too_large", 413, "The body is too large"


class Cancelled(JangbuError):
    code, status, title = "cancelled", 499, "The client went away"


class ConfigurationError(JangbuError):
    code, title = "configuration", "The configuration can't be used"


class MissingExtra(ConfigurationError):
    """An optional dependency isn't installed; `extra` is the name in `pip install 'jangbu[extra]'`."""

    code, title = "missing_extra", "An optional dependency isn't installed"

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra {extra!r}.", value=extra, hint=f"Install it: pip install 'jangbu[{extra}]'.")
        self.extra = extra


class CatalogError(JangbuError):
    """A mistake in a definition. `file` is as the user gave it, `line` counts from 1."""

    code, title = "catalog", "A definition has a mistake"

    def __init__(
        self,
        detail: str,
        *,
        file: str | None = None,
        line: int | None = None,
        path: str | None = None,
        value: object = MISSING,
        known: Iterable[str] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(detail, path=path, value=value, known=known, hint=hint)
        self.file = file
        self.line = line

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line) if part is not None)
        return f"{where}: {super().__str__()}" if where else super().__str__()


class LoadError(JangbuError):
    code, title = "load", "The data can't be loaded"


class StorageError(JangbuError):
    code, status, title = "storage", 500, "Stored data can't be read"


class EngineError(JangbuError):
    code, status, title = "engine", 502, "The query engine failed"


class Unavailable(JangbuError):
    """Busy or not ready yet; `retry_after` is in seconds."""

    code, status, title = "unavailable", 503, "Busy or not ready"

    def __init__(self, detail: str, *, retry_after: int = 1, hint: str | None = None) -> None:
        super().__init__(detail, hint=hint or f"Try again in {retry_after} s.")
        self.retry_after = retry_after


class Closed(Unavailable):
    """The store is closed for writing: it is being carried over to another place, or was."""

    code, title = "closed", "The store is closed for writing"


class TimedOut(JangbuError):
    code, status, title = "timed_out", 504, "The answer took too long"


def unknown_name(kind: str, value: str, known: Iterable[str], *, path: str | None = None, hint: str | None = None) -> UnknownName:
    """An `UnknownName` with its sentence, for a `kind` such as "measure"; the known names are sorted."""
    names = sorted(known)
    return UnknownName(f"There is no {kind} {_shown(value)!r}.", path=path, value=value, known=names, hint=hint)


def pointer(*parts: str | int) -> str:
    """A JSON Pointer to `parts`: `pointer("filter", "and", 0)` is `/filter/and/0`."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def tree_of_errors() -> list[type[JangbuError]]:
    """Every class of the hierarchy, for the reference docs and the test that holds the docstring above to it."""
    found: list[type[JangbuError]] = []
    pending: list[type[JangbuError]] = [JangbuError]
    while pending:
        current = pending.pop(0)
        found.append(current)
        pending.extend(current.__subclasses__())
    return found
