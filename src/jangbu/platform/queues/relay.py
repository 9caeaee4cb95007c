"""From the outbox to the queues: in order, at least once.

Rows are put on their queue, and deleted only then. A relay that dies between the two, or that others overtake, sends rows again; a
message's id is the same each time, so the queue takes it once for as long as it remembers ids, and the inbox tells after that.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final

import structlog
from sqlalchemy import Row, delete, func, select

from jangbu.kernel.errors import OutOfBounds
from jangbu.platform.database.ports import Database
from jangbu.platform.database.schema import inbox, outbox
from jangbu.platform.queues.envelope import COMMANDS, EVENTS, Envelope
from jangbu.platform.queues.ports import Outgoing, Queues

_QUEUE_OF: Final = {"event": EVENTS, "command": COMMANDS}
KEPT: Final = timedelta(days=30)
"""How long the inbox knows what was done."""
_log = structlog.get_logger(__name__)


class Relay:
    """Any number may run at once. A message that the queue can't hold, as it is too long, stays in the outbox and holds up none."""

    def __init__(self, database: Database, queues: Queues, *, batch: int = 100) -> None:
        self._database, self._queues, self._batch = database, queues, batch
        self._refused: set[int] = set()

    def run(self) -> int:
        """Take a batch of rows to their queues; how many. 0: the outbox has none that can be sent."""
        rows = self._rows()
        sent = [row for kind, some in groupby(rows, key=lambda row: row.kind) for row in self._sent(_QUEUE_OF[kind], list(some))]
        if sent:
            with self._database.transaction() as work:
                work.connection.execute(delete(outbox).where(outbox.c.id.in_([row.id for row in sent])))
        return len(rows)

    def lag(self, now: datetime) -> tuple[int, timedelta]:
        """How many rows wait in the outbox, and for how long the oldest has."""
        with self._database.reading() as connection:
            query = select(func.count(), func.min(outbox.c.created_at, type_=outbox.c.created_at.type))
            waiting, oldest = connection.execute(query.select_from(outbox)).one()
        return waiting, max(timedelta(0), now - oldest) if oldest else timedelta(0)

    def prune(self) -> int:
        """Forget what was done longer than `KEPT` ago; how many notes. A message doesn't come again after so long."""
        with self._database.transaction() as work:
            return work.connection.execute(delete(inbox).where(inbox.c.done_at < work.now - KEPT)).rowcount

    def _rows(self) -> list[Row[Any]]:
        with self._database.reading() as connection:
            waiting = select(outbox).where(outbox.c.id.not_in(self._refused))
            return list(connection.execute(waiting.order_by(outbox.c.id).limit(self._batch)))

    def _sent(self, queue: str, rows: Sequence[Row[Any]]) -> Iterator[Row[Any]]:
        """Put rows on a queue, together or else each by itself; those that it took."""
        try:
            self._queues.send(queue, [_outgoing(row) for row in rows])
        except OutOfBounds as error:
            if len(rows) > 1:
                for row in rows:
                    yield from self._sent(queue, [row])
            else:
                self._refused.add(rows[0].id)
                _log.error("message refused", message=rows[0].message, name=rows[0].name, queue=queue, reason=str(error))
        else:
            yield from rows


def _outgoing(row: Row[Any]) -> Outgoing:
    return Outgoing(row.message, Envelope(row.name, row.schema_version, row.payload, trace=row.trace).body())
