"""Bundle verified, locked engines with all that proves where they come from."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from trtbuild.cli.common import (
    add_places,
    add_recipes,
    add_remote,
    listening,
    open_session,
    run_session,
)
from trtbuild.errors import ExitCode
from trtbuild.release.archive import is_tar
from trtbuild.release.conditions import ALLOWANCES, REQUIREMENTS
from trtbuild.release.lock import lock_path
from trtbuild.release.locked import require_current
from trtbuild.release.make import Order, make_release
from trtbuild.release.start import start_of
from trtbuild.report.terminal import print_outcomes
from trtbuild.store.roots import register


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `trtbuild release` takes."""
    add_recipes(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="BUNDLE",
        help="a folder, or an archive where the name ends in .tar; must not exist",
    )
    parser.add_argument("--onnx", action="store_true", help="put in the ONNX models too")
    parser.add_argument(
        "--key", type=Path, metavar="FILE", help="sign with this ed25519 private key (PEM)"
    )
    parser.add_argument(
        "--require",
        dest="requirements",  # `require` are stages that a session must not skip
        action="extend",
        type=_names(REQUIREMENTS),
        default=[],
        metavar="NAMES",
        help=f"fail without these, by commas or repeated: {', '.join(REQUIREMENTS)}",
    )
    parser.add_argument(
        "--allow",
        action="extend",
        type=_names(tuple(ALLOWANCES)),
        default=[],
        metavar="NAMES",
        help=f"accept these, by commas or repeated, and write them down: {', '.join(ALLOWANCES)}",
    )
    parser.add_argument(
        "--only-cached",
        action="store_true",
        help="run nothing: take what the caches have, also what a machine with a GPU measured",
    )
    add_places(parser)
    add_remote(parser)


def main(options: argparse.Namespace) -> ExitCode:
    """Hold the recipes to their locks, bring them up to date, and write the bundle."""
    is_tar(options.output)  # refuses other archives, before anything runs
    key = None
    if options.key is not None:
        from trtbuild.release.signing import read_private_key

        key = read_private_key(options.key)
    starts = [start_of(recipe) for recipe in options.recipes]
    with listening(verbose=False) as listener, open_session(options, listener) as session:
        guards = require_current(session.rebuilders)
        done = run_session(session)
        refused = any(guard.refused for guard in guards)
        if refused or not done:
            print_outcomes(session.rebuilders)
            return ExitCode.DIFFERENT if refused else ExitCode.FAILED
        made = make_release(
            guards,
            starts,
            Order(
                target=options.output,
                with_onnx=options.onnx,
                allowed=frozenset(options.allow),
                required=tuple(options.requirements),
                key=key,
            ),
        )
        for rebuilder in session.rebuilders:
            register(session.store.root, lock_path(rebuilder.recipe))
    size = f"{made.size_bytes / 2**20:.1f} MiB"
    print(f"{made.target}: {made.files} files, {size}")  # noqa: T201 - the command's result
    for item in made.allowed:
        print(f"  allowed: {item.name}: {item.text}")  # noqa: T201
    return ExitCode.DONE


def _names(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    def split(text: str) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(known)}")
        return names

    return split
