"""The catalog's server or the files' store is down, stands still, or loses an answer: nothing is damaged or done twice, and
all goes on by itself once they are back."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from services.plugin import GetService
from services.running import Running
from sqlalchemy import event
from support.sales import ACME, SALES, baskets, data_files, load, sale, sales, same_bucket
from support.stores import Buckets, store_of
from support.unreachable import USES, is_said

from jangbu.kernel.errors import ConfigurationError, Unavailable
from jangbu.platform.lakehouse.iceberg import IcebergLakehouse, open_lakehouse
from jangbu.platform.lakehouse.ports import Lakehouse, Within
from jangbu.platform.lakehouse.tables import catalogs, commits

TWIN = same_bucket("acme")


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogs, "ANSWER_WITHIN", 1.0)
    monkeypatch.setattr(catalogs, "CONNECT_WITHIN", 2)
    monkeypatch.setattr(commits, "WAIT", 0.01)


@pytest.fixture
def catalog(own_service: GetService) -> Running:
    return own_service("postgres")


@pytest.fixture
def lakehouse(catalog: Running, service: GetService) -> Iterator[IcebergLakehouse]:
    yield from opened(Buckets(service("s3"), catalog))


def opened(stores: Buckets, **more: Any) -> Iterator[IcebergLakehouse]:
    with stores.place() as place:
        lakehouse = open_lakehouse(**{**place, **more})
        assert isinstance(lakehouse, IcebergLakehouse)
        lakehouse.create(SALES)
        load(lakehouse, "zero", sale("acme", "old"), sale(TWIN, "kept"))
        try:
            yield lakehouse
        finally:
            for server in (stores.s3, stores.postgres):
                server.thaw() if server.is_alive() else server.restart()
            lakehouse.close()


STORE_USES: tuple[Callable[[Lakehouse], object], ...] = (
    lambda lakehouse: lakehouse.verify("sales"),
    lambda lakehouse: lakehouse.find_rows("sales", [Within(ACME)]),
    lambda lakehouse: lakehouse.purge("sales", [Within(ACME)]),
    lambda lakehouse: load(lakehouse, "one", sale("acme", "new"), drops=(Within(ACME),)),
    lambda lakehouse: lakehouse.state("sales", on_disk=True),
)


@pytest.mark.services("postgres", own=True)
@pytest.mark.services("s3")
def test_a_catalog_that_is_down_or_stands_still_is_unavailable_and_then_serves_again(
    lakehouse: IcebergLakehouse, catalog: Running
) -> None:
    for harm, mend in ((catalog.kill, catalog.restart), (catalog.freeze, catalog.thaw)):
        harm()
        for use in USES.values():
            is_said(partial(use, lakehouse), "catalog can't be reached")
        mend()
        assert baskets(lakehouse) == ["kept", "old"]
    load(lakehouse, "two", sale("acme", "new"), drops=(Within(ACME),))
    assert baskets(lakehouse) == ["kept", "new"]


@pytest.mark.services("postgres")
@pytest.mark.services("s3", own=True)
def test_a_store_that_is_down_or_stands_still_is_no_damage(own_service: GetService, service: GetService) -> None:
    s3 = own_service("s3")
    store = store_of(s3, connect_seconds=1.0, request_seconds=1.0)
    for lakehouse in opened(Buckets(s3, service("postgres")), store=store):
        files = data_files(lakehouse)
        snapshot = lakehouse.current("sales")
        for harm, mend in ((s3.kill, s3.restart), (s3.freeze, s3.thaw)):
            harm()
            for use in STORE_USES:
                is_said(partial(use, lakehouse), "object store with the lakehouse's files can't be reached")
            mend()
            assert lakehouse.current("sales") == snapshot
            assert lakehouse.verify("sales").damages == ()
            assert data_files(lakehouse) == files
        load(lakehouse, "two", sale("acme", "new"), drops=(Within(ACME),))
        assert baskets(lakehouse) == ["kept", "new"]


def just_before_a_commit(lakehouse: IcebergLakehouse, do: Callable[[], object]) -> None:
    """When the next change of the catalog is about to be committed there."""

    waiting = [do]

    def once(_connection: object) -> None:
        if waiting:
            waiting.pop()()

    event.listen(lakehouse._catalog.engine, "commit", once)


@pytest.mark.services("postgres", own=True)
@pytest.mark.services("s3")
@pytest.mark.parametrize("drops", [(), (Within(ACME),)])
def test_a_commit_that_is_made_after_it_was_given_up_waiting_for_keeps_its_files(
    lakehouse: IcebergLakehouse, catalog: Running, drops: tuple[Within, ...]
) -> None:
    staged = lakehouse.stage("sales", sales(sale("acme", "new")), "one")
    just_before_a_commit(lakehouse, catalog.freeze)
    is_said(lambda: lakehouse.commit(staged, drops), "can't be reached")
    is_said(lambda: lakehouse.find_run("sales", "one"), "can't be reached")
    is_said(lambda: lakehouse.discard(staged), "can't be reached")
    catalog.thaw()
    # The server finds the request in its buffer and may make the commit now, or when we look.
    there = lakehouse.find_run("sales", "one") is not None
    assert (lakehouse.find_run("sales", "one") is not None) == there, "what was found out stays so"
    expected = (["kept", "new"] if drops else ["kept", "new", "old"]) if there else ["kept", "old"]
    assert baskets(lakehouse) == expected
    assert lakehouse.verify("sales").damages == ()
    lakehouse.commit(staged, drops)
    assert baskets(lakehouse) == (["kept", "new"] if drops else ["kept", "new", "old"])
    assert [file.path for file in lakehouse.files(lakehouse.current("sales"), None, None).files]


@pytest.mark.services("postgres", own=True)
@pytest.mark.services("s3")
def test_a_commit_that_dies_with_its_server_was_not_made(lakehouse: IcebergLakehouse, catalog: Running) -> None:
    staged = lakehouse.stage("sales", sales(sale("acme", "new")), "one")
    just_before_a_commit(lakehouse, catalog.kill)
    is_said(lambda: lakehouse.commit(staged), "can't be reached")
    catalog.restart()
    assert lakehouse.find_run("sales", "one") is None
    assert baskets(lakehouse) == ["kept", "old"]
    lakehouse.discard(staged)
    assert len(data_files(lakehouse)) == 1


@pytest.mark.services("postgres", own=True)
@pytest.mark.services("s3")
def test_a_commit_of_which_the_answer_is_lost_is_found_by_its_marker_and_not_made_again(
    lakehouse: IcebergLakehouse, catalog: Running
) -> None:
    staged = lakehouse.stage("sales", sales(sale("acme", "new")), "one")
    dialect = lakehouse._catalog.engine.dialect
    commit = dialect.do_commit

    def then_restarted(connection: Any) -> None:
        dialect.do_commit = commit
        commit(connection)
        catalog.restart()
        connection.execute("SELECT 1")

    dialect.do_commit = then_restarted
    committed = lakehouse.commit(staged, [Within(ACME)])
    assert committed.snapshot_id == lakehouse.current("sales").snapshot_id
    assert baskets(lakehouse) == ["kept", "new"]
    assert lakehouse.state("sales").snapshots == 2


@pytest.mark.services("postgres", "s3")
def test_a_user_who_is_refused_is_told_without_his_password(service: GetService) -> None:
    url = service("postgres")["url"].replace("postgres:postgres@", "postgres:wrong-word@")
    with pytest.raises(Unavailable, match="refuses this user") as error:
        open_lakehouse(warehouse="s3://bucket/lake", catalog_uri=url, store=store_of(service("s3")))
    assert "wrong-word" not in repr(error.value) + str(error.value)


@pytest.mark.parametrize(
    "uri", ["mongodb://user:pass-word@host/db", "user:pass-word@host", "postgresql://user:pass-word@host:port/x"]
)
def test_an_address_that_is_no_catalogs_is_refused_without_repeating_it(uri: str) -> None:
    with pytest.raises(ConfigurationError, match="catalog") as error:
        open_lakehouse(warehouse="s3://bucket/lake", catalog_uri=uri)
    assert "pass-word" not in repr(error.value) + str(error.value)
    assert error.value.__suppress_context__ or error.value.__context__ is None


def test_a_bucket_needs_a_catalog() -> None:
    with pytest.raises(ConfigurationError, match="needs a catalog"):
        open_lakehouse(warehouse="s3://bucket/lake")
