"""Random questions over random data: the answer is the plain reference's (tests/reference), row by row and in the same order."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, note, settings
from reference.data import MODEL, TENANT_ZONE, TENANTS, frame
from reference.invalid import Invalid, invalid_requests
from reference.reference import answer, assert_same
from reference.strategies import NOW, Case, cases, to_json
from support.plain_files import PlainFiles

from jangbu.insight.dashboards.contracts import Answer
from jangbu.kernel.errors import JangbuError

EXAMPLES = 150
steady = settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainFiles]:
    files = PlainFiles(tmp_path_factory.mktemp("plain"), NOW, TENANT_ZONE)
    yield files
    files.engine.close()


def wire(table: pa.Table) -> list[list[Any]]:
    """Rows with instants as the wire's text."""
    columns = [column.to_pylist() for column in table.columns]
    return [[value.isoformat() if isinstance(value, datetime) else value for value in row] for row in zip(*columns, strict=True)]


def check(shop: PlainFiles, case: Case) -> Answer:
    expected = answer(case.request, case.held_tables, MODEL, NOW, TENANT_ZONE)
    shop.put(case.tables)
    note(to_json(case.request))
    found = shop.ask(to_json(case.request), *case.held)
    assert [(column.name, column.role.value) for column in found.columns] == expected.columns
    assert found.table.column_names == [column.name for column in found.columns]
    assert_same(wire(found.table), expected.rows)
    assert found.meta.truncated == expected.truncated
    if expected.totals is None:
        assert found.totals is None
    else:
        assert found.totals is not None
        assert_same(wire(found.totals), [expected.totals])
    if expected.cuts is not None:
        assert_same([list((found.meta.cuts or {}).values())], [list(expected.cuts.values())])
    return found


@pytest.mark.slow
@steady
@given(cases())
def test_one_source(shop: PlainFiles, case: Case) -> None:
    check(shop, case)


@pytest.mark.slow
@steady
@given(cases(held=TENANTS))
def test_several_tenants(shop: PlainFiles, case: Case) -> None:
    check(shop, case)


@pytest.mark.slow
@steady
@given(cases(both_sources=True))
def test_two_sources_as_one(shop: PlainFiles, case: Case) -> None:
    check(shop, case)


@steady
@given(invalid_requests())
def test_what_the_reference_refuses_is_refused(shop: PlainFiles, case: Invalid) -> None:
    shop.put({name: frame(name, []) for name in MODEL.sources})
    with pytest.raises(JangbuError) as caught:
        shop.ask(to_json(case.request), *TENANTS[:1])
    assert 400 <= caught.value.status < 500
    assert caught.value.code in case.codes, (case.why, str(caught.value))
