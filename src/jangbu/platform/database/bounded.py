"""Connections to PostgreSQL that wait for no answer for ever: a server may stand still with its connections open, and its own
time-outs are no help then."""

from typing import Any

import psycopg

from jangbu.platform.database.server import Silent


class _Silent(psycopg.OperationalError, Silent):
    """A server that accepts and doesn't answer: it stands still, or the way to it is cut."""


class BoundedConnection(psycopg.Connection[Any]):
    """Gives up what takes longer than `limit` seconds, a commit too, and with it the connection."""

    limit: float | None = None

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return super().wait(gen, interval, self.limit if timeout is None else timeout)
        except psycopg.errors._WaitTimeout as error:
            self.pgconn.finish()
            raise _Silent("it doesn't answer") from error
