"""S3 by SeaweedFS."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from services.cache import Cache
from services.service import HOST, Command, Place, Service, answers, read

ACCESS_KEY, SECRET_KEY, REGION = "jangbu", "jangbu-secret", "us-east-1"
OPTIONS = {
    "ip": HOST,
    "ip.bind": HOST,
    "master.telemetry": "false",
    "master.volumeSizeLimitMB": "256",
    "master.electionTimeout": "1s",
    "master.heartbeatInterval": "200ms",
    "volume.max": "0",
    "filer": "true",
    "s3": "true",
    "s3.port.iceberg": "0",
    "s3.port.lance": "0",
}


class S3(Service):
    name = "s3"
    about = "SeaweedFS 4: S3, objects on the disk"
    ports = ("s3", "master", "volume", "filer")

    grace = 3.0  # it often doesn't end by itself, and keeps what it confirmed when it is killed

    def fetch(self, cache: Cache) -> Path:
        return cache.pypi("service-s3")

    def prepare(self, at: Place) -> None:
        at.data.mkdir()
        key = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}
        identity = {"name": "jangbu", "credentials": [key], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
        (at.folder / "s3.json").write_text(json.dumps({"identities": [identity]}))

    def commands(self, at: Place) -> Mapping[str, Command]:
        ports = {f"{name}.port": str(at.ports[name]) for name in ("s3", "master", "volume", "filer")}
        more = {"dir": str(at.data), "s3.config": str(at.folder / "s3.json")}
        options = [f"-{name}={value}" for name, value in (OPTIONS | ports | more).items()]
        program = next(path for path in at.software.rglob("weed") if path.is_file())
        return {"main": Command([str(program), "server", *options])}

    def is_ready(self, at: Place) -> bool:
        """Its volumes come last: before them it takes no object."""
        placed = read(f"http://{HOST}:{at.ports['master']}/dir/assign") or b""
        return answers(f"http://{HOST}:{at.port}/healthz") and b'"fid"' in placed

    def leftovers(self, at: Place) -> Sequence[Path]:
        sockets = [f"{name}-grpc-{at.ports[name] + 10_000}" for name in ("s3", "master", "volume", "filer")]
        return [Path("/tmp") / f"seaweedfs-{each}.sock" for each in (*sockets, f"s3-{at.port}", f"filer-{at.ports['filer']}")]

    def addresses(self, at: Place) -> Mapping[str, str]:
        return keys(f"http://{HOST}:{at.port}") | {"filer": f"http://{HOST}:{at.ports['filer']}"}


def keys(url: str) -> dict[str, str]:
    return {"url": url, "access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "region": REGION}


SERVICE = S3()
