"""Spark 4 with Iceberg, reached by Spark Connect. Sessions add catalogs by `spark.conf.set("spark.sql.catalog.NAME", …)`."""

from collections.abc import Mapping
from pathlib import Path

from services.cache import Cache, java
from services.service import HOST, Addresses, Command, Place, Service, takes_connections

JARS = (
    "org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.12.0",
    "org.apache.iceberg:iceberg-aws-bundle:1.12.0",
    "org.postgresql:postgresql:42.7.14",
)
SETTINGS = {
    "spark.driver.host": HOST,
    "spark.driver.bindAddress": HOST,
    "spark.connect.grpc.binding.address": HOST,
    "spark.ui.enabled": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
    "spark.sql.shuffle.partitions": "4",
}


class Spark(Service):
    name = "spark"
    about = "Spark 4.1 with Iceberg: upkeep and big queries, by Spark Connect"
    ready_within = 240.0

    def fetch(self, cache: Cache) -> Path:
        java(17, cache)
        self.jars(cache)
        return cache.pypi("service-spark") / "pyspark"

    def jars(self, cache: Cache) -> Path:
        return cache.maven_jars("spark-iceberg-1.12.0", *JARS)

    def commands(self, at: Place) -> Mapping[str, Command]:
        home = str(Path(java(17, at.cache)).parents[1])
        settings = SETTINGS | {
            "spark.connect.grpc.binding.port": str(at.port),
            "spark.sql.warehouse.dir": str(at.data),
            "spark.local.dir": str(at.folder / "tmp"),
            "spark.driver.extraJavaOptions": f"-XX:-UsePerfData -Djava.io.tmpdir={at.folder / 'tmp'}",
        }
        options = [part for name, value in settings.items() for part in ("--conf", f"{name}={value}")]
        jars = ",".join(str(jar) for jar in sorted(self.jars(at.cache).glob("*.jar")))
        submit = [str(at.software / "bin" / "spark-submit"), "--master", "local[2]", "--driver-memory", "1g", "--jars", jars]
        server = ["--class", "org.apache.spark.sql.connect.service.SparkConnectServer", *options, "spark-internal"]
        environment = {"JAVA_HOME": home, "SPARK_HOME": str(at.software), "SPARK_LOCAL_IP": HOST}
        return {"main": Command([*submit, *server], environment)}

    def is_ready(self, at: Place) -> bool:
        return takes_connections(at.port)

    def addresses(self, at: Place) -> Mapping[str, str]:
        return {"url": f"sc://{HOST}:{at.port}", "home": str(at.software), "jars": str(self.jars(at.cache))}


def over_postgres(name: str, warehouse: str, database: str, postgres: Addresses, files: Mapping[str, str]) -> dict[str, str]:
    """A session's settings of the catalog that PyIceberg's of the same name has in that database; `files`: how they are reached."""
    catalog = f"spark.sql.catalog.{name}"
    settings = {
        "type": "jdbc",
        "uri": f"jdbc:postgresql://{postgres['host']}:{postgres['port']}/{database}",
        "jdbc.user": postgres["user"],
        "jdbc.password": postgres["password"],
        "jdbc.schema-version": "V1",
        "cache-enabled": "false",
        "warehouse": warehouse,
        **files,
    }
    return {catalog: "org.apache.iceberg.spark.SparkCatalog"} | {f"{catalog}.{key}": value for key, value in settings.items()}


def files_on(s3: Addresses) -> dict[str, str]:
    return {
        "io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        "s3.endpoint": s3["url"],
        "s3.path-style-access": "true",
        "s3.access-key-id": s3["access_key"],
        "s3.secret-access-key": s3["secret_key"],
        "client.region": s3["region"],
    }


SERVICE = Spark()
