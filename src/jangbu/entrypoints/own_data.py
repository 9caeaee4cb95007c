"""The steps of `jangbu load`: whose rows, how they are understood, where that is written, the load, and a question to try."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import typer

from jangbu.entrypoints import own_definitions as definitions
from jangbu.entrypoints.backfills import span_of
from jangbu.entrypoints.cli import init, options, output, progress
from jangbu.entrypoints.cli import load as command
from jangbu.insight.ingest import own_files
from jangbu.insight.ingest.contracts import LoadMode, LoadResult
from jangbu.insight.ingest.files.opening import OpenFiles, open_files, paths_of
from jangbu.insight.ingest.inference import Inferred, infer
from jangbu.insight.ingest.inferring import adding, rendering
from jangbu.insight.ingest.own_files import Match, Tally
from jangbu.kernel.errors import LoadError, NotFound, Unsupported
from jangbu.platform.lakehouse.ports import TimeRange

if TYPE_CHECKING:
    import pyarrow as pa

    from jangbu.entrypoints.bootstrap import Application
    from jangbu.insight.access.contracts import Tenant
    from jangbu.insight.catalog.contracts import DataSource

_TENANT, _ZONE, _CURRENCY = "shop", "Asia/Seoul", "KRW"
"""A tenant that is made where there is none, and nothing is said of it."""
_PAUSE: Final = "--dry-run: nothing was written."


def load(wishes: command.Wishes, folder: Path | None) -> None:
    """All the steps.

    Raises:
        LoadError: a file that can't be read, or other columns and no word on what to do with them.
    """
    from jangbu.entrypoints.settings import load as settings

    _check(wishes)
    if not settings().definitions and not wishes.dry_run:
        made = init.settings_made(Path())
        wishes.say(*(f"Made {path}: this folder's settings." for path in made))
    with ExitStack() as stack:
        application = stack.enter_context(options.application(folder=folder))
        application.ingest.recover()
        tenant = _tenant(application, wishes)
        zone = wishes.zone or tenant.zone
        source, files, opened = _source(application, wishes, tenant, zone)
        if source is None:
            return
        _finish(application, wishes, tenant, _Job(source, opened, files, zone))


def _check(wishes: command.Wishes) -> None:
    """What can be told before anything is made."""
    from jangbu.insight.catalog.facade import checked_name

    paths_of(wishes.path)
    checked_name(wishes.name)
    if wishes.range and wishes.mode is not command.Mode.REPLACE:
        raise Unsupported("A range is only for --mode replace.", value=wishes.mode.value, known=["replace"])


class _Job:
    """What is to be loaded: `opened` as rows of `source`, which `files` define; times without an offset are in `zone`."""

    def __init__(self, source: "DataSource", opened: OpenFiles, files: list[str], zone: str) -> None:
        self.source, self.opened, self.files = source, opened, files
        self.reading = replace(source.reading, zone=source.reading.zone or zone)


def _tenant(application: "Application", wishes: command.Wishes) -> "Tenant":
    """Whose rows these are: one that is there, or that is to be made.

    Raises:
        LoadError: there are several tenants, and none is named, or its currency is another one.
    """
    from jangbu.insight.access.facade import new_tenant

    found = _known_tenant(application, wishes.tenant)
    if found is None:
        name = _TENANT if wishes.tenant is None else wishes.tenant
        tenant = new_tenant(name, name, wishes.zone or _ZONE, wishes.currency or _CURRENCY)
        told = f"zone {tenant.zone}, currency {tenant.currency} (--zone, --currency)"
        wishes.say(f"There is no tenant {name!r} yet; it is made: {told}.")
        return tenant
    if wishes.currency not in (None, found.currency):
        raise LoadError(
            f"The tenant {found.id!r} has the currency {found.currency}, not {wishes.currency}.",
            value=wishes.currency,
            hint="--currency is for a tenant that is made now.",
        )
    return found


def _known_tenant(application: "Application", name: str | None) -> "Tenant | None":
    if name is None:
        known = application.access.tenants(limit=1000)
        if len(known) > 1:
            ids = [tenant.id for tenant in known]
            raise LoadError("There are several tenants; say whose rows these are: --tenant.", known=ids)
        return known[0] if known else None
    try:
        return application.access.tenant(name)
    except NotFound:
        return None


def _make(application: "Application", tenant: "Tenant") -> None:
    """Where it isn't there yet."""
    if _known_tenant(application, tenant.id) is None:
        application.access.create_tenant(tenant.id, tenant.name, tenant.zone, tenant.currency)


def _source(
    application: "Application", wishes: command.Wishes, tenant: "Tenant", zone: str
) -> "tuple[DataSource | None, list[str], OpenFiles]":
    """The data source, defined now where it wasn't; None where there is nothing more to do."""
    known = application.catalog.catalog_for((tenant.id,)).data_sources.get(wishes.name)
    if known is not None:
        shown = application.catalog.show(wishes.name, tenant.id)
        opened = open_files(wishes.path, known.reading, application.settings.plugin_folders)
        wishes.say(*opened.notes)
        return _with_new_columns(application, wishes, tenant, known, opened, shown)
    opened = open_files(wishes.path, folders=application.settings.plugin_folders)
    found = infer(opened, wishes.name, zone, keys=wishes.keys)
    wishes.say(*found.report())
    if wishes.mode is command.Mode.MERGE and not found.keys:
        raise LoadError("A merge needs the columns that tell rows apart.", value=wishes.mode.value, hint="Name them: --key COLUMN.")
    if wishes.dry_run:
        _print_dry(wishes, found)
        return None, [], opened
    if not _agreed(wishes, f"Define {wishes.name!r} so, and load it?"):
        return None, [], opened
    _make(application, tenant)
    documents = definitions.documents(application, found)
    with definitions.written(application, documents):
        source = definitions.fresh_catalog(application).data_source(wishes.name, (tenant.id,))
    wishes.say(*(f"Wrote {file}: look at it, and edit it." for file in documents))
    return source, [str(file) for file in documents], opened


def _print_dry(wishes: command.Wishes, found: Inferred) -> None:
    documents = {"data_source": rendering.data_source(found), "measures": rendering.measures(found)}
    if wishes.quiet:
        output.print_json({"report": found.report(), "definitions": documents, "dry_run": True})
    wishes.say("", documents["data_source"], documents["measures"], _PAUSE)


def _agreed(wishes: command.Wishes, question: str) -> bool:
    return wishes.yes or not sys.stdin.isatty() or typer.confirm(question, default=True)


def _with_new_columns(
    application: "Application",
    wishes: command.Wishes,
    tenant: "Tenant",
    source: "DataSource",
    opened: OpenFiles,
    shown: dict[str, Any],
) -> "tuple[DataSource | None, list[str], OpenFiles]":
    match = own_files.matched(opened, source)
    if match.missing:
        wishes.say(f"The file has no {', '.join(match.missing)}: missing in its rows.")
    choice = _chosen(wishes, source, match) if match.new else command.NewColumns.IGNORE
    if match.new and choice is command.NewColumns.IGNORE:
        wishes.say(f"Left out: {', '.join(match.new)}.")
    if choice is command.NewColumns.ADD and wishes.dry_run:
        wishes.say(f"Would be added to {shown['file']}: {', '.join(match.new)}.")
    if choice is command.NewColumns.ADD and not wishes.dry_run:
        file = Path(shown["file"])
        with definitions.written(application, {file: _with_added(file, shown["layer"], opened, source, match)}):
            source = definitions.fresh_catalog(application).data_source(source.name, (tenant.id,))
        wishes.say(f"Added to {file}: {', '.join(match.new)}.")
    return source, [shown["file"]], opened


def _chosen(wishes: command.Wishes, source: "DataSource", match: Match) -> command.NewColumns:
    """What to do with columns that the data source doesn't have.

    Raises:
        LoadError: nobody can be asked, or it is to be refused.
    """
    choice, words = wishes.new_columns, ", ".join(map(repr, match.new))
    if choice is None and not wishes.yes and sys.stdin.isatty():
        choice = command.NewColumns(typer.prompt(f"{source.name!r} has no {words}. add, ignore or refuse?", default="add"))
    if choice in (None, command.NewColumns.REFUSE):
        raise LoadError(
            f"{source.name!r} has no column {words}.",
            value=match.new[0],
            known=[column.name for column in own_files.columns_of(source)],
            hint="Choose: --new-columns add (into the definition), --new-columns ignore (left out), or --as (another data source).",
        )
    return choice


def _with_added(file: Path, layer: str, opened: OpenFiles, source: "DataSource", match: Match) -> str:
    """The definition with the new columns."""
    if layer == "pack":
        raise LoadError(
            f"{source.name!r} ships with Jangbu; its definition isn't changed.",
            value=source.name,
            hint="--new-columns ignore, or --as.",
        )
    found = infer(opened, source.name, source.reading.zone or _ZONE)
    new = [guess for guess in found.columns if guess.original in match.new]
    return adding.with_columns(file.read_text("utf-8"), adding.apart(new, source.columns))


def _finish(application: "Application", wishes: command.Wishes, tenant: "Tenant", job: _Job) -> None:
    tally = Tally()
    tally.duplicates.dropped = wishes.distinct
    if wishes.dry_run:
        for _ in _batches(wishes, job, tenant, tally):
            pass
        _print(wishes, job, tally, None)
        return
    with progress.shown(quiet=wishes.quiet) as tell:
        result = _load(application, wishes, tenant, job, tally, tell)
    tally.loaded, tally.repeated = (result.rows, result.repeated) if result.changed else (0, 0)
    application.metrics.load(result.data_source, result.rows, changed=result.changed)
    several = len(application.access.tenants(limit=2)) > 1
    _print(wishes, job, tally, result, tenant.id if several else None)


def _load(application: "Application", wishes: command.Wishes, tenant: "Tenant", job: _Job, tally: Tally, tell: Any) -> LoadResult:
    """The load itself."""
    _make(application, tenant)
    span = _span(wishes, job, tenant)
    now = application.clock.now()
    until = None if span is None else min(_aware(span.end, job.reading.zone or tenant.zone), now)
    identity = repr((job.opened.content(job.reading), own_files.columns_of(job.source), wishes.distinct))
    aside = own_files.Aside()
    return application.ingest.load(
        job.source,
        tenant=tenant.id,
        batches=_batches(wishes, job, tenant, tally, aside=aside.add),
        mode=LoadMode(wishes.mode.value),
        keys=_keys(wishes, job),
        span=span,
        as_of=until,
        progress=tell,
        content=_digest(identity),
        converter=aside.converter,
    )


def _keys(wishes: command.Wishes, job: _Job) -> tuple[str, ...]:
    if wishes.mode is not command.Mode.MERGE:
        return ()
    return own_files.keys_of(job.source, wishes.keys) or job.source.reading.keys


def _batches(wishes: command.Wishes, job: _Job, tenant: "Tenant", tally: Tally, aside: Any = None) -> "Iterator[pa.RecordBatch]":
    """The rows that fit.

    Raises:
        LoadError: there are none, and all that was loaded before would be gone.
    """
    keys, span = _keys(wishes, job), _span(wishes, job, tenant)
    yield from own_files.batches(job.opened, job.source, job.reading, tally, required=keys, span=span, aside=aside)
    if wishes.mode is command.Mode.REPLACE and span is None and not tally.loaded:
        reasons = "; ".join(f"{reason} {count:,} x" for reason, count in tally.aside.most_common()) or "it has no rows"
        raise LoadError(
            f"No row of {wishes.path.name} can be loaded ({reasons}), so nothing takes the place of what is there.",
            value=wishes.path.name,
            hint="Nothing was changed. Bring the definition or the file in line.",
        )


def _digest(identity: str) -> str:
    from hashlib import sha256

    return f"files {sha256(identity.encode()).hexdigest()}"


def _span(wishes: command.Wishes, job: _Job, tenant: "Tenant") -> TimeRange | None:
    """Whole days, the last included, of the reading's zone."""
    return span_of(job.source, wishes.range, job.reading.zone or tenant.zone)


def _aware(moment: datetime, zone: str) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))


def _print(wishes: command.Wishes, job: _Job, tally: Tally, result: LoadResult | None, tenant: str | None = None) -> None:
    question = _question(job.source, tenant)
    if wishes.quiet:
        names = ("run", "version", "rows", "bad", "repeated", "changed")
        loaded = {} if result is None else {name: getattr(result, name) for name in names}
        output.print_json(
            {
                "data_source": job.source.name,
                **loaded,
                **command.told(tally),
                "definitions": job.files,
                "notes": job.opened.notes,
                "query": question,
                "dry_run": result is None,
            }
        )
        return
    if result is not None and not result.changed:
        wishes.say(f"These rows of {job.source.name!r} are loaded already: {result.rows:,}. Nothing was changed.")
    else:
        wishes.say(*command.lines(tally, "would load" if result is None else "loaded"))
    if result is None:
        wishes.say(_PAUSE)
        return
    wishes.say("Defined in:", *(f"  {file}" for file in job.files), "Try:", f"  {question}")


def _question(source: "DataSource", tenant: str | None) -> str:
    """A command that can be pasted."""
    from jangbu.entrypoints.cli.demo import program

    measures = [name for name in ("rows", "revenue", "orders", "invoices") if name in source.measures] or list(source.measures)[:2]
    few = [name for name in ("country", "category", "brand", "product_name", "region", "status") if name in source.dimensions]
    by = (few or list(source.dimensions))[:1]
    order = ["--order", f"{measures[0]} desc", "--limit", "10"] if by and measures else []
    parts = [
        "--source",
        source.name,
        *(["--measures", ",".join(measures)] if measures else []),
        *(["--by", by[0]] if by else []),
        *order,
    ]
    return f"{program()} query {shlex.join([*parts, *(['--tenant', tenant] if tenant else [])])}"
