"""What is asked of a lakehouse whose catalog or store doesn't answer, and what it must say then."""

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from support.sales import load, sale

from jangbu.kernel.errors import Unavailable
from jangbu.platform.lakehouse.ports import Lakehouse

MOST = 20.0
"""Seconds within which it must have been said."""

USES: dict[str, Callable[[Lakehouse], object]] = {
    "current": lambda lakehouse: lakehouse.current("sales"),
    "tables": lambda lakehouse: lakehouse.tables(),
    "find": lambda lakehouse: lakehouse.find_run("sales", "zero"),
    "append": lambda lakehouse: load(lakehouse, "one", sale("acme", "b1")),
    "collect": lambda lakehouse: lakehouse.collect("sales", retired=timedelta(0), orphaned=timedelta(0)),
}


def is_said(use: Callable[[], object], what: str) -> None:
    started = time.monotonic()
    with pytest.raises(Unavailable, match=what) as error:
        use()
    assert error.value.status == 503
    assert error.value.retry_after >= 1
    assert time.monotonic() - started < MOST
