"""A catalog behind REST: who is let in, whose keys open the files, and what is refused for what it forgets."""

from collections.abc import Iterator
from typing import Any

import pytest
from services.plugin import GetService
from services.running import Running
from support.sales import SALES, baskets, load, sale
from support.stores import RestBuckets, store_of

from jangbu.kernel.errors import ConfigurationError, Unavailable, Unsupported
from jangbu.kernel.stores import CatalogAccess
from jangbu.platform.lakehouse.iceberg import IcebergLakehouse, open_lakehouse

with_rest = pytest.mark.services("s3", "iceberg_rest")


@pytest.fixture
def rest(service: GetService) -> Running:
    return service("iceberg_rest")


@pytest.fixture
def place(service: GetService, rest: Running) -> Iterator[dict[str, Any]]:
    with RestBuckets(service("s3"), rest).place() as options:
        yield dict(options)


def opened(place: dict[str, Any], **more: Any) -> IcebergLakehouse:
    lakehouse = open_lakehouse(**{**place, **more})
    assert isinstance(lakehouse, IcebergLakehouse)
    return lakehouse


def files_of(lakehouse: IcebergLakehouse) -> dict[str, Any]:
    """How the files of its table are reached."""
    return dict(lakehouse._table("sales").io.properties)


@with_rest
def test_a_lasting_token_and_a_credential_open_the_same_tables(place: dict[str, Any], rest: Running) -> None:
    with_token = opened(place, catalog=CatalogAccess(token=rest["token"]))
    with_token.create(SALES)
    load(with_token, "one", sale("acme", "b1"))
    address = rest["url"] + "v1/oauth/tokens"
    with_credential = opened(place, catalog=CatalogAccess(credential=rest["credential"], scope="all", token_address=address))
    assert baskets(with_credential) == ["b1"]
    for each in (with_token, with_credential):
        each.close()


@with_rest
@pytest.mark.parametrize(
    "access", [CatalogAccess(), CatalogAccess(token="wrong-word"), CatalogAccess(credential="jangbu:wrong-word")]
)
def test_who_is_refused_is_told_so_without_the_secret(place: dict[str, Any], access: CatalogAccess) -> None:
    with pytest.raises(Unavailable, match="refuses this user") as error:
        opened(place, catalog=access)
    assert error.value.retry_after >= 1
    assert "wrong-word" not in repr(error.value) + str(error.value) + repr(access)


@with_rest
def test_a_warehouse_that_the_catalog_does_not_know_is_named(place: dict[str, Any], rest: Running) -> None:
    with pytest.raises(ConfigurationError, match="warehouse 'elsewhere'"):
        opened(place, catalog=CatalogAccess(token=rest["token"], warehouse="elsewhere"))


@pytest.mark.services("s3")
def test_what_is_no_rest_catalog_is_said_to_be_none(service: GetService) -> None:
    """The store itself: it answers, and with something else."""
    with pytest.raises(ConfigurationError, match="as a REST catalog"):
        open_lakehouse(warehouse="s3://bucket/lake", catalog_uri=service("s3")["filer"], store=store_of(service("s3")))


@with_rest
def test_keys_of_the_settings_go_before_what_the_catalog_or_a_table_says(place: dict[str, Any]) -> None:
    lakehouse = opened(place)
    lakehouse.create(SALES)
    with lakehouse._table("sales").transaction() as change:
        change.set_properties({"s3.endpoint": "http://127.0.0.1:9", "s3.access-key-id": "another", "s3.session-token": "another"})
    load(lakehouse, "one", sale("acme", "b1"))
    assert baskets(lakehouse) == ["b1"]
    found = files_of(lakehouse)
    assert (found["s3.endpoint"], found["s3.access-key-id"]) == (place["store"].endpoint, place["store"].access_key)
    assert "s3.session-token" not in found
    lakehouse.close()


@with_rest
def test_without_keys_those_of_the_catalog_are_taken_anew_with_each_look(
    place: dict[str, Any], service: GetService, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    lakehouse = opened(place, store=store_of(service("s3"), access_key=None, secret_key=None))
    lakehouse.create(SALES)
    pinned = load(lakehouse, "one", sale("acme", "b1"))
    load(lakehouse, "two", sale("acme", "b2"))
    assert baskets(lakehouse) == ["b1", "b2"]
    assert files_of(lakehouse)["s3.access-key-id"] == service("s3")["access_key"]
    assert lakehouse._table("sales") is not lakehouse._table("sales"), "the keys that it holds end"
    found = lakehouse.find_run("sales", "one")
    assert found is not None
    assert baskets(lakehouse, found) == ["b1"], "read by where its metadata are"
    assert baskets(lakehouse, pinned) == ["b1"]
    lakehouse.close()


@pytest.mark.services("nessie", "s3")
def test_nessie_is_refused_as_it_keeps_the_newest_snapshot_only(service: GetService) -> None:
    nessie, store = service("nessie"), store_of(service("s3"))
    with pytest.raises(Unsupported, match="newest snapshot only"):
        open_lakehouse(
            warehouse=f"s3://{nessie['bucket']}",
            catalog_uri=nessie["url"],
            catalog=CatalogAccess(warehouse=nessie["warehouse"]),
            store=store,
        )


def test_a_rest_catalog_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="catalog can't be reached"):
        open_lakehouse(warehouse="s3://bucket/lake", catalog_uri="http://127.0.0.1:9/iceberg")


@pytest.mark.parametrize("address", ["login.example.com", "ftp://login.example.com", "https://me:pass-word@login.example.com"])
def test_an_address_of_tokens_that_is_none_is_refused_without_repeating_it(address: str) -> None:
    with pytest.raises(ConfigurationError, match="tokens") as error:
        CatalogAccess(credential="a:b", token_address=address)
    assert "pass-word" not in repr(error.value) + str(error.value)


def test_a_token_and_a_credential_are_one_too_many() -> None:
    with pytest.raises(ConfigurationError, match="not both"):
        CatalogAccess(token="a", credential="b:c")
