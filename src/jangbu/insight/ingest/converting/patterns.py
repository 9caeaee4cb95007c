"""Ways that times are written: `iso`, or a pattern in the letters of strftime, as regular expressions (RE2) with a group a part."""

import re
from functools import cache
from typing import Final

from jangbu.kernel.errors import LoadError

ISO: Final = "iso"
EPOCHS: Final = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}
"""Numbers since 1970, by how many microseconds one is."""

_PARTS: Final = {
    "%Y": r"(?P<year>\d{4})",
    "%y": r"(?P<short_year>\d{2})",
    "%m": r"(?P<month>\d{1,2})",
    "%b": r"(?P<month_name>[A-Za-z]{3,9})\.?",
    "%d": r"(?P<day>\d{1,2})",
    "%H": r"(?P<hour>\d{1,2})",
    "%I": r"(?P<hour>\d{1,2})",
    "%M": r"(?P<minute>\d{1,2})",
    "%S": r"(?P<second>\d{1,2})",
    "%f": r"(?P<fraction>\d{1,12})",
    "%p": r"(?P<half>[AaPp]\.?[Mm]\.?|오전|오후)",
    "%z": r"(?P<offset>Z|UTC|[+-]\d{2}(?::?\d{2})?)",
}
_ISO: Final = (
    r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})"
    r"(?:(?:T|\s+)(?P<hour>\d{1,2})(?::(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,12}))?)?)?)?"
    r"\s*(?P<offset>Z|UTC|[+-]\d{2}(?::?\d{2})?)?"
)


@cache
def expression(written: str) -> str:
    """The regular expression of a format; blanks in it match any, or none.

    Raises:
        LoadError: a letter that isn't known, a part twice, or no whole day.
    """
    body = _ISO if written == ISO else _translated(written)
    return rf"^\s*{body}\s*$"


def _translated(written: str) -> str:
    pieces = re.findall(r"%.|\s+|[^%\s]+|%", written)
    unknown = [piece for piece in pieces if piece.startswith("%") and piece not in _PARTS]
    known = (*EPOCHS, ISO, *_PARTS)
    if unknown:
        raise LoadError(f"There is no {unknown[0]!r} in formats of times: {written!r}.", value=written, known=known)
    body = "".join(_PARTS.get(piece) or (r"\s*" if piece.isspace() else re.escape(piece)) for piece in pieces)
    names = re.findall(r"\?P<(\w+)>", body)
    whole = {"day"} < set(names) and set(names) & {"year", "short_year"} and set(names) & {"month", "month_name"}
    if not whole or len(names) != len(set(names)):
        raise LoadError(
            f"{written!r} isn't a format of times.",
            value=written,
            known=known,
            hint="Give a year, a month and a day, each once, e.g. '%Y. %m. %d. %H:%M'; or iso, epoch_s, epoch_ms.",
        )
    return body
