"""From options to a request."""

import json
from typing import Any

import pytest
import typer

from jangbu.entrypoints.cli import asking
from jangbu.insight.dashboards.requests import parse_request

NOTHING: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("last 30 days", "last 30 days"),
        (" 2017-Q4 ", "2017-Q4"),
        ("2017-03-01..2017-03-31", ["2017-03-01", "2017-03-31"]),
        ("2017-03-01, 2017-03-31", ["2017-03-01", "2017-03-31"]),
        ("2017-03-01 2017-03-31", ["2017-03-01", "2017-03-31"]),
        ("2017-03-01T00:00:00Z..2017-03-02T00:00:00Z", ["2017-03-01T00:00:00Z", "2017-03-02T00:00:00Z"]),
        (None, None),
    ],
)
def test_a_range_is_words_or_two_ends(text: str | None, meaning: object) -> None:
    assert asking.range_(text) == meaning


def test_names_are_separated_by_commas() -> None:
    assert asking.names("revenue, orders,") == ["revenue", "orders"]
    assert asking.names("sales", alone=True) == "sales"
    assert asking.names("sales,visits", alone=True) == ["sales", "visits"]
    assert asking.names(None) is None


def test_an_order_is_ascending_unless_it_says_otherwise() -> None:
    assert asking.order("revenue DESC, department") == [
        {"field": "revenue", "direction": "desc"},
        {"field": "department", "direction": "asc"},
    ]


def test_a_comparison_is_a_word_or_a_range() -> None:
    assert asking.compare("previous_year") == "previous_year"
    assert asking.compare("2016-03") == {"range": "2016-03"}


def test_a_whole_request_is_sent_as_it_is() -> None:
    assert asking.request('{"data_source" : "sales"}', NOTHING, NOTHING) == '{"data_source" : "sales"}'


def test_options_go_before_what_the_request_says() -> None:
    given = '{"data_source": "sales", "measures": ["revenue"], "time": {"range": "2017", "fill": true}, "limit": 5}'
    merged = json.loads(asking.request(given, {"limit": 7, "order": None}, {"range": "2017-Q1", "fill": None}))
    assert merged == {"data_source": "sales", "measures": ["revenue"], "time": {"range": "2017-Q1", "fill": True}, "limit": 7}


def test_numbers_in_a_filter_keep_their_digits() -> None:
    where = asking.parsed('{"field": "revenue", "op": "gt", "values": [0.10000000000000000001]}', "--where")
    request = parse_request(asking.request(None, {"data_source": "sales", "measures": ["revenue"], "filter": where}, NOTHING))
    assert str(request.filter.values[0]) == "0.10000000000000000001"  # type: ignore[union-attr]


def test_what_isnt_json_names_its_option() -> None:
    with pytest.raises(typer.BadParameter) as raised:
        asking.parsed("{", "--where")
    assert raised.value.param_hint == "--where"
