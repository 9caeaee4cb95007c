"""API keys: a secret shown once, a principal carried, a revocation that holds."""

import re
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from jangbu.insight.access.cache import PrincipalCache
from jangbu.insight.access.facade import REVOKED_WITHIN, Access
from jangbu.kernel.clock import PinnedClock
from jangbu.kernel.errors import InvalidRequest, NotFound, Unauthenticated, UnknownName, WrongType
from jangbu.kernel.tenancy import Principal, TenantId
from jangbu.platform.database.sqlite import SqliteDatabase

NOON = datetime(2017, 3, 1, 12, tzinfo=UTC)


@dataclass
class Stopwatch:
    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    opened = SqliteDatabase(tmp_path / "jangbu.db")
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def stopwatch() -> Stopwatch:
    return Stopwatch()


@pytest.fixture
def access(database: SqliteDatabase, stopwatch: Stopwatch) -> Access:
    made = Access(database, PinnedClock(NOON), timer=stopwatch)
    for name in ("a", "b"):
        made.create_tenant(name, name, "UTC", "USD")
    return made


def test_a_secret_has_its_form_and_is_never_the_same(access: Access) -> None:
    secrets = {access.create_key("key", ["a"])[1].reveal() for _ in range(50)}
    assert len(secrets) == 50
    assert all(re.fullmatch(r"jb_[A-Za-z0-9_-]{43}", secret) for secret in secrets)


def test_a_secret_becomes_its_principal(access: Access) -> None:
    _, secret = access.create_key("analyst", ["b", "a", "b"], ["analyst", "admin"])
    expected = Principal((TenantId("b"), TenantId("a")), frozenset({"analyst", "admin"}), name="analyst")
    assert access.authenticate(secret) == access.authenticate(secret.reveal()) == expected


def test_only_the_hash_of_a_secret_is_stored(access: Access, tmp_path: Path) -> None:
    _, secret = access.create_key("key", ["a"])
    connection = sqlite3.connect(tmp_path / "jangbu.db")
    stored = connection.execute("SELECT * FROM api_keys").fetchone()
    connection.close()
    assert sha256(secret.reveal().encode()).hexdigest() in stored
    files = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert secret.reveal().encode() not in files


def test_a_secret_does_not_show(access: Access) -> None:
    key, secret = access.create_key("key", ["a"])
    tail = secret.reveal()[12:]
    shown = (repr(secret), str(secret), f"{secret}", f"{secret!r}", repr(key), repr({"secret": secret}))
    assert all(tail not in text for text in shown)


def test_a_key_in_a_list_shows_what_tells_it_apart(access: Access) -> None:
    key, secret = access.create_key("analyst", ["b", "a"], ["analyst"])
    assert access.keys() == (key,)
    assert secret.reveal().startswith(key.prefix)
    assert (key.name, key.tenants, key.roles, key.created_at, key.revoked_at) == ("analyst", ("b", "a"), ("analyst",), NOON, None)


def test_keys_come_in_pages(access: Access) -> None:
    made = {access.create_key(f"key {number}", ["a"])[0] for number in range(5)}
    pages = [access.keys(offset, 2) for offset in (0, 2, 4, 6)]
    assert [len(page) for page in pages] == [2, 2, 1, 0]
    assert {key for page in pages for key in page} == made


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "jb_",
        "jb_short",
        "sk_" + "a" * 43,
        "jb_" + "a" * 43,
        "jb_" + "한" * 43,
        "jb_" + "a" * 43 + "\n",
        "' OR 1=1 --",
        "jb_" + "a" * 10_000,
    ],
)
def test_what_is_no_key_is_refused_and_not_repeated(access: Access, wrong: str) -> None:
    access.create_key("key", ["a"])
    with pytest.raises(Unauthenticated) as caught:
        access.authenticate(wrong)
    said = f"{caught.value} {caught.value.problem()}"
    assert len(wrong) < 8 or wrong not in said


def test_a_key_one_character_off_is_refused(access: Access) -> None:
    _, secret = access.create_key("key", ["a"])
    text = secret.reveal()
    other = text[:-1] + ("A" if text[-1] != "A" else "B")
    with pytest.raises(Unauthenticated):
        access.authenticate(other)


def test_a_revoked_key_is_refused_at_once(access: Access) -> None:
    key, secret = access.create_key("key", ["a"])
    access.authenticate(secret)
    assert access.revoke_key(key.id).revoked_at == NOON
    with pytest.raises(Unauthenticated):
        access.authenticate(secret)


def test_revoking_again_changes_nothing(access: Access) -> None:
    key, _ = access.create_key("key", ["a"])
    assert access.revoke_key(key.id) == access.revoke_key(key.id) == access.keys()[0]


def test_other_keys_outlive_a_revocation(access: Access) -> None:
    (first, _), (_, second) = access.create_key("first", ["a"]), access.create_key("second", ["a"])
    access.revoke_key(first.id)
    assert access.authenticate(second).name == "second"


def test_another_process_refuses_a_revoked_key_soon(access: Access, database: SqliteDatabase, stopwatch: Stopwatch) -> None:
    elsewhere = Access(database, PinnedClock(NOON))
    key, secret = access.create_key("key", ["a"])
    access.authenticate(secret)
    elsewhere.revoke_key(key.id)
    stopwatch.seconds = REVOKED_WITHIN + 0.1
    with pytest.raises(Unauthenticated):
        access.authenticate(secret)


def test_a_second_request_costs_no_read_of_the_database(access: Access, stopwatch: Stopwatch) -> None:
    _, secret = access.create_key("key", ["a"])
    statements: list[str] = []

    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", count)
    try:
        access.authenticate(secret)
        assert statements
        statements.clear()
        stopwatch.seconds = REVOKED_WITHIN - 0.1
        access.authenticate(secret)
        assert statements == []
    finally:
        event.remove(Engine, "before_cursor_execute", count)


def test_an_unknown_key_to_revoke_is_not_found(access: Access) -> None:
    with pytest.raises(NotFound, match="'nope'"):
        access.revoke_key("nope")


def test_a_secret_given_for_an_id_is_not_repeated(access: Access) -> None:
    _, secret = access.create_key("key", ["a"])
    with pytest.raises(NotFound, match="secret, not a key's id") as caught:
        access.revoke_key(secret.reveal())
    assert secret.reveal() not in f"{caught.value} {caught.value.problem()}"


def test_a_key_needs_tenants_that_exist(access: Access) -> None:
    with pytest.raises(InvalidRequest, match="at least one tenant"):
        access.create_key("key", [])
    with pytest.raises(UnknownName) as caught:
        access.create_key("key", ["a", "c"])
    assert (caught.value.path, caught.value.known) == ("/tenants/1", ("a", "b"))
    assert access.keys() == ()


def test_a_role_has_its_form(access: Access) -> None:
    with pytest.raises(WrongType):
        access.create_key("key", ["a"], ["No Role"])


def test_the_cache_keeps_the_latest_used() -> None:
    cache = PrincipalCache(ttl=5, size=2, timer=Stopwatch())
    loads: list[str] = []

    def get(name: str) -> None:
        cache.get(name, lambda: (loads.append(name), Principal((), name=name))[1])

    for name in ("a", "b", "a", "c", "a", "b"):
        get(name)
    assert loads == ["a", "b", "c", "b"]
    assert len(cache) == 2


def test_a_principal_read_before_a_revocation_is_not_kept_after_it() -> None:
    cache = PrincipalCache(ttl=5, timer=Stopwatch())
    reading, revoked = threading.Event(), threading.Event()

    def slow() -> Principal:
        reading.set()
        revoked.wait(10)
        return Principal((), name="stale")

    thread = threading.Thread(target=cache.get, args=("hash", slow))
    thread.start()
    reading.wait(10)
    cache.clear()
    revoked.set()
    thread.join()
    assert cache.get("hash", lambda: Principal((), name="fresh")).name == "fresh"
