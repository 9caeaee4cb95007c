"""SQS by ElasticMQ. What it holds is gone when it ends."""

from collections.abc import Mapping
from pathlib import Path

from services.cache import SMALL_JVM, Cache, java
from services.service import HOST, Command, Place, Service, answers

CONFIG = """\
include classpath("application.conf")
node-address {{ protocol = http, host = "{host}", port = {port}, context-path = "" }}
rest-sqs {{ enabled = true, bind-hostname = "{host}", bind-port = {port}, sqs-limits = strict }}
rest-stats {{ enabled = false }}
"""


class ElasticMq(Service):
    name = "elasticmq"
    about = "ElasticMQ 1.7: SQS with dead letters and FIFO"

    def fetch(self, cache: Cache) -> Path:
        java(17, cache)
        return cache.maven_jars("elasticmq-1.7.1", "org.elasticmq:elasticmq-server_2.13:1.7.1")

    def prepare(self, at: Place) -> None:
        (at.folder / "elasticmq.conf").write_text(CONFIG.format(host=HOST, port=at.port))

    def commands(self, at: Place) -> Mapping[str, Command]:
        options = ["-Xmx128m", *SMALL_JVM]
        properties = [f"-Dconfig.file={at.folder / 'elasticmq.conf'}", f"-Djava.io.tmpdir={at.folder / 'tmp'}"]
        main = ["-cp", f"{at.software}/*", "org.elasticmq.server.Main"]
        return {"main": Command([java(17, at.cache), *options, *properties, *main])}

    def is_ready(self, at: Place) -> bool:
        return answers(f"http://{HOST}:{at.port}/?Action=ListQueues")

    def addresses(self, at: Place) -> Mapping[str, str]:
        return {"url": f"http://{HOST}:{at.port}", "access_key": "jangbu", "secret_key": "jangbu-secret", "region": "elasticmq"}


SERVICE = ElasticMq()
