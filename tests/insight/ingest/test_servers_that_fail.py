"""Loads go on while the database's server is killed, frozen and started again: each is there once, whatever was told is right, and
all goes on by itself within half a minute."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ingest_place import SALES, LakehouseWith, Place, day, sales
from services.plugin import GetService
from services.running import Running
from sqlalchemy import select
from support.database_at import database_at
from support.databases import prepared

from jangbu.insight.ingest.contracts import LoadMode
from jangbu.insight.ingest.facade import Ingest
from jangbu.insight.ingest.tables import load_intents, loads
from jangbu.kernel.errors import Unavailable
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.database.ports import UnitOfWork

SERVERS = [
    pytest.param("postgres", marks=pytest.mark.services("postgres", own=True)),
    pytest.param("mariadb", marks=pytest.mark.services("mariadb", own=True)),
]
pytestmark = [pytest.mark.slow, pytest.mark.parametrize("kind", SERVERS)]
SHOPS = [TenantId(f"shop-{number}") for number in range(3)]
WITHIN = 30.0
"""Seconds from a server's return until all works again."""


@pytest.fixture
def server(own_service: GetService, kind: str) -> Running:
    return own_service(kind)


@pytest.fixture
def place(server: Running, kind: str, tmp_path: Path) -> Iterator[Place]:
    with prepared(kind, server, tmp_path) as folder:
        made = Place(folder)
        made.database.close()
        made.database = database_at(folder, patience=3.0)
        made.ingest = Ingest(made.database, made.lakehouse, made.clock)
        yield made
        made.close()


class Loader:
    """Loads rows for a shop, one load after the other, each again and again until it is told that it is there."""

    def __init__(self, place: Place, shop: TenantId) -> None:
        self._ingest, self._shop = place.ingest, shop
        self.done: list[str] = []
        self.refused = 0
        self.wrong: list[Exception] = []
        self.longest = 0.0
        self._end = threading.Event()
        self.thread = threading.Thread(target=self._run, name=shop)
        self.thread.start()

    def _run(self) -> None:
        number = 0
        while not self._end.is_set():
            number += 1
            self._until_there(f"{self._shop} {number}")

    def _until_there(self, product: str) -> None:
        while not self.wrong:
            began = time.monotonic()
            try:
                self._ingest.load(SALES, tenant=self._shop, batches=sales((product, "1", day(1))), mode=LoadMode.APPEND)
            except Unavailable:
                self.refused += 1
                time.sleep(0.1)
            except Exception as error:  # noqa: BLE001 - whatever it is, it isn't a clean answer
                self.wrong.append(error)
            else:
                self.done.append(product)
                return
            finally:
                self.longest = max(self.longest, time.monotonic() - began)

    def stop(self) -> None:
        self._end.set()
        self.thread.join(60)
        assert not self.thread.is_alive()


@contextmanager
def loading(place: Place) -> Iterator[list[Loader]]:
    loaders = [Loader(place, shop) for shop in SHOPS]
    try:
        yield loaders
    finally:
        for each in loaders:
            each.stop()


def goes_on(loaders: list[Loader], within: float = WITHIN) -> None:
    """Every loader gets another load done."""
    before, ends = [len(each.done) for each in loaders], time.monotonic() + within
    while any(len(each.done) <= count for each, count in zip(loaders, before, strict=True)):
        assert not [error for each in loaders for error in each.wrong]
        assert time.monotonic() < ends, [(each.refused, len(each.done), count) for each, count in zip(loaders, before, strict=True)]
        time.sleep(0.05)


def killed(server: Running) -> None:
    server.kill()
    time.sleep(1)
    server.restart()


def frozen(server: Running) -> None:
    server.freeze()
    time.sleep(12)
    server.thaw()


def restarted(server: Running) -> None:
    server.restart()


@pytest.mark.parametrize("harm", [killed, frozen, restarted])
@pytest.mark.timeout(240)
def test_loads_go_on_when_the_server_is_back(place: Place, server: Running, harm: Callable[[Running], None]) -> None:
    with loading(place) as loaders:
        goes_on(loaders)
        for _ in range(2):
            harm(server)
            goes_on(loaders)
    assert not [error for each in loaders for error in each.wrong]
    assert max(each.longest for each in loaders) < WITHIN
    place.ingest.recover()
    for each, shop in zip(loaders, SHOPS, strict=True):
        assert place.products(shop) == sorted(each.done)
        assert place.version(tenant=shop) == len(each.done)
        versions = [payload["version"] for _, payload in place.events() if payload["tenant"] == shop]
        assert versions == list(range(1, len(each.done) + 1))
    with place.database.reading() as connection:
        assert connection.execute(select(load_intents)).all() == []
        assert len(set(connection.execute(select(loads.c.run)).scalars())) == sum(len(each.done) for each in loaders)


def test_intents_whose_commit_has_lost_its_answer_hold_up_nobody(place: Place, server: Running) -> None:
    """They are there, though their process was told nothing: it drops them itself, before their lease ends."""
    real, lost = place.database.transaction, []

    @contextmanager
    def deaf() -> Iterator[UnitOfWork]:
        with real() as work:
            yield work
        if not lost:
            lost.append(True)
            raise Unavailable("The database's answer to a commit was lost.")

    place.database.transaction = deaf  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        place.ingest.load(SALES, tenant=SHOPS[0], batches=sales(("a", "1", day(1))), mode=LoadMode.APPEND)
    assert place.ingest.has_open_intent([SHOPS[0]], ["sales"])
    began = time.monotonic()
    place.ingest.load(SALES, tenant=SHOPS[0], batches=sales(("a", "1", day(1))), mode=LoadMode.APPEND)
    assert time.monotonic() - began < 10
    assert place.products(SHOPS[0]) == ["a"]
    assert place.version(tenant=SHOPS[0]) == 1


def test_a_load_that_could_not_be_written_down_is_finished_by_the_next(place: Place, server: Running) -> None:
    def commit(*arguments: object) -> None:
        place.lakehouse.commit(*arguments)  # type: ignore[arg-type]
        server.kill()

    ingest = Ingest(place.database, LakehouseWith(place.lakehouse, commit=commit), place.clock)  # type: ignore[arg-type]  # a stand-in
    with pytest.raises(Unavailable):
        ingest.load(SALES, tenant=SHOPS[0], batches=sales(("a", "1", day(1))), mode=LoadMode.APPEND)
    server.restart()
    began = time.monotonic()
    again = ingest.load(SALES, tenant=SHOPS[0], batches=sales(("a", "1", day(1))), mode=LoadMode.APPEND)
    assert time.monotonic() - began < WITHIN
    assert not again.changed
    assert place.products(SHOPS[0]) == ["a"]
