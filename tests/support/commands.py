"""The command line in the test's own process."""

import json
from typing import Any

from click.testing import Result
from typer.testing import CliRunner

from jangbu.entrypoints.cli import app


def run(*arguments: str) -> Result:
    """What a command has printed, and its exit code; any other failure is raised."""
    result = CliRunner().invoke(app, arguments, catch_exceptions=True)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def told(*arguments: str) -> Any:
    """What it says in JSON."""
    return json.loads(run(*arguments, "--json").stdout)
