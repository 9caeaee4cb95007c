"""Settings: from the environment, documented on one page."""

import re
from pathlib import Path

import pytest

from jangbu.entrypoints.settings import SECRETS, Settings, load, variables
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


def test_a_file_is_read_below_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jangbu.toml").write_text('definitions = ["definitions"]\nport = 9000\nquery_timeout = 3\nkey = "jb_x"\n')
    (tmp_path / "settings.toml").write_text("port = 1\n")
    settings = load()
    assert (settings.definitions, settings.port, settings.query_timeout) == ((Path("definitions"),), 9000, 3.0)
    monkeypatch.setenv("PORT", "9001")
    monkeypatch.setenv("JANGBU_QUERY_TIMEOUT", "4")
    assert (load().port, load().query_timeout, load(port=9002).port) == (9001, 4.0, 9002)


def test_a_named_file_counts_its_paths_from_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('folder = "data"\nplugin_folders = ["/a", "b"]\n')
    monkeypatch.setenv("JANGBU_SETTINGS", str(file))
    assert (load().folder, load().plugin_folders) == (tmp_path / "data", (Path("/a"), tmp_path / "b"))


@pytest.mark.parametrize(
    ("text", "message"), [("port = ", "isn't TOML"), ("prot = 1", r"no setting .prot.\. .*.port."), ("port = 'x'", "JANGBU_PORT: ")]
)
def test_a_mistake_in_the_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jangbu.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        load()


def test_a_file_that_isnt_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JANGBU_SETTINGS", "nothing.toml")
    with pytest.raises(ConfigurationError, match=r"no file 'nothing\.toml'"):
        load()


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


def test_every_secret_is_known_as_one() -> None:
    """By its name; an address or a header may hold one, too. The id of a key of S3 is none."""
    named = {field for field in Settings.model_fields if re.search(r"(^|_)(key|password|secret|token|credential)(_|$)", field)}
    assert (named - {"s3_access_key", "lake_catalog_token_address"}) | {"database", "lake_catalog", "traces_headers"} == SECRETS


@pytest.mark.parametrize("field", sorted(SECRETS))
def test_no_secret_is_shown(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variables(field)[0], "jb_secret")
    settings = load()
    assert getattr(settings, field).get_secret_value() == "jb_secret"
    assert "jb_secret" not in repr(settings) + str(settings) + settings.model_dump_json()
    with pytest.raises(ConfigurationError) as raised:
        load(**{field: 7_654_321})
    assert "7654321" not in str(raised.value) + str(raised.value.problem())


@pytest.mark.parametrize("value", ["http://user:secret@host", "host:9324", "ftp://host"])
def test_an_endpoint_is_an_address_without_a_secret(value: str) -> None:
    with pytest.raises(ConfigurationError, match="JANGBU_SQS_ENDPOINT"):
        load(sqs_endpoint=value)


def test_the_key_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JANGBU_KEY", "jb_secret")
    assert "jb_secret" not in repr(load()) + str(load())
    with pytest.raises(ConfigurationError) as raised:
        load(key=7)
    assert "7" not in str(raised.value.problem())
