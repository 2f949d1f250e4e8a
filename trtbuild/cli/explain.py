"""Say what a task's action is now, and how it differs from what is recorded and cached."""

from __future__ import annotations

import argparse
from pathlib import Path

from trtbuild.cli.common import add_json, add_places, add_remote, open_session
from trtbuild.errors import ExitCode, UsageError
from trtbuild.report.explanation import explanation, print_explanation
from trtbuild.report.terminal import Quiet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `trtbuild explain` takes."""
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="a recipe file")
    parser.add_argument(
        "task", nargs="?", metavar="TASK", help="a task, such as build:fp16 (default: all)"
    )
    add_remote(parser)
    add_places(parser)
    add_json(parser)


def main(options: argparse.Namespace) -> ExitCode:
    """Print the difference between the recorded and the present action."""
    options.recipes = [options.recipe]
    with open_session(options, Quiet()) as session:
        (rebuilder,) = session.rebuilders
        if options.task is not None and options.task not in rebuilder.tasks:
            raise UsageError(
                f"{options.recipe} has no task {options.task}",
                hint=f"it has {', '.join(rebuilder.tasks)}",
            )
        session.preview()
        tasks = list(rebuilder.tasks) if options.task is None else [options.task]
        explanations = [explanation(rebuilder, task_id) for task_id in tasks]
    if options.json:
        from trtbuild.report.document import print_json

        document = {"format": 1, "recipe": str(options.recipe), "tasks": explanations}
        print_json(document, ExitCode.DONE)
    else:
        for found in explanations:
            print_explanation(found)
    return ExitCode.DONE
