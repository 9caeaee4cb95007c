"""The strategies reach every corner of the question, and the reference keeps its own laws on what they draw."""

import json
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference.data import MODEL, TENANT_ZONE, TENANTS
from reference.filter_reference import OPERATORS, leaves
from reference.invalid import MISTAKES, Invalid, invalid_requests
from reference.model import Refused
from reference.reference import ReferenceAnswer, answer, assert_same
from reference.strategies import NOW, Case, case_of, cases, to_json
from reference.time_reference import FREQUENCIES

calm = settings(max_examples=60, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))


def reference(case: Case, **changes: Any) -> ReferenceAnswer:
    return answer(case.request | changes, case.held_tables, MODEL, NOW, TENANT_ZONE)


def corners(request: dict[str, Any]) -> list[str]:
    """What a request uses, in words."""
    time = request.get("time", {})
    compare = time.get("compare")
    found = [f"op {leaf['op']}" for leaf in (leaves(request["filter"]) if "filter" in request else ())]
    found += [f"frequency {request.get('time_frequency')}", f"analysis {request.get('analysis', {}).get('kind')}"]
    found += [f"compare {compare if isinstance(compare, str) else type(compare).__name__}", f"fill {time.get('fill')}"]
    found += [f"measure {name}" for name in request["measures"]] + [f"dimension {name}" for name in request.get("dimensions", [])]
    return found + [key for key in ("totals", "order", "limit", "offset", "filter") if key in request]


def test_every_corner_is_drawn() -> None:
    drawn = [case_of(number) for number in range(600)]
    seen = Counter(corner for case in drawn for corner in corners(case.request))
    wanted = [f"op {name}" for name in OPERATORS] + [f"frequency {name}" for name in (None, *FREQUENCIES)]
    wanted += ["compare previous_period", "compare previous_year", "compare previous_year_by_weekday", "compare dict", "fill True"]
    wanted += ["analysis abc", "analysis quadrant", "totals", "order", "limit", "offset"]
    wanted += [f"measure {name}" for name in MODEL.sources["sales"].measures]
    wanted += [f"dimension {name}" for name in MODEL.sources["sales"].dimensions if name not in ("tenant", "basket")]
    assert {name: seen[name] for name in wanted if seen[name] < 3} == {}


def test_most_answers_have_rows_and_compared_values() -> None:
    found = [reference(case) for case in map(case_of, range(300))]
    compared = [answer for answer in found if ("revenue_compare", "compare") in answer.columns]
    assert sum(bool(answer.rows) for answer in found) > 150
    assert any(
        row[place] for answer in compared for place in [answer.columns.index(("revenue_compare", "compare"))] for row in answer.rows
    )


@calm
@given(st.one_of(cases(), cases(both_sources=True), cases(held=TENANTS)))
def test_valid_requests_have_an_answer_of_their_shape(case: Case) -> None:
    found = reference(case)
    assert len(found.rows) <= case.request.get("limit", 10_000)
    assert all(len(row) == len(found.columns) for row in found.rows)
    assert (found.totals is not None) is case.request.get("totals", False)


@calm
@given(cases())
def test_pages_make_the_whole(case: Case) -> None:
    whole = reference(case, offset=0, limit=1_000_000)
    pages = [reference(case, offset=start, limit=7) for start in range(0, min(len(whole.rows), 28) or 1, 7)]
    assert [row for page in pages for row in page.rows] == whole.rows[:28]
    assert [page.truncated for page in pages] == [len(whole.rows) > 7 * (number + 1) for number in range(len(pages))]


@calm
@given(cases(), st.sampled_from(("revenue", "units", "lines")))
def test_sums_of_the_groups_are_the_totals(case: Case, measure: str) -> None:
    time = {key: value for key, value in case.request.get("time", {}).items() if key not in ("compare", "fill")}
    request = {"data_source": "sales", "measures": [measure], "dimensions": ["department", "store"], "totals": True, "time": time}
    found = answer(request, case.held_tables, MODEL, NOW, TENANT_ZONE)
    assert found.totals is not None
    assert sum((row[2] for row in found.rows), Decimal(0)) == found.totals[2]


@calm
@given(cases())
def test_revenue_without_groceries_is_the_revenue_of_all_others(case: Case) -> None:
    request = {key: value for key, value in case.request.items() if key not in ("analysis", "order", "measures")}
    found = answer(request | {"measures": ["net", "other_revenue"]}, case.held_tables, MODEL, NOW, TENANT_ZONE)
    step = 3 if case.request.get("time", {}).get("compare") else 1
    first = next(place for place, (name, _) in enumerate(found.columns) if name == "net")
    assert all(row[first] == row[first + step] for row in found.rows)


@calm
@given(cases())
def test_not_not_is_the_same_and_not_is_the_rest(case: Case) -> None:
    rows = {"data_source": "sales", "measures": ["lines"]}
    for leaf in leaves(case.request["filter"]) if "filter" in case.request else ():
        if leaf["field"].rpartition(".")[2] in MODEL.sources["sales"].measures:
            continue
        counts = [
            answer(rows | {"filter": tree}, case.held_tables, MODEL, NOW, TENANT_ZONE).rows[0][0]
            for tree in (leaf, {"not": leaf}, {"not": {"not": leaf}}, {"or": [leaf, {"not": leaf}]})
        ]
        assert counts[0] == counts[2]
        assert counts[0] + counts[1] == counts[3] == len(case.held_tables["sales"])


@calm
@given(cases())
def test_the_wire_keeps_a_requests_digits(case: Case) -> None:
    read = json.loads(to_json(case.request), parse_float=Decimal)
    assert read == case.request
    assert_same(answer(read, case.held_tables, MODEL, NOW, TENANT_ZONE).rows, reference(case).rows)


@pytest.mark.parametrize(("why", "mistake", "codes"), MISTAKES, ids=[why for why, _, _ in MISTAKES])
def test_each_mistake_is_refused(why: str, mistake: dict[str, Any], codes: tuple[str, ...]) -> None:
    tables = Case({}, {}, ()).tables
    with pytest.raises(Refused) as refused:
        answer({"data_source": "sales", "measures": ["revenue"]} | mistake, tables, MODEL, NOW, TENANT_ZONE)
    assert refused.value.code in codes


@calm
@given(invalid_requests())
def test_drawn_mistakes_are_refused(one: Invalid) -> None:
    with pytest.raises(Refused):
        answer(one.request, {}, MODEL, NOW, TENANT_ZONE)
