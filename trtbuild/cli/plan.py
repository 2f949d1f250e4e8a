"""Say what a run would do, and why; needs no GPU and changes nothing."""

from __future__ import annotations

import argparse

from trtbuild.cli.common import (
    add_json,
    add_places,
    add_recipes,
    add_remote,
    add_selection,
    open_session,
)
from trtbuild.errors import ExitCode
from trtbuild.report.terminal import Quiet, print_plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `trtbuild plan` takes."""
    add_recipes(parser)
    add_selection(parser)
    add_places(parser)
    add_remote(parser)
    add_json(parser)


def main(options: argparse.Namespace) -> ExitCode:
    """Print the tasks with the verdict that each would get."""
    with open_session(options, Quiet()) as session:
        session.preview()
        if options.json:
            from trtbuild.report.document import print_json, run_document

            print_json(run_document(session.rebuilders, ExitCode.DONE))
        else:
            print_plan(session.rebuilders)
    return ExitCode.DONE
