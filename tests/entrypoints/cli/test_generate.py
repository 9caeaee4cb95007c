"""`jangbu generate`: what is loaded or written adds up to the totals that it tells."""

import json
import shlex
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.commands import run

from jangbu.insight.ingest.generator import batches, deliveries
from jangbu.kernel.errors import ConfigurationError, Conflict, OutOfBounds

SIZE = ("--tenants", "5", "--days", "40", "--rows", "4000")
SUMS = ["lines", "orders", "units", "revenue", "retail_discounts", "coupon_discounts", "coupon_match_discounts", "customers"]


def generated(folder: Path, *arguments: str) -> Any:
    return json.loads(run("generate", *(arguments or SIZE), "--folder", str(folder), "--json").stdout, parse_float=Decimal)


def asked(folder: Path, *arguments: str) -> list[list[Any]]:
    answer = run("query", "-s", "sales", *arguments, "--folder", str(folder), "--json").stdout
    return list(json.loads(answer, parse_float=Decimal)["rows"])


def sums(*told: dict[str, Any]) -> list[Decimal]:
    """Of several shops together: they share no basket and no household."""
    return [sum((Decimal(each[name]) for each in told), Decimal(0)) for name in SUMS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("generated")


@pytest.fixture(scope="module")
def told(folder: Path) -> Any:
    return generated(folder)


def test_tenants_are_made_with_their_zones_and_currencies(told: Any, folder: Path) -> None:
    found = json.loads(run("tenants", "list", "--folder", str(folder), "--json").stdout)["tenants"]
    assert [(tenant["id"], tenant["zone"], tenant["currency"]) for tenant in found] == [
        (each["tenant"], each["zone"], each["currency"]) for each in told["tenants"]
    ]
    assert {tenant["currency"] for tenant in found} == {"KRW", "USD", "JPY"}
    assert found[2]["pinned_now"] == "2024-02-10T04:59:59+00:00"


def test_two_tenants_answers_are_the_totals(told: Any, folder: Path) -> None:
    first, second = told["tenants"][:2]
    (row,) = asked(folder, "-m", ",".join(SUMS), "--tenant", "shop-0001,shop-0002")
    assert row == sums(first, second)
    by_tenant = asked(folder, "-m", ",".join(SUMS), "-b", "tenant", "--tenant", "shop-0001,shop-0002", "-o", "tenant")
    assert by_tenant == [["shop-0001", *sums(first)], ["shop-0002", *sums(second)]]


def test_each_tenants_months_are_the_totals(told: Any, folder: Path) -> None:
    for each in told["tenants"]:
        rows = asked(folder, "-m", ",".join(SUMS), "-e", "month", "--tenant", each["tenant"])
        assert rows == [[f"{month}-01", *sums(of_month)] for month, of_month in each["months"].items() if of_month["lines"]]


def test_lines_of_unlisted_products_have_no_department(told: Any, folder: Path) -> None:
    departments = dict(asked(folder, "-b", "department", "-m", "lines", "--tenant", "shop-0001"))
    assert departments.get(None, 0) == told["tenants"][0]["unlisted"]
    assert len(departments) > 5


def test_once_more_nothing_is_done(told: Any, folder: Path) -> None:
    before = run("loads", "list", "--folder", str(folder), "--json").stdout
    again = generated(folder)
    assert (told["changed"], again["changed"]) == (True, False)
    assert again["tenants"] == told["tenants"]
    assert run("loads", "list", "--folder", str(folder), "--json").stdout == before


def test_people_are_told_the_totals_and_a_question_that_runs(told: Any, folder: Path) -> None:
    printed = run("generate", *SIZE, "--folder", str(folder)).stdout
    assert "It was all there already." in printed
    assert f"{told['tenants'][0]['lines']:,}" in printed
    question = next(line for line in printed.splitlines() if line.startswith("  jangbu query"))
    assert "2024-01" in run(*shlex.split(question)[1:]).stdout


def test_other_days_are_refused_as_the_tenants_clocks_differ(told: Any, folder: Path) -> None:
    with pytest.raises(Conflict, match="shop-0001"):
        generated(folder, "--tenants", "5", "--days", "41", "--rows", "4000")


def test_other_rows_take_the_place_of_those_before(tmp_path: Path) -> None:
    generated(tmp_path, "--tenants", "2", "--days", "3", "--rows", "100")
    told = generated(tmp_path, "--tenants", "2", "--days", "3", "--rows", "80", "--seed", "8")
    assert told["changed"]
    assert asked(tmp_path, "-m", ",".join(SUMS), "--tenant", "shop-0001,shop-0002") == [sums(*told["tenants"])]


def test_a_run_that_broke_goes_on_where_it_was(told: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def whole(book: Any) -> Any:
        made.append(book.shop.number)
        return batches.sales(book)

    def breaking(book: Any) -> Any:
        if book.shop.number == 3:
            raise RuntimeError("the machine stops")
        return whole(book)

    monkeypatch.setattr(deliveries, "ROWS_A_LOAD", 1)
    monkeypatch.setattr(deliveries, "ROWS", {**deliveries.ROWS, "sales": breaking})
    with pytest.raises(RuntimeError, match="the machine stops"):
        generated(tmp_path)
    monkeypatch.setattr(deliveries, "ROWS", {**deliveries.ROWS, "sales": whole})
    assert generated(tmp_path) == told
    assert made == [1, 2, 3, 4, 5]
    assert asked(tmp_path, "-m", ",".join(SUMS), "--tenant", "shop-0001,shop-0002") == [sums(*told["tenants"][:2])]


# Files


def test_files_hold_the_same_rows_and_totals(told: Any, tmp_path: Path) -> None:
    out = tmp_path / "files"
    printed = run("generate", *SIZE, "--out", str(out)).stdout
    assert sorted(path.name for path in out.iterdir()) == ["households", "products", "sales", "totals.json"]
    assert json.loads((out / "totals.json").read_text())["tenants"] == told["tenants"]
    query = next(line for line in printed.splitlines() if "SELECT" in line)
    with duckdb.connect() as connection:
        found = {tenant: (revenue, orders) for tenant, revenue, orders in connection.sql(query).fetchall()}
        products = connection.sql(f"SELECT count(DISTINCT tenant) FROM '{out}/products/*.parquet'").fetchone()
    assert found == {each["tenant"]: (Decimal(each["revenue"]), each["orders"]) for each in told["tenants"]}
    assert products == (5,)


def test_files_are_written_once_and_nothing_else_is_overwritten(tmp_path: Path) -> None:
    small = ("generate", "--tenants", "2", "--days", "2", "--rows", "9", "--out", str(tmp_path / "files"), "--json")
    (tmp_path / "files.partial").mkdir()
    (tmp_path / "files.partial" / "left").touch()
    assert json.loads(run(*small).stdout)["changed"]
    assert not json.loads(run(*small).stdout)["changed"]
    with pytest.raises(ConfigurationError, match="another plan"):
        run(*small, "--seed", "8")
    (tmp_path / "mine.txt").touch()
    with pytest.raises(ConfigurationError, match="isn't empty"):
        run("generate", "--out", str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["files", "mine.txt"]


# Wrong use


def test_sizes_out_of_bounds_are_told_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(OutOfBounds, match="9 rows are too few for 10 tenants"):
        generated(tmp_path / "data", "--tenants", "10", "--rows", "9")
    assert not (tmp_path / "data").exists()


def test_a_first_day_that_is_none_is_a_wrong_use() -> None:
    result = run("generate", "--first-day", "soon")
    assert result.exit_code == 2
    assert "2024-01-01" in result.stderr
