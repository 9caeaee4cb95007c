"""Somebody's rows are erased: no file holds them any more, reachable or not, and nobody else loses any."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from support.sales import ACME, BRAVO, NEW_YEAR, baskets, data_files, load, sale, sales, same_bucket
from support.stores import Stored, below, rows_at

from jangbu.kernel.errors import Conflict, Unavailable
from jangbu.platform.lakehouse.ports import Drop, Keyed, Lakehouse, Purge, RowsFound, Within

TWIN = same_bucket("acme")


def person(basket: str) -> Keyed:
    """One of acme's customers, as it were."""
    return Keyed(pa.table({"tenant": ["acme"], "basket": [basket]}))


def erase(lakehouse: Lakehouse, drop: Drop, run: str = "erase") -> Purge:
    load(lakehouse, run, drops=(drop,))
    return lakehouse.purge("sales", [drop])


def in_any_file(lakehouse: Lakehouse, text: str) -> list[Path | Stored]:
    """Files in whose bytes or rows the text is."""
    files = below(lakehouse.root())
    rows = [path for path in data_files(lakehouse) if text in str(rows_at(path).to_pylist())]
    return [*rows, *(path for path in files if path not in rows and text.encode() in path.read_bytes())]


# What goes, and what stays


def test_a_tenants_rows_are_in_no_file_after_it(with_sales: Lakehouse) -> None:
    load(with_sales, "one", sale("acme", "secret-1"), sale("acme", "secret-2", 40), sale(TWIN, "b1"), sale("bravo", "b2"))
    load(with_sales, "two", sale("acme", "secret-3"))
    done = erase(with_sales, Within(ACME))
    assert (done.snapshots, done.files) == (3, 3)
    assert done.left == RowsFound(rows=0, files=0, looked_at=2, unreadable=0)
    assert in_any_file(with_sales, "secret") == []
    assert baskets(with_sales) == ["b1", "b2"]


def test_one_persons_rows_go_and_the_tenants_other_rows_stay(with_sales: Lakehouse) -> None:
    load(with_sales, "one", sale("acme", "secret"), sale("acme", "kept"), sale("bravo", "secret"))
    done = erase(with_sales, person("secret"))
    assert done.left.rows == 0
    assert baskets(with_sales) == ["kept", "secret"]
    assert with_sales.find_rows("sales", [Within(BRAVO)]).rows == 1


def test_the_current_snapshots_files_are_not_touched(with_sales: Lakehouse) -> None:
    load(with_sales, "one", sale("acme", "old"), sale("bravo", "b1"))
    load(with_sales, "two", drops=(Within(ACME),))
    before = with_sales.files(with_sales.current("sales"), None, None).files
    with_sales.purge("sales", [Within(ACME)])
    assert with_sales.files(with_sales.current("sales"), None, None).files == before
    assert with_sales.state("sales").snapshots == 1


def test_files_of_others_that_only_an_older_snapshot_needs_wait_for_their_questions(with_sales: Lakehouse) -> None:
    load(with_sales, "one", sale("acme", "secret"), sale("bravo", "old"))
    load(with_sales, "two", sale("bravo", "new"), drops=(Within(BRAVO),))
    erase(with_sales, Within(ACME))
    assert with_sales.find_rows("sales", [Within(BRAVO)]).rows == 2
    later = datetime.now(UTC) + timedelta(hours=2)
    assert with_sales.collect("sales", retired=timedelta(hours=1), orphaned=timedelta(days=1), now=later) == 1
    assert baskets(with_sales) == ["new"]


def test_retired_and_staged_files_with_the_rows_go_at_once(with_sales: Lakehouse) -> None:
    load(with_sales, "one", sale("acme", "secret-retired"), sale("bravo", "kept"))
    with_sales.stage("sales", sales(sale("acme", "secret-staged"), sale("bravo", "staged")), "killed")
    load(with_sales, "two", drops=(Within(ACME),))
    with_sales.expire("sales", keep=1)
    assert with_sales.find_rows("sales", [Within(ACME)]).rows == 2
    assert with_sales.purge("sales", [Within(ACME)]).left.rows == 0
    assert in_any_file(with_sales, "secret") == []
    assert with_sales.find_rows("sales", [Within(BRAVO)]).rows == 2, "bravo's staged file stays"


def test_a_torn_file_that_may_hold_the_rows_goes_too(with_sales: Lakehouse) -> None:
    load(with_sales, "one", sale("acme", "secret"), sale("bravo", "kept"))
    whole = {path.parent: path for path in data_files(with_sales)}
    for folder, path in whole.items():
        (folder / "torn.parquet").write_bytes(path.read_bytes()[:-40])
    assert with_sales.find_rows("sales", [Within(ACME)]).unreadable == 2
    left = erase(with_sales, Within(ACME)).left
    assert (left.rows, left.unreadable) == (0, 1), "that of bravo's partition can't hold acme's rows"


def test_purging_what_is_nowhere_or_again_removes_nothing(with_sales: Lakehouse) -> None:
    load(with_sales, "one", sale("acme", "secret"), sale("bravo", "kept"))
    erase(with_sales, Within(ACME))
    again = with_sales.purge("sales", [Within(ACME)])
    assert (again.files, again.left.rows) == (0, 0)
    assert baskets(with_sales) == ["kept"]


def test_a_table_without_rows_can_be_purged(with_sales: Lakehouse) -> None:
    assert with_sales.purge("sales", [Within(ACME)]).left == RowsFound(0, 0, 0, 0)


# When it is refused


def test_rows_that_are_still_there_must_be_dropped_first(with_sales: Lakehouse) -> None:
    before = load(with_sales, "one", sale("acme", "a1"), sale("acme", "a2"))
    with pytest.raises(Conflict, match="2 of the rows"):
        with_sales.purge("sales", [Within(ACME)])
    assert with_sales.current("sales") == before


def test_it_waits_for_runs_that_are_open(with_sales: Lakehouse) -> None:
    load(with_sales, "one", sale("acme", "secret"))
    load(with_sales, "two", drops=(Within(ACME),))
    with pytest.raises(Unavailable, match="open: two;"):
        with_sales.purge("sales", [Within(ACME)], runs=lambda: ["two", "three"])
    assert with_sales.find_rows("sales", [Within(ACME)]).rows == 1
    assert with_sales.purge("sales", [Within(ACME)], runs=lambda: ["three"]).left.rows == 0


def test_a_run_that_was_given_up_stays_so(with_sales: Lakehouse) -> None:
    load(with_sales, "one", sale("acme", "secret"))
    late = with_sales.stage("sales", sales(sale("bravo", "late")), "late")
    with_sales.give_up("sales", "late")
    assert erase(with_sales, Within(ACME)).left.rows == 0
    assert with_sales.give_up("sales", "late") is True
    with pytest.raises(Conflict, match="given up"):
        with_sales.commit(late)


# Beside loads


def test_a_load_that_has_staged_the_rows_changes_nothing_and_can_be_done_again(with_sales: Lakehouse) -> None:
    load(with_sales, "one", sale("acme", "secret"), sale("bravo", "kept"))
    staged = with_sales.stage("sales", sales(sale("acme", "secret")), "slow")
    erase(with_sales, Within(ACME))
    with pytest.raises(Conflict, match="gone"):
        with_sales.commit(staged)
    assert baskets(with_sales) == ["kept"]
    assert baskets(with_sales, load(with_sales, "slow", sale("acme", "again"))) == ["again", "kept"]


def test_a_commit_in_the_midst_of_it_wins_and_keeps_its_files(with_sales: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    from jangbu.platform.lakehouse.tables import commits, purging

    load(with_sales, "one", sale("acme", "secret"), sale("bravo", "kept"))
    load(with_sales, "two", drops=(Within(ACME),))
    staged = with_sales.stage("sales", sales(sale("acme", "came")), "slow")
    fence: Callable[..., int] = purging._fence

    def late(*arguments: object) -> int:
        monkeypatch.setattr(purging, "_fence", fence)
        with monkeypatch.context() as patch:
            # It had looked for its files before they were moved.
            patch.setattr(commits.Change, "_check_staged", lambda *_: None)
            with_sales.commit(staged)
        return fence(*arguments)

    monkeypatch.setattr(purging, "_fence", late)
    with pytest.raises(Conflict, match="came to the table"):
        with_sales.purge("sales", [Within(ACME)])
    assert baskets(with_sales) == ["came", "kept"]
    assert erase(with_sales, Within(ACME)).left.rows == 0
    assert baskets(with_sales) == ["kept"]


@pytest.mark.parametrize("step", ["_move_aside", "_fence", "_forget_before", "remove_files"])
def test_where_it_was_killed_it_can_be_done_again(with_sales: Lakehouse, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    from jangbu.platform.lakehouse.tables import purging

    load(with_sales, "one", sale("acme", "secret"), sale("bravo", "kept"), sale(TWIN, "twin"))
    with_sales.stage("sales", sales(sale("acme", "secret-staged")), "killed")
    load(with_sales, "two", drops=(Within(ACME),))
    do = getattr(purging, step)

    def killed(*arguments: object) -> None:
        if step in ("_move_aside", "_fence"):
            do(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(purging, step, killed)
        with pytest.raises(KeyboardInterrupt):
            with_sales.purge("sales", [Within(ACME)])
    assert baskets(with_sales) == ["kept", "twin"]
    assert with_sales.purge("sales", [Within(ACME)]).left.rows == 0
    assert baskets(with_sales) == ["kept", "twin"]
    assert in_any_file(with_sales, "secret") == []


def test_rows_are_counted_wherever_a_file_lies(with_sales: Lakehouse) -> None:
    load(with_sales, "one", sale("acme", "a1"), sale("acme", "a2", 40), sale(TWIN, "t1"))
    with_sales.stage("sales", sales(sale("acme", "a1", 1)), "staged")
    assert with_sales.find_rows("sales", [Within(ACME)]) == RowsFound(rows=3, files=3, looked_at=3, unreadable=0)
    assert with_sales.find_rows("sales", [person("a1")]).rows == 2
    assert with_sales.find_rows("sales", [person("a1"), Within(ACME)]).rows == 3
    keys = Keyed(pa.table({"tenant": ["acme"], "sold_at": pa.array([NEW_YEAR], pa.timestamp("us", "UTC"))}))
    assert with_sales.find_rows("sales", [keys]).rows == 1
