"""Errors: one hierarchy, printed in one docstring, each with a stable code, a status and what to do."""

import json
import re

import pytest

from jangbu.kernel import errors
from jangbu.kernel.errors import (
    CatalogError,
    ConfigurationError,
    InvalidRequest,
    JangbuError,
    MissingExtra,
    Unavailable,
    UnknownName,
    WrongType,
    pointer,
    tree_of_errors,
    unknown_name,
)

OURS = [error for error in tree_of_errors() if error.__module__ == errors.__name__]
BELOW_ROOT = OURS[1:]
LINE = re.compile(r"^ {4}(?P<deep>[│ ] {3})?[├└]── (?P<name>\w+) +(?P<status>\d{3})  (?P<words>\S.*)$")


def printed() -> dict[str, tuple[str, int]]:
    """Each class of the docstring's tree: its parent and its status."""
    found: dict[str, tuple[str, int]] = {}
    parent = "JangbuError"
    for line in (errors.__doc__ or "").splitlines():
        if match := LINE.match(line):
            found[match["name"]] = (parent if match["deep"] else "JangbuError", int(match["status"]))
            parent = parent if match["deep"] else match["name"]
    return found


def test_the_docstring_prints_the_whole_tree_with_every_status() -> None:
    assert printed() == {error.__name__: (error.__base__.__name__, error.status) for error in BELOW_ROOT if error.__base__}


@pytest.mark.parametrize("error", OURS, ids=lambda error: error.__name__)
def test_each_has_a_code_of_its_own_a_title_and_a_status_of_an_error(error: type[JangbuError]) -> None:
    assert re.fullmatch(r"[a-z][a-z_]*", error.code)
    assert [other.__name__ for other in OURS if other.code == error.code] == [error.__name__]
    assert error.title
    assert not error.title.endswith(".")
    assert 400 <= error.status < 600


def test_a_problem_body_holds_what_is_known_and_nothing_else() -> None:
    assert InvalidRequest("It can't be.").problem() == {
        "type": "urn:jangbu:error:invalid_request",
        "title": "The request can't be answered as it stands",
        "status": 422,
        "code": "invalid_request",
        "detail": "It can't be.",
    }
    whole = UnknownName("No.", path="/measures/0", value="revenu", known=["revenue"], hint="Look.").problem()
    assert {name: whole[name] for name in ("path", "value", "known", "suggestions", "hint")} == {
        "path": "/measures/0",
        "value": "revenu",
        "known": ["revenue"],
        "suggestions": ["revenue"],
        "hint": "Look.",
    }


def test_near_misses_are_suggested_whatever_their_case_the_closest_first() -> None:
    error = unknown_name("measure", "ReVenue", ["revenue_share", "orders", "Revenue"])
    assert error.suggestions[0] == "Revenue"
    assert "orders" not in error.suggestions
    assert error.known == ("Revenue", "orders", "revenue_share")
    assert "Did you mean 'Revenue'" in str(error)


def test_a_value_that_is_no_text_has_no_suggestions() -> None:
    assert WrongType("No.", value=7, known=["7"]).suggestions == ()


@pytest.mark.parametrize("value", [None, True, 3, 2.5, "text"])
def test_a_plain_value_is_repeated_as_it_is(value: object) -> None:
    assert WrongType("No.", value=value).problem()["value"] == value


@pytest.mark.parametrize("value", ["x" * 10_000, ["x"] * 10_000, {"a": "x" * 10_000}])
def test_a_long_value_is_cut(value: object) -> None:
    shown = WrongType("No.", value=value).problem()["value"]
    assert len(shown) == 201
    assert shown.endswith("…")
    assert len(str(unknown_name("measure", "x" * 10_000, []))) < 300


def test_a_secret_is_shown_as_its_repr_never_as_its_text() -> None:
    class Secret:
        def __str__(self) -> str:
            return "jb_secret"

        def __repr__(self) -> str:
            return "Secret(…)"

    error = ConfigurationError("The key can't be used.", value=Secret(), hint="Make another.")
    assert "jb_secret" not in json.dumps(error.problem()) + str(error) + repr(error)


def test_a_missing_extra_says_what_to_install() -> None:
    assert "pip install 'jangbu[trino]'" in str(MissingExtra("The engine 'trino'", "trino"))


def test_a_mistake_in_a_definition_names_its_file_and_line() -> None:
    assert str(CatalogError("There is no column 'x'.", file="a.yml", line=3)).startswith("a.yml:3: There is no column")
    assert str(CatalogError("There is no column 'x'.")).startswith("There is no column")


def test_unavailable_says_when_to_try_again() -> None:
    error = Unavailable("Busy.", retry_after=7)
    assert error.retry_after == 7
    assert "7 s" in str(error)


def test_a_pointer_escapes_as_rfc_6901_says() -> None:
    assert pointer("filter", "and", 0) == "/filter/and/0"
    assert pointer("a/b", "~c") == "/a~1b/~0c"
    assert pointer() == ""
