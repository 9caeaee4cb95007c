"""A definitions file is plain YAML: nothing that surprises, repeats, expands or recurses."""

from pathlib import Path

import pytest

from jangbu.insight.catalog.documents import MAX_BYTES, Origin, read
from jangbu.kernel.errors import CatalogError


def written(tmp_path: Path, content: str | bytes) -> Path:
    file = tmp_path / "file.yml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3", 3, "'a' comes twice"),
        ("a:\n\tb: 1", 2, "not tabs"),
        ("x: &big [1]\ny: *big", 1, "anchors and aliases"),
        ("a: 1\n<<: *a", 2, "anchors and aliases"),
        ("a: !!python/object:os.system {}", 1, "tags"),
        ("a: !!int x", 1, "tags"),
        ("a: 1\n---\nb: 2", 2, "a second document"),
        ("? [a]\n: b", 1, "a key is a text"),
        ("a: [1\nb: 2", 2, "YAML"),
        ("a: \x00", 1, "control characters"),
        ("", 1, "empty"),
        ("# only a comment\n", 1, "empty"),
        (b"a: 1\nb: \xc5\xe4\n", 2, "UTF-8"),
        ("[" * 100_000, 1, "levels deep"),
        ("- " * 100_000, 1, "levels deep"),
        ("{a: " * 100_000, 1, "levels deep"),
    ],
)
def test_a_trap_of_yaml_is_refused_with_its_line(tmp_path: Path, content: str | bytes, line: int, words: str) -> None:
    with pytest.raises(CatalogError) as caught:
        read(written(tmp_path, content))
    assert words in str(caught.value)
    assert caught.value.line == line
    assert caught.value.file == str(tmp_path / "file.yml")


def test_a_file_past_the_limit_is_refused_unread(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="larger than 1,048,576 bytes"):
        read(written(tmp_path, "#" * (MAX_BYTES + 1)))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="can't be read: No such file"):
        read(tmp_path / "nothing.yml")


def test_only_true_and_false_are_booleans_and_dates_stay_texts(tmp_path: Path) -> None:
    text = "on: no\nyes: off\nday: 2017-01-01\ntime: 12:30\nzip: 010\nsmall: -7\nbig: 1.5\nflag: true\nnone: null\n"
    text += "large: 99999999999999999999"
    assert read(written(tmp_path, text)) == {
        "on": "no",
        "yes": "off",
        "day": "2017-01-01",
        "time": "12:30",
        "zip": "010",
        "small": -7,
        "big": 1.5,
        "flag": True,
        "none": None,
        "large": "99999999999999999999",
    }


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    assert read(written(tmp_path, "\ufeffa: 1")) == {"a": 1}


def test_an_origin_finds_the_line_of_its_last_known_key(tmp_path: Path) -> None:
    file = written(tmp_path, "a:\n  - b: 1\n    c: 2\n  - b: 3\n")
    assert Origin(file).error("x").line == 1
    assert Origin(file, ("a", 1, "b")).error("x").line == 4
    assert Origin(file, ("a", 0, "c")).error("x").line == 3
    assert Origin(file, ("a", 0, "unknown")).error("x").line == 2
    assert Origin(tmp_path / "gone.yml", ("a",)).error("x").line is None
