"""Periodic jobs: each is sent once when its time has come, by whichever scheduler looks first."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, select, update

from jangbu.kernel.handlers import Job
from jangbu.platform.database.ports import Database, UnitOfWork
from jangbu.platform.database.schema import schedule


class Scheduler:
    """Any number may run at once. `tick` is to be called often; how often bounds how late a job is.

    Ticks that were missed become one. A job keeps its beat: one of every hour, first sent at 10:07, is sent at 11:07 however late
    the one before was. Where the clock is put back, a job waits for one period at most from then on.
    """

    def __init__(self, database: Database, jobs: Iterable[Job]) -> None:
        self._database = database
        self._jobs = tuple(jobs)

    def tick(self, now: datetime) -> tuple[str, ...]:
        """Send the commands of the jobs that are due at `now` (aware); their names."""
        with self._database.reading() as connection:
            if not self._waiting(connection, now):
                return ()
        with self._database.transaction() as work:
            # Another scheduler may have been here since.
            waiting = self._waiting(work.connection, now)
            return tuple(job.name for job, planned in waiting if self._send(work, job, planned, now))

    def _waiting(self, connection: Connection, now: datetime) -> list[tuple[Job, datetime | None]]:
        """Jobs that need something done: due ones, those never seen before, those whose time lies further ahead than one period."""
        planned = {row.job: row.next_at for row in connection.execute(select(schedule))}
        found = [(job, planned.get(job.name)) for job in self._jobs]
        return [(job, at) for job, at in found if at is None or at <= now or at > now + job.every]

    def _send(self, work: UnitOfWork, job: Job, planned: datetime | None, now: datetime) -> bool:
        """Whether the job's command was sent; its next time is set in any case."""
        is_due = planned is not None and planned <= now
        following = _following(planned, job.every, now) if planned is not None and is_due else now + job.every
        if planned is None:
            work.connection.execute(insert(schedule).values(job=job.name, next_at=following))
        else:
            change = update(schedule).where(schedule.c.job == job.name, schedule.c.next_at == planned)
            if work.connection.execute(change.values(next_at=following)).rowcount == 0:
                return False
        if is_due:
            work.send(job.command)
        return is_due


def _following(planned: datetime, every: timedelta, now: datetime) -> datetime:
    """The first beat after `now`."""
    return planned + ((now - planned) // every + 1) * every
