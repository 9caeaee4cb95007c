"""Settings: from the environment, documented on one page."""

import re
from pathlib import Path

import pytest

from jangbu.entrypoints.settings import Settings, load, variables
from jangbu.kernel.errors import ConfigurationError

PAGE = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
SECTIONS = {part.split("\n", 1)[0].strip(): part for part in PAGE.split("\n### ")[1:]}


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields:
        for variable in variables(field):
            monkeypatch.delenv(variable, raising=False)


def test_every_setting_has_its_heading_and_no_heading_is_stale() -> None:
    assert list(SECTIONS) == [variables(field)[0] for field in Settings.model_fields]


@pytest.mark.parametrize("field", Settings.model_fields)
def test_the_page_tells_the_default_and_what_it_means(field: str) -> None:
    section = SECTIONS[variables(field)[0]]
    default = getattr(load(), field)
    shown = "none" if default in (None, ()) else f"`{str(default).lower() if isinstance(default, bool) else default}`"
    assert f"\nDefault: {shown}\n" in section
    assert re.search(r"\n\n[A-Z`].{20,}", section)
    for other in variables(field)[1:]:
        assert f"\nAlso read from: `{other}`\n" in section


def test_the_environment_sets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JANGBU_QUERY_TIMEOUT", "2.5")
    monkeypatch.setenv("JANGBU_QUERY_LOG", "false")
    monkeypatch.setenv("JANGBU_PLUGIN_FOLDERS", "/a:/b")
    monkeypatch.setenv("JANGBU_ENGINE_THREADS", "")
    settings = load()
    assert (settings.query_timeout, settings.query_log, settings.engine_threads) == (2.5, False, None)
    assert settings.plugin_folders == (Path("/a"), Path("/b"))


def test_an_option_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9000")
    assert load(port=None).port == 9000
    assert load(port=9001).port == 9001
    monkeypatch.setenv("JANGBU_PORT", "9002")
    assert load().port == 9002
    assert load(port=9001).port == 9001


def test_a_mistake_names_its_variable_and_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JANGBU_ENGINE_RUNNING", "many")
    with pytest.raises(ConfigurationError, match=r"JANGBU_ENGINE_RUNNING: .*integer") as raised:
        load()
    assert raised.value.value == "many"


@pytest.mark.parametrize(("name", "value"), [("PORT", "70000"), ("PORT", "http"), ("JANGBU_PORT", "-1")])
def test_a_port_that_cant_be_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match="PORT") as raised:
        load()
    assert raised.value.value == value


def test_the_key_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JANGBU_KEY", "jb_secret")
    assert "jb_secret" not in repr(load()) + str(load())
    with pytest.raises(ConfigurationError) as raised:
        load(key=7)
    assert "7" not in str(raised.value.problem())
