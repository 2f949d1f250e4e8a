"""Recipes as tasks of somebody's dodo.py, so that `doit list` and `doit run` know them."""

from __future__ import annotations

import atexit
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from trtbuild.graph.doit import dodo_errors, doit_dicts
from trtbuild.graph.places import check_places
from trtbuild.graph.select import Settings
from trtbuild.graph.session import Session
from trtbuild.recipe.load import load_recipes
from trtbuild.report.terminal import Terminal
from trtbuild.store.store import Store, default_cache


def recipe_tasks(recipes: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """doit's dicts of the tasks of some recipes, named RECIPE:TASK.

    What is wrong with them, or with the cache, is raised as doit's own InvalidDodoFile.

    >>> def task_engines():
    ...     yield from recipe_tasks([Path("recipes/digits-cnn.yaml")])
    """
    with dodo_errors():
        store = Store(default_cache())
        atexit.register(store.close)
        session = Session(load_recipes(recipes, store.memo), store, Terminal(), Settings())
        check_places(session.rebuilders)
    for item in doit_dicts(session.rebuilders):
        # Under "name" doit would put the generator's own name before it.
        item["basename"] = item.pop("name")
        yield item
