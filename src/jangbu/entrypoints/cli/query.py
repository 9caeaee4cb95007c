"""`jangbu query`: ask from the command line, the data folder in this process or a server."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jangbu.entrypoints.cli import options

if TYPE_CHECKING:
    from jangbu.entrypoints.settings import Settings


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    ARROW = "arrow"


_REQUEST = "The whole request as JSON; @file reads it from a file, - from stdin. Options below change what it says."
_MANY = "separated by commas"


def query(
    request: Annotated[str | None, typer.Argument(help=_REQUEST)] = None,
    source: Annotated[str | None, typer.Option("--source", "-s", help=f"Data sources, {_MANY}.")] = None,
    measures: Annotated[str | None, typer.Option("--measures", "-m", help=f"Measures, {_MANY}.")] = None,
    by: Annotated[str | None, typer.Option("--by", "-b", help=f"Dimensions, {_MANY}.")] = None,
    every: Annotated[
        str | None, typer.Option("--every", "-e", help="A row for each minute, hour, day, week, month, quarter or year.")
    ] = None,
    range_: Annotated[str | None, typer.Option("--range", "-r", help="'last 30 days', 2017-Q4, or 2017-03-01..2017-03-31.")] = None,
    compare: Annotated[
        str | None, typer.Option("--compare", help="previous_period, previous_year, previous_year_by_weekday, or a range.")
    ] = None,
    zone: Annotated[str | None, typer.Option("--zone", help="The time zone of days; the tenant's by default.")] = None,
    where: Annotated[str | None, typer.Option("--where", "-w", help="A filter as JSON.")] = None,
    order: Annotated[str | None, typer.Option("--order", "-o", help=f"Such as 'revenue desc', {_MANY}.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", help="Rows at most.")] = None,
    analysis: Annotated[str | None, typer.Option("--analysis", help="Such as abc or quadrant.")] = None,
    totals: Annotated[bool, typer.Option("--totals", help="A row of totals, too.")] = False,
    fill: Annotated[bool, typer.Option("--fill", help="Every bucket, those without rows too.")] = False,
    tenant: Annotated[str | None, typer.Option("--tenant", help=f"Tenants, {_MANY}; all that are held by default.")] = None,
    form: Annotated[Format, typer.Option("--format", "-f", help="How to print the answer.")] = Format.TABLE,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    chart: Annotated[bool | None, typer.Option("--chart/--no-chart", help="Draw, too.", show_default="on a terminal")] = None,
    server: Annotated[
        str | None, typer.Option("--server", help="Ask this server.", show_default="JANGBU_SERVER, else the folder")
    ] = None,
    key: Annotated[str | None, typer.Option("--key", help="The server's API key.", show_default="JANGBU_KEY")] = None,
    folder: options.Folder = None,
) -> None:
    """Ask a question.

    jangbu query -s sales -m revenue,orders -b department -r "last 3 months" -o "revenue desc" -n 10
    """
    from jangbu.entrypoints.cli import asking
    from jangbu.entrypoints.settings import load

    parts = {
        "data_source": asking.names(source, alone=True),
        "measures": asking.names(measures),
        "dimensions": asking.names(by),
        "time_frequency": every,
        "filter": asking.parsed(where, "--where"),
        "order": asking.order(order),
        "limit": limit,
        "analysis": {"kind": analysis} if analysis else None,
        "totals": totals or None,
        "tenants": asking.names(tenant),
    }
    time = {"range": asking.range_(range_), "compare": asking.compare(compare), "zone": zone, "fill": fill or None}
    asked = asking.request(_read(request), parts, time)
    settings = load(folder=folder, server=server, key=key)
    form = Format.JSON if as_json else form
    with _answers(settings) as answer:
        _print(answer(asked, _MEDIA_TYPES[form]), form, chart)


_MEDIA_TYPES = {
    Format.TABLE: "application/vnd.apache.arrow.stream",
    Format.JSON: "application/json",
    Format.CSV: "text/csv",
    Format.ARROW: "application/vnd.apache.arrow.stream",
}


def _read(argument: str | None) -> str | None:
    if argument == "-":
        return sys.stdin.read()
    if argument is None or not argument.startswith("@"):
        return argument
    try:
        return Path(argument[1:]).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{argument[1:]} can't be read: {error}", param_hint="REQUEST") from None


@contextmanager
def _answers(settings: "Settings") -> Iterator[Any]:
    """A function from a request (JSON) and a media type to the answer's bytes."""
    if settings.server:
        from jangbu.client import Client

        with Client(settings.server, settings.key.get_secret_value() if settings.key else None) as client:
            yield client.raw
    else:
        with options.application(folder=settings.folder) as application:
            application.start()
            yield lambda request, media_type: _local(application, request, media_type)


def _local(application: Any, request: str, media_type: str) -> bytes:
    from jangbu.entrypoints.api.serialize import represent
    from jangbu.insight.dashboards.requests import parse_request

    answer = application.dashboards.query(application.operator(), parse_request(request))
    return represent(answer, media_type).body


def _print(body: bytes, form: Format, chart: bool | None) -> None:
    if form is not Format.TABLE:
        sys.stdout.buffer.write(body + (b"\n" if form is Format.JSON else b""))
        sys.stdout.buffer.flush()
        return
    from jangbu.client import Result
    from jangbu.entrypoints.cli import tables

    tables.print_result(Result.of(body), charts=sys.stdout.isatty() if chart is None else chart)
