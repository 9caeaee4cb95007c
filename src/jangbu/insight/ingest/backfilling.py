"""Backfills: large ranges of a tenant's rows (or of shared ones), from Parquet files that others wrote, put in by an engine.

They are loads as any other: an intent, the commit with the attempt's marker, one unit of work; and done once.
"""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final
from uuid import uuid4

from jangbu.insight.catalog.contracts import DataSource
from jangbu.insight.ingest.attempts import Attempts
from jangbu.insight.ingest.commits import Commits
from jangbu.insight.ingest.contracts import LoadMode, LoadResult
from jangbu.insight.ingest.loading import Loader, LoadOrder
from jangbu.insight.ingest.packages import Needless, Package, Share
from jangbu.kernel.clock import Clock
from jangbu.kernel.errors import Conflict, Unavailable
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.database.ports import Database
from jangbu.platform.lakehouse.maintenance import Alike, Backfill, Maintainer
from jangbu.platform.lakehouse.ports import Lakehouse, TimeRange, Within
from jangbu.platform.telemetry.tracing import span as traced

TRIES: Final = 3
"""How often the engine puts the rows in anew where the partitions were changed meanwhile."""


class Backfills:
    def __init__(self, database: Database, lakehouse: Lakehouse, clock: Clock, loader: Loader, commits: Commits) -> None:
        self._lakehouse, self._loader, self._commits = lakehouse, loader, commits
        self._attempts = Attempts(database, clock)

    def run(
        self,
        source: DataSource,
        files: Sequence[str],
        *,
        by: Maintainer,
        tenant: TenantId | None,
        mode: LoadMode,
        keys: Sequence[str] = (),
        span: TimeRange | None = None,
        as_of: datetime | None = None,
        content: str | None = None,
    ) -> LoadResult:
        """Load the rows of the files, which have the data source's columns without the tenant's: beside all (APPEND), in the place
        of those within the span (REPLACE), or of those that agree with one in `keys` (MERGE).

        The same backfill again changes nothing, as with `Ingest.load`; which is the same is told by `content`, or by the files'
        places, sizes and times of change.

        Raises:
            LoadError: the files don't fit the data source, lack a key or name one twice, or hold rows outside the span. Nothing is
                left behind.
            Unavailable: the engine is away, or others kept changing the same partitions.
        """
        files = tuple(dict.fromkeys(files))
        order = self._loader.order(source, tenant, mode, span, as_of, content or self._content(files), keys)
        if (done := self._loader.done(order)) is not None:
            return done
        with traced("backfill", table=order.spec.name, mode=mode.value), self._attempts.of(order.key, None, order.started_at):
            self._commits.make_table(order.spec, order.key.data_source)
            for _ in range(TRIES):
                try:
                    return self._filled(order, _what(order, files), by)
                except Conflict as error:
                    last = error
            raise Unavailable(f"Others keep changing what is put in: {last.detail}", retry_after=60) from last

    def _filled(self, order: LoadOrder, what: Backfill, by: Maintainer) -> LoadResult:
        staged = self._lakehouse.backfill(order.spec.name, what, f"staged-{uuid4().hex}", by)
        outcome = self._commits.commit(Package(staged, (Share(order.key, staged.rows, order.as_of, order.started_at),)))
        return (outcome.done if isinstance(outcome, Needless) else outcome)[0]

    def _content(self, files: Sequence[str]) -> str:
        told = self._lakehouse.told_of(files)
        return sha256("\0".join(f"{path}|{size}|{at.isoformat()}" for path, size, at in told).encode()).hexdigest()


def _what(order: LoadOrder, files: tuple[str, ...]) -> Backfill:
    tenant, span = order.key.tenant, order.key.span
    drop: Within | Alike | None = None
    match order.key.mode:
        case LoadMode.REPLACE:
            drop = Within(tenant, span)
        case LoadMode.MERGE:
            drop = Alike(tenant, order.key.keys)
    return Backfill(files, tenant, drop, span)
