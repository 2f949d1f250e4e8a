"""Says before anything runs which recipes cannot have the output folder that they ask for."""

from __future__ import annotations

import os
from collections.abc import Iterable

from trtbuild.errors import RecipeError
from trtbuild.graph.made import is_ours
from trtbuild.graph.rebuild import Rebuilder


def check_places(rebuilders: Iterable[Rebuilder]) -> None:
    """Raise a RecipeError with every recipe whose output folder holds what may not be trtbuild's,
    or is another recipe's too.
    """
    problems = []
    taken: dict[str, Rebuilder] = {}
    for rebuilder in rebuilders:
        place = rebuilder.recipe.where("name")
        other = taken.setdefault(os.path.realpath(rebuilder.workspace.root), rebuilder)
        if other is not rebuilder:
            problems.append(
                f"{place}: the outputs would go to {rebuilder.workspace.root}, as those of "
                f"{other.recipe.path} do\n  hint: give one of them another name, or run them "
                "with an --out of their own"
            )
        elif found := _in_the_way(rebuilder):
            problems.append(
                f"{place}: the outputs would go to {rebuilder.workspace.root}, {found}\n"
                "  hint: give the recipe another name, choose another place with --out DIR, or "
                "remove the folder if nothing in it is needed"
            )
    if problems:
        raise RecipeError(tuple(problems))


def _in_the_way(rebuilder: Rebuilder) -> str:
    root = rebuilder.workspace.root
    if not root.exists():
        return ""
    if not root.is_dir():
        return "which is a file"
    return (
        "" if is_ours(root) else "which holds files and no mark of trtbuild (.trtbuild, .gitignore)"
    )
