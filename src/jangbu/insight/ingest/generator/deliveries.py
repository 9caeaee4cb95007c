"""The shops' rows as deliveries that the ingest context loads."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from jangbu.insight.ingest.generator import batches
from jangbu.insight.ingest.generator.book import Book
from jangbu.insight.ingest.generator.plan import Plan, Shop
from jangbu.insight.ingest.ports import Delivery

if TYPE_CHECKING:
    import pyarrow as pa

VERSION: Final = 1
"""Part of the content's identity: goes up when the same plan comes to mean other rows."""

ROWS_A_LOAD: Final = 2_000_000
"""Sale lines after which a commit ends: what a killed run has to do again."""

ROWS: Final[Mapping[str, Callable[[Book], "Iterator[pa.RecordBatch]"]]] = {
    "products": batches.products,
    "households": batches.households,
    "sales": batches.sales,
}
"""The data sources that are filled, and their rows."""


def delivery(plan: Plan, shop: Shop, data_source: str) -> Delivery:
    """A shop's rows of a data source, made only when they are asked for."""
    market = shop.market
    which = f"seed {plan.seed} shop {shop.number} rows {shop.rows} days {plan.days} from {plan.first_day.isoformat()}"
    content = f"generated {VERSION} {which} {market.zone} {market.currency} {market.step}"
    return Delivery(shop.id, partial(_rows, plan, shop, data_source), content, as_of=plan.end(market))


def groups(shops: Sequence[Shop]) -> Iterator[Sequence[Shop]]:
    """The shops, as many together as are loaded in one commit."""
    group: list[Shop] = []
    for shop in shops:
        group.append(shop)
        if sum(each.rows for each in group) >= ROWS_A_LOAD:
            yield group
            group = []
    if group:
        yield group


def _rows(plan: Plan, shop: Shop, data_source: str) -> "Iterator[pa.RecordBatch]":
    return ROWS[data_source](Book(plan, shop))
