"""Build again from nothing, and say how far the result is the same."""

from __future__ import annotations

import argparse
import contextlib

from trtbuild.cli import numbers
from trtbuild.cli.common import (
    add_json,
    add_places,
    add_recipes,
    listening,
    open_session,
    run_session,
)
from trtbuild.errors import ExitCode
from trtbuild.graph.session import Session
from trtbuild.release.rebuild import rebuild_check
from trtbuild.report.document import print_json, run_document
from trtbuild.report.release import print_rebuilt, rebuilt_document
from trtbuild.report.terminal import Quiet, print_outcomes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `trtbuild rebuild` takes."""
    add_recipes(parser)
    parser.add_argument(
        "--check",
        action="store_true",
        required=True,
        help="compare what comes out and keep nothing of it (`run --rebuild STAGE` keeps it)",
    )
    parser.add_argument(
        "--rounds",
        type=numbers.rounds,
        default=1,
        metavar="N",
        help="build so many times (default 1)",
    )
    add_places(parser)
    add_json(parser)


def main(options: argparse.Namespace) -> ExitCode:
    """Bring the recipes up to date, build them again, and compare; 4 where something differs."""
    sessions: list[Session] = []
    with contextlib.ExitStack() as stack:
        # With --json standard output is one document, whatever has to be run first.
        told = Quiet() if options.json else stack.enter_context(listening(verbose=False))
        session = stack.enter_context(open_session(options, told))
        if not run_session(session):
            if options.json:
                print_json(run_document(session.rebuilders, ExitCode.FAILED))
            else:
                print_outcomes(session.rebuilders)
            return ExitCode.FAILED
        try:
            found = rebuild_check(session, Quiet(), options.rounds, sessions.append)
        except KeyboardInterrupt:
            for other in sessions:
                other.executor.stop()
            raise
    # Without a lock R0 is not reached, but that is no difference between two builds.
    levels = [level for item in found for name, level in item.levels.items() if name != "R0"]
    differs = any(level.reached is False for level in levels)
    exit_code = ExitCode.DIFFERENT if differs else ExitCode.DONE
    if options.json:
        print_json(rebuilt_document(found), exit_code)
    else:
        print_rebuilt(found)
    return exit_code
