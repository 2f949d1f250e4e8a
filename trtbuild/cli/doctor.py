"""Say what this machine can do, and what recipes need that it lacks."""

from __future__ import annotations

import argparse
from pathlib import Path

from trtbuild.cli.common import add_json, folder
from trtbuild.cli.settings import resolve
from trtbuild.errors import ExitCode
from trtbuild.graph.machine import machine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `trtbuild doctor` takes."""
    parser.add_argument("recipes", nargs="*", type=Path, metavar="RECIPE", help="a recipe file")
    parser.add_argument("--cache", type=folder, metavar="DIR", help="the cache to look at")
    add_json(parser)


def main(options: argparse.Namespace) -> ExitCode:
    """Print the state of the machine; a recipe that lacks something makes it a failure."""
    found = machine(Path(resolve(options)["cache"].value), options.recipes)
    lacking = any(recipe["lacks"] for recipe in found["recipes"])
    exit_code = ExitCode.FAILED if lacking else ExitCode.DONE
    if not all(recipe["valid"] for recipe in found["recipes"]):
        exit_code = ExitCode.INVALID
    if options.json:
        from trtbuild.report.document import print_json

        print_json({"format": 1, "exit_code": int(exit_code), **found})
    else:
        from trtbuild.report.machine import print_machine

        print_machine(found)
    return exit_code
