"""From bytes to a request: what isn't one is refused, with the place, the value and the known names."""

import json
from typing import Any

import pytest

from jangbu.insight.dashboards.requests import parse_request
from jangbu.kernel.errors import JangbuError

BEGUN = '{"data_source": "sales", "measures": ["revenue"]'
NAMES = [
    "analysis",
    "currency",
    "data_source",
    "dimensions",
    "filter",
    "limit",
    "measures",
    "offset",
    "order",
    "tenants",
    "time",
    "time_frequency",
    "totals",
]
FREQUENCIES = ["minute", "hour", "day", "week", "sunday_week", "month", "quarter", "year"]
COMPARISONS = ["previous_period", "previous_year", "previous_year_by_weekday"]


def problem(body: str | bytes) -> dict[str, Any]:
    with pytest.raises(JangbuError) as caught:
        parse_request(body)
    return caught.value.problem()


def refused(rest: str) -> dict[str, Any]:
    return problem(f"{BEGUN}, {rest}}}")


@pytest.mark.parametrize(
    "number",
    [
        "1e999", "-1e999", "1e-999", "0e999", "1e99999999999999999999", "-1e99999999999999999999", "1e-99999999999999999999",
        "0e99999999999999999999", "1" + "0" * 400, "-1" + "0" * 400, "0." + "1" * 400,
    ],
)  # fmt: skip
def test_a_number_that_no_column_holds_is_refused_before_anything_is_done_with_it(number: str) -> None:
    assert refused(f'"limit": {number}')["code"] == "out_of_bounds"


@pytest.mark.parametrize(
    ("number", "code"), [("-0", "out_of_bounds"), ("-0.0", "wrong_type"), ("1.0", "wrong_type"), ("1e3", "wrong_type")]
)
def test_a_limit_is_a_whole_number_and_the_bad_one_is_shown_as_it_came(number: str, code: str) -> None:
    found = refused(f'"limit": {number}')
    assert (found["code"], found["path"]) == (code, "/limit")
    assert str(found["value"]) in (number, "0", "1E+3")


@pytest.mark.parametrize("name", ["NaN", "Infinity", "-Infinity"])
def test_what_only_javascript_takes_for_a_number_is_no_json(name: str) -> None:
    assert refused(f'"limit": {name}')["code"] == "malformed_body"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
def test_json_is_utf_8(encoding: str) -> None:
    assert problem((BEGUN + "}").encode(encoding))["code"] == "malformed_body"


def test_half_a_character_is_refused_in_every_encoding() -> None:
    body = '{"data_source": "sales", "measures": ["\\ud800"]}'
    assert {problem(each)["code"] for each in (body, body.encode(), body.encode("utf-16"), body.encode("utf-32"))} == {
        "malformed_body"
    }


@pytest.mark.parametrize(
    "body",
    [
        "[" * 100_000,
        "[" * 100_000 + "]" * 100_000,
        f'{BEGUN}, "filter": ' + '{"not": ' * 100_000 + "1" + "}" * 100_001,
        f'{BEGUN}, "filter": ' + '{"and": [' * 100_000 + "1" + "]}" * 100_000 + "}",
        f'{BEGUN}, "analysis": ' + '{"kind": ' * 100_000 + "1" + "}" * 100_001,
    ],
)
def test_depth_is_refused_whatever_it_is_made_of(body: str) -> None:
    assert problem(body)["code"] == "out_of_bounds"


def test_a_hundred_thousand_unknown_keys_are_refused_for_the_first() -> None:
    found = refused(", ".join(f'"k{index}": 1' for index in range(100_000)))
    assert (found["code"], found["path"], found["value"], found["known"]) == ("unknown_name", "/k0", "k0", NAMES)


@pytest.mark.parametrize(
    ("rest", "code", "path", "value", "known"),
    [
        ('"measure": []', "unknown_name", "/measure", "measure", NAMES),
        ('"a/b~c": []', "unknown_name", "/a~1b~0c", "a/b~c", NAMES),
        ('"time": {"rang": "2017"}', "unknown_name", "/time/rang", "rang", ["compare", "field", "fill", "range", "zone"]),
        ('"time": {"range": 2017}', "wrong_type", "/time/range", 2017, None),
        ('"time": {"range": ["2017-01-01", 2]}', "wrong_type", "/time/range/1", 2, None),
        ('"time": {"compare": "last_year"}', "unknown_name", "/time/compare", "last_year", COMPARISONS),
        ('"time": {"compare": 1}', "wrong_type", "/time/compare", 1, None),
        ('"time": {"compare": {"range": 1}}', "wrong_type", "/time/compare/range", 1, None),
        ('"time": {"compare": {"rang": "2017"}}', "unknown_name", "/time/compare/rang", "rang", ["range"]),
        ('"time_frequency": "fortnight"', "unknown_name", "/time_frequency", "fortnight", FREQUENCIES),
        ('"time_frequency": ["day"]', "wrong_type", "/time_frequency", "['day']", None),
        ('"order": [{"field": "a", "direction": "up"}]', "unknown_name", "/order/0/direction", "up", ["asc", "desc"]),
        ('"order": [{"field": "a", "x": 1}]', "unknown_name", "/order/0/x", "x", ["direction", "field"]),
        ('"order": [{}]', "invalid_request", "/order/0/field", None, ["direction", "field"]),
        ('"order": [1]', "wrong_type", "/order/0", 1, None),
        ('"analysis": "abc"', "wrong_type", "/analysis", "abc", None),
        ('"tenants": []', "out_of_bounds", "/tenants", None, None),
        ('"tenants": ["a", 1]', "wrong_type", "/tenants/1", 1, None),
        ('"offset": -1', "out_of_bounds", "/offset", -1, None),
        ('"offset": 1e15', "wrong_type", "/offset", "1E+15", None),
        ('"limit": true', "wrong_type", "/limit", True, None),
        ('"filter": {"field": "a", "op": "equals", "values": [[1]]}', "wrong_type", "/filter/values/0", "[1]", None),
        ('"filter": {"and": [{"or": []}]}', "invalid_request", "/filter/and/0/or", None, None),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place_its_value_and_what_is_known(
    rest: str, code: str, path: str, value: object, known: list[str] | None
) -> None:
    found = refused(rest)
    assert (found["code"], found["path"]) == (code, path)
    if value is not None:
        assert found["value"] == value
    assert found.get("known") == known
    assert "literal[" not in json.dumps(found)
    assert "Request" not in found["detail"]


def test_a_data_source_among_several_is_pointed_at() -> None:
    assert problem('{"data_source": ["sales", 1], "measures": ["revenue"]}')["path"] == "/data_source/1"
