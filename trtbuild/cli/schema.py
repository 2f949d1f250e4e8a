"""Print the JSON Schema of recipes, for editors and other tools."""

from __future__ import annotations

import argparse

from trtbuild.errors import ExitCode
from trtbuild.recipe.schema import schema_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`trtbuild schema` takes nothing."""


def main(_: argparse.Namespace) -> ExitCode:
    """Print the schema."""
    print(schema_text(), end="")  # noqa: T201 - the command's whole result
    return ExitCode.DONE
