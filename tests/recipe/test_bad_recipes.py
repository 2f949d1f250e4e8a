"""Each mistake that users make is named with its place and remedy; whole messages are compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.recipe.conftest import BAD, Memo
from trtbuild.errors import ExitCode, RecipeError
from trtbuild.recipe.load import load_recipes

CASES = sorted(path.stem for path in BAD.glob("*.yaml"))


def test_every_bad_recipe_has_its_expected_message() -> None:
    assert {path.stem for path in BAD.glob("*.expected")} == set(CASES)
    assert len(CASES) > 80


@pytest.mark.parametrize("case", CASES)
def test_a_bad_recipe_is_refused_with_the_expected_message(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(BAD)
    memo = Memo()
    expected = (BAD / f"{case}.expected").read_text()
    for _ in range(2):  # the second time what passed is known, and must hide nothing
        with pytest.raises(RecipeError) as caught:
            load_recipes([Path(f"{case}.yaml")], memo)
        assert f"{caught.value}\n" == expected
        assert caught.value.exit_code is ExitCode.INVALID


def test_the_problems_of_all_recipes_come_at_once_sorted_by_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(BAD)
    cases = ["units", "empty", "utf16", "yaml_tab"]
    with pytest.raises(RecipeError) as caught:
        load_recipes([Path(f"{case}.yaml") for case in cases])
    together = [(BAD / f"{case}.expected").read_text() for case in sorted(cases)]
    assert f"{caught.value}\n" == "".join(together)
    assert len(caught.value.problems) == 1 + 3 + 1 + 1
