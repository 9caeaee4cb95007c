"""Any JSON at all, and requests with one thing changed: a request's mistakes are 4xx of ours, and nothing else is ever raised."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st
from reference.data import MODEL, TENANT_ZONE, TENANTS, frame
from reference.strategies import NOW, cases, to_json
from support.plain_files import PlainFiles

from jangbu.insight.dashboards.requests import parse_request
from jangbu.kernel.errors import JangbuError

steady = settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck))

WORDS = [
    *(
        "data_source",
        "measures",
        "dimensions",
        "filter",
        "time",
        "time_frequency",
        "analysis",
        "totals",
        "order",
        "limit",
        "offset",
    ),
    *("tenants", "currency", "range", "zone", "field", "compare", "fill", "kind", "thresholds", "cut", "x", "y", "direction", "op"),
    *(
        "values",
        "ignore_case",
        "and",
        "or",
        "not",
        "sales",
        "visits",
        "revenue",
        "orders",
        "department",
        "store",
        "sold_at",
        "tenant",
    ),
    *(
        "ordered_on",
        "quantity",
        "returned",
        "time",
        "revenue_compare",
        "share",
        "quadrant",
        "class",
        "plain",
        "abc",
        "mean",
        "median",
    ),
    *(
        "day",
        "hour",
        "minute",
        "week",
        "sunday_week",
        "year",
        "equals",
        "in",
        "matches",
        "between",
        "is_null",
        "on",
        "in_range",
        "asc",
    ),
    *("today", "yesterday", "2017", "2017-Q1", "2017-03", "last 7 days", "last 10000 years", "this week", "previous_period"),
    *("previous_year", "previous_year_by_weekday", "0001-01-01", "9999-12-31", "2017-03-12T02:30:00-05:00", "9999-12-31T23:59:59Z"),
    *("0001-01-01T00:00:00+14:00", "America/New_York", "Asia/Seoul", "USD", "KRW", "(", "(?i", "\\", "'", "", *TENANTS),
]
texts = st.sampled_from(WORDS) | st.text(max_size=8)
numbers = (
    st.integers() | st.decimals(allow_nan=False, allow_infinity=False).map(str) | st.sampled_from([0, -1, 2**63, 10**50, 10**60])
)
scalars = st.none() | st.booleans() | numbers | texts | st.floats(allow_nan=False, allow_infinity=False)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainFiles]:
    files = PlainFiles(tmp_path_factory.mktemp("plain"), NOW, TENANT_ZONE)
    files.put({name: frame(name, []) for name in MODEL.sources})
    yield files
    files.engine.close()


def ask(shop: PlainFiles, body: str) -> None:
    refused = None
    try:
        shop.ask(body, *TENANTS[:1])
    except JangbuError as error:
        refused = error
    if refused is not None:
        assert 400 <= refused.status < 500, repr(refused)
        json.dumps(refused.problem(), allow_nan=False).encode()


@given(st.text() | st.binary() | anything.map(json.dumps))
@settings(steady, max_examples=500)
@example("1e99999999999999999999")
@example('{"a": {"limit": -1e-99999999999999999999}}')
def test_whatever_isnt_a_request_is_refused(body: str | bytes) -> None:
    with pytest.raises(JangbuError) as caught:
        parse_request(body)
    assert caught.value.status in (400, 422)
    json.dumps(caught.value.problem(), allow_nan=False)


PARTS = ["dimensions", "filter", "time", "time_frequency", "analysis", "totals", "order", "limit", "offset", "tenants", "currency"]
NEEDED = {"data_source": st.just("sales"), "measures": st.just(["revenue"])}


@pytest.mark.slow
@steady
@given(st.fixed_dictionaries(NEEDED, optional=dict.fromkeys(PARTS, anything)))
def test_a_request_of_any_parts_is_answered_or_refused(shop: PlainFiles, request: dict[str, Any]) -> None:
    ask(shop, json.dumps(request))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield from places(below, (*path, key))


def changed(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copied = copy.deepcopy(data)
    owner = copied
    for key in path[:-1]:
        owner = owner[key]
    owner[path[-1]] = value
    return copied


@pytest.mark.slow
@steady
@given(cases(), st.data())
def test_a_request_with_one_part_changed_is_answered_or_refused(shop: PlainFiles, case: Any, data: st.DataObject) -> None:
    request = json.loads(to_json(case.request))
    path = data.draw(st.sampled_from(list(places(request))))
    body = json.dumps(changed(request, path, data.draw(anything)))
    note(body)
    shop.put(case.tables)
    ask(shop, body)
