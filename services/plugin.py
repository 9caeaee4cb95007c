"""Servers in tests: the mark `services("postgres")` and the fixtures `service` and `own_service`.

What the mark names is fetched and started before the test's time begins to count; servers are shared by all workers of the run and
end with it. A test whose server can't be had on this machine is skipped by name with the reason; with JANGBU_SERVICES_REQUIRED=1 it
fails. With JANGBU_SERVICES=by-hand those of `make services UP=…` are used, and left running.
"""

import json
import os
import tempfile
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import pytest

from services.cache import Cache, Unavailable, default_folder
from services.processes import Identity
from services.run import Run
from services.running import Running

RUN, OWNER = "JANGBU_SERVICES_RUN", "JANGBU_SERVICES_OWNER"
"""How the other processes of a run find its servers: their folder, and the process whose end is theirs."""
KEY, MINE, TROUBLE = pytest.StashKey[Run](), pytest.StashKey[bool](), pytest.StashKey[Exception]()
MARK = "services(*names, own=False): real servers that the test needs; with own=True they are only fetched, for own_service"
FIXTURES = {"service", "own_service"}

GetService = Callable[[str], Running]
Made = TypeVar("Made")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARK)
    if config.stash.setdefault(MINE, RUN not in os.environ):
        os.environ[RUN] = str(Path(tempfile.gettempdir()) / f"jangbu-services-{uuid.uuid4().hex[:12]}")
        os.environ[OWNER] = json.dumps(Identity.of(os.getpid()).kept())
    if os.environ.get("JANGBU_SERVICES") == "by-hand":
        config.stash[KEY] = Run.by_hand()
    else:
        config.stash[KEY] = Run(Path(os.environ[RUN]), Identity.read(json.loads(os.environ[OWNER])), Cache(default_folder()))


def pytest_unconfigure(config: pytest.Config) -> None:
    if config.stash.get(MINE, False):
        if config.stash[KEY].owner:
            config.stash[KEY].end()
        del os.environ[RUN], os.environ[OWNER]


def pytest_itemcollected(item: pytest.Item) -> None:
    """Tests that use servers without saying so by the mark are known by it too."""
    if FIXTURES & set(getattr(item, "fixturenames", ())) and not item.get_closest_marker("services"):
        item.add_marker("services")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Outside what pytest-timeout measures: a first fetch takes minutes."""
    run = item.config.stash[KEY]
    for mark in item.iter_markers("services"):
        try:
            for name in mark.args:
                run.fetch(name) if mark.kwargs.get("own") else run.service(name)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is this test's trouble and shown in its set-up
            item.stash[TROUBLE] = error
    return (yield)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if trouble := item.stash.get(TROUBLE, None):
        _given(lambda: _raise(trouble))


def _raise(error: Exception) -> None:
    raise error


def _given(make: Callable[[], Made]) -> Made:
    try:
        return make()
    except Unavailable as error:
        if os.environ.get("JANGBU_SERVICES_REQUIRED") == "1":
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def service(pytestconfig: pytest.Config) -> GetService:
    """The shared server of a name; what a test writes in it goes under names of its own."""
    run = pytestconfig.stash[KEY]
    return lambda name: _given(lambda: run.service(name))


@pytest.fixture
def own_service(pytestconfig: pytest.Config) -> Iterator[GetService]:
    """A server that only this test has, to kill, freeze and start again."""
    run = pytestconfig.stash[KEY]
    with ExitStack() as ending:
        yield lambda name: _given(lambda: ending.enter_context(run.own(name)))
