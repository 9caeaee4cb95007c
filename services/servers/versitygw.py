"""S3 by versitygw."""

from collections.abc import Mapping
from pathlib import Path

from services.cache import Cache
from services.servers.s3 import ACCESS_KEY, SECRET_KEY, keys
from services.service import HOST, Command, Place, Service, takes_connections


class Versitygw(Service):
    name = "versitygw"
    about = "versitygw 1.8: S3, a second one beside SeaweedFS"

    def fetch(self, cache: Cache) -> Path:
        return cache.go("github.com/versity/versitygw/cmd/versitygw", "v1.8.0")

    def prepare(self, at: Place) -> None:
        for name in ("objects", "versions"):
            (at.data / name).mkdir(parents=True)

    def commands(self, at: Place) -> Mapping[str, Command]:
        # Never with --keep-alive: pyarrow's requests then fail now and then.
        options = ["--port", f"{HOST}:{at.port}", "--quiet", "posix", "--versioning-dir", str(at.data / "versions")]
        environment = {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}
        return {"main": Command([str(at.software / "versitygw"), *options, str(at.data / "objects")], environment)}

    def is_ready(self, at: Place) -> bool:
        return takes_connections(at.port)

    def addresses(self, at: Place) -> Mapping[str, str]:
        return keys(f"http://{HOST}:{at.port}")


SERVICE = Versitygw()
