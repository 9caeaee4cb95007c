"""`python -m bench [name ...]`: run the benches of those names (all without one), print a table and write build/bench/NAME.json.

A bench is one file beside this one: a docstring and a `run() -> list[Entry]`. A missed goal is shown and is no failure.
"""

import signal
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from rich.console import Console

from bench.harness import BUILD, save, table

NOT_BENCHES = {"__init__", "__main__", "harness"}


def names() -> list[str]:
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in NOT_BENCHES)


def title(module: ModuleType) -> str:
    return (module.__doc__ or module.__name__).strip().splitlines()[0]


def main(asked: list[str]) -> int:
    known = names()
    if unknown := [name for name in asked if name not in known]:
        print(f"no bench {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    BUILD.mkdir(parents=True, exist_ok=True)
    console = Console(width=None if sys.stdout.isatty() else 140)
    for name in asked or known:
        module = import_module(f"bench.{name}")
        entries = module.run()
        path = save(name, entries)
        console.print(table(title(module), entries))
        console.print(f"[dim]{path}[/dim]\n")
    return 0


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit by exception ends the servers that were started
sys.exit(main([argument for argument in sys.argv[1:] if argument]))
