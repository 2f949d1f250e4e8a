"""Remove the outputs of recipes; the cache keeps what it takes to restore them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from trtbuild.cli.common import add_places, add_recipes
from trtbuild.cli.settings import resolve
from trtbuild.errors import ExitCode, UsageError
from trtbuild.graph.hold import hold_folder, release_folder
from trtbuild.graph.made import is_ours, remove_made
from trtbuild.graph.session import output_folder
from trtbuild.recipe.load import load_recipes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `trtbuild clean` takes."""
    add_recipes(parser)
    add_places(parser)


def main(options: argparse.Namespace) -> ExitCode:
    """Remove what trtbuild made in each recipe's output folder, and the folder if that is all."""
    out = resolve(options)["out"].value
    for recipe in load_recipes(options.recipes):
        folder = output_folder(recipe, out)
        print(f"{folder}: {_cleaned(folder)}")  # noqa: T201 - the command's whole result
    return ExitCode.DONE


def _tell(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - why nothing happens


def _cleaned(folder: Path) -> str:
    if not folder.exists():
        return "nothing there"
    remedy = "remove it yourself if it is not needed"
    if not folder.is_dir():
        raise UsageError("this is a file, not a folder of outputs", where=str(folder), hint=remedy)
    if not is_ours(folder):
        raise UsageError(
            "this has no mark of trtbuild (.trtbuild, .gitignore)", where=str(folder), hint=remedy
        )
    held = hold_folder(folder, _tell)  # a run may be going on
    try:
        left = remove_made(folder)
    finally:
        if held is not None:
            release_folder(held)
    if not left:
        return "removed"
    files = "1 file" if left == 1 else f"{left} files"
    return f"outputs removed; {files} that trtbuild did not make stay{'s' if left == 1 else ''}"
