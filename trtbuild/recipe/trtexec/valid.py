"""Whether a recipe that was made is one, wherever its files are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

from trtbuild.recipe.check_files import Kind
from trtbuild.recipe.checks import Checked, check
from trtbuild.recipe.problems import Key, Problem
from trtbuild.recipe.raw import RawRecipe
from trtbuild.recipe.validate import validate
from trtbuild.recipe.yaml import parse


class _Anywhere(Checked):
    """A recipe whose files need not be there: a command line may come from another machine."""

    def file(self, _key: Key, _path: str | None, _kind: Kind) -> Iterator[Problem]:
        return iter(())


def problems_of(text: str) -> tuple[str, ...]:
    """What is wrong with a recipe, a line each, as `KEY: PROBLEM`."""
    parsed = parse(text.encode())
    if parsed.problems or parsed.data is None:
        return tuple(map(_told, parsed.problems))
    found = validate(parsed.data)
    if not found:
        raw = cast("RawRecipe", parsed.data)
        found = check(_Anywhere(raw, parsed.data, Path(), None))
    return tuple(map(_told, found))


def _told(problem: Problem) -> str:
    return f"{'.'.join(map(str, problem.key))}: {problem.text}"
