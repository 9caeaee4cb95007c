"""Erasures as they are kept: who asked, what was found and removed so far, and at the end the proof.

Of a customer's identifier only a hash is kept (scrypt, with a salt of its own), so that who knows the identifier can tell that a
report is about it, and nobody else can read it there.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import scrypt, sha256
from secrets import token_hex
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Connection, Row, insert, select, update

from jangbu.insight.ingest.contracts import Erasure, Found, Person
from jangbu.insight.ingest.tables import erasures
from jangbu.kernel.tenancy import TenantId

HASHED: Final = "scrypt(n=16384, r=8, p=1), 32 bytes, hex, of the identifier in UTF-8"
_COST: Final[Mapping[str, int]] = {"n": 16_384, "r": 8, "p": 1, "dklen": 32}


@dataclass(slots=True)
class Going:
    """An erasure that goes on. `places` by their names; those whose `removed` is None aren't done."""

    id: str
    tenant: TenantId
    subject: str | None
    salt: str
    value_hash: str | None
    keep_rows: bool
    asked_by: str
    asked_at: datetime
    places: dict[str, dict[str, Any]]


def begin(
    connection: Connection, tenant: TenantId, person: Person | None, asked_by: str, now: datetime, *, keep_rows: bool
) -> Going:
    """The one that was begun and isn't done, or a new one."""
    query = select(erasures).where(erasures.c.tenant == tenant, erasures.c.ended_at.is_(None))
    for row in connection.execute(query):
        if row.subject == (person.subject if person else None) and row.value_hash == _hash(person, row.salt):
            return _going(row)
    salt = token_hex(16)
    values = {"subject": person.subject if person else None, "salt": salt, "value_hash": _hash(person, salt)}
    more = {"keep_rows": keep_rows, "asked_by": asked_by, "asked_at": now, "places": {}}
    id_ = uuid4().hex
    connection.execute(insert(erasures).values(id=id_, tenant=tenant, **values, **more))
    return _going(connection.execute(select(erasures).where(erasures.c.id == id_)).one())


def note(connection: Connection, going: Going, *found: Found) -> None:
    """What is known of places. A place that was looked at before keeps what was there then, and adds what was removed."""
    for each in found:
        before = going.places.get(each.place, {"before": 0, "removed": 0})
        going.places[each.place] = asdict(each) | {
            "before": max(each.before, before["before"]),
            "removed": max(each.removed, before["removed"]),
        }
    connection.execute(update(erasures).where(erasures.c.id == going.id).values(places=going.places))


def end(connection: Connection, going: Going, now: datetime, version: str) -> Erasure:
    report = signed(_report(going, now, version))
    connection.execute(update(erasures).where(erasures.c.id == going.id).values(report=report, ended_at=now))
    return erasure_of(connection.execute(select(erasures).where(erasures.c.id == going.id)).one())


def find(connection: Connection, id_: str) -> Erasure | None:
    row = connection.execute(select(erasures).where(erasures.c.id == id_)).one_or_none()
    return None if row is None else erasure_of(row)


def page(connection: Connection, tenant: TenantId | None, offset: int, limit: int) -> tuple[Erasure, ...]:
    """The latest first."""
    query = select(erasures).order_by(erasures.c.asked_at.desc(), erasures.c.id)
    if tenant is not None:
        query = query.where(erasures.c.tenant == tenant)
    return tuple(erasure_of(row) for row in connection.execute(query.offset(offset).limit(limit)))


def erasure_of(row: Row[Any]) -> Erasure:
    names = ("id", "tenant", "subject", "keep_rows", "asked_by", "asked_at", "ended_at", "report")
    return Erasure(**{name: getattr(row, name) for name in names})


def signed(report: Mapping[str, Any]) -> dict[str, Any]:
    """The report with its SHA-256, which is over all else of it: JSON with sorted keys, without spaces, in UTF-8."""
    body = {name: value for name, value in report.items() if name != "sha256"}
    text = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return body | {"sha256": sha256(text.encode()).hexdigest()}


def _report(going: Going, now: datetime, version: str) -> dict[str, Any]:
    scope: dict[str, Any] = {"tenant": going.tenant, "what": "all of the tenant" if going.subject is None else "one customer"}
    if going.subject is not None:
        hashed = {"hash": going.value_hash, "salt": going.salt, "hashed_by": HASHED}
        scope |= {"subject": going.subject, **hashed, "rows": "kept without what is personal" if going.keep_rows else "removed"}
    return {
        "report": "erasure",
        "format": 1,
        "erasure": going.id,
        "scope": scope,
        "asked_by": going.asked_by,
        "asked_at": going.asked_at.isoformat(),
        "ended_at": now.isoformat(),
        "jangbu": version,
        "places": list(going.places.values()),
        "found_after": sum(place["after"] or 0 for place in going.places.values()),
    }


def _going(row: Row[Any]) -> Going:
    return Going(
        row.id,
        TenantId(row.tenant),
        row.subject,
        row.salt,
        row.value_hash,
        row.keep_rows,
        row.asked_by,
        row.asked_at,
        dict(row.places),
    )


def _hash(person: Person | None, salt: str) -> str | None:
    return None if person is None else scrypt(person.value.encode(), salt=bytes.fromhex(salt), **_COST).hex()


def left(places: Iterable[Mapping[str, Any]]) -> list[str]:
    """The places in which something was found after all."""
    return [str(place["place"]) for place in places if place["after"]]
