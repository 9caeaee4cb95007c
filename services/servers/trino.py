"""Trino 476 with the connectors Iceberg, memory and TPC-H. Catalogs are added by `CREATE CATALOG` and kept at a restart."""

import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.cache import Cache, java
from services.service import HOST, Addresses, Command, Place, Service, read

VERSION = "476"
"""Of newer servers there are no archives, and PyIceberg fails on some of their position deletes."""
PLUGINS = ("iceberg", "memory", "tpch")
JVM = (
    "-Xmx2G",
    "-XX:+UseG1GC",
    "-XX:G1HeapRegionSize=32M",
    "-XX:ReservedCodeCacheSize=256M",
    "-XX:TieredStopAtLevel=1",  # starts in half the time
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djdk.attach.allowAttachSelf=true",
    "--enable-native-access=ALL-UNNAMED",
)
CONFIG = """\
coordinator=true
node-scheduler.include-coordinator=true
http-server.http.port={port}
discovery.uri=http://{host}:{port}
query.max-memory=600MB
query.max-memory-per-node=600MB
memory.heap-headroom-per-node=400MB
catalog.management=dynamic
regex-library=RE2J
plugin.dir={folder}/plugin
"""


class Trino(Service):
    name = "trino"
    about = f"Trino {VERSION}: query engine over Iceberg"
    ready_within = 240.0
    grace = 15.0

    def fetch(self, cache: Cache) -> Path:
        java(24, cache)
        for plugin in PLUGINS:
            self.plugin(cache, plugin)
        return cache.maven_archive(f"io.trino:trino-server-core:{VERSION}:tar.gz") / f"trino-server-core-{VERSION}"

    def plugin(self, cache: Cache, name: str) -> Path:
        return cache.maven_archive(f"io.trino:trino-{name}:{VERSION}:zip") / f"trino-{name}-{VERSION}"

    def prepare(self, at: Place) -> None:
        for name in ("etc/catalog", "plugin", "data"):
            (at.folder / name).mkdir(parents=True)
        for name in PLUGINS:
            (at.folder / "plugin" / name).symlink_to(self.plugin(at.cache, name))
        (at.folder / "config.properties").write_text(CONFIG.format(host=HOST, port=at.port, folder=at.folder))
        (at.folder / "log.properties").write_text("io.trino=WARN\nio.airlift=WARN\n")

    def commands(self, at: Place) -> Mapping[str, Command]:
        settings = {
            "node.environment": "test",
            "node.id": "jangbu",
            "node.data-dir": at.data,
            "node.internal-address": HOST,
            "node.bind-ip": HOST,
            "config": at.folder / "config.properties",
            "log.levels-file": at.folder / "log.properties",
            "java.io.tmpdir": at.folder / "tmp",
        }
        properties = [f"-D{name}={value}" for name, value in settings.items()]
        return {
            "main": Command([java(24, at.cache), *JVM, *properties, "-cp", f"{at.software}/lib/*", "io.trino.server.TrinoServer"])
        }

    def is_ready(self, at: Place) -> bool:
        told = read(f"http://{HOST}:{at.port}/v1/info")
        return told is not None and json.loads(told)["starting"] is False

    def addresses(self, at: Place) -> Mapping[str, str]:
        return {"url": f"http://{HOST}:{at.port}", "host": HOST, "port": str(at.port), "user": "jangbu"}


def create_catalog(name: str, settings: Mapping[str, str]) -> str:
    written = ", ".join(f"\"{key}\" = '{value}'" for key, value in settings.items())
    return f"CREATE CATALOG {name} USING iceberg WITH ({written})"


def over_postgres(name: str, of: str, warehouse: str, database: str, postgres: Addresses, s3: Addresses) -> str:
    """CREATE CATALOG for the tables that PyIceberg's catalog `of` has in that database."""
    settings = {
        "iceberg.catalog.type": "jdbc",
        "iceberg.jdbc-catalog.driver-class": "org.postgresql.Driver",
        "iceberg.jdbc-catalog.connection-url": f"jdbc:postgresql://{postgres['host']}:{postgres['port']}/{database}",
        "iceberg.jdbc-catalog.connection-user": postgres["user"],
        "iceberg.jdbc-catalog.connection-password": postgres["password"],
        "iceberg.jdbc-catalog.catalog-name": of,
        "iceberg.jdbc-catalog.default-warehouse-dir": warehouse,
        "iceberg.jdbc-catalog.schema-version": "V1",
    }
    return create_catalog(name, settings | files_on(s3))


def over_rest(name: str, warehouse: str, rest: Addresses, s3: Addresses) -> str:
    """CREATE CATALOG for the tables of a warehouse of the service iceberg_rest. The keys that this gives for a table have no
    session token, and Trino takes none without."""
    settings = {
        "iceberg.catalog.type": "rest",
        "iceberg.rest-catalog.uri": rest["url"],
        "iceberg.rest-catalog.warehouse": warehouse,
        "iceberg.rest-catalog.security": "OAUTH2",
        "iceberg.rest-catalog.oauth2.credential": rest["credential"],
    }
    return create_catalog(name, settings | files_on(s3))


def files_on(s3: Addresses) -> dict[str, str]:
    return {
        "fs.native-s3.enabled": "true",
        "s3.endpoint": s3["url"],
        "s3.region": s3["region"],
        "s3.path-style-access": "true",
        "s3.aws-access-key": s3["access_key"],
        "s3.aws-secret-key": s3["secret_key"],
    }


def execute(url: str, text: str) -> list[list[object]]:
    """A statement that only an administrator may do; returns its rows. Raises RuntimeError with what the server says, OSError."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def asked(address: str, body: bytes | None = None) -> dict[str, Any]:
        request = urllib.request.Request(address, body, {"X-Trino-User": "admin"})
        with opener.open(request, timeout=60) as answer:
            page: dict[str, Any] = json.loads(answer.read())
        if "error" in page:
            raise RuntimeError(page["error"]["message"])
        return page

    page = asked(f"{url}/v1/statement", text.encode())
    rows: list[list[object]] = []
    while True:
        rows += page.get("data") or []
        if "nextUri" not in page:
            return rows
        page = asked(page["nextUri"])


SERVICE = Trino()
