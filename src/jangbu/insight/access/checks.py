"""What may be a tenant's zone, currency and name, and a key's roles."""

import re
from difflib import get_close_matches
from functools import cache
from typing import Final
from zoneinfo import available_timezones

from jangbu.kernel.errors import InvalidRequest, InvalidTime, OutOfBounds, WrongType

MAX_PAGE: Final = 1_000
_NAME: Final = 200
_ROLE: Final = re.compile(r"[a-z][a-z0-9_:.-]{0,62}")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_NOT_PLACES: Final = frozenset({"localtime", "Factory", "posixrules"})


def zone(value: str) -> str:
    """An IANA zone's name.

    Raises:
        InvalidTime: there is no such zone; names near misses.
    """
    known = _zones()
    if value in known:
        return value
    raise InvalidTime(
        f"{value[:80]!r} isn't a time zone.",
        path="/zone",
        value=value,
        known=_near_zones(value, known),
        hint="Use a name of the IANA list, such as Asia/Seoul or UTC.",
    )


@cache
def _zones() -> frozenset[str]:
    """Kept, as each look reads a folder of files: it took three quarters of the time of creating a tenant."""
    return frozenset(available_timezones() - _NOT_PLACES)


def _near_zones(value: str, known: frozenset[str]) -> list[str]:
    """Zones that look alike, or whose city does: `seoul` is near Asia/Seoul."""
    folded = {name.lower(): name for name in sorted(known)}
    wanted = value[:80].lower().replace(" ", "_")
    cities = [name for low, name in folded.items() if low.rpartition("/")[2] == wanted.rpartition("/")[2]]
    alike = [folded[low] for low in get_close_matches(wanted, folded, n=3, cutoff=0.7)]
    return list(dict.fromkeys([*cities, *alike]))[:5]


def currency(value: str) -> str:
    """Three capitals, as ISO 4217 has them.

    Raises:
        InvalidRequest: another form; in small letters, says the right one.
    """
    if _CURRENCY.fullmatch(value):
        return value
    capitals = value.upper()
    known = (capitals,) if _CURRENCY.fullmatch(capitals) else ()
    hint = "Use three capitals of ISO 4217, such as KRW or USD."
    raise InvalidRequest(f"{value[:80]!r} isn't a currency.", path="/currency", value=value, known=known, hint=hint)


def name(value: str) -> str:
    """A name for people: 1 to 200 characters that print.

    Raises:
        WrongType: empty, too long, or with control characters.
    """
    if value.strip() and len(value) <= _NAME and value.isprintable():
        return value
    raise WrongType(f"A name has 1 to {_NAME} characters that print.", path="/name", value=value)


def role(value: str) -> str:
    """A role's name.

    Raises:
        WrongType: another form.
    """
    if _ROLE.fullmatch(value):
        return value
    hint = "Use 1 to 63 of a-z, 0-9, '_', ':', '.', '-', beginning with a letter."
    raise WrongType(f"{value[:80]!r} can't be a role.", path="/roles", value=value, hint=hint)


def page(offset: int, limit: int) -> None:
    """Check a page's bounds.

    Raises:
        OutOfBounds: an offset below 0, a limit outside 1 to 1,000.
    """
    if not 0 <= offset < 2**63:
        raise OutOfBounds("An offset is 0 or more.", path="/offset", value=offset)
    if not 1 <= limit <= MAX_PAGE:
        raise OutOfBounds(f"A page has 1 to {MAX_PAGE:,} items.", path="/limit", value=limit)
