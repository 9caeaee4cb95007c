"""What lies outside the lakehouse, as questions see it: looked at now and then, and each state under a version of its own."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeAlias

from jangbu.insight.catalog.contracts import Column, DataSource, Outside
from jangbu.insight.catalog.facade import table_of
from jangbu.insight.ingest.contracts import DataVersion
from jangbu.insight.ingest.facade import Ingest
from jangbu.kernel.clock import Clock, SystemClock
from jangbu.kernel.errors import JangbuError, Unavailable
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.lakehouse.ports import TableFiles, TimeRange
from jangbu.platform.outside.folders import Folders

if TYPE_CHECKING:
    from collections.abc import Callable

    from jangbu.platform.outside.ports import Look, OutsideTable

_PATIENCE: Final = 20.0
"""Seconds that a question waits for another one's look."""

_Key: TypeAlias = tuple[str, Outside, str | None, str | None, tuple[Column, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One state of a table outside. `checked_at` is when it was last looked at, `check_every` after how many seconds it will be
    again."""

    table: "OutsideTable"
    look: "Look"
    version: DataVersion
    checked_at: datetime
    check_every: int


class _Place:
    """A table, and what was last seen of it: at `looked_at`, by the timer."""

    def __init__(self, table: "OutsideTable") -> None:
        self.table = table
        self.lock = Lock()
        self.seen: Seen | None = None
        self.looked_at = 0.0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Raises Unavailable where somebody else looks for too long."""
        if not self.lock.acquire(timeout=_PATIENCE):
            raise Unavailable("What lies outside is being looked at for too long.", retry_after=5)
        try:
            yield
        finally:
            self.lock.release()


class OutsideTables:
    """The tables outside that data sources are bound to, which must lie below `folders`. `timer` counts seconds."""

    def __init__(
        self, ingest: Ingest, folders: Iterable[Path] = (), clock: Clock | None = None, timer: "Callable[[], float]" = monotonic
    ) -> None:
        self._ingest, self._folders = ingest, Folders(folders)
        self._clock, self._timer = clock or SystemClock(), timer
        self._places: dict[_Key, _Place] = {}
        self._lock = Lock()

    def see(self, source: DataSource) -> Seen:
        """The state that a question is to read: the last one seen, or the present one where that was seen too long ago.

        Raises:
            ConfigurationError: it isn't below the folders.
            Unavailable: it isn't there, is being written, or is broken.
        """
        place = self._place(source)
        with place.held():
            every = _outside(source).check_every
            if place.seen is None or self._timer() - place.looked_at >= every:
                self._look(place, source)
            if place.seen is None:
                raise AssertionError("unreachable")
            return place.seen

    def files(self, seen: Seen, source: DataSource, tenants: tuple[TenantId, ...] | None, span: TimeRange | None) -> TableFiles:
        """As `OutsideTable.files`; where what was seen is gone, the next question looks again."""
        try:
            return seen.table.files(seen.look, tenants, span)
        except Unavailable:
            self.forget(source)
            raise

    def has_moved(self, seen: Seen, source: DataSource, *, failed: bool) -> bool:
        """Whether what was read isn't what was seen, or, where reading has `failed`, whether there is something else to see by now.
        Then the next question looks again."""
        try:
            moved = not seen.table.stands(seen.look) or (failed and seen.table.look().fingerprint != seen.look.fingerprint)
        except JangbuError:
            moved = True
        if moved:
            self.forget(source)
        return moved

    def forget(self, source: DataSource) -> None:
        place = self._place(source)
        with place.held():
            place.seen = None

    def _look(self, place: _Place, source: DataSource) -> None:
        now, outside, before = self._timer(), _outside(source), place.seen
        place.seen = None
        look = place.table.look()
        if before is not None and before.look.fingerprint == look.fingerprint:
            version = before.version
        else:
            version = self._ingest.outside_version(source.name, _hash(outside), look.fingerprint, look.as_of)
        place.seen = Seen(place.table, look, version, self._clock.now(), outside.check_every)
        place.looked_at = now

    def _place(self, source: DataSource) -> _Place:
        columns = tuple(source.columns.values())
        key = (source.name, _outside(source), source.separation.column, source.default_time_field, columns)
        with self._lock:
            if key not in self._places:
                self._places[key] = _Place(table_of(source, self._folders))
            return self._places[key]


def _outside(source: DataSource) -> Outside:
    if source.binding.outside is None:
        raise ValueError(f"{source.name!r} is bound to the lakehouse.")
    return source.binding.outside


def _hash(outside: Outside) -> str:
    """Where it is, not how often it is looked at."""
    parts = (outside.parquet, outside.metadata, outside.catalog, outside.table)
    return sha256(repr(parts).encode()).hexdigest()
