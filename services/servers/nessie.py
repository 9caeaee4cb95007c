"""Nessie: an Iceberg REST catalog in memory whose warehouse is a bucket of the service s3."""

import urllib.error
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from services.cache import SMALL_JVM, Cache, java
from services.service import HOST, Command, Place, Service, answers

WAREHOUSE = "warehouse"


class Nessie(Service):
    name = "nessie"
    about = "Nessie 0.99: Iceberg REST catalog, in memory"
    uses = ("s3",)
    ports = ("main", "management")
    ready_within = 180.0

    def fetch(self, cache: Cache) -> Path:
        java(21, cache)
        return cache.maven_file("org.projectnessie.nessie:nessie-quarkus:0.99.0:jar:runner")

    def prepare(self, at: Place) -> None:
        """A folder of the filer's is a bucket of S3."""
        request = urllib.request.Request(f"{at.uses['s3']['filer']}/buckets/{bucket(at)}/", method="POST")
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10):
                pass
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != HTTPStatus.CONFLICT:  # an earlier one's on the same port
                raise

    def commands(self, at: Place) -> Mapping[str, Command]:
        s3 = at.uses["s3"]
        store = "nessie.catalog.service.s3.default-options"
        settings = {
            "quarkus.http.host": HOST,
            "quarkus.http.port": at.port,
            "quarkus.management.host": HOST,
            "quarkus.management.port": at.ports["management"],
            "nessie.version.store.type": "IN_MEMORY",
            "nessie.catalog.default-warehouse": WAREHOUSE,
            f"nessie.catalog.warehouses.{WAREHOUSE}.location": f"s3://{bucket(at)}/",
            f"{store}.endpoint": s3["url"],
            f"{store}.region": s3["region"],
            f"{store}.path-style-access": "true",
            f"{store}.access-key": "urn:nessie-secret:quarkus:jangbu.s3",
            "jangbu.s3.name": s3["access_key"],
            "jangbu.s3.secret": s3["secret_key"],
            "java.io.tmpdir": at.folder / "tmp",
        }
        jvm = ["-Xmx384m", *SMALL_JVM]
        argv = [java(21, at.cache), *jvm, *(f"-D{name}={value}" for name, value in settings.items()), "-jar", str(at.software)]
        return {"main": Command(argv)}

    def is_ready(self, at: Place) -> bool:
        return answers(f"http://{HOST}:{at.ports['management']}/q/health/ready")

    def addresses(self, at: Place) -> Mapping[str, str]:
        return {"url": f"http://{HOST}:{at.port}/iceberg/", "warehouse": WAREHOUSE, "bucket": bucket(at)}


def bucket(at: Place) -> str:
    """Each has its own, also when several use one S3."""
    return f"nessie-{at.port}"


SERVICE = Nessie()
