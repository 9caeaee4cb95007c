"""`jangbu init` and `jangbu load`, from a file to an answer."""

import json
import shlex
from pathlib import Path

import pytest
from support.commands import run, told

from jangbu.entrypoints.cli import demo
from jangbu.kernel.errors import CatalogError, InvalidRequest, InvalidTime, LoadError, Unsupported

ORDERS = """\
주문번호,주문일시,상품명,수량,단가
A,2024-03-04 09:12,사과,1,"1,000"
A,2024-03-04 09:12,배,2,500
B,2024-03-05 10:00,사과,3,1000
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("JANGBU_SETTINGS", "JANGBU_FOLDER", "JANGBU_DEFINITIONS", "JANGBU_SERVER", "JANGBU_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "orders.csv").write_bytes(ORDERS.encode("cp949"))
    return tmp_path


def test_a_folder_is_made_once_and_never_written_over(folder: Path) -> None:
    first = run("init", "mine").stdout
    assert "made  mine/jangbu.toml" in first
    assert "  cd mine" in first
    (folder / "mine" / "README.md").write_text("ours")
    assert "made" not in run("init", "mine").stdout
    assert (folder / "mine" / "README.md").read_text() == "ours"


def test_the_example_is_loaded_and_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("init", ".")
    assert told("catalog", "check") == {"mistakes": []}
    loaded = told("load", "example/example_orders.csv", "--mode", "replace")
    assert (loaded["read"], loaded["loaded"], loaded["set_aside"]) == (12, 12, {})
    program, *asked = shlex.split(loaded["query"])
    assert program == demo.program()
    assert json.loads(run(*asked, "--json").stdout)["meta"]["truncated"] is False


def test_a_file_alone_is_enough(folder: Path) -> None:
    printed = run("load", "orders.csv", "--as", "orders").stdout
    for part in (
        "settings",
        "text in cp949",
        "order_no: text",
        "Wrote definitions/orders.yml",
        "Read 3 rows, loaded 3",
        "There is no tenant 'shop'",
    ):
        assert part in printed
    question = printed.rpartition("Try:\n  ")[2].strip()
    answer = json.loads(run(*shlex.split(question)[1:], "--json").stdout)
    assert answer["rows"][0][:3] == ["사과", 2, 4000]


def test_a_second_load_of_the_same_file_changes_nothing(folder: Path) -> None:
    run("load", "orders.csv")
    assert "loaded already: 3" in run("load", "orders.csv").stdout
    assert told("load", "orders.csv")["changed"] is False


def test_a_dry_run_writes_nothing(folder: Path) -> None:
    before = sorted(path.name for path in folder.rglob("*.yml"))
    shown = told("load", "orders.csv", "--dry-run")
    assert "kind: data_source" in shown["definitions"]["data_source"]
    assert "nothing was written" in run("load", "orders.csv", "--dry-run").stdout
    assert sorted(path.name for path in folder.rglob("*.yml")) == before
    assert not (folder / "jangbu.toml").exists()


def test_bad_rows_are_set_aside_and_told(folder: Path) -> None:
    run("load", "orders.csv")
    (folder / "more.csv").write_text(ORDERS + "C,2024-03-06 09:00,귤,two,1\nD\nB,2024-03-05 10:00,사과,3,1000\n")
    printed = run("load", "more.csv", "--as", "orders", "--mode", "replace").stdout
    assert "Read 6 rows, loaded 4, set aside 2." in printed
    assert "row 4, quantity: not_a_number 'two'" in printed
    assert "row 5: torn_line 'D'" in printed
    assert "repeat another one in every column: 1, in 1 groups (kept" in printed
    assert told("load", "more.csv", "--as", "orders", "--mode", "replace", "--distinct")["loaded"] == 3


def test_new_columns_need_a_choice(folder: Path) -> None:
    run("load", "orders.csv")
    (folder / "more.csv").write_text("주문번호,쿠폰\nC,SPRING\n")
    with pytest.raises(LoadError, match=r"--new-columns add .* --new-columns ignore"):
        run("load", "more.csv", "--as", "orders")
    with pytest.raises(LoadError, match="no column '쿠폰'"):
        run("load", "more.csv", "--as", "orders", "--new-columns", "refuse")
    assert "Would be added" in run("load", "more.csv", "--as", "orders", "--new-columns", "add", "--dry-run").stdout
    printed = run("load", "more.csv", "--as", "orders", "--new-columns", "ignore").stdout
    assert "Left out: 쿠폰." in printed
    assert "The file has no ordered_at, product_name, quantity, unit_price" in printed
    assert "loaded 1" in printed


def test_a_range_is_replaced_by_whole_days_of_the_zone(folder: Path) -> None:
    run("load", "orders.csv", "--mode", "replace")
    (folder / "day.csv").write_text("주문번호,주문일시,상품명,수량,단가\nZ,2024-03-05 23:59,귤,9,1\n")
    loaded = told("load", "day.csv", "--as", "orders", "--mode", "replace", "--range", "2024-03-05..2024-03-05")
    assert loaded["rows"] == 1
    answer = json.loads(run("query", "--source", "orders", "--measures", "units", "--json").stdout)
    assert answer["rows"] == [[12]]
    outside = told("load", "day.csv", "--as", "orders", "--mode", "replace", "--range", "2024-03-04")
    assert (outside["rows"], outside["bad"]) == (0, 1)
    (row,) = told("loads", "show", outside["run"])["set_aside"]
    assert (row["column"], row["reason"]) == ("ordered_at", "outside_range")
    with pytest.raises(InvalidTime, match="isn't a range of days"):
        run("load", "day.csv", "--as", "orders", "--mode", "replace", "--range", "soon")
    with pytest.raises(Unsupported, match="only for --mode replace"):
        run("load", "day.csv", "--as", "orders", "--range", "2024-03-05")


def test_whose_rows_they_are_is_asked_where_there_are_several(folder: Path) -> None:
    told("load", "orders.csv", "--tenant", "one", "--zone", "Asia/Tokyo", "--currency", "JPY")
    run("tenants", "create", "two", "--zone", "UTC", "--currency", "USD")
    with pytest.raises(LoadError, match="--tenant"):
        run("load", "orders.csv")
    loaded = told("load", "orders.csv", "--tenant", "two")
    assert loaded["query"].endswith("--tenant two")
    assert [tenant["currency"] for tenant in told("tenants", "list")["tenants"]] == ["JPY", "USD"]


def test_a_torn_file_loads_nothing(folder: Path) -> None:
    run("load", "orders.csv")
    (folder / "torn.csv").write_text(ORDERS + 'C,"2024\n')
    with pytest.raises(LoadError, match="Nothing was loaded"):
        run("load", "torn.csv", "--as", "orders", "--mode", "replace")
    assert json.loads(run("query", "--source", "orders", "--measures", "rows", "--json").stdout)["rows"] == [[3]]


@pytest.mark.parametrize("name", ["../evil", "한글", "a b", "x" * 300, "A"])
def test_a_name_that_no_definition_can_have_is_refused_before_anything_is_written(folder: Path, name: str) -> None:
    with pytest.raises(InvalidRequest, match="can't be a data source's name"):
        run("load", "orders.csv", "--as", name)
    assert [path.name for path in folder.iterdir()] == ["orders.csv"]
    assert not (folder.parent / "evil.yml").exists()


def test_what_a_refused_definition_wrote_is_taken_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from jangbu.insight.ingest.inferring import rendering

    run("load", "orders.csv")
    before = {path: path.read_bytes() for path in (folder / "definitions").iterdir()}
    monkeypatch.setattr(rendering, "measures", lambda _: "version: nonsense\n")
    with pytest.raises(CatalogError):
        run("load", "orders.csv", "--as", "others")
    (folder / "more.csv").write_text("주문번호,쿠폰\nC,SPRING\n")
    monkeypatch.setattr("jangbu.insight.ingest.inferring.adding.with_columns", lambda *_: "version: nonsense\n")
    with pytest.raises(CatalogError):
        run("load", "more.csv", "--as", "orders", "--new-columns", "add")
    assert {path: path.read_bytes() for path in (folder / "definitions").iterdir()} == before


@pytest.mark.parametrize("content", ["", "a,b\n", 'a\n"1\n'])
def test_a_file_that_cant_be_understood_makes_no_tenant(folder: Path, content: str) -> None:
    (folder / "broken.csv").write_text(content)
    with pytest.raises(LoadError):
        run("load", "broken.csv", "--tenant", "acme")
    assert told("tenants", "list")["tenants"] == []


def test_a_path_to_nothing_makes_no_settings(folder: Path) -> None:
    with pytest.raises(LoadError, match="no file or folder"):
        run("load", "nowhere.csv")
    assert [path.name for path in folder.iterdir()] == ["orders.csv"]


def test_what_a_tenant_can_not_be_is_told_in_a_dry_run_too(folder: Path) -> None:
    for wrong in (["--tenant", "../x"], ["--tenant", ""], ["--zone", "Mars/X"], ["--currency", "won"]):
        with pytest.raises((InvalidRequest, InvalidTime)):
            run("load", "orders.csv", "--dry-run", *wrong)
    run("load", "orders.csv")
    with pytest.raises(LoadError, match="has the currency KRW, not USD"):
        run("load", "orders.csv", "--currency", "USD")


def test_a_new_column_whose_name_is_taken_gets_another(folder: Path) -> None:
    run("load", "orders.csv")
    (folder / "more.csv").write_text("주문번호,주문일시,상품명,수량,단가,Quantity\nC,2024-03-06 09:00,귤,2,1,70\n")
    run("load", "more.csv", "--as", "orders", "--new-columns", "add")
    assert 'quantity_2: {source: "Quantity"}' in (folder / "definitions" / "orders.yml").read_text()


LATER = "주문번호,주문일시,상품명,수량,단가\nC,2024-03-06 09:00,귤,two,1\nD\n,2024-03-05 10:00,귤,9,1\nB,2024-03-04 10:00,귤,9,1\n"


def test_rows_outside_the_range_and_without_a_key_are_told_by_their_numbers_in_the_file(folder: Path) -> None:
    run("load", "orders.csv")
    (folder / "more.csv").write_text(LATER)
    printed = run("load", "more.csv", "--as", "orders", "--mode", "replace", "--range", "2024-03-05").stdout
    assert "Read 4 rows, loaded 1, set aside 3." in printed
    assert "row 4, ordered_at: outside_range '2024-03-04 10:00'" in printed
    merged = told("load", "more.csv", "--as", "orders", "--mode", "merge", "--key", "주문번호,order_no")
    assert (merged["loaded"], merged["bad"], merged["set_aside"]) == (
        1,
        3,
        {"missing_value": 1, "not_a_number": 1, "torn_line": 1},
    )
    shown = told("loads", "show", merged["run"])["set_aside"]
    assert [(row["number"], row["column"]) for row in shown] == [(1, "quantity"), (3, "order_no"), (2, None)]


def test_a_merge_tells_of_rows_that_share_a_key(folder: Path) -> None:
    printed = run("load", "orders.csv", "--mode", "merge", "--key", "주문번호").stdout
    assert "Read 3 rows, loaded 2, set aside 0." in printed
    assert "later one with the same key took the place of: 1." in printed


def test_a_merge_without_keys_is_refused_before_anything_is_written(folder: Path) -> None:
    (folder / "plain.csv").write_text("a,b\n1,1\n1,1\n")
    with pytest.raises(LoadError, match="--key"):
        run("load", "plain.csv", "--mode", "merge")
    assert list((folder / "definitions").iterdir()) == []


@pytest.mark.parametrize("content", ["주문번호,주문일시,상품명,수량,단가\n", "주문번호,수량\nZ,many\n"])
def test_nothing_takes_the_place_of_nothing_less(folder: Path, content: str) -> None:
    run("load", "orders.csv")
    (folder / "none.csv").write_text(content)
    for more in ((), ("--dry-run",)):
        with pytest.raises(LoadError, match="nothing takes the place"):
            run("load", "none.csv", "--as", "orders", "--mode", "replace", *more)
    assert json.loads(run("query", "--source", "orders", "--measures", "rows", "--json").stdout)["rows"] == [[3]]


@pytest.mark.parametrize("text", ["9999-12-31", "2024-13-01", "..", "2024-03-05..2024-03-04"])
def test_a_range_that_there_isnt_is_told(folder: Path, text: str) -> None:
    run("load", "orders.csv")
    with pytest.raises(InvalidTime):
        run("load", "orders.csv", "--as", "orders", "--mode", "replace", "--range", text)


def test_a_file_of_too_many_columns_is_refused(folder: Path) -> None:
    (folder / "wide.csv").write_text(",".join(f"c{place}" for place in range(1001)) + "\n" + ",".join("1" * 1001) + "\n")
    with pytest.raises(LoadError, match=r"1,001 columns; .* 1,000 at most"):
        run("load", "wide.csv")
