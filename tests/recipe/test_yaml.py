"""The strict YAML reader: values, places, and what it refuses."""

from __future__ import annotations

import sys

import pytest
import yaml

from tests.recipe.conftest import FULL
from trtbuild.recipe import yaml as strict
from trtbuild.recipe.model import Position
from trtbuild.recipe.scalars import plain_value

LOOKALIKES = """
yes No on off y None TrUe nan inf 1_000 010 0x10 1:30 2024-01-01 1.2.3 1e e3 - + . -x -.x 1GiB 200ms
"""


def parsed(text: str) -> object:
    """The data of a text in which nothing may be wrong."""
    result = strict.parse(text.encode())
    assert result.problems == []
    return result.data


def problems(text: str | bytes) -> list[str]:
    """The texts of what is wrong."""
    content = text if isinstance(text, bytes) else text.encode()
    return [problem.text for problem in strict.parse(content).problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("0", 0),
        ("-12", -12),
        ("+3", 3),
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("1.0e-4", 0.0001),
        (".5", 0.5),
        ("2.", 2.0),
        ("10.10", 10.1),
    ],
)
def test_plain_text_is_read_as_yaml_1_2_says(text: str, value: object) -> None:
    result = plain_value(text)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    "text",
    LOOKALIKES.split(),
)
def test_text_that_looks_like_a_value_to_others_stays_text(text: str) -> None:
    assert plain_value(text) == text


@pytest.mark.parametrize("text", [".nan", ".NaN", ".inf", "-.INF", "+.inf", "1e999", "9" * 101])
def test_a_number_that_json_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"number|digits"):
        plain_value(text)


def test_quoted_and_tagged_text_stays_text() -> None:
    assert parsed("a: '1'\nb: \"true\"\nc: ! 5\nd: !!str 5\ne: |\n  1\n") == {
        "a": "1",
        "b": "true",
        "c": "5",
        "d": "5",
        "e": "1\n",
    }


def test_each_key_and_item_has_its_place() -> None:
    text = "é: {ñ: 1, b: [x, {c: 2}]}\nd:\n  - e\n  -   f: 1\n"
    positions = strict.parse(text.encode()).positions
    assert positions == {
        (): Position(1, 1),
        ("é",): Position(1, 1),
        ("é", "ñ"): Position(1, 5),
        ("é", "b"): Position(1, 11),
        ("é", "b", 0): Position(1, 15),
        ("é", "b", 1): Position(1, 18),
        ("é", "b", 1, "c"): Position(1, 19),
        ("d",): Position(2, 1),
        ("d", 0): Position(3, 5),
        ("d", 1): Position(4, 7),
        ("d", 1, "f"): Position(4, 7),
    }


def test_a_byte_order_mark_and_windows_line_ends_are_read() -> None:
    result = strict.parse(b"\xef\xbb\xbfa: 1\r\nb: [1,\r\n  2]\r\n")
    assert result.data == {"a": 1, "b": [1, 2]}
    assert result.positions[("b", 1)] == Position(3, 3)


def test_an_alias_stands_for_its_anchor_and_is_placed_where_it_is_written() -> None:
    result = strict.parse(b"a: &x {b: [1, 2]}\nc: *x\n")
    assert result.data == {"a": {"b": [1, 2]}, "c": {"b": [1, 2]}}
    assert result.positions[("c",)] == Position(2, 1)
    assert ("c", "b") not in result.positions


def test_what_is_wrong_inside_a_repeated_key_is_still_told_but_spoils_nothing() -> None:
    result = strict.parse(b"a: 1\na: {b: .nan}\n")
    assert result.data == {"a": 1}
    assert [problem.spoils for problem in result.problems] == [None, None]
    assert result.positions[("a",)] == Position(1, 1)


def test_a_key_that_is_an_alias_or_a_mapping_is_refused_and_reading_goes_on() -> None:
    text = "a: &x b\n*x : 1\n? {c: 1}\n: 2\nd: .inf\n"
    assert problems(text) == [
        "a key must be text",
        "a key must be text",
        ".inf is no finite number; a recipe has no infinity and no NaN",
    ]


def test_a_million_values_behind_aliases_are_refused_quickly() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    assert problems("\n".join(lines)) == ["the recipe has more than 100000 values"]


def test_nesting_beyond_any_recursion_limit_is_refused() -> None:
    assert problems("a: " + "[" * 50_000) == ["nested deeper than 100 levels"]


@pytest.mark.parametrize("content", [b"a: \xff", b"\xff\xfea\x00", b"a: 1\nb: \xe9"])
def test_text_in_another_encoding_is_refused_with_the_byte(content: bytes) -> None:
    assert problems(content)[0].endswith("is not UTF-8")


def test_the_slow_parser_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = strict.parse(FULL.encode())
    assert strict.LOADER is yaml.CSafeLoader
    monkeypatch.setattr(strict, "LOADER", yaml.SafeLoader)
    assert strict.parse(FULL.encode()) == fast
    for text in ("a: [1", "a: b: c", "a:\n\t- b", "a: 'b", "- a\nb: 1", "a: @b", "{a: 1}}"):
        slow = strict.parse(text.encode())
        assert slow.data is None
        assert len(slow.problems) == 1


def test_malformed_yaml_shows_the_offending_line_even_where_it_is_very_long() -> None:
    (problem,) = strict.parse(f"a: [{'1, ' * 300}1}}\n".encode()).problems
    text, line, mark = problem.text.split("\n")
    assert text == "expected ',' or ']' in the list that begins on line 1"
    assert len(line) < 120
    assert line[mark.index("^")] == "}"
    assert problem.position == Position(1, 906)


def test_a_value_that_is_missing_is_said_so() -> None:
    assert problems("a: [1, }")[0].startswith("a value is missing before '}'")


def test_reading_does_not_depend_on_the_recursion_limit() -> None:
    limit = sys.getrecursionlimit()
    assert limit > 3 * strict.DEEPEST
