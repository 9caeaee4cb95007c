"""What all tests may ask for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["services.plugin"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow files first, so that no worker ends long after the others; of those the ones without servers, which are being fetched
    meanwhile on a new machine."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    served = {item.path for item in items if item.get_closest_marker("services")}
    items.sort(key=lambda item: (item.path not in slow, item.path in served))


@pytest.fixture
def adapter(request: pytest.FixtureRequest) -> str:
    """The database's; modules that run on all of them mark `parametrize("adapter", ADAPTERS, indirect=True)`."""
    return str(getattr(request, "param", "sqlite"))


@pytest.fixture
def database_folder(adapter: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder whose database, opened by `database_at`, is the adapter's, and empty."""
    from support.databases import prepared

    server = None if adapter == "sqlite" else request.getfixturevalue("service")(adapter)
    with prepared(adapter, server, tmp_path) as folder:
        yield folder
