"""What a load is about to do, as it is kept in the database; and how a run gets its name."""

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from jangbu.insight.ingest.contracts import LoadMode
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.lakehouse.ports import TimeRange


@dataclass(frozen=True, slots=True)
class LoadKey:
    """What makes a load the same as another. `span` is a half-open range; `content` the hash of its rows; `keys` are a merge's."""

    data_source: str
    tenant: TenantId | None
    mode: LoadMode
    span: TimeRange | None
    content: str
    keys: tuple[str, ...] = ()

    def run(self, after: int = 0) -> str:
        """The run's name. `after` is the load that a replacement or a merge follows: A, then B, then A again are three runs."""
        start, end = span_texts(self.span)
        parts = (self.data_source, self.tenant or "", self.mode, start or "", end or "", self.content, str(after), *self.keys)
        return sha256("\0".join(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Intent:
    """A commit that is about to happen, for one tenant. `attempt` is what this try is known by, in the lakehouse too: its commit,
    of one run or of several together, carries it as its marker."""

    key: LoadKey
    run: str
    attempt: str
    lakehouse_table: str
    rows: int
    as_of: datetime
    owner: str
    lease_ends_at: datetime
    started_at: datetime
    bad: int = 0
    repeated: int = 0


def span_texts(span: TimeRange | None) -> tuple[str | None, str | None]:
    """A range as texts that sort as its times do (UTC where they are aware)."""
    return (None, None) if span is None else (_text(span.start), _text(span.end))


def span_of(start: str | None, end: str | None) -> TimeRange | None:
    return TimeRange(datetime.fromisoformat(start), datetime.fromisoformat(end)) if start and end else None


def _text(moment: datetime) -> str:
    return (moment.astimezone(UTC) if moment.tzinfo else moment).isoformat(timespec="microseconds")
