"""Kafka, Toxiproxy and Prometheus do what their clients ask."""

import json
import time
from pathlib import Path

import httpx
import psycopg
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from services.plugin import GetService
from services.running import Running
from support.servers import only_on_loopback


def written(server: Running, topic: str, number: int) -> None:
    producer = Producer({"bootstrap.servers": server["url"], "enable.idempotence": True, "delivery.timeout.ms": 30_000})
    for each in range(number):
        producer.produce(topic, str(each).encode())
    assert producer.flush(30) == 0


def read(server: Running, topic: str, number: int) -> list[int]:
    reader = Consumer({"bootstrap.servers": server["url"], "group.id": topic, "auto.offset.reset": "earliest"})
    reader.subscribe([topic])
    found: list[int] = []
    deadline = time.monotonic() + 30
    while len(found) < number and time.monotonic() < deadline:
        found += [int(message.value() or b"") for message in reader.consume(number, 1) if not message.error()]
    reader.close()
    return found


@pytest.mark.services("kafka", own=True)
def test_kafka_keeps_what_it_confirmed_when_it_is_killed(own_service: GetService) -> None:
    server = own_service("kafka")
    assert only_on_loopback(server)
    admin = AdminClient({"bootstrap.servers": server["url"]})
    admin.create_topics([NewTopic("smoke", 1)])["smoke"].result(20)
    written(server, "smoke", 1000)
    server.kill()
    server.restart()
    assert read(server, "smoke", 1000) == list(range(1000))


@pytest.mark.services("toxiproxy", "postgres")
def test_toxiproxy_makes_a_server_slow_and_cuts_it_off(service: GetService) -> None:
    server, behind = service("toxiproxy"), service("postgres")
    with httpx.Client(base_url=server["url"], timeout=10) as control:
        proxy = {"name": "smoke", "listen": "127.0.0.1:0", "upstream": f"{behind['host']}:{behind['port']}"}
        port = control.post("/proxies", json=proxy).raise_for_status().json()["listen"].rpartition(":")[2]
        with psycopg.connect(behind["url"].replace(behind["port"], port), connect_timeout=5, autocommit=True) as session:
            slow = {"type": "latency", "attributes": {"latency": 300}}
            control.post("/proxies/smoke/toxics", json=slow).raise_for_status()
            began = time.monotonic()
            session.execute("SELECT 1")
            assert time.monotonic() - began >= 0.3
            assert only_on_loopback(server)
            control.post("/proxies/smoke", json=proxy | {"enabled": False}).raise_for_status()
            with pytest.raises(psycopg.OperationalError):
                session.execute("SELECT 1")
        control.delete("/proxies/smoke").raise_for_status()


@pytest.mark.services("prometheus")
def test_prometheus_collects_from_targets_that_are_written_down(service: GetService) -> None:
    server = service("prometheus")
    itself = server["url"].removeprefix("http://")
    (Path(server["targets"]) / "smoke.json").write_text(json.dumps([{"targets": [itself], "labels": {"smoke": "yes"}}]))
    deadline = time.monotonic() + 30
    while not (found := httpx.get(f"{server['url']}/api/v1/query?query=up", timeout=10).json()["data"]["result"]):
        assert time.monotonic() < deadline, "It collected nothing."
        time.sleep(0.2)
    assert found[0]["metric"] | {"smoke": "yes", "instance": itself} == found[0]["metric"]
    assert found[0]["value"][1] == "1"
    assert only_on_loopback(server)
