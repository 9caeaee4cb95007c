"""Logs: one event a line, and no secret in any of them."""

import json
import logging
from collections.abc import Callable, Iterator
from io import StringIO

import pytest
import structlog

from jangbu.platform.telemetry import logs

KEY = "jb_XlwShKVC55_hym0uj4q-dMKNDngXvaKkgWSWwn0G7rE"


@pytest.fixture
def configured() -> Iterator[Callable[..., StringIO]]:
    root = logging.getLogger()
    before = root.handlers[:], root.level

    def configure(level: str = "info", form: str = "json") -> StringIO:
        stream = StringIO()
        logs.configure(level, form, stream)
        return stream

    yield configure
    root.handlers[:], root.level = before


def events(stream: StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_of_json(configured: Callable[..., StringIO]) -> None:
    stream = configured()
    structlog.get_logger("jangbu.test").info("loaded", rows=3, data_source="식품")
    (event,) = events(stream)
    assert (event["event"], event["rows"], event["data_source"], event["level"], event["logger"]) == (
        "loaded",
        3,
        "식품",
        "info",
        "jangbu.test",
    )
    assert event["timestamp"].endswith("Z")


def test_what_libraries_log_has_the_same_form_and_only_warnings_are_kept(configured: Callable[..., StringIO]) -> None:
    stream = configured()
    logging.getLogger("httpx").info("chatter")
    logging.getLogger("httpx").warning("slow: %s", KEY)
    (event,) = events(stream)
    assert event["event"] == "slow: jb_[hidden]"


def test_debug_shows_all(configured: Callable[..., StringIO]) -> None:
    stream = configured("debug")
    structlog.get_logger("jangbu.test").debug("detail")
    logging.getLogger("httpx").debug("chatter")
    assert [event["event"] for event in events(stream)] == ["detail", "chatter"]


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(
    "fields",
    [
        {"detail": f"sent {KEY} again"},
        {"headers": {"Authorization": f"Bearer {KEY}"}},
        {"headers": [(b"authorization", f"Bearer {KEY}".encode())]},
        {"authorization": KEY.removeprefix("jb_")},
        {"password": KEY.removeprefix("jb_")},
        {"error": ValueError(f"not {KEY}")},
        {KEY: 1},
    ],
)
def test_a_key_is_hidden_wherever_it_stands(configured: Callable[..., StringIO], form: str, fields: dict) -> None:
    stream = configured(form=form)
    structlog.get_logger("jangbu.test").warning("something", **fields)
    assert "hym0uj4q" not in stream.getvalue()
    assert "[hidden]" in stream.getvalue()


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_neither_keys_nor_variables(configured: Callable[..., StringIO], form: str) -> None:
    stream = configured(form=form)

    def fail(hidden: str) -> None:
        raise RuntimeError(f"with {KEY}")

    try:
        fail("swordfish".upper())
    except RuntimeError:
        structlog.get_logger("jangbu.test").exception("failed")
    assert "RuntimeError: with jb_[hidden]" in stream.getvalue()
    assert "SWORDFISH" not in stream.getvalue()


def test_an_event_of_several_lines_stays_one_line(configured: Callable[..., StringIO]) -> None:
    stream = configured()
    structlog.get_logger("jangbu.test").info("first\nsecond")
    assert [event["event"] for event in events(stream)] == ["first\nsecond"]
