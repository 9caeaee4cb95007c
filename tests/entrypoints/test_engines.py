"""Engines by name: those of this process, and servers that the settings name."""

import re
import tomllib
from pathlib import Path

import pytest

from jangbu.entrypoints.bootstrap import Application
from jangbu.entrypoints.settings import load
from jangbu.kernel.errors import ConfigurationError, UnknownName
from jangbu.platform.engines.trino import PLUGIN

TRINO = {"url": "https://trino.example.com", "user": "jangbu"}


def names(folder: Path, **settings: object) -> Application:
    return Application(load(folder=folder, **settings))


def test_what_is_installed_is_there_and_what_is_named_too(tmp_path: Path) -> None:
    with names(tmp_path, engines={"warehouse": {"engine": "trino", **TRINO, "running": 2}, "trino": TRINO}) as application:
        assert list(application.engines) == ["duckdb", "spark", "trino", "warehouse"]
        assert (len(application.engines), "warehouse" in application.engines, "other" in application.engines) == (4, True, False)
        assert [application.engines[name].name for name in ("warehouse", "trino")] == ["warehouse", "trino"]
        assert application.engines["warehouse"].capabilities.dialect == "trino"
        assert application.engines["warehouse"] is application.engines["warehouse"]


def test_a_server_without_an_address_says_what_it_needs(tmp_path: Path) -> None:
    with names(tmp_path) as application, pytest.raises(ConfigurationError, match=r"'trino' needs 'url'.*JANGBU_ENGINES"):
        application.engines["trino"]


def test_a_setting_that_a_server_lacks_is_told_with_those_it_has(tmp_path: Path) -> None:
    with names(tmp_path, engines={"trino": {**TRINO, "pasword": "hush"}}) as application:
        with pytest.raises(ConfigurationError, match="no setting 'pasword'") as error:
            application.engines["trino"]
        assert "password" in error.value.suggestions
        assert "hush" not in str(error.value.problem())


def test_a_secret_comes_from_the_environment_and_shows_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engines = {"trino": {**TRINO, "password": {"env": "TRINO_PASSWORD"}}, "other": {"engine": "trino", **TRINO, "token": "hush"}}
    monkeypatch.delenv("TRINO_PASSWORD", raising=False)
    with names(tmp_path, engines=engines) as application:
        with pytest.raises(ConfigurationError, match="the variable TRINO_PASSWORD, which isn't set"):
            application.engines["trino"]
        monkeypatch.setenv("TRINO_PASSWORD", "hush")
        assert application.engines["trino"].name == "trino"
        assert "hush" not in repr(application.settings)


@pytest.mark.parametrize("text", ['{"trino": {"token": "hush"', '["hush"]', '{"trino": "hush"}'])
def test_what_is_no_table_of_servers_is_refused_without_being_repeated(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("JANGBU_ENGINES", text)
    with pytest.raises(ConfigurationError, match="JANGBU_ENGINES") as error:
        load()
    assert "hush" not in str(error.value.problem()) + str(error.value)


def test_the_environment_names_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JANGBU_ENGINES", '{"trino": {"url": "https://x"}}')
    assert load().engines == {"trino": {"url": "https://x"}}


def test_the_guide_tells_of_every_setting_of_a_trino_server_and_its_example_can_be_read() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guide" / "operate.md").read_text()
    section = guide.split("\n## A Trino server\n")[1].split("\n## ")[0]
    assert set(PLUGIN.fields) <= set(re.findall(r"`([a-z_]+)`", section.partition("| setting |")[2]))
    example = tomllib.loads(section.split("```toml file=trino.toml\n")[1].split("```")[0])
    assert set(example["engines"]["trino"]) <= set(PLUGIN.fields)


def test_an_engine_of_upkeep_that_is_not_there_is_told_at_the_start(tmp_path: Path) -> None:
    with names(tmp_path, upkeep_engine="sparc") as application, pytest.raises(UnknownName, match="JANGBU_UPKEEP_ENGINE 'sparc'"):
        application.start()
