"""`jangbu demo`: a real retailer's year, loaded and served."""

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from jangbu.entrypoints.cli import options, progress, serve

if TYPE_CHECKING:
    from jangbu.entrypoints.bootstrap import Application

TENANT: Final = "demo"
CONNECTOR: Final = "completejourney"
_ZONE, _CURRENCY, _NOW = "America/New_York", "USD", "2017-12-31T23:59:59-05:00"
QUESTIONS: Final[tuple[tuple[str, dict[str, Any], tuple[str, ...]], ...]] = (
    (
        "Which departments sold most in 2017?",
        {
            "data_source": "sales",
            "measures": ["revenue", "orders"],
            "dimensions": ["department"],
            "time": {"range": "2017"},
            "order": [{"field": "revenue", "direction": "desc"}],
            "limit": 10,
        },
        (
            "--source",
            "sales",
            "--measures",
            "revenue,orders",
            "--by",
            "department",
            "--range",
            "2017",
            "--order",
            "revenue desc",
            "--limit",
            "10",
        ),
    ),
    (
        "How did each month of the last quarter compare with the quarter before?",
        {
            "data_source": "sales",
            "measures": ["revenue", "customers"],
            "time": {"range": "2017-Q4", "compare": "previous_period"},
            "time_frequency": "month",
        },
        (
            "--source",
            "sales",
            "--measures",
            "revenue,customers",
            "--every",
            "month",
            "--range",
            "2017-Q4",
            "--compare",
            "previous_period",
        ),
    ),
    (
        "Which departments make the first 80 % of revenue, and which the rest?",
        {"data_source": "sales", "measures": ["revenue"], "dimensions": ["department"], "analysis": {"kind": "abc"}},
        ("--source", "sales", "--measures", "revenue", "--by", "department", "--analysis", "abc"),
    ),
)
"""A question in words, as a request, and as options of `jangbu query`."""


def demo(
    port: options.Port = None,
    folder: options.Folder = None,
    no_serve: Annotated[bool, typer.Option("--no-serve", help="Load the data and stop.")] = False,
) -> None:
    """Load a real retailer's year and serve it. The second start takes seconds."""
    from jangbu.entrypoints.bootstrap import Application
    from jangbu.entrypoints.settings import load
    from jangbu.platform.telemetry import logs

    settings = load(folder=folder, port=port)
    logs.configure("debug" if settings.log_level == "debug" else "warning", settings.log_format)
    serve.interruptible()
    listener = None if no_serve else serve.listen(settings.host, settings.port)
    with Application(settings) as application:
        application.start()
        key = prepare(application)
        if listener is not None:
            place = serve.address(listener)
            serve.run(application, listener, lambda: typer.echo("\n".join(greeting(place, key))), serve.beside(application))


def prepare(application: "Application") -> str:
    """The demo's tenant, its data and its key; returns the key. What is there already is left as it is."""
    from datetime import datetime

    from jangbu.kernel.tenancy import TenantId

    application.access.create_tenant(TENANT, "Complete Journey", _ZONE, _CURRENCY, datetime.fromisoformat(_NOW))
    with progress.shown() as tell:
        application.run_connector(CONNECTOR, TenantId(TENANT), tell)
    return _key(application)


def greeting(place: str, key: str) -> Iterator[str]:
    """What is printed once the demo can be asked: lines that can be pasted whole."""
    yield from ("", "The demo is ready.", "", f"  address  {place}", f"  key      {key}", "")
    yield "Three questions to try in another terminal, each by curl or by jangbu (the same answer):"
    for number, (words, request, flags) in enumerate(QUESTIONS, 1):
        yield from ("", f"{number}. {words}", "", _curl(place, key, request), "", _jangbu(place, key, flags))
    yield from ("", f"The API is described at {place}/docs. Ctrl-C ends the demo; its data are kept.", "")


def _curl(place: str, key: str, request: dict[str, Any]) -> str:
    import json

    headers = f"-H 'Authorization: Bearer {key}' -H 'Content-Type: application/json'"
    return f"curl -sS {place}/v1/query {headers} -d {shlex.quote(json.dumps(request))}"


def _jangbu(place: str, key: str, flags: tuple[str, ...]) -> str:
    return f"{program()} query {shlex.join(flags)} --server {place} --key {key}"


def program() -> str:
    """How the reader can start this program where they are: by its name if the shell finds it, else by its path."""
    import shutil

    own = Path(sys.argv[0])
    found = shutil.which("jangbu")
    if found and own.exists() and Path(found).resolve() == own.resolve():
        return "jangbu"
    here = Path.cwd()
    absolute = own.absolute()
    return shlex.quote(str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute))


def _key(application: "Application") -> str:
    """The demo's key: kept in the data folder, for its owner's eyes only, so that the next start prints the same one."""
    from jangbu.kernel.errors import Unauthenticated

    file = application.folder / "demo-key"
    try:
        kept = file.read_text().strip()
        application.access.authenticate(kept)
    except (FileNotFoundError, Unauthenticated):
        _, secret = application.access.create_key("demo", [TENANT])
        _write_private(file, secret.reveal())
        return secret.reveal()
    return kept


def _write_private(file: Path, text: str) -> None:
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(text + "\n")
