"""Kafka 4: one broker that is its own controller."""

from collections.abc import Mapping
from pathlib import Path

from services.cache import SMALL_JVM, Cache, java
from services.service import HOST, Command, Place, Service, asked

CLUSTER = "amFuZ2J1LXNlcnZpY2VzLQ"
"""Any 16 bytes in base 64."""
CONFIG = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
broker.session.timeout.ms=1500
broker.heartbeat.interval.ms=300
"""
JVM = ("-Xmx256m", *SMALL_JVM)
API_VERSIONS = bytes.fromhex("0000000e 0012 0000 00000001 0004 74657374")
"""The request that any client of Kafka begins with."""


class Kafka(Service):
    name = "kafka"
    about = "Kafka 4.3: streams"
    ports = ("main", "controller")

    def fetch(self, cache: Cache) -> Path:
        java(17, cache)
        return cache.maven_jars("kafka-4.3.1", "org.apache.kafka:kafka_2.13:4.3.1")

    def prepare(self, at: Place) -> None:
        config = at.folder / "server.properties"
        config.write_text(CONFIG.format(host=HOST, port=at.port, controller=at.ports["controller"], data=at.data))
        at.run([*self.java(at), "kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", str(config)])

    def java(self, at: Place) -> list[str]:
        return [java(17, at.cache), *JVM, f"-Djava.io.tmpdir={at.folder / 'tmp'}", "-cp", f"{at.software}/*"]

    def commands(self, at: Place) -> Mapping[str, Command]:
        return {"main": Command([*self.java(at), "kafka.Kafka", str(at.folder / "server.properties")])}

    def is_ready(self, at: Place) -> bool:
        return len(asked(at.port, API_VERSIONS)) > 8

    def addresses(self, at: Place) -> Mapping[str, str]:
        return {"url": f"{HOST}:{at.port}"}


SERVICE = Kafka()
