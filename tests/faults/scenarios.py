"""What is killed: each scenario is a change of a small place, and what the place holds before and after it.

Two tenants share a bucket, and with it files; a third is elsewhere. Every scenario can be done again after a crash, as its caller
would.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import select

from jangbu.insight.catalog.contracts import Binding, Column, Currency, DataSource, Separation, SeparationKind, Text, TimeField
from jangbu.insight.ingest.contracts import BadRow, LoadMode, QuarantineState
from jangbu.insight.ingest.facade import Delivery, Ingest, UpkeepRules
from jangbu.kernel.clock import SystemClock
from jangbu.kernel.tenancy import TenantId
from jangbu.kernel.types import FieldType
from jangbu.platform.database.schema import outbox
from jangbu.platform.database.sqlite import SqliteDatabase
from jangbu.platform.lakehouse.iceberg import open_lakehouse
from jangbu.platform.lakehouse.ports import TimeRange

SHOP, TWIN, OTHER = TenantId("shop"), TenantId("t11"), TenantId("elsewhere")
"""`SHOP` and `TWIN` are of one bucket (a test holds it)."""

TENANTS = (SHOP, TWIN, OTHER)
Row = tuple[str, str]
"""Product and price."""

_WORDS = Text("", "")


def source(*more: str) -> DataSource:
    """Sales, perhaps with more columns of text."""
    types = {"tenant": FieldType.TEXT, "product": FieldType.TEXT, "price": FieldType.DECIMAL, "sold_at": FieldType.INSTANT}
    columns = types | dict.fromkeys(more, FieldType.TEXT)
    return DataSource(
        name="sales",
        label=_WORDS,
        description=_WORDS,
        binding=Binding("sales"),
        separation=Separation(SeparationKind.COLUMN, "tenant"),
        columns={name: Column(name, type_) for name, type_ in columns.items()},
        time_fields={"sold_at": TimeField("sold_at", "sold_at", FieldType.INSTANT, _WORDS)},
        default_time_field="sold_at",
        currency=Currency(),
        relations={},
        dimensions={},
        measures={},
    )


SALES = source()


def day(number: int) -> datetime:
    return datetime(2017, 3, number, 9, 30, tzinfo=UTC)


def sales(*rows: Row) -> pa.Table:
    """The n-th row is sold on the n-th day."""
    return pa.table(
        {
            "product": pa.array([name for name, _ in rows], pa.string()),
            "price": pa.array([Decimal(price) for _, price in rows], pa.decimal128(18, 4)),
            "sold_at": pa.array([day(number) for number in range(1, len(rows) + 1)], pa.timestamp("us", "UTC")),
        }
    )


@dataclass
class Place:
    """A database and a lakehouse in a folder."""

    folder: Path
    clock: Any = field(default_factory=SystemClock)
    rules: UpkeepRules = field(default_factory=UpkeepRules)

    def __post_init__(self) -> None:
        self.database = SqliteDatabase(self.folder / "jangbu.db")
        self.database.migrate()
        self.lakehouse = open_lakehouse(warehouse=self.folder / "lakehouse")
        self.ingest = Ingest(self.database, self.lakehouse, self.clock, self.rules)

    def rows(self) -> dict[str, list[Row]]:
        """Every tenant's rows, as the files hold them."""
        found: dict[str, list[Row]] = {tenant: [] for tenant in TENANTS}
        for file in self.lakehouse.files(self.lakehouse.current("sales"), None, None).files:
            for row in pq.ParquetFile(file.path).read().to_pylist():
                found[row["tenant"]].append((row["product"], f"{row['price'].normalize():f}"))
        return {tenant: sorted(rows) for tenant, rows in found.items()}

    def events(self) -> list[tuple[str, int]]:
        with self.database.reading() as connection:
            found = connection.execute(select(outbox.c.payload).where(outbox.c.name == "TenantDataUpdated").order_by(outbox.c.id))
            return [(payload["tenant"], payload["version"]) for payload in found.scalars()]

    def waiting(self) -> list[int]:
        kept = self.ingest.quarantined(TENANTS, state=QuarantineState.WAITING, limit=1000)
        return sorted(each.row.number for each in kept)

    def close(self) -> None:
        self.lakehouse.close()
        self.database.close()


def converter(known: dict[str, str]) -> Any:
    """Sets rows aside whose product is in capitals, unless it is known how they are written."""

    def convert(batch: pa.RecordBatch, _columns: Sequence[Any], first_row: int) -> tuple[pa.RecordBatch, list[BadRow]]:
        rows = [row | {"product": known.get(row["product"], row["product"])} for row in batch.to_pylist()]
        bad = [
            BadRow(number, "product", "in_capitals", row["product"], {"product": row["product"], "price": str(row["price"])})
            for number, row in enumerate(rows, first_row)
            if row["product"].isupper()
        ]
        good = [row for row in rows if not row["product"].isupper()]
        prices = [Decimal(row["price"]) for row in good]
        made = sales(*((row["product"], str(price)) for row, price in zip(good, prices, strict=True)))
        return made.combine_chunks().to_batches()[0] if good else pa.RecordBatch.from_pylist([], schema=made.schema), bad

    return convert


def load(place: Place, tenant: TenantId, rows: Sequence[Row], mode: LoadMode = LoadMode.APPEND, **more: Any) -> None:
    place.ingest.load(more.pop("source", SALES), tenant=tenant, batches=more.pop("batches", sales(*rows)), mode=mode, **more)


def fill(place: Place) -> None:
    """The beginning of every scenario: each tenant has three rows, in files that `SHOP` and `TWIN` share, some in small files; a
    load has set two rows aside, and rows are spooled."""
    first = [Delivery(tenant, lambda: sales(("a", "1"), ("b", "2")), f"first of {tenant}") for tenant in TENANTS]
    place.ingest.load_many(SALES, first, mode=LoadMode.APPEND)
    for tenant in TENANTS:
        load(place, tenant, [("c", "3")])
    load(place, SHOP, [("d", "4"), ("E", "5"), ("F", "6")], converter=converter({}), content="with bad rows")
    spooled = [{"tenant": tenant, "product": "s", "price": Decimal(9), "sold_at": day(9)} for tenant in (SHOP, OTHER)]
    place.ingest.spool(SALES, spooled)


BEFORE: dict[str, list[Row]] = {
    SHOP: [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")],
    TWIN: [("a", "1"), ("b", "2"), ("c", "3")],
    OTHER: [("a", "1"), ("b", "2"), ("c", "3")],
}


@dataclass(frozen=True)
class Scenario:
    """`does` is what is killed, and done again. `after`: the rows then, where they change; `waiting`: numbers of the rows set
    aside. `first` happens before, unkilled."""

    does: Callable[[Place], None]
    after: dict[str, list[Row]] = field(default_factory=dict)
    waiting: tuple[int, ...] = (2, 3)
    first: Callable[[Place], None] = lambda _: None
    changes_versions: bool = True

    @property
    def wanted(self) -> dict[str, list[Row]]:
        return BEFORE | self.after


MARCH = TimeRange(datetime(2017, 3, 1, tzinfo=UTC), datetime(2017, 3, 2, tzinfo=UTC))
NEW = [("n", "7"), ("o", "8")]


def _many(mode: LoadMode, keys: tuple[str, ...] = ()) -> Callable[[Place], None]:
    def does(place: Place) -> None:
        deliveries = [Delivery(tenant, lambda: sales(("b", "0"), ("n", "7")), f"many {mode} {tenant}") for tenant in TENANTS]
        place.ingest.load_many(SALES, deliveries, mode=mode, keys=keys)

    return does


def ignoring(_: object) -> None:
    """What a lambda's call returned is no matter."""


def _replay(place: Place) -> None:
    run = next(each.run for each in place.ingest.loads([SHOP]) if each.bad)
    place.ingest.replay(SALES, run, tenant=SHOP, converter=converter({"E": "e"}))


def _evolve(place: Place) -> None:
    rows = sales(*NEW).append_column("store", pa.array(["x", "y"]))
    load(place, SHOP, (), source=source("store"), batches=rows)


def _bad(place: Place) -> None:
    load(place, TWIN, [("n", "7"), ("O", "8")], converter=converter({}), content="more bad rows")


def _compact(place: Place) -> None:
    place.lakehouse.compact("sales", whole=True)


def _expire(place: Place) -> None:
    place.lakehouse.expire("sales", keep=1, runs=lambda: place.ingest._open_runs("sales"))


def _collect(place: Place) -> None:
    place.lakehouse.collect("sales", retired=timedelta(0), orphaned=timedelta(0))


def _upkeep(place: Place) -> None:
    place.ingest.upkeep.run("sales", whole=True, remove=True)


def _leave_open(happened: bool) -> Callable[[Place], None]:
    """A load whose process can't tell what became of its commit."""

    def first(place: Place) -> None:
        real = place.lakehouse

        class Lost:
            def __getattr__(self, name: str) -> Any:
                return getattr(real, name)

            def commit(self, *arguments: Any) -> None:
                if happened:
                    real.commit(*arguments)
                raise OSError("gone")

            def find_run(self, *_: Any) -> None:
                raise OSError("gone")

        broken = Ingest(place.database, Lost(), place.clock)  # type: ignore[arg-type]
        try:
            broken.load(SALES, tenant=SHOP, batches=sales(*NEW), mode=LoadMode.APPEND)
        except OSError:
            return

    return first


def _recover(place: Place) -> None:
    place.ingest.recover(place.clock.now() + timedelta(hours=1))
    load(place, SHOP, NEW)


def _times_three(rows: list[Row]) -> list[Row]:
    return sorted([*rows, ("b", "0"), ("n", "7")])


def _merged(rows: list[Row]) -> list[Row]:
    return sorted([*(row for row in rows if row[0] != "b"), ("b", "0"), ("n", "7")])


SCENARIOS: dict[str, Scenario] = {
    "append": Scenario(lambda place: load(place, SHOP, NEW), {SHOP: sorted([*BEFORE[SHOP], *NEW])}),
    "append_with_bad_rows": Scenario(_bad, {TWIN: sorted([*BEFORE[TWIN], ("n", "7")])}, (2, 2, 3)),
    "replace_a_range": Scenario(
        lambda place: load(place, SHOP, [("n", "7")], LoadMode.REPLACE, span=MARCH), {SHOP: [("b", "2"), ("n", "7")]}, (2, 3)
    ),
    "replace_all": Scenario(lambda place: load(place, SHOP, NEW, LoadMode.REPLACE), {SHOP: sorted(NEW)}, ()),
    "merge": Scenario(
        lambda place: load(place, SHOP, [("b", "0"), ("n", "7")], LoadMode.MERGE, keys=("product",)), {SHOP: _merged(BEFORE[SHOP])}
    ),
    "many_append": Scenario(_many(LoadMode.APPEND), {tenant: _times_three(BEFORE[tenant]) for tenant in TENANTS}),
    "many_replace": Scenario(_many(LoadMode.REPLACE), {tenant: [("b", "0"), ("n", "7")] for tenant in TENANTS}, ()),
    "many_merge": Scenario(_many(LoadMode.MERGE, ("product",)), {tenant: _merged(BEFORE[tenant]) for tenant in TENANTS}),
    "flush": Scenario(
        lambda place: ignoring(place.ingest.flush_spool(SALES)),
        {tenant: sorted([*BEFORE[tenant], ("s", "9")]) for tenant in (SHOP, OTHER)},
    ),
    "replay": Scenario(_replay, {SHOP: sorted([*BEFORE[SHOP], ("e", "5")])}, (3,)),
    "evolve": Scenario(_evolve, {SHOP: sorted([*BEFORE[SHOP], *NEW])}),
    "recover_what_happened": Scenario(_recover, {SHOP: sorted([*BEFORE[SHOP], *NEW])}, first=_leave_open(True)),
    "recover_what_did_not": Scenario(_recover, {SHOP: sorted([*BEFORE[SHOP], *NEW])}, first=_leave_open(False)),
    "compact": Scenario(_compact, changes_versions=False),
    "expire": Scenario(_expire, first=_compact, changes_versions=False),
    "collect": Scenario(_collect, first=lambda place: ignoring((_compact(place), _expire(place))), changes_versions=False),
    "upkeep": Scenario(_upkeep, changes_versions=False),
}
