"""The test source, described once: columns, dimensions, time fields and measures by the names its YAML definition has too.

`SOURCES["sales"]` is what most tests ask; `visits` is a second one with shared dimensions, for answers merged from two. A row is a
line of a receipt. Every column but tenant, household, store, basket, product, quantity and sold_at may be null.

| dimension | column | type |
|---|---|---|
| tenant, household, store, basket, product, department | the same | text |
| quantity | quantity | integer |
| line_value | sales_value | decimal(18,4) |
| weight | weight | double |
| returned | returned | boolean |
| ordered_on | ordered_on | date |

Time fields: `sold_at` (instant, the default) and `ordered_on` (date, of the tenant's zone).

| measure | meaning | type | over no rows |
|---|---|---|---|
| revenue | sum(sales_value) | decimal | 0 |
| orders | count_distinct(basket) | integer | 0 |
| lines | count() | integer | 0 |
| priced_lines | count(sales_value) | integer | 0 |
| units | sum(quantity) | integer | 0 |
| ordered_units | sum(quantity), time field ordered_on | integer | 0 |
| customers | count_distinct(household) | integer | 0 |
| departments | count_distinct(department) | integer | 0 |
| returned_lines | count() where returned equals true | integer | 0 |
| grocery_revenue | sum(sales_value) where department equals GROCERY | decimal | 0 |
| other_revenue | sum(sales_value) where department not_equals GROCERY (null departments too) | decimal | 0 |
| net | revenue - grocery_revenue (derived, additive; equals other_revenue) | decimal | 0 |
| biggest, smallest | max(sales_value), min(sales_value) | decimal | null |
| spread | biggest - smallest (derived) | decimal | null |
| average_line | avg(sales_value) | double | null |
| average_order_value | revenue ÷ orders (ratio) | double | null |
| markup | revenue / orders * 100 (derived) | double | null |
| weight_sum | sum(weight) | double | 0 |
| weight_max | max(weight) | double | null |

`visits`: tenant, household (null), store (text), pages (integer, null), visited_at (instant, default time field);
dimensions tenant, household, store; measures visits = count(), visitors = count_distinct(household), pages = sum(pages).
"""

from decimal import Decimal
from typing import Final

import pandas as pd
from reference.model import Field, Measure, Model, Source

TENANT_ZONE: Final = "America/New_York"
TENANTS: Final = ("acme", "beta")

SALES_COLUMNS: Final = {
    "tenant": "text",
    "household": "text",
    "store": "text",
    "basket": "text",
    "product": "text",
    "department": "text",
    "quantity": "integer",
    "sales_value": "decimal",
    "weight": "double",
    "returned": "boolean",
    "sold_at": "instant",
    "ordered_on": "date",
}
VISITS_COLUMNS: Final = {"tenant": "text", "household": "text", "store": "text", "pages": "integer", "visited_at": "instant"}

_GROCERY: Final = {"field": "department", "op": "equals", "values": ["GROCERY"]}
_NOT_GROCERY: Final = {"field": "department", "op": "not_equals", "values": ["GROCERY"]}
_RETURNED: Final = {"field": "returned", "op": "equals", "values": [True]}

SALES: Final = Source(
    columns=SALES_COLUMNS,
    dimensions={name: Field(name, kind) for name, kind in SALES_COLUMNS.items() if name not in ("sales_value", "sold_at")}
    | {"line_value": Field("sales_value", "decimal")},
    time_fields={"sold_at": Field("sold_at", "instant"), "ordered_on": Field("ordered_on", "date")},
    default_time_field="sold_at",
    measures={
        "revenue": Measure("sum", "decimal", "sales_value"),
        "orders": Measure("distinct", "integer", "basket"),
        "lines": Measure("count", "integer"),
        "priced_lines": Measure("count", "integer", "sales_value"),
        "units": Measure("sum", "integer", "quantity"),
        "ordered_units": Measure("sum", "integer", "quantity", time_field="ordered_on"),
        "customers": Measure("distinct", "integer", "household"),
        "departments": Measure("distinct", "integer", "department"),
        "returned_lines": Measure("count", "integer", filter=_RETURNED),
        "grocery_revenue": Measure("sum", "decimal", "sales_value", filter=_GROCERY),
        "other_revenue": Measure("sum", "decimal", "sales_value", filter=_NOT_GROCERY),
        "net": Measure("derived", "decimal", formula=("-", "revenue", "grocery_revenue")),
        "biggest": Measure("max", "decimal", "sales_value"),
        "smallest": Measure("min", "decimal", "sales_value"),
        "spread": Measure("derived", "decimal", formula=("-", "biggest", "smallest")),
        "average_line": Measure("avg", "double", "sales_value"),
        "average_order_value": Measure("ratio", "double", numerator="revenue", denominator="orders"),
        "markup": Measure("derived", "double", formula=("*", ("/", "revenue", "orders"), Decimal(100))),
        "weight_sum": Measure("sum", "double", "weight"),
        "weight_max": Measure("max", "double", "weight"),
    },
)

VISITS: Final = Source(
    columns=VISITS_COLUMNS,
    dimensions={name: Field(name, "text") for name in ("tenant", "household", "store")},
    time_fields={"visited_at": Field("visited_at", "instant")},
    default_time_field="visited_at",
    measures={
        "visits": Measure("count", "integer"),
        "visitors": Measure("distinct", "integer", "household"),
        "pages": Measure("sum", "integer", "pages"),
    },
)

SOURCES: Final = {"sales": SALES, "visits": VISITS}
MODEL: Final = Model(SOURCES)


def frame(source: str, rows: list[dict[str, object]]) -> pd.DataFrame:
    """Rows as a frame of plain objects with all columns of the source; an absent value is None, an absent tenant `acme`."""
    columns = SOURCES[source].columns
    return pd.DataFrame({name: pd.Series([row.get(name) for row in rows], dtype=object) for name in columns}).assign(
        tenant=pd.Series([row.get("tenant", TENANTS[0]) for row in rows], dtype=object)
    )


def of_tenants(tables: dict[str, pd.DataFrame], tenants: tuple[str, ...]) -> dict[str, pd.DataFrame]:
    """The rows that a principal of these tenants holds: what the reference is to be given."""
    return {name: table[table["tenant"].isin(tenants)].reset_index(drop=True) for name, table in tables.items()}
