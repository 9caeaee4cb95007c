"""A small shop's definitions, in a folder that a test may change."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from jangbu.insight.catalog.contracts import Catalog
from jangbu.insight.catalog.loader import Layer
from jangbu.insight.catalog.service import load

SHOP = Path(__file__).parents[2] / "fixtures" / "definitions" / "shop"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHOP, tmp_path / "shop"))


@pytest.fixture
def edit(shop: Path) -> Callable[[str, str, str], Path]:
    """Puts one text in the place of another, which must be in the file once."""

    def change(file: str, old: str, new: str) -> Path:
        before = (shop / file).read_text(encoding="utf-8")
        assert before.count(old) == 1, f"{old!r} is {before.count(old)} times in {file}"
        (shop / file).write_text(before.replace(old, new), encoding="utf-8")
        return shop

    return change


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load([Layer("shop", SHOP)]).catalog
