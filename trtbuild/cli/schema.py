"""Print a JSON Schema, for editors and other tools."""

from __future__ import annotations

import argparse

from trtbuild.errors import ExitCode
from trtbuild.recipe.schema import schema_text

KINDS = ("recipe", "benchmark", "accepted", "manifest", "provenance")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `trtbuild schema` takes."""
    parser.add_argument(
        "kind",
        nargs="?",
        choices=KINDS,
        default=KINDS[0],
        metavar="KIND",
        help=f"of what: {', '.join(KINDS)} (default {KINDS[0]})",
    )


def main(options: argparse.Namespace) -> ExitCode:
    """Print the schema."""
    print(schema_text(f"{options.kind}.schema.json"), end="")  # noqa: T201 - the command's whole result
    return ExitCode.DONE
