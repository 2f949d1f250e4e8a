"""Bring recipes up to date: run what is stale, restore what is cached."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from trtbuild.cli import numbers
from trtbuild.cli.common import (
    add_json,
    add_places,
    add_recipes,
    add_remote,
    add_selection,
    open_session,
    stage_names,
)
from trtbuild.errors import ExitCode
from trtbuild.report.terminal import Quiet, Terminal, print_outcomes

if TYPE_CHECKING:
    from trtbuild.graph.session import Session
    from trtbuild.release.locked import LockGuard


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `trtbuild run` takes."""
    add_recipes(parser)
    add_selection(parser)
    parser.add_argument(
        "--require",
        action="append",
        default=[],
        metavar="STAGE",
        choices=stage_names(),
        help="fail if this stage cannot run here, or verify not the engine; may be repeated",
    )
    parser.add_argument(
        "-j",
        "--jobs",
        type=numbers.count,
        metavar="N",
        help="run up to N tasks at once (default 1)",
    )
    parser.add_argument(
        "--continue",
        dest="keep_going",
        action="store_true",
        help="after a failure, go on with the tasks that do not need its result",
    )
    parser.add_argument(
        "--locked",
        action="store_true",
        help="build nothing that differs from recipe.lock; exit code 4 where something does",
    )
    parser.add_argument(
        "--only-cached",
        action="store_true",
        help="run nothing: restore what the caches have, and fail with what they lack",
    )
    parser.add_argument(
        "--junit",
        type=Path,
        metavar="FILE",
        help="write what became of tasks and gates as JUnit XML, for CI servers",
    )
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="write what the run gave as one HTML page"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done, as `trtbuild plan`"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="name every task")
    add_places(parser)
    add_remote(parser)
    add_json(parser)


def main(options: argparse.Namespace) -> ExitCode:
    """Run, report, and say how it went."""
    if options.dry_run:
        from trtbuild.cli import plan

        return plan.main(options)
    if options.html is not None:
        from trtbuild.report.page import template

        template()  # before anything runs: without Jinja2 there is no page
    listener = Quiet() if options.json else Terminal(verbose=options.verbose)
    with open_session(options, listener) as session:
        guards = _guards(session) if options.locked else ()
        try:
            done = session.run()
        except KeyboardInterrupt:
            session.interrupt()
            _write(options, session, ExitCode.INTERRUPTED)  # a job that is cancelled wants it too
            raise
        finally:
            if isinstance(listener, Terminal):
                listener.stop()
        exit_code = ExitCode.DONE if done else ExitCode.FAILED
        if any(guard.refused for guard in guards):
            exit_code = ExitCode.DIFFERENT
        _write(options, session, exit_code)
        if not options.json:
            print_outcomes(session.rebuilders)
    return exit_code


def _write(options: argparse.Namespace, session: Session, exit_code: ExitCode) -> None:
    """The documents that were asked for."""
    if options.junit is not None:
        from trtbuild.report.junit import write_junit

        write_junit(options.junit, session.rebuilders)
    if options.html is not None:
        from trtbuild.report.page import write_page

        write_page(options.html, session.rebuilders)
    if options.json:
        from trtbuild.report.document import print_json, run_document

        print_json(run_document(session.rebuilders, exit_code))


def _guards(session: Session) -> tuple[LockGuard, ...]:
    from trtbuild.release.locked import require_current

    return require_current(session.rebuilders)
