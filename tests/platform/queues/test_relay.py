"""What was committed reaches the queues in order, and once for as long as the queues remember; kills in between lose nothing."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Thread

import pytest
from queues_place import CloseShop, Place, ShopClosed, ShopOpened
from sqlalchemy import insert, select
from support.databases import ADAPTERS

from jangbu.kernel.errors import OutOfBounds
from jangbu.platform.database.schema import inbox
from jangbu.platform.queues.ports import Outgoing
from jangbu.platform.queues.relay import KEPT, Relay
from jangbu.platform.queues.sqlite import SqliteQueues

pytestmark = pytest.mark.parametrize("adapter", ADAPTERS, indirect=True)

CRASH = Path(__file__).with_name("relay_crash.py")


def received(place: Place) -> list[tuple[str, str, str]]:
    """(queue, name, shop) of all that is on the queues."""
    contents = [(message.queue, json.loads(message.body)) for message in place.receive()]
    return [(queue, content["name"], content["payload"]["shop"]) for queue, content in contents]


def test_events_and_commands_go_to_their_queues_in_order(place: Place) -> None:
    place.emit(ShopOpened("a"), ShopClosed("b"))
    place.send(CloseShop("c"))
    place.emit(ShopOpened("d"))
    assert place.relay.run() == 4
    assert place.relay.run() == 0
    assert received(place) == [
        ("events", "ShopOpened", "a"),
        ("events", "ShopClosed", "b"),
        ("events", "ShopOpened", "d"),
        ("commands", "CloseShop", "c"),
    ]


def test_what_was_not_committed_doesnt_leave(place: Place) -> None:
    with pytest.raises(ZeroDivisionError):
        _send_and_fail(place)
    assert place.relay.run() == 0


def _send_and_fail(place: Place) -> None:
    with place.database.transaction() as work:
        work.send(CloseShop("a"))
        raise ZeroDivisionError


def test_a_batch_is_taken_at_a_time(place: Place) -> None:
    place.emit(*(ShopOpened(str(number)) for number in range(5)))
    relay = Relay(place.database, place.queues, batch=2)
    assert [relay.run() for _ in range(4)] == [2, 2, 1, 0]
    assert [shop for _, _, shop in received(place)] == list("01234")


@pytest.mark.slow
@pytest.mark.parametrize("step", ["read", "half", "sent", "deleted"])
def test_a_kill_at_any_step_loses_and_repeats_nothing(place: Place, step: str) -> None:
    place.emit(ShopOpened("a"), ShopOpened("b"))
    place.send(CloseShop("c"))
    done = subprocess.run([sys.executable, str(CRASH), str(place.folder), step], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(place.waiting()) == (0 if step == "deleted" else 3)
    place.relay.run()
    assert place.waiting() == []
    assert [shop for _, _, shop in received(place)] == ["a", "b", "c"]


def test_several_relays_send_everything_once(place: Place) -> None:
    relays = [Relay(place.database, place.queues, batch=7) for _ in range(4)]
    start = Barrier(len(relays) + 1)

    def run(relay: Relay) -> None:
        start.wait()
        while relay.run():
            pass

    threads = [Thread(target=run, args=(relay,)) for relay in relays]
    for thread in threads:
        thread.start()
    place.emit(*(ShopOpened(f"{number:02}") for number in range(50)))
    start.wait()
    for thread in threads:
        thread.join()
    assert [shop for _, _, shop in received(place)] == [f"{number:02}" for number in range(50)]


class Narrow(SqliteQueues):
    """Takes short messages only."""

    def send(self, queue: str, messages: Sequence[Outgoing]) -> int:
        if any("long" in message.body for message in messages):
            raise OutOfBounds("It is too long.")
        return super().send(queue, messages)


def test_a_message_that_is_too_long_for_the_queue_stays_and_holds_up_none(place: Place, tmp_path: Path) -> None:
    relay = Relay(place.database, Narrow(tmp_path / "queues.db"), batch=3)
    shops = ["a", "long", "b", "long too", "longest", "longer", "c", "d"]
    place.emit(*map(ShopOpened, shops))
    place.send(CloseShop("e"))
    while relay.run():
        pass
    assert [shop for _, _, shop in received(place)] == ["a", "b", "c", "d", "e"]
    assert relay.lag(datetime.now(UTC))[0] == 4
    again = Relay(place.database, place.queues)
    assert again.run() == 4, "queues that take longer ones get them"
    assert [shop for _, _, shop in received(place)] == ["long", "long too", "longest", "longer"]


def test_the_lag_is_what_waits_and_for_how_long(place: Place) -> None:
    now = datetime.now(UTC)
    assert place.relay.lag(now) == (0, timedelta(0))
    place.emit(ShopOpened("a"), ShopOpened("b"))
    waiting, oldest = place.relay.lag(now + timedelta(hours=1))
    assert waiting == 2
    assert timedelta(minutes=59) < oldest <= timedelta(hours=1)
    assert place.relay.lag(now - timedelta(hours=1)) == (2, timedelta(0))


def test_what_was_done_long_ago_is_forgotten(place: Place) -> None:
    now = datetime.now(UTC)
    with place.database.transaction() as work:
        for message, age in (("old", KEPT + timedelta(days=1)), ("new", timedelta(days=1))):
            work.connection.execute(insert(inbox).values(handler="one", message=message, done_at=now - age))
    assert place.relay.prune() == 1
    with place.database.reading() as connection:
        assert connection.execute(select(inbox.c.message)).scalars().all() == ["new"]
