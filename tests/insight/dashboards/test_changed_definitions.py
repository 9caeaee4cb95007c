"""A definition that has changed can be asked at once, though its table follows only at the next load."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from jangbu.entrypoints.bootstrap import Application
from jangbu.entrypoints.settings import load
from jangbu.insight.dashboards.requests import parse_request
from jangbu.insight.ingest.contracts import LoadMode
from jangbu.kernel.tenancy import Principal, TenantId

SHOP = TenantId("shop")
DEFINITION = """\
version: 1
kind: data_source
name: visits
label: {{ko: 방문, en: Visits}}
description: {{ko: 방문이에요., en: Visits.}}
binding: {{table: visits}}
separation: {{kind: column, column: tenant}}
columns: {{tenant: {{type: text}}, {columns}}}
dimensions:
  page: {{column: {page}, label: {{ko: 쪽, en: Page}}, description: {{ko: 쪽이에요., en: A page.}}}}
"""
MEASURES = """\
version: 1
kind: measures
data_source: visits
measures:
  - {name: visits, kind: simple, formula: count(), label: {ko: 방문, en: Visits}, description: {ko: 수, en: Count}, format: integer}
  - {name: paid, kind: simple, formula: sum(price), label: {ko: 금액, en: Paid}, description: {ko: 합, en: Sum}, format: money}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "definitions").mkdir()
    (tmp_path / "definitions" / "visits_measures.yml").write_text(MEASURES)
    define(tmp_path, "page: {type: text}, price: {type: decimal}", "page")
    return tmp_path


def define(folder: Path, columns: str, page: str) -> None:
    (folder / "definitions" / "visits.yml").write_text(DEFINITION.format(columns=columns, page=page))


def application(folder: Path) -> Application:
    return Application(load(folder=folder / "data", definitions=(folder / "definitions",), query_log=False))


def visit(folder: Path, **columns: Any) -> None:
    with application(folder) as opened:
        opened.access.create_tenant("shop", "Shop", "Asia/Seoul", "KRW")
        source = opened.catalog.data_source("visits")
        opened.ingest.load(source, tenant=SHOP, batches=pa.table(columns), mode=LoadMode.APPEND)


def asked(folder: Path) -> list[tuple[Any, ...]]:
    question = b'{"data_source": "visits", "measures": ["visits", "paid"], "dimensions": ["page"]}'
    with application(folder) as opened:
        table = opened.dashboards.query(Principal((SHOP,)), parse_request(question)).table
        return [tuple(str(value) for value in row.values()) for row in table.to_pylist()]


def money(*cents: int) -> Any:
    return pa.array(cents, pa.int32()).cast(pa.decimal128(18, 4))


def test_a_renamed_and_a_new_column_are_asked_before_and_after_the_next_load(folder: Path) -> None:
    visit(folder, page=["home"], price=money(5))
    assert asked(folder) == [("home", "1", "5.0000")]
    define(folder, "place: {type: text, renamed_from: page}, price: {type: decimal}, device: {type: text}", "place")
    assert asked(folder) == [("home", "1", "5.0000")]
    visit(folder, place=["cart"], price=money(7), device=["phone"])
    assert asked(folder) == [("cart", "1", "7.0000"), ("home", "1", "5.0000")]
    define(folder, "place: {type: text}, price: {type: decimal}, device: {type: text}", "device")
    assert asked(folder) == [("phone", "1", "7.0000"), ("None", "1", "5.0000")]


def test_a_wider_type_is_asked_before_the_next_load(folder: Path) -> None:
    visit(folder, page=["home"], price=money(5))
    define(folder, "page: {type: text}, price: {type: decimal, precision: 30}", "page")
    assert asked(folder) == [("home", "1", "5.0000")]
