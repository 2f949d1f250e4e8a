"""Remove the outputs of recipes; the cache keeps what it takes to restore them."""

from __future__ import annotations

import argparse
import shutil

from trtbuild.cli.common import add_places, add_recipes
from trtbuild.errors import ExitCode, UsageError
from trtbuild.graph.session import output_folder
from trtbuild.graph.workspace import RECORDS
from trtbuild.recipe.load import load_recipes
from trtbuild.store.files import store_errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `trtbuild clean` takes."""
    add_recipes(parser)
    add_places(parser)


def main(options: argparse.Namespace) -> ExitCode:
    """Remove each recipe's output folder."""
    for recipe in load_recipes(options.recipes):
        folder = output_folder(recipe, options.out)
        if not folder.exists():
            print(f"{folder}: nothing there")  # noqa: T201 - the command's whole result
            continue
        if not (folder / RECORDS).is_dir() and any(folder.iterdir()):
            raise UsageError(
                f"{folder} was not made by trtbuild (it has no {RECORDS} folder)",
                hint="remove it yourself if it is not needed",
            )
        with store_errors("cannot remove", folder):
            shutil.rmtree(folder)
        print(f"{folder}: removed")  # noqa: T201
    return ExitCode.DONE
