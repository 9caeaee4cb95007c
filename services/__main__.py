"""Servers for work by hand: `python -m services [list | up NAMES | down NAMES | fetch NAMES]`, names with commas, `all` for all.
The demo at scale: `python -m services demo`, `--help` tells more.

They run until they are taken down; one that ended otherwise starts again on the same ports and data.
"""

import sys
from collections.abc import Callable

from services import demo
from services.cache import Unavailable
from services.registry import service_named, services
from services.run import Run
from services.running import Running, ServerFailed


def main(arguments: list[str]) -> int:
    run = Run.by_hand()
    match arguments:
        case [] | ["list"]:
            listed(run)
        case ["up", names]:
            return each(names, lambda name: described(run.service(name)))
        case ["down", names]:
            wanted = {running.service.name for running in run.all()} if names in ("all", "1") else set(names.split(","))
            return each(",".join(sorted(wanted)), lambda name: taken_down(run, name)) if wanted else 0
        case ["fetch", names]:
            return each(names, lambda name: f"{name}: {run.fetch(name)}")
        case ["demo", *options]:
            return demo.main(options)
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


def each(names: str, act: Callable[[str], str]) -> int:
    """Do it for all that are named; 1 when one can't be had or fails."""
    failed = 0
    for name in services() if names == "all" else names.split(","):
        try:
            service_named(name)
            print(act(name), flush=True)
        except (Unavailable, ServerFailed, KeyError) as error:
            print(error.args[0], file=sys.stderr)
            failed = 1
    return failed


def listed(run: Run) -> None:
    for name, service in services().items():
        running = run.found(name)
        state = "-" if running is None else "runs" if running.is_alive() else "ended"
        print(f"{name:16} {state:6} {service.about}")
        if running and running.is_alive():
            print(described(running, "    "))


def described(running: Running, indent: str = "") -> str:
    parts = [f"{name}={value}" for name, value in running.addresses.items()]
    memory = f"{running.resident() / 2**20:.0f} MiB"
    return "\n".join(f"{indent}{line}" for line in (f"{running.service.name}: {memory}, {running.at.folder}", *parts))


def taken_down(run: Run, name: str) -> str:
    running = run.found(name)
    if running is None:
        return f"{name} doesn't run."
    running.remove()
    return f"{name} is stopped and its data are deleted."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
