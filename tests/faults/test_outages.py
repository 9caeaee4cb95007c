"""A server is away while questions are asked and rows are loaded: answers are right or a clean 503, and all is whole afterwards.
These are the most telling of the faults; `make faults` has all of them, of all servers."""

from pathlib import Path

import pytest
from faults.outages import installed, suffer, table
from services.plugin import GetService

SERVERS = ("postgres", "s3", "elasticmq", "valkey")
CELLS = (
    ("database", "killed"),
    ("database", "answers lost"),
    ("catalog", "answers lost"),
    ("catalog", "reset"),
    ("files", "killed"),
    ("files", "torn"),
    ("queues", "cut off"),
)


@pytest.mark.slow
@pytest.mark.services(*SERVERS, "toxiproxy", own=True)
@pytest.mark.timeout(400)
def test_nothing_is_lost_or_doubled_and_all_goes_on_by_itself(own_service: GetService, service: GetService, tmp_path: Path) -> None:
    servers = {name: own_service(name) for name in SERVERS}
    with installed(servers, service("toxiproxy"), tmp_path) as made:
        outcomes = [suffer(made, part, fault, tmp_path / "heard") for part, fault in CELLS]
        assert not [wrong for each in outcomes for wrong in each.wrong], table(outcomes)
        assert all(each.right > 0 for each in outcomes), table(outcomes)
