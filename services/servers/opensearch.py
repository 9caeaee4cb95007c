"""OpenSearch 3 with the Korean analyser nori; without security, k-NN and SQL, which its archive on Maven lacks."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from services.cache import SMALL_JVM, Cache, java
from services.service import HOST, Command, Place, Service, read

VERSION, LUCENE = "3.8.0", "10.5.0"
DESCRIPTOR = f"""\
name=analysis-nori
description=Korean
version={VERSION}
opensearch.version={VERSION}
java.version=21
classname=org.opensearch.plugin.analysis.nori.AnalysisNoriPlugin
"""
CONFIG = """\
cluster.name: jangbu
node.name: jangbu
path.data: {data}
path.logs: {folder}/tmp
network.host: {host}
http.port: {port}
transport.port: {transport}
discovery.type: single-node
cluster.routing.allocation.disk.threshold_enabled: false
"""
LOGGING = """\
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %c{1.} %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""
JVM = (
    "-Xms512m",
    "-Xmx512m",
    *SMALL_JVM,
    "-XX:CompileCommand=quiet",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--enable-native-access=ALL-UNNAMED",
    "-Dorg.apache.lucene.store.MMapDirectory.sharedArenaMaxPermits=1",
    "-Dopensearch.distribution.type=zip",
    "-Dopensearch.bundled_jdk=false",
    "-Dlog4j2.disable.jmx=true",
)


class OpenSearch(Service):
    name = "opensearch"
    about = "OpenSearch 3.8 with nori: full-text search"
    ports = ("main", "transport")
    refuses_root = True
    ready_within = 180.0

    def fetch(self, cache: Cache) -> Path:
        java(21, cache)
        bare = cache.maven_archive(f"org.opensearch.distribution.integ-test-zip:opensearch:{VERSION}:zip") / f"opensearch-{VERSION}"
        plugin = cache.maven_file(f"org.opensearch.plugin:analysis-nori:{VERSION}:jar")
        analyser = cache.maven_file(f"org.apache.lucene:lucene-analysis-nori:{LUCENE}:jar")

        def assemble(target: Path) -> None:
            shutil.copytree(bare, target, dirs_exist_ok=True, copy_function=os.link)
            nori = target / "plugins" / "analysis-nori"
            nori.mkdir(parents=True)
            (nori / "plugin-descriptor.properties").write_text(DESCRIPTOR)
            for jar in (plugin, analyser):
                os.link(jar, nori / jar.name)

        return cache.fetched("maven", f"opensearch-nori-{VERSION}", assemble)

    def prepare(self, at: Place) -> None:
        config = at.folder / "config"
        config.mkdir()
        settings = {"data": at.data, "folder": at.folder, "host": HOST, "port": at.port, "transport": at.ports["transport"]}
        (config / "opensearch.yml").write_text(CONFIG.format(**settings))
        (config / "log4j2.properties").write_text(LOGGING)

    def commands(self, at: Place) -> Mapping[str, Command]:
        settings = {
            "opensearch.path.home": at.software,
            "opensearch.path.conf": at.folder / "config",
            "java.io.tmpdir": at.folder / "tmp",
        }
        agent = f"-javaagent:{at.software}/agent/opensearch-agent.jar"
        argv = [java(21, at.cache), *JVM, agent, *(f"-D{name}={value}" for name, value in settings.items())]
        return {"main": Command([*argv, "-cp", f"{at.software}/lib/*", "org.opensearch.bootstrap.OpenSearch"])}

    def is_ready(self, at: Place) -> bool:
        told = read(f"http://{HOST}:{at.port}/_cluster/health")
        return told is not None and json.loads(told)["status"] in ("green", "yellow")

    def addresses(self, at: Place) -> Mapping[str, str]:
        return {"url": f"http://{HOST}:{at.port}"}


SERVICE = OpenSearch()
