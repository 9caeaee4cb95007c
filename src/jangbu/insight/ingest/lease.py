"""A lease that is renewed for as long as its work goes on, so that a short one is enough and a dead owner is soon known."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from jangbu.insight.ingest import repository
from jangbu.kernel.errors import Unavailable
from jangbu.platform.database.ports import Database

LEASE: Final = timedelta(seconds=60)
"""How long an intent is its owner's after the last sign of life."""

_RENEWALS: Final = 4
"""Renewals a lease, so that a few may fail."""


@contextmanager
def kept(database: Database, attempt: str, lease: timedelta = LEASE) -> Iterator[None]:
    """Renew the attempt's lease until the block ends."""
    ended = threading.Event()
    thread = threading.Thread(target=_renew, args=(database, attempt, lease, ended), name=f"lease-{attempt[:8]}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _renew(database: Database, attempt: str, lease: timedelta, ended: threading.Event) -> None:
    while not ended.wait(lease.total_seconds() / _RENEWALS):
        try:
            with database.transaction() as work:
                repository.renew_lease(work.connection, attempt, work.now + lease)
        except Unavailable:
            continue  # the next try comes well before the lease ends
