"""Start-up of the command and of the server.

`jangbu --help` stands against a bare Typer app's help, `jangbu serve` until it is ready against importing the same libraries.
"""

import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter

from bench.harness import BUILD, Entry, interleaved, note, rounds
from bench.parts.servers import free_port, serving

HOME = BUILD / "start"
LOG = HOME / "serve.log"
JANGBU = Path(sys.executable).parent / "jangbu"
BARE_APP = '''\
import typer

app = typer.Typer()


@app.command()
def greet(name: str) -> None:
    """Greet somebody."""


@app.command()
def leave(name: str) -> None:
    """Say goodbye."""


app()
'''
IMPORTS = """\
import contextlib, importlib
for name in {names!r}:
    with contextlib.suppress(ImportError, AttributeError):
        importlib.import_module(name)
print("imported", flush=True)
"""


def run() -> list[Entry]:
    HOME.mkdir(parents=True, exist_ok=True)
    bare = _script("bare_app.py", BARE_APP)
    helped = interleaved({"jangbu": lambda: _help([JANGBU]), "bare": lambda: _help([sys.executable, bare])}, rounds(15))
    note("finding out which libraries the server imports")
    names = _libraries()
    imports = _script("imports.py", IMPORTS.format(names=names))
    served = interleaved({"jangbu": _serve, "imports": lambda: _import(imports)}, rounds(9))
    return [
        Entry(
            "start",
            helped["jangbu"] / helped["bare"],
            "x",
            1.5,
            beside={"jangbu --help (ms)": helped["jangbu"], "a bare Typer app's (ms)": helped["bare"]},
        ),
        Entry(
            "start_serve",
            served["jangbu"] / served["imports"],
            "x",
            1.5,
            beside={"serve to ready (ms)": served["jangbu"], f"importing its {len(names)} modules (ms)": served["imports"]},
        ),
    ]


def _script(name: str, text: str) -> Path:
    path = HOME / name
    path.write_text(text)
    return path


def _help(command: list[str | Path]) -> None:
    subprocess.run([*command, "--help"], check=True, stdout=subprocess.DEVNULL)


def _import(script: Path) -> float:
    """Seconds until a bare interpreter has imported all of it."""
    start = perf_counter()
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        elapsed = perf_counter() - start
        process.kill()
    if line != b"imported\n":
        raise RuntimeError(f"{script} ended before it had imported everything")
    return elapsed


def _serve(*options: str) -> float:
    """Seconds until a server over a data folder without loads is ready."""
    port = free_port()
    environment = os.environ | {"JANGBU_FOLDER": str(HOME / "folder"), "JANGBU_PORT": str(port)}
    environment.pop("PORT", None)
    with serving([sys.executable, *options, JANGBU, "serve"], f"http://127.0.0.1:{port}/health/ready", LOG, environment) as served:
        return served.seconds


def _libraries() -> list[str]:
    """Every module outside the standard library and Jangbu that the server has imported when it is ready."""
    _serve()
    _serve("-X", "importtime")
    lines = LOG.read_text(errors="replace").splitlines()
    found = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    return sorted(name for name in found if _is_library(name.partition(".")[0]))


def _is_library(package: str) -> bool:
    return package not in sys.stdlib_module_names and package not in {"jangbu", "imported package", "sitecustomize", "_virtualenv"}
