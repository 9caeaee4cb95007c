"""Jangbu at scale: two processes of the API, two workers and the scheduler, over servers that take the place of the data folder.

Each process has a data folder of its own, as on machines of their own: they share the servers and nothing else.
"""

import json
import os
import re
import shutil
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.running import Running
from services.servers.trino import execute, over_postgres
from services.service import HOST, Command, Place, Service, answers

USES = ("postgres", "valkey", "elasticmq", "s3", "trino")
APIS, WORKERS, SCHEDULERS = ("api-1", "api-2"), ("worker-1", "worker-2"), ("scheduler",)
PROCESSES = (*APIS, *WORKERS, *SCHEDULERS)
LOAD = "load"
DATABASE = CATALOG = BUCKET = USER = "jangbu"
LAKE = "lake"
"""The database with the lakehouse's catalog."""
LOADS = {
    "retailer": ["demo", "--no-serve"],
    "shops": ["generate", "--tenants", "3", "--days", "60", "--rows", "3000"],
}
"""What is loaded, by its name: a command of `jangbu`."""
SHOPS = ("shop-0001", "shop-0002", "shop-0003")
HANDED_ON = ("JANGBU_LOG_", "JANGBU_TRACES", "JANGBU_MESSAGE_", "JANGBU_QUERY_")
"""Beginnings of settings that the reader's environment may say for all processes."""
FOLDERS_HANDED_ON = ("JANGBU_DEFINITIONS", "JANGBU_TENANT_DEFINITIONS", "JANGBU_PLUGIN_FOLDERS")

Addresses = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Prepared:
    """What was made in the servers for one installation; `password` is its database role's."""

    servers: Addresses
    password: str

    def database(self, name: str) -> str:
        postgres = self.servers["postgres"]
        return f"postgresql://{USER}:{self.password}@{postgres['host']}:{postgres['port']}/{name}"

    def settings(self) -> dict[str, str]:
        """The variables that put each part on its server."""
        valkey, sqs, s3 = (self.servers[name] for name in ("valkey", "elasticmq", "s3"))
        return {
            "JANGBU_DATABASE": self.database(DATABASE),
            "JANGBU_WAREHOUSE": f"s3://{BUCKET}/warehouse",
            "JANGBU_LAKE_CATALOG": self.database(LAKE),
            "JANGBU_S3_ENDPOINT": s3["url"],
            "JANGBU_S3_REGION": s3["region"],
            "JANGBU_S3_ACCESS_KEY": s3["access_key"],
            "JANGBU_S3_SECRET_KEY": s3["secret_key"],
            "JANGBU_QUEUES": "sqs",
            "JANGBU_SQS_ENDPOINT": sqs["url"],
            "JANGBU_SQS_REGION": sqs["region"],
            "JANGBU_SQS_ACCESS_KEY": sqs["access_key"],
            "JANGBU_SQS_SECRET_KEY": sqs["secret_key"],
            "JANGBU_CACHE": "redis",
            "JANGBU_CACHE_SERVERS": f"{valkey['host']}:{valkey['port']}",
        }


def prepare(servers: Addresses) -> Prepared:
    """Make a role that owns two empty databases, and a bucket."""
    import boto3
    import psycopg
    from psycopg import sql

    prepared = Prepared(servers, uuid.uuid4().hex)
    owner = sql.Identifier(USER)
    with psycopg.connect(servers["postgres"]["url"], autocommit=True, connect_timeout=5) as session:
        session.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(owner, sql.Literal(prepared.password)))
        for name in (DATABASE, LAKE):
            made = sql.SQL("CREATE DATABASE {} OWNER {} ENCODING 'UTF8' TEMPLATE template0")
            session.execute(made.format(sql.Identifier(name), owner))
    s3 = servers["s3"]
    keys = {"aws_access_key_id": s3["access_key"], "aws_secret_access_key": s3["secret_key"], "region_name": s3["region"]}
    client = boto3.client("s3", endpoint_url=s3["url"], **keys)  # type: ignore[call-overload]  # its stubs want each argument named
    client.create_bucket(Bucket=BUCKET)
    client.close()
    return prepared


def engine(prepared: Prepared, trino: Mapping[str, str]) -> dict[str, str]:
    """Make the lakehouse a catalog of Trino, once a load has made its tables; the variables that name the server."""
    account = dict(prepared.servers["postgres"]) | {"user": USER, "password": prepared.password}
    made = over_postgres(CATALOG, "jangbu", f"s3://{BUCKET}/warehouse", LAKE, account, prepared.servers["s3"])
    execute(trino["url"], made)
    server = {"url": trino["url"], "catalog": CATALOG, "user": trino["user"]}
    return {"JANGBU_ENGINE": "trino", "JANGBU_ENGINES": json.dumps({"trino": server})}


class Jangbu(Service):
    name = "jangbu"
    about = "Jangbu: two of the API, two workers, the scheduler"
    ports = PROCESSES
    grace = 15.0

    def __init__(self, settings: Mapping[str, str], load: str) -> None:
        self.settings = dict(settings)
        """Of all its processes; what is added holds for those that start from then on."""
        self.load = load

    def commands(self, at: Place) -> Mapping[str, Command]:
        arguments = {api: ["serve", "api"] for api in APIS} | {worker: ["worker"] for worker in WORKERS}
        arguments |= {scheduler: ["scheduler"] for scheduler in SCHEDULERS} | {LOAD: LOADS[self.load]}
        return {name: self._command(at, name, words) for name, words in arguments.items()}

    def _command(self, at: Place, name: str, arguments: list[str]) -> Command:
        own = {"JANGBU_FOLDER": str(self.folder(at, name)), "JANGBU_HOST": HOST}
        if name in at.ports:
            own["JANGBU_PORT" if name in APIS else "JANGBU_METRICS_PORT"] = str(at.ports[name])
        return Command([str(at.software / "jangbu"), *arguments], dict(self.settings) | own)

    def folder(self, at: Place, process: str) -> Path:
        return at.data / process

    def prepare(self, at: Place) -> None:
        """The folder above those of its processes, for its owner only: keys and intermediate results lie there."""
        at.data.mkdir(mode=0o700)

    def is_ready(self, at: Place) -> bool:
        return all(self.process_is_ready(at, name) for name in PROCESSES)

    def process_is_ready(self, at: Place, name: str) -> bool:
        """OSError means no, too."""
        return answers(f"{self.addresses(at)[name]}/health/{'ready' if name in APIS else 'live'}")

    def addresses(self, at: Place) -> Mapping[str, str]:
        return {name: f"http://{HOST}:{at.ports[name]}" for name in PROCESSES}


def handed_on() -> dict[str, str]:
    """Settings that the reader has said, folders absolute: the processes work elsewhere."""
    said = {name: value for name, value in os.environ.items() if name.startswith(HANDED_ON)}
    for name in FOLDERS_HANDED_ON:
        if value := os.environ.get(name):
            said[name] = os.pathsep.join(str(Path(each).absolute()) for each in value.split(os.pathsep))
    return said


def program() -> Path:
    """The folder of `jangbu`, in the environment of this Python. Raises FileNotFoundError."""
    folder = Path(sys.executable).parent
    if shutil.which("jangbu", path=str(folder)) is None:
        raise FileNotFoundError(f"{folder} has no `jangbu`; run this by make.")
    return folder


def key_of(running: Running, jangbu: Jangbu) -> str:
    """The demo's key: the one that `jangbu demo` keeps, or one that is made for the invented shops."""
    folder = jangbu.folder(running.at, LOAD)
    file = folder / "demo-key"
    if not file.exists():
        command = jangbu.commands(running.at)[LOAD]
        tenants = [word for shop in SHOPS for word in ("--tenant", shop)]
        argv = [command.argv[0], "keys", "create", "demo", *tenants]
        file.touch(mode=0o600)
        file.write_text(re.findall(r"jb_[A-Za-z0-9_-]+", running.at.run(argv, environment=command.environment))[0] + "\n")
    return file.read_text().strip()
