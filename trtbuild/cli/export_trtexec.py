"""Print the trtexec command lines that come nearest to a recipe, and what they cannot express."""

from __future__ import annotations

import argparse
import os
import shlex
from dataclasses import replace
from pathlib import Path

from trtbuild.cli.common import add_json, folder
from trtbuild.cli.ports import ports_of
from trtbuild.cli.settings import resolve
from trtbuild.errors import ExitCode
from trtbuild.graph.action import ArtifactRef
from trtbuild.graph.plan import plan
from trtbuild.graph.session import output_folder
from trtbuild.recipe.load import load_recipes
from trtbuild.recipe.trtexec.export import Command, Subject, command_for, plain_source


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `trtbuild export-trtexec` takes."""
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="a recipe file")
    parser.add_argument(
        "--out", type=folder, metavar="DIR", help="where `trtbuild run --out` wrote"
    )
    add_json(parser)


def main(options: argparse.Namespace) -> ExitCode:
    """Print a command for each variant."""
    (recipe,) = load_recipes([options.recipe])
    root = output_folder(recipe, resolve(options)["out"].value)
    tasks = {task.id: task for task in plan(recipe)}
    commands: dict[str, Command] = {}
    for variant in recipe.precisions:
        build = tasks[f"build:{variant}"]
        source = plain_source(recipe, variant)
        if source is None:
            made = next(i for i in build.inputs if isinstance(i, ArtifactRef) and i.role == "model")
            model = root / tasks[made.task].folder / "model.onnx"
        else:
            model = recipe.path.parent / source
        engine = root / variant / "trtexec.plan"
        folder = Path(_from_here(recipe.path.parent))
        subject = Subject(_from_here(model), _from_here(engine), ports_of(model), folder)
        command = command_for(recipe, variant, build.options, subject)
        if not engine.parent.is_dir():
            note = f"trtexec makes no folders: mkdir -p {shlex.quote(_from_here(engine.parent))}"
            command = replace(command, notes=(*command.notes, note))
        commands[variant] = command
    if options.json:
        from trtbuild.report.document import print_json

        found = {
            name: {
                "command": list(command.words),
                "lacking": list(command.lacking),
                "notes": list(command.notes),
            }
            for name, command in commands.items()
        }
        document = {"format": 1, "recipe": str(options.recipe), "variants": found}
        print_json(document, ExitCode.DONE)
        return ExitCode.DONE
    for name, command in commands.items():
        print(f"# {recipe.name} {name}")  # noqa: T201 - the command's whole result
        for line in command.lacking:
            print(f"# not in this command: {line}")  # noqa: T201
        for line in command.notes:
            print(f"# note: {line}")  # noqa: T201
        print(f"{command.text}\n")  # noqa: T201
    return ExitCode.DONE


def _from_here(path: Path) -> str:
    """A path as the present folder finds it: relative where it lies below."""
    whole = Path(os.path.abspath(path))  # noqa: PTH100 - links stay what they are
    return str(whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else whole)
