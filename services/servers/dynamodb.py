"""DynamoDB Local, on loopback: its own program listens everywhere."""

from collections.abc import Mapping
from pathlib import Path

from services.cache import SMALL_JVM, Cache, java
from services.service import HOST, Command, Place, Service, takes_connections

CLASSES = "dynamodb-loopback-3.1.0"
SOURCE = f"""\
import org.eclipse.jetty.server.*;
import software.amazon.dynamodb.services.local.main.ServerRunner;

public class Loopback {{
    public static void main(String[] arguments) throws Exception {{
        var proxy = ServerRunner.createServerFromCommandLineArgs(arguments);
        var field = proxy.getClass().getDeclaredField("server");
        field.setAccessible(true);
        for (var connector : ((Server) field.get(proxy)).getConnectors()) ((ServerConnector) connector).setHost("{HOST}");
        proxy.start();
        proxy.join();
    }}
}}
"""


class DynamoDb(Service):
    name = "dynamodb"
    about = "DynamoDB Local 3.1: documents"

    def fetch(self, cache: Cache) -> Path:
        jars = cache.maven_jars("dynamodb-local-3.1.0", "software.amazon.dynamodb:DynamoDBLocal:3.1.0")
        cache.java_classes(CLASSES, jars, "Loopback", SOURCE)
        return jars

    def prepare(self, at: Place) -> None:
        at.data.mkdir()

    def commands(self, at: Place) -> Mapping[str, Command]:
        jvm = ["-Xmx256m", *SMALL_JVM, f"-Djava.io.tmpdir={at.folder / 'tmp'}"]
        path = f"{at.software}/*:{at.software.parent / CLASSES}"
        options = ["-sharedDb", "-disableTelemetry", "-dbPath", str(at.data), "-port", str(at.port)]
        argv = [java(17, at.cache), *jvm, f"-Djava.library.path={at.software}", "-cp", path, "Loopback", *options]
        return {"main": Command(argv)}

    def is_ready(self, at: Place) -> bool:
        return takes_connections(at.port)

    def addresses(self, at: Place) -> Mapping[str, str]:
        return {"url": f"http://{HOST}:{at.port}", "access_key": "jangbu", "secret_key": "jangbu-secret", "region": "us-east-1"}


SERVICE = DynamoDb()
