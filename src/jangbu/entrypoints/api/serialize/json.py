"""JSON: `{"columns": […], "rows": [[…]], "totals": […] | null, "meta": {…}}`. No number passes through a float."""

import json
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from jangbu.entrypoints.api.serialize import cells
from jangbu.entrypoints.api.serialize.cells import Column, pc
from jangbu.insight.dashboards.contracts import Answer, AnswerColumn, Meta

_NEEDS_ESCAPE = r'[\x00-\x1f"\\]'


def write(answer: Answer) -> bytes:
    """The whole body, UTF-8."""
    parts = [
        b'{"columns":',
        encode([column_of(column) for column in answer.columns]),
        b',"rows":[',
        b",".join(rows(answer.table)),
        b'],"totals":',
        totals(answer),
        b',"meta":',
        encode(meta_of(answer.meta)),
        b"}",
    ]
    return b"".join(parts)


def encode(value: object) -> bytes:
    """Plain data as compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def scalar(value: Any) -> bytes:
    """One value: a text, number, bool, date, time or None."""
    if isinstance(value, Decimal):
        return format(value, "f").encode()
    return encode(value.isoformat() if isinstance(value, date) else value)


def totals(answer: Answer) -> bytes:
    """The one row of totals, or `null`."""
    return b"null" if answer.totals is None else next(rows(answer.totals))


def rows(table: "pa.Table") -> Iterator[bytes]:
    """The rows as JSON arrays joined by commas, some thousands at a time."""
    for batch in cells.batches(table):
        yield b"[" + cells.joined(batch, _values, "],[") + b"]"


def _values(column: Column) -> Column:
    """Each cell as a JSON value."""
    quoted = cells.is_text(column.type) or pa.types.is_temporal(column.type)
    text = cells.by_value(column, _quoted) if quoted else cells.plain(column)
    return pc.fill_null(text, "null") if text.null_count else text


def _quoted(values: Column) -> Column:
    return pc.binary_join_element_wise('"', _escaped(cells.plain(values)), '"', "")


def _escaped(text: Column) -> Column:
    """Quotes, backslashes and control characters as JSON writes them; only the cells that hold some are touched."""
    needs = pc.match_substring_regex(text, _NEEDS_ESCAPE)
    if not pc.any(needs).as_py():
        return text
    spelt = [json.dumps(value, ensure_ascii=False)[1:-1] for value in text.filter(needs).to_pylist()]
    return pc.replace_with_mask(text, pc.fill_null(needs, False), pa.array(spelt, pa.string()))


def column_of(column: AnswerColumn) -> dict[str, Any]:
    label = column.label
    return {
        "name": column.name,
        "type": column.type.value,
        "unit": column.unit,
        "format": column.format,
        "label": {"ko": label.ko, "en": label.en} if label else None,
        "role": column.role.value,
        "of": column.of,
    }


def meta_of(meta: Meta) -> dict[str, Any]:
    """`now`, `range`, `compare_range`, `cuts` and `outside` are there only where the answer has them. Times are in the answer's
    zone."""
    zone = ZoneInfo(meta.zone)
    shown: dict[str, Any] = {
        "query_id": meta.query_id,
        "zone": meta.zone,
        "as_of": {name: _iso(at, zone) for name, at in meta.as_of.items()},
        "data_versions": {
            name: version if isinstance(version, int) else dict(version) for name, version in meta.data_versions.items()
        },
        "legs": [
            {
                "data_source": leg.data_source,
                "server": leg.server,
                "rows": leg.rows,
                "ms": round(leg.ms, 3),
                "cache": leg.cache,
                "purpose": leg.purpose,
            }
            for leg in meta.legs
        ],
        "warnings": list(meta.warnings),
        "truncated": meta.truncated,
    }
    outside = {name: {"checked_at": _iso(at, zone), "check_every": every} for name, (at, every) in meta.outside.items()}
    optional = {
        "outside": outside or None,
        "now": _iso(meta.now, zone),
        "range": meta.range,
        "compare_range": meta.compare_range,
        "cuts": meta.cuts,
    }
    return shown | {name: _plain(value) for name, value in optional.items() if value is not None}


def _plain(value: Any) -> Any:
    return value if isinstance(value, str) else dict(value) if hasattr(value, "items") else list(value)


def _iso(at: datetime | None, zone: ZoneInfo) -> str | None:
    return at.astimezone(zone).isoformat() if at else None
