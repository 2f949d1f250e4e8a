"""Check recipes: every problem at once, with its place."""

from __future__ import annotations

import argparse
from functools import partial

from trtbuild.cli.common import add_json, add_recipes
from trtbuild.errors import ExitCode, RecipeError
from trtbuild.graph.capable import check_targets
from trtbuild.graph.external_data import check_external_data
from trtbuild.recipe.load import load_recipes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `trtbuild validate` takes."""
    add_recipes(parser)
    add_json(parser)


def main(options: argparse.Namespace) -> ExitCode:
    """Load the recipes; what is wrong with them is raised, and what their targets cannot do."""
    recipes = load_recipes(options.recipes)
    problems: list[str] = []
    for recipe in recipes:
        for check in (partial(check_targets, device=None), check_external_data):
            try:
                check(recipe)
            except RecipeError as error:
                problems += error.problems
    if problems:
        raise RecipeError(tuple(problems))
    if options.json:
        from trtbuild.report.document import print_json

        names = [{"name": recipe.name, "path": str(recipe.path)} for recipe in recipes]
        print_json({"format": 1, "exit_code": 0, "recipes": names})
    else:
        for recipe in recipes:
            print(f"{recipe.path}: valid")  # noqa: T201 - the command's whole result
    return ExitCode.DONE
