"""Write the lock of recipes, or say whether it is current."""

from __future__ import annotations

import argparse

from trtbuild.cli.common import (
    add_places,
    add_recipes,
    add_remote,
    listening,
    open_session,
    run_session,
)
from trtbuild.errors import ExitCode
from trtbuild.release.lock import lock_path, make_lock, write_lock
from trtbuild.release.lock_read import find_lock
from trtbuild.release.locked import require_current
from trtbuild.report.terminal import Quiet, print_outcomes
from trtbuild.store.roots import register


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `trtbuild lock` takes."""
    add_recipes(parser)
    parser.add_argument(
        "--check",
        action="store_true",
        help="run and write nothing: exit code 4 where a lock is not current, and how it differs",
    )
    add_places(parser)
    add_remote(parser)


def main(options: argparse.Namespace) -> ExitCode:
    """Bring the recipes up to date and lock what came out, which the cache then keeps."""
    if options.check:
        return _check(options)
    with listening(verbose=False) as listener, open_session(options, listener) as session:
        # An unusable lock is replaced; one of another recipe is not ours to replace.
        previous = [find_lock(r.recipe, replaceable=True) for r in session.rebuilders]
        if not run_session(session):
            print_outcomes(session.rebuilders)
            return ExitCode.FAILED
        for rebuilder, before in zip(session.rebuilders, previous, strict=True):
            path = lock_path(rebuilder.recipe)
            written = write_lock(path, make_lock(rebuilder, before))
            register(session.store.root, path)
            print(f"{path}: {'written' if written else 'is current'}")  # noqa: T201 - the result
    return ExitCode.DONE


def _check(options: argparse.Namespace) -> ExitCode:
    with open_session(options, Quiet()) as session:
        require_current(session.rebuilders)
        for rebuilder in session.rebuilders:
            print(f"{lock_path(rebuilder.recipe)}: is current")  # noqa: T201 - the result
    return ExitCode.DONE
