"""A backfill as an operator words it: a data source by its name, days, a mode."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo

from jangbu.insight.ingest.contracts import LoadMode
from jangbu.kernel.errors import InvalidTime, LoadError, unknown_name
from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.ports import TimeRange

if TYPE_CHECKING:
    from jangbu.entrypoints.bootstrap import Application
    from jangbu.insight.catalog.contracts import DataSource
    from jangbu.insight.ingest.contracts import LoadResult
    from jangbu.platform.lakehouse.maintenance import Maintainer

MODES = (LoadMode.APPEND, LoadMode.REPLACE, LoadMode.MERGE)


def backfill(
    application: "Application",
    data_source: str,
    files: Sequence[str],
    by: "Maintainer | Literal['here'] | None",
    tenant: str | None,
    mode: str,
    keys: tuple[str, ...],
    days: str | None,
) -> "LoadResult":
    """Raises UnknownName, NotFound, InvalidTime, LoadError: what is asked can't be. Otherwise as `Backfills.run`."""
    if mode not in MODES:
        raise unknown_name("mode of a backfill", mode, MODES)
    if by is None or by == "here":
        raise LoadError("A backfill is done by an engine; `jangbu load` loads files here.", value="here")
    owner = application.access.tenant(tenant) if tenant is not None else None
    source = application.catalog.data_source(data_source, (owner.id,) if owner is not None else ())
    span = span_of(source, days, owner.zone if owner is not None else "UTC")
    places = [file if "://" in file else str(Path(file).resolve()) for file in files]
    return application.ingest.backfills.run(
        source, places, by=by, tenant=owner.id if owner is not None else None, mode=LoadMode(mode), keys=keys, span=span
    )


def span_of(source: "DataSource", days: str | None, zone: str) -> TimeRange | None:
    """Whole days, the last included: of the zone where the data source's times are instants."""
    if not days:
        return None
    first, _, last = days.partition("..")
    try:
        start, end = date.fromisoformat(first.strip()), date.fromisoformat((last or first).strip()) + timedelta(days=1)
    except (ValueError, OverflowError):
        raise InvalidTime(f"{days!r} isn't a range of days.", value=days, hint="Write it as 2024-01-01..2024-01-31.") from None
    field = source.default_time_field
    kind = source.columns[source.time_fields[field].column].type if field else FieldType.DATE
    at = ZoneInfo(zone) if kind is FieldType.INSTANT else None
    return TimeRange(datetime.combine(start, time(), at), datetime.combine(end, time(), at))
