"""`make faults`: every fault of every server, questions answered by DuckDB and then by Trino; a table of what came of them."""

import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from faults.outages import FAULTS, FORGETFUL, Outcome, installed, suffer, table
from services.cache import Cache, default_folder
from services.processes import Identity
from services.run import Run

SERVERS = ("postgres", "s3", "elasticmq", "valkey")


def main(only: str) -> int:
    """`only`: a part, or nothing for all."""
    failed = 0
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # what was started is ended, too
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # PostgreSQL runs as nobody
        run = Run(Path(folder) / "services", Identity.of(os.getpid()), Cache(default_folder()))
        try:
            for engine, servers in {"duckdb": SERVERS, "trino": (*SERVERS, "trino")}.items():
                if only == "engine" and engine == "duckdb":
                    continue
                outcomes = outcomes_of(run, servers, Path(folder) / engine, only)
                sys.stdout.write(f"\nQuestions answered by {engine}\n{table(outcomes)}\n")
                failed += sum(bool(each.wrong) for each in outcomes)
        finally:
            run.end()
    return 1 if failed else 0


def outcomes_of(run: Run, names: tuple[str, ...], folder: Path, only: str) -> list[Outcome]:
    folder.mkdir()
    with ExitStack() as ending:
        servers = {name: ending.enter_context(run.own(name)) for name in names}
        made = ending.enter_context(installed(servers, run.service("toxiproxy"), folder))
        cells = [
            (part, fault) for part in made.proxies for fault in FAULTS if only in {"", part} and (part, fault) not in FORGETFUL
        ]
        if "trino" in names:
            cells = [(part, fault) for part, fault in cells if part == "engine" or only]
        done = []
        for part, fault in cells:
            done.append(suffer(made, part, fault, folder / "heard"))
            sys.stderr.write(f"{table(done[-1:]).splitlines()[1]}\n")
        return done


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
