"""Tenants and customers erased: nothing of them is left in any file, and nothing of others is lost."""

import json
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from hashlib import scrypt, sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pytest
from ingest_place import SALES, LakehouseWith, Place, data_source, day, sales
from sqlalchemy import select
from support.databases import ADAPTERS
from support.traces import traces

from jangbu.insight.access.contracts import TenantState
from jangbu.insight.access.facade import Access
from jangbu.insight.catalog.contracts import Personal
from jangbu.insight.ingest.contracts import BadRow, Erasure, LoadMode, Person
from jangbu.insight.ingest.facade import Ingest
from jangbu.insight.ingest.tables import erasures
from jangbu.kernel.clock import SystemClock
from jangbu.kernel.errors import Forbidden, LoadError, NotFound, Unavailable, UnknownName
from jangbu.kernel.tenancy import TenantId
from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.ports import Within

pytestmark = pytest.mark.parametrize("adapter", ADAPTERS, indirect=True)

GONE, STAYS = TenantId("gone-shop"), TenantId("stay-shop-53")
"""Two tenants of one bucket, so that they meet in files."""
CRASH = Path(__file__).with_name("crash_erasing.py")
MARK = "zzmarkerqz"
"""A text that is nowhere else."""
VISITS = replace(
    data_source(
        "visits",
        {
            "tenant": FieldType.TEXT,
            "member": FieldType.TEXT,
            "age": FieldType.TEXT,
            "spent": FieldType.DECIMAL,
            "came_at": FieldType.INSTANT,
        },
        time="came_at",
    ),
    personal=MappingProxyType({"member": Personal("member", ("age",))}),
)
LOG = data_source("log", {"tenant": FieldType.TEXT, "said": FieldType.TEXT, "told_at": FieldType.INSTANT}, time="told_at")
SOURCES = (SALES, VISITS, LOG)


@pytest.fixture
def access(place: Place) -> Access:
    found = Access(place.database, SystemClock())
    for tenant, name in ((GONE, f"{MARK} name"), (STAYS, "Stay")):
        found.create_tenant(tenant, name, "Asia/Seoul", "KRW")
        found.create_key(f"{MARK} key" if tenant == GONE else "key", [tenant])
    found.create_key("both", [GONE, STAYS])
    return found


def visits(*rows: tuple[str | None, str, str]) -> pa.Table:
    """Rows of (member, age, spent)."""
    return pa.table(
        {
            "member": pa.array([row[0] for row in rows], pa.string()),
            "age": pa.array([row[1] for row in rows], pa.string()),
            "spent": pa.array([Decimal(row[2]) for row in rows], pa.decimal128(18, 4)),
            "came_at": pa.array([day(1 + at) for at in range(len(rows))], pa.timestamp("us", tz="UTC")),
        }
    )


def refused(batch: pa.RecordBatch, columns: Any, first_row: int) -> tuple[pa.RecordBatch, list[BadRow]]:
    """A converter that sets the first row aside."""
    payload = {"member": batch.column("member")[0].as_py(), "age": "9", "spent": "?"}
    return batch.slice(1), [BadRow(first_row, "spent", "not_a_number", "?", payload)]


def fill(place: Place) -> None:
    """Both tenants' rows, in one file, in files of their own, in older snapshots, spooled, set aside, failed and staged."""
    for tenant in (GONE, STAYS):
        mark = MARK if tenant == GONE else "plain"
        place.ingest.load(
            SALES, tenant=tenant, batches=sales((f"{mark} a", "1", day(1)), (f"{mark} b", "2", day(2))), mode=LoadMode.APPEND
        )
        place.ingest.load(SALES, tenant=tenant, batches=sales((f"{mark} c", "3", day(3))), mode=LoadMode.REPLACE)
        rows = visits((f"{mark} bad", "9", "1"), (f"{mark}-m1", f"{mark} 30", "5"), ("m2", "40", "7"))
        place.ingest.load(VISITS, tenant=tenant, batches=rows, mode=LoadMode.APPEND, converter=refused)
    spooled = [
        {"tenant": tenant, "said": f"{MARK if tenant == GONE else 'plain'} log", "told_at": day(4)} for tenant in (GONE, STAYS)
    ]
    place.ingest.spool(LOG, spooled)
    place.ingest.flush_spool(LOG)
    place.ingest.spool(LOG, spooled)
    orphan = pa.table(
        {"tenant": [str(GONE)], "product": [f"{MARK} orphan"], "sold_at": pa.array([day(9)], pa.timestamp("us", tz="UTC"))}
    )
    place.lakehouse.stage("sales", orphan, "staged-never")


def erase(place: Place, **more: Any) -> Erasure:
    return place.ingest.erase_tenant(GONE, asked_by="tester", sources=SOURCES, **more)


def members(place: Place, tenant: str = GONE) -> list[Any]:
    return [(row["member"], row["age"], row["spent"]) for row in place.rows("visits", tenant)]


# A tenant


def test_nothing_of_an_erased_tenant_is_in_any_file(place: Place, access: Access, adapter: str) -> None:
    fill(place)
    own = {".db-wal"} if adapter == "sqlite" else set()
    assert {Path(file).suffix for file, _ in traces(place.folder, MARK)} >= {".parquet", ".avro", *own}
    erase(place)
    assert traces(place.folder, MARK) == []


def test_nothing_is_in_files_that_upkeep_has_retired(place: Place, access: Access) -> None:
    """They lie there for hours after no snapshot needs them, and manifests hold bounds of what was in the data files."""
    fill(place)
    place.ingest.load(SALES, tenant=GONE, batches=sales((f"{MARK} d", "1", day(3))), mode=LoadMode.REPLACE)
    for table in ("sales", "visits", "log"):
        place.lakehouse.compact(table, whole=True)
        place.lakehouse.expire(table, keep=1)
    erase(place)
    assert traces(place.folder, MARK) == []


def test_others_keep_all_they_have(place: Place, access: Access) -> None:
    fill(place)
    before = [place.rows(table, STAYS) for table in ("sales", "visits", "log")]
    history = place.ingest.loads([STAYS]), place.ingest.quarantined([STAYS])
    erase(place)
    assert [place.rows(table, STAYS) for table in ("sales", "visits", "log")] == before
    assert (place.ingest.loads([STAYS]), place.ingest.quarantined([STAYS])) == history
    assert [result.tenant for result in place.ingest.flush_spool(LOG)] == [STAYS]


def test_what_is_left_is_its_id_and_its_times(place: Place, access: Access) -> None:
    fill(place)
    erase(place)
    (left,) = access.tenants(states=[TenantState.DELETED])
    assert (left.id, left.name, left.zone, left.currency, left.state) == (GONE, "", "", "", TenantState.DELETED)
    assert [(key.name, key.tenants) for key in access.keys(limit=10)] == [("key", (STAYS,)), ("both", (STAYS,))]
    with pytest.raises(NotFound, match="It was deleted at"):
        access.tenant(GONE)


def test_it_can_not_be_loaded_or_erased_again(place: Place, access: Access) -> None:
    erase(place)
    with pytest.raises(Forbidden, match="has been deleted"):
        place.ingest.load(SALES, tenant=GONE, batches=sales(("a", "1", day(1))), mode=LoadMode.APPEND)
    assert place.data_files() == 0
    with pytest.raises(NotFound):
        erase(place)


def test_rows_that_are_spooled_after_it_began_are_left_out(place: Place, access: Access) -> None:
    erase(place)
    place.ingest.spool(LOG, [{"tenant": tenant, "said": "late", "told_at": day(4)} for tenant in (GONE, STAYS)])
    assert [result.tenant for result in place.ingest.flush_spool(LOG)] == [STAYS]


def test_an_event_tells_of_it_and_no_other_names_the_tenant(place: Place, access: Access) -> None:
    fill(place)
    erase(place)
    mine = [name for name, payload in place.events() if payload.get("tenant") == GONE]
    assert mine == ["TenantErased"]


def test_one_that_is_interrupted_anywhere_goes_on(place: Place, access: Access) -> None:
    fill(place)

    class Killed(BaseException):
        pass

    steps: list[str] = []
    with pytest.raises(Killed):
        erase(place, told=lambda where: steps.append(where) or _raise(Killed, len(steps) == 3))
    assert access.tenant(GONE).state is TenantState.ERASING
    (begun,) = place.ingest.erasures()
    assert begun.report is None
    done = erase(place)
    assert (done.id, traces(place.folder, MARK)) == (begun.id, [])
    assert done.report is not None
    counts = {each["place"]: (each["before"], each["removed"]) for each in done.report["places"]}
    assert counts["lakehouse table log"] == (1, 1)


def _raise(kind: type[BaseException], really: bool) -> None:
    if really:
        raise kind


def test_a_table_that_no_definition_names_is_emptied_too(place: Place, access: Access) -> None:
    fill(place)
    place.ingest.erase_tenant(GONE, asked_by="tester", sources=())
    assert traces(place.folder, MARK) == []


# The proof


def test_the_report_says_what_was_where_and_that_nothing_is_left(place: Place, access: Access) -> None:
    fill(place)
    report = erase(place).report
    assert report is not None
    found = {each["place"]: (each["before"], each["removed"], each["after"]) for each in report["places"]}
    assert found["lakehouse table visits"] == (2, 2, 0)
    assert found["database table quarantine"] == (1, 1, 0)
    assert found["database table spool"] == (1, 1, 0)
    assert found["database table api_keys"] == (1, 1, 0)
    assert found["database table api_key_tenants"] == (2, 2, 0)
    assert found["lakehouse table sales"][0] >= 4  # those of older snapshots, and one that was never committed
    assert (report["found_after"], report["asked_by"], report["scope"]["tenant"]) == (0, "tester", GONE)


def test_the_report_is_sealed_by_its_hash(place: Place, access: Access) -> None:
    report = dict(erase(place).report or {})
    seal = report.pop("sha256")
    text = json.dumps(report, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert sha256(text.encode()).hexdigest() == seal
    (kept,) = place.ingest.erasures(GONE)
    assert kept.report == report | {"sha256": seal}


def test_there_is_no_report_while_something_is_left(place: Place, access: Access) -> None:
    class Full:
        name, unit, method = "a full place", "things", "removed in vain"

        def count(self, tenant: TenantId, person: Person | None) -> int:
            return 1

        def remove(self, tenant: TenantId, person: Person | None) -> int:
            return 0

    with pytest.raises(Unavailable, match="a full place"):
        erase(place, elsewhere=[Full()])
    assert [each.report for each in place.ingest.erasures()] == [None]
    assert access.tenant(GONE).state is TenantState.ERASING


def test_a_torn_file_in_its_place_goes_as_well(place: Place, access: Access) -> None:
    """A killed load leaves files without their end: what they hold can't be told."""
    fill(place)
    whole = next(file for file in (place.folder / "lakehouse").rglob("*.parquet") if "/sales/" in str(file))
    torn = whole.with_name("torn.parquet")
    torn.write_bytes(whole.read_bytes()[:-20])
    erase(place)
    assert not torn.exists()


# A customer


@pytest.fixture
def person(place: Place, access: Access) -> Person:
    """A member who is told of everywhere."""
    who = Person("member", f"{MARK}-m1")
    fill(place)
    place.ingest.spool(LOG, [{"tenant": GONE, "said": f"is {MARK}-m1 here?", "told_at": day(5)}])
    place.ingest.flush_spool(LOG)
    place.ingest.spool(LOG, [{"tenant": GONE, "said": f"and {MARK}-m1?", "told_at": day(5)}])
    rows = visits((f"{MARK}-m1", "30", "1"), ("m3", "50", "2"))
    place.ingest.load(VISITS, tenant=GONE, batches=rows, mode=LoadMode.APPEND, converter=refused, content="once more")
    place.ingest.load(VISITS, tenant=STAYS, batches=visits((f"{MARK}-m1", "30", "1")), mode=LoadMode.APPEND, content="another's")
    return who


def erase_customer(place: Place, person: Person, **more: Any) -> Erasure:
    logs = [LOG]
    return place.ingest.erase_customer(GONE, person, asked_by="tester", sources=SOURCES, logs=logs, **more)


def test_a_customer_is_nowhere_and_the_rest_is_there(place: Place, person: Person) -> None:
    place.ingest.erase_customer(STAYS, person, asked_by="tester", sources=SOURCES)  # so that no other's rows hold the text
    erase_customer(place, person)
    assert traces(place.folder, person.value) == []
    assert [row[0] for row in members(place)] == ["m2", "m3"]
    assert [row["said"] for row in place.rows("log", GONE)] == [f"{MARK} log", f"{MARK} log"]


def test_another_tenants_customer_of_that_name_stays(place: Place, person: Person) -> None:
    before = members(place, STAYS)
    erase_customer(place, person)
    assert members(place, STAYS) == before
    assert f"{MARK}-m1" in [row[0] for row in before]


def test_rows_may_be_kept_without_what_is_personal(place: Place, person: Person) -> None:
    total = sum(row[2] for row in members(place))
    erase_customer(place, person, keep_rows=True)
    assert [row for row in members(place) if row[0] is None] == [(None, None, Decimal("5.0000"))]
    assert sum(row[2] for row in members(place)) == total


def test_the_version_moves_on_and_the_history_says_why(place: Place, person: Person) -> None:
    before = place.ingest.versions([GONE], ["visits"])[GONE, "visits"]
    erase_customer(place, person)
    after = place.ingest.versions([GONE], ["visits"])[GONE, "visits"]
    assert (after.version, after.as_of) == (before.version + 1, before.as_of)
    assert place.ingest.loads([GONE], ["visits"])[0].mode is LoadMode.ERASE
    assert [name for name, _ in place.events()][-1] == "CustomerErased"


def test_only_who_knows_the_customer_can_tell_whom_the_report_is_about(place: Place, person: Person) -> None:
    report = erase_customer(place, person).report or {}
    scope = report["scope"]
    assert person.value not in json.dumps(report)
    hashed = scrypt(person.value.encode(), salt=bytes.fromhex(scope["salt"]), n=16_384, r=8, p=1, dklen=32)
    assert hashed.hex() == scope["hash"]


def test_one_who_comes_again_is_erased_again(place: Place, person: Person) -> None:
    first = erase_customer(place, person)
    place.ingest.load(VISITS, tenant=GONE, batches=visits((person.value, "1", "1")), mode=LoadMode.APPEND, content="back")
    second = erase_customer(place, person)
    assert first.id != second.id
    assert person.value not in [row[0] for row in members(place)]


def test_an_identity_that_nobody_declares_is_unknown(place: Place, access: Access) -> None:
    with pytest.raises(UnknownName, match="no identity of a customer 'menber'"):
        erase_customer(place, Person("menber", "1"))


def test_no_identifier_is_kept_by_an_erasure_that_goes_on(place: Place, person: Person) -> None:
    with pytest.raises(KeyboardInterrupt):
        erase_customer(place, person, told=lambda where: _raise(KeyboardInterrupt, where == "the proof"))
    with place.database.reading() as connection:
        assert person.value not in str(connection.execute(select(erasures)).all())
    erase_customer(place, person)
    assert len(place.ingest.erasures()) == 1


# Beside others


@pytest.mark.slow
@pytest.mark.parametrize("step", ["note", "commit", "purge", "scrub"])
def test_one_whose_process_is_killed_is_done_by_the_next(place: Place, access: Access, step: str) -> None:
    fill(place)
    killed = subprocess.run([sys.executable, CRASH, place.folder, step], check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (begun,) = place.ingest.erasures()
    place.ingest.recover()
    done = erase(place)
    assert (done.id, traces(place.folder, MARK)) == (begun.id, [])
    assert place.products(STAYS) == ["plain c"]


def test_loads_of_others_go_on_meanwhile(place: Place, access: Access) -> None:
    fill(place)
    stop = threading.Event()

    def load() -> int:
        number = 0
        while not stop.is_set():
            number += 1
            rows = sales((f"other {number}", "1", day(number % 28 + 1)))
            place.ingest.load(SALES, tenant=STAYS, batches=rows, mode=LoadMode.APPEND, content=str(number))
        return number

    with ThreadPoolExecutor() as threads:
        loading = threads.submit(load)
        try:
            erase(place)
        finally:
            stop.set()
        loaded = loading.result()
    assert len(place.products(STAYS)) == 1 + loaded
    assert traces(place.folder, MARK) == []


def test_a_load_that_was_about_to_be_committed_is_waited_for(place: Place, access: Access) -> None:
    """The erasure begins between a load's intent and its commit."""
    begun, goes_on = threading.Event(), threading.Event()

    def commit(*arguments: Any) -> Any:
        begun.set()
        assert goes_on.wait(30)
        return place.lakehouse.commit(*arguments)

    slow = Ingest(place.database, LakehouseWith(place.lakehouse, commit=commit), SystemClock())  # type: ignore[arg-type]  # a stand-in
    rows = sales((f"{MARK} late", "1", day(1)))
    with ThreadPoolExecutor() as threads:
        loading = threads.submit(slow.load, SALES, tenant=GONE, batches=rows, mode=LoadMode.APPEND)
        assert begun.wait(30)
        erasing = threads.submit(erase, place)
        while access.tenant(GONE).state is not TenantState.ERASING:
            pass
        goes_on.set()
        assert loading.result().rows == 1
        report = erasing.result().report or {}
    assert next(each for each in report["places"] if each["place"] == "lakehouse table sales")["removed"] == 1
    assert traces(place.folder, MARK) == []


# A suspended tenant


def test_a_suspended_tenant_is_not_loaded_and_keeps_its_rows(place: Place, access: Access) -> None:
    fill(place)
    access.suspend_tenant(GONE)
    files = place.data_files()
    with pytest.raises(Forbidden, match="'gone-shop' is suspended"):
        place.ingest.load(SALES, tenant=GONE, batches=sales(("new", "1", day(1))), mode=LoadMode.APPEND)
    assert (place.products(GONE), place.data_files()) == ([f"{MARK} c"], files)
    access.resume_tenant(GONE)
    place.ingest.load(SALES, tenant=GONE, batches=sales(("new", "1", day(1))), mode=LoadMode.APPEND)
    assert place.products(GONE) == ["new", f"{MARK} c"]


def test_spooled_rows_of_a_suspended_tenant_wait_and_hold_nobody_up(place: Place, access: Access) -> None:
    fill(place)
    access.suspend_tenant(GONE)
    assert [result.tenant for result in place.ingest.flush_spool(LOG)] == [STAYS]
    assert place.ingest.flush_spool(LOG) == ()
    access.resume_tenant(GONE)
    assert [result.tenant for result in place.ingest.flush_spool(LOG)] == [GONE]


def test_a_load_can_not_erase(place: Place, access: Access) -> None:
    with pytest.raises(LoadError, match="by an erasure, not by a load"):
        place.ingest.load(SALES, tenant=GONE, batches=sales(), mode=LoadMode.ERASE)


@pytest.mark.parametrize(("value", "left"), [("16", [7]), ("0x10", [7, 16]), ("16.5", [7, 16]), ("%", [7, 16]), ("1_6", [7, 16])])
def test_an_identifier_of_another_form_is_nobody_elses(place: Place, access: Access, value: str, left: list[int]) -> None:
    columns = {"tenant": FieldType.TEXT, "number": FieldType.INTEGER, "came_at": FieldType.INSTANT}
    source = replace(data_source("guests", columns, time="came_at"), personal=MappingProxyType({"guest": Personal("number", ())}))
    rows = pa.table({"number": [7, 16], "came_at": pa.array([day(1), day(2)], pa.timestamp("us", tz="UTC"))})
    place.ingest.load(source, tenant=GONE, batches=rows, mode=LoadMode.APPEND)
    place.ingest.erase_customer(GONE, Person("guest", value), asked_by="tester", sources=[source])
    snapshot = place.lakehouse.current("guests")
    found = [number for some in place.lakehouse.rows(snapshot, Within(GONE)) for number in some.column("number").to_pylist()]
    assert sorted(found) == left
