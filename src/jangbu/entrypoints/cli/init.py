"""`jangbu init`: a folder of one's own, with settings, definitions and an example."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final

import typer

SETTINGS: Final = """\
# Settings of this folder; docs/settings.md describes them all. Paths count from here. An environment variable goes before a line.
folder = ".jangbu"
definitions = ["definitions"]
"""
_IGNORED: Final = ".jangbu/\n"
_README: Final = """\
# Our data

- `definitions/`: what can be asked: data sources and measures. Edit them; `jangbu catalog check` finds mistakes.
- `jangbu.toml`: settings. `.jangbu/`: the data, not for git.

Load a file of your own (CSV, Excel, Parquet, JSON lines, or a folder of them):

    jangbu load orders.csv --as orders

Or try the example, a small shop's week:

    jangbu load example/example_orders.csv --mode replace
"""
_EXAMPLE: Final = """\
주문번호,주문일시,고객번호,상품명,분류,수량,단가
J-0001,2024-03-04 09:12,C-101,보리차 티백,차,2,"4,500원"
J-0001,2024-03-04 09:12,C-101,매실청,음료,1,"12,000원"
J-0002,2024-03-04 11:40,C-102,현미 누룽지,간식,3,"3,200원"
J-0003,2024-03-05 10:05,,보리차 티백,차,1,"4,500원"
J-0004,2024-03-05 18:31,C-103,꿀 약과,간식,5,"1,800원"
J-0004,2024-03-05 18:31,C-103,유자차,차,1,"9,900원"
J-0005,2024-03-06 08:20,C-101,매실청,음료,2,"12,000원"
J-0006,2024-03-07 13:02,C-104,꿀 약과,간식,10,"1,700원"
J-0007,2024-03-07 20:47,C-102,유자차,차,2,"9,900원"
J-0008,2024-03-08 12:15,C-105,현미 누룽지,간식,1,"3,200원"
J-0008,2024-03-08 12:15,C-105,보리차 티백,차,4,"4,300원"
J-0009,2024-03-09 16:58,C-103,매실청,음료,1,"12,000원"
"""
EXAMPLE: Final = "example_orders"
_ZONE: Final = "Asia/Seoul"


def init(directory: Annotated[Path, typer.Argument(help="The folder; made where it isn't there.")] = Path()) -> None:
    """Make a folder for your own data: settings, definitions, an example. What is there already is left as it is."""
    for path, made in written(directory):
        typer.echo(f"{'made' if made else 'kept'}  {path}")
    steps = ["jangbu load example/example_orders.csv --mode replace", "jangbu load YOUR_FILE --as NAME"]
    here = directory.resolve() == Path.cwd()
    typer.echo("\n".join(["", "Next:", *([] if here else [f"  cd {directory}"]), *(f"  {step}" for step in steps)]))


def settings_made(directory: Path) -> list[Path]:
    """The settings and the folder of definitions, where they aren't there yet; what was made."""
    (directory / "definitions").mkdir(parents=True, exist_ok=True)
    return [path for path, made in _put(directory, {"jangbu.toml": SETTINGS}) if made]


def written(directory: Path) -> Iterator[tuple[Path, bool]]:
    """Everything, each with whether it was made now."""
    for folder in (directory / "definitions", directory / "example"):
        folder.mkdir(parents=True, exist_ok=True)
    (directory / ".jangbu").mkdir(exist_ok=True, mode=0o700)
    plain = {"jangbu.toml": SETTINGS, ".gitignore": _IGNORED, "README.md": _README, f"example/{EXAMPLE}.csv": _EXAMPLE}
    yield from _put(directory, plain)
    yield from _put(directory, _definitions(directory / "example" / f"{EXAMPLE}.csv"))


def _put(directory: Path, files: Mapping[str, str]) -> Iterator[tuple[Path, bool]]:
    for name, text in files.items():
        path = directory / name
        made = not path.exists()
        if made:
            path.write_text(text, encoding="utf-8")
        yield path, made


def _definitions(example: Path) -> Mapping[str, str]:
    from jangbu.insight.ingest.files.opening import open_files
    from jangbu.insight.ingest.inference import infer
    from jangbu.insight.ingest.inferring import rendering

    found = infer(open_files(example), EXAMPLE, _ZONE)
    return {
        f"definitions/{EXAMPLE}.yml": rendering.data_source(found),
        f"definitions/{EXAMPLE}_measures.yml": rendering.measures(found),
    }
