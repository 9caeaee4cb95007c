"""Work on many files at once."""

from collections.abc import Callable, Iterable
from concurrent.futures import wait
from typing import TypeVar

from pyiceberg.utils.concurrent import ExecutorFactory

Item = TypeVar("Item")
Result = TypeVar("Result")


def for_each(items: Iterable[Item], do: Callable[[Item], Result]) -> list[Result]:
    """What `do` returns for each item. Where one fails, the others have ended, too, before its error is raised: nothing is written
    any more when the caller cleans up. `do` itself may not come back here, as the threads are few."""
    executor = ExecutorFactory.get_or_create()
    futures = [executor.submit(do, item) for item in items]
    wait(futures)
    return [future.result() for future in futures]
