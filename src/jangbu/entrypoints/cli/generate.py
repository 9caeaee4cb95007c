"""`jangbu generate`: invented shops, as many and as large as wanted."""

import shlex
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from jangbu.entrypoints.cli import options, output, progress

if TYPE_CHECKING:
    from jangbu.entrypoints.bootstrap import Application
    from jangbu.insight.ingest.facade import Progress
    from jangbu.insight.ingest.generator.plan import Plan
    from jangbu.insight.ingest.generator.totals import Totals

_SUMS: Final = ("lines", "orders", "units", "revenue", "customers")
_LARGEST: Final = 5
"""Tenants whose totals people are shown; --json has them all."""


def generate(
    tenants: Annotated[int, typer.Option("--tenants", help="Shops: 1 to 10,000, the first ones the largest.")] = 400,
    days: Annotated[int, typer.Option("--days", help="Days from the first one on, in each shop's zone.")] = 365,
    rows: Annotated[int, typer.Option("--rows", help="Sale lines of all shops.")] = 5_000_000,
    seed: Annotated[int, typer.Option("--seed", help="Another number makes other rows.")] = 7,
    first_day: Annotated[str, typer.Option("--first-day", help="The first day, such as 2024-01-01.")] = "2024-01-01",
    out: Annotated[Path | None, typer.Option("--out", help="Write Parquet files here instead of loading.")] = None,
    folder: options.Folder = None,
    as_json: options.AsJson = False,
) -> None:
    """Invent shops with known totals and load them. Once more, it does only what is left to do."""
    from jangbu.insight.ingest.generator import files
    from jangbu.insight.ingest.generator.plan import Plan

    plan = Plan(tenants, days, rows, seed, _day(first_day))
    totals = _totals(plan)
    with progress.shown(quiet=as_json) as tell:
        if out is not None:
            changed = files.write(plan, out.expanduser().absolute(), totals, tell or _silent)
        else:
            changed = _load(plan, folder, tell or _silent)
    if as_json:
        tenants_told = [files.totals_described(each) for each in totals]
        output.print_json({"plan": files.described(plan), "changed": changed, "tenants": tenants_told})
    else:
        _print(totals, changed=changed)
        typer.echo(f"\nTry:\n\n  {_of_files(out) if out is not None else _question(plan, folder)}\n")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} isn't a day; write it as 2024-01-01.", param_hint="--first-day") from None


def _totals(plan: "Plan") -> "list[Totals]":
    from jangbu.insight.ingest.generator.book import Book
    from jangbu.insight.ingest.generator.totals import totals

    return [totals(Book(plan, shop)) for shop in plan.shops()]


def _load(plan: "Plan", folder: Path | None, tell: "Progress") -> bool:
    """Whether anything was left to load."""
    from jangbu.insight.ingest.generator.deliveries import ROWS

    with options.application(folder=folder) as application:
        application.ingest.recover()
        _create_tenants(application, plan)
        changed = [_load_source(application, plan, name, tell) for name in ROWS]
    return any(changed)


def _create_tenants(application: "Application", plan: "Plan") -> None:
    """The clocks of the shops stop with their data, so that 'last 30 days' finds some."""
    for shop in plan.shops():
        end = plan.end(shop.market) - timedelta(seconds=1)
        application.access.create_tenant(shop.id, shop.name, shop.market.zone, shop.market.currency, end)


def _load_source(application: "Application", plan: "Plan", name: str, tell: "Progress") -> bool:
    from jangbu.insight.ingest.contracts import LoadMode
    from jangbu.insight.ingest.generator.deliveries import delivery, groups

    source = application.catalog.catalog_for(()).data_sources[name]
    total = plan.rows if name == "sales" else None
    rows, changed = 0, False
    for group in groups(plan.shops()):
        deliveries = [delivery(plan, shop, name) for shop in group]
        told = _after(rows, total, tell)
        results = application.ingest.load_many(source, deliveries, mode=LoadMode.REPLACE, progress=told)
        rows += sum(result.rows for result in results)
        changed = changed or any(result.changed for result in results)
    tell(name, rows, rows)
    return changed


def _after(before: int, total: int | None, tell: "Progress") -> "Progress":
    return lambda name, rows, _: tell(name, before + rows, total)


def _silent(_name: str, _rows: int, _total: int | None) -> None:
    pass


def _print(totals: "Sequence[Totals]", *, changed: bool) -> None:
    """The largest tenants, and all of each currency together: no two shops share a basket or a household, so all sums add up."""
    rows = [_row(each.shop.id, [each]) for each in totals[:_LARGEST]]
    for currency in dict.fromkeys(each.shop.market.currency for each in totals):
        alike = [each for each in totals if each.shop.market.currency == currency]
        rows.append(_row(f"all {len(alike):,} in {currency}", alike))
    typer.echo("" if changed else "It was all there already.")
    output.print_table(rows, ("tenant", *_SUMS, "currency"))


def _row(name: str, totals: "Sequence[Totals]") -> dict[str, Any]:
    sums = {column: f"{sum(getattr(each.whole, column) for each in totals):,}" for column in _SUMS}
    return {"tenant": name, **sums, "currency": totals[0].shop.market.currency}


def _question(plan: "Plan", folder: Path | None) -> str:
    last = plan.first_day + timedelta(days=plan.days - 1)
    where = ["--folder", str(folder)] if folder is not None else []
    range_ = f"{plan.first_day.isoformat()}..{last.isoformat()}"
    asked = ["jangbu", "query", "-s", "sales", "-m", "revenue,orders,customers", "-e", "month", "-r", range_]
    return shlex.join([*asked, "--tenant", plan.shops()[0].id, *where])


def _of_files(out: Path) -> str:
    """SQL of DuckDB."""
    return f"SELECT tenant, sum(sales_value), count(DISTINCT basket) FROM '{out / 'sales' / '*.parquet'}' GROUP BY tenant"
