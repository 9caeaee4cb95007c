"""AWS by moto: KMS, Secrets Manager, S3, SQS. It takes any secret, and a disabled key still encrypts."""

import sys
from collections.abc import Mapping
from pathlib import Path

from services.cache import Cache
from services.service import HOST, Command, Place, Service, answers


class Moto(Service):
    name = "moto"
    about = "moto 5: KMS, Secrets Manager and other services of AWS"

    def fetch(self, cache: Cache) -> Path:
        return cache.pypi("service-moto", compiled=True)

    def commands(self, at: Place) -> Mapping[str, Command]:
        argv = [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(at.port)]
        return {"main": Command(argv, {"PYTHONPATH": str(at.software)})}

    def is_ready(self, at: Place) -> bool:
        return answers(f"http://{HOST}:{at.port}/moto-api/data.json")

    def addresses(self, at: Place) -> Mapping[str, str]:
        return {"url": f"http://{HOST}:{at.port}", "access_key": "jangbu", "secret_key": "jangbu-secret", "region": "us-east-1"}


SERVICE = Moto()
