"""Whatever stands in a recipe, the answer is a recipe or a RecipeError with places."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.recipe.conftest import FULL
from trtbuild.errors import RecipeError
from trtbuild.recipe.load import load_recipes
from trtbuild.recipe.yaml import parse

ODD: list[Any] = [None, True, -1, 1e300, "", "x.py:y", [], {}, [[None]], {"a": 1}, [{}]]


def keys(value: Any, key: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The key of a value and of everything in it."""
    yield key
    if isinstance(value, dict | list):
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from keys(item, (*key, name))


DATA = parse(FULL.encode()).data
KEYS = sorted(keys(DATA), key=len)


def outcome(path: Path) -> str:
    """The problems of a recipe, each of which must have its place."""
    try:
        load_recipes([path])
    except RecipeError as error:
        for problem in error.problems:
            assert problem.startswith(str(path))
            assert "Traceback" not in problem
        return str(error)
    return ""


@pytest.mark.parametrize("turn", range(3))
def test_a_value_of_any_other_kind_anywhere_is_no_crash(folder: Path, turn: int) -> None:
    path = Path("recipe.yaml")
    refused = 0
    for index, key in enumerate(KEYS):
        odd = ODD[(index + 4 * turn) % len(ODD)]  # each key meets three of them
        data: Any = copy.deepcopy(DATA)
        place: Any = data
        for part in key[:-1]:
            place = place[part]
        if key:
            place[key[-1]] = odd
        path.write_text(json.dumps(data if key else odd))  # JSON is YAML too
        refused += bool(outcome(path))
    assert refused > len(KEYS) // 2


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    place=st.integers(0, len(FULL)),
    length=st.integers(0, 12),
    text=st.text("{}[]:,&*!|>-\t\n \0\"'#%@0n~?é", max_size=4),
)
def test_damaged_text_is_no_crash(folder: Path, place: int, length: int, text: str) -> None:
    path = Path("recipe.yaml")
    path.write_text(FULL[:place] + text + FULL[place + length :])
    outcome(path)
